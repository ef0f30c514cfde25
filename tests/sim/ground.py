"""What a run stands on: one Postgres a session, and in it a database of its own for each run, from a template.

``fsync`` is off: processes crash in these runs, the machine never does.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from shared.embedded import EmbeddedPostgres
from tests.conftest import UNFLUSHED
from tests.scratch import scratch

TEMPLATE = "template_sim"
SETTINGS = {
    **UNFLUSHED,
    "synchronous_commit": "off",
    "autovacuum": "off",
    "deadlock_timeout": "100ms",  # a deadlock is a finding: let it be found soon
    "wal_level": "minimal",
    "max_wal_senders": "0",
}


class Ground:
    """One server."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self.server = server
        self._admin: asyncpg.Connection | None = None
        self._made = 0

    def url(self, database: str) -> str:
        return self.server.url.replace("/postgres?", f"/{database}?")

    async def admin(self) -> asyncpg.Connection:
        """A connection of this loop that no simulated fault touches."""
        if self._admin is None or self._admin.is_closed():
            self._admin = await asyncpg.connect(self.server.url.replace("+asyncpg", ""))
        return self._admin

    async def fresh(self, template: str = TEMPLATE) -> str:
        """A new database, like the template."""
        self._made += 1
        name = f"sim_{self._made}"
        await self.create(name, template)
        return name

    async def create(self, name: str, template: str = "template0") -> None:
        await (await self.admin()).execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")

    async def drop(self, name: str) -> None:
        await (await self.admin()).execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    async def waiting(self, name: str) -> int:
        """Statements that wait for a lock."""
        return int(
            await (await self.admin()).fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock'", name
            )
        )

    async def drop_connections(self, name: str, application: str) -> int:
        """End what a service has open, as a network that breaks does; waits until they are gone."""
        rows = await (await self.admin()).fetch(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1 AND application_name = $2",
            name,
            application,
        )
        return len(rows)

    async def close(self) -> None:
        if self._admin is not None:
            await self._admin.close()
            self._admin = None


@contextmanager
def ground() -> Iterator[Ground]:
    folder = scratch("tocsin-sim-")
    server = EmbeddedPostgres(folder, **SETTINGS)
    server.start()
    try:
        yield Ground(server)
    finally:
        server.stop()
        shutil.rmtree(folder)
