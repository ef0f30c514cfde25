"""Migrations: one Alembic history a service, under an advisory lock, with lock and statement timeouts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from alembic import command, context
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.batch import Service
from shared.db import Database

T = TypeVar("T")

LOCK = 7_014_001  # of all migrations of one database
LOCK_TIMEOUT_MS = 5_000  # a migration that waits for a lock longer than this gives up, rather than hold up the rest
STATEMENT_TIMEOUT_MS = 600_000
SERVICES = Path(__file__).parent.parent / "services"


def _config(service: Service[Any], connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(SERVICES / service.card.name / "migrations"))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.attributes["connection"] = connection
    config.attributes["metadata"] = service.metadata
    return config


def run_environment() -> None:
    """All that a service's ``migrations/env.py`` does."""
    connection = context.config.attributes["connection"]
    metadata: MetaData = context.config.attributes["metadata"]
    context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=False)
    with context.begin_transaction():
        context.run_migrations()


async def upgrade(db: Database, service: Service[Any]) -> None:
    """Bring the service's schema to the newest version; waits for another that migrates, then finds it done."""
    async with db.engine.begin() as connection:
        await connection.execute(text(f"SET LOCAL statement_timeout = {STATEMENT_TIMEOUT_MS}"))
        await connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
        await connection.execute(text(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}"))
        await connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {db.schema}"))
        await connection.run_sync(lambda sync: command.upgrade(_config(service, sync), "head"))
        await _store(connection, service.metadata)


async def _store(connection: AsyncConnection, metadata: MetaData) -> None:
    """Give each table the storage parameters of its ``info["storage"]``, where it has others."""
    for table in metadata.sorted_tables:
        wanted = [f"{name}={value}" for name, value in table.info.get("storage", {}).items()]
        found = await connection.execute(
            text("SELECT reloptions FROM pg_class WHERE oid = to_regclass(:name)"), {"name": table.name}
        )
        if wanted and set(wanted) != set(found.scalar_one() or ()):
            await connection.execute(text(f"ALTER TABLE {table.name} SET ({', '.join(wanted)})"))


async def is_current(db: Database, service: Service[Any]) -> bool:
    """True where the schema is at the newest version that this code knows."""
    head = ScriptDirectory.from_config(_config(service)).get_current_head()
    async with db.engine.connect() as connection:
        return await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision()) == head


async def drift(db: Database, service: Service[Any]) -> list[Any]:
    """What the tables in code have and the migrated schema has not, or the other way round."""

    def compare(sync: Connection) -> list[Any]:
        options = {"compare_type": True, "compare_server_default": False}
        return list(compare_metadata(MigrationContext.configure(sync, opts=options), service.metadata))

    return await _reflect(db, compare)


async def revise(db: Database, service: Service[Any], message: str) -> None:
    """Write a new migration from the difference between the tables in code and the migrated schema."""
    number = len(list(ScriptDirectory.from_config(_config(service)).walk_revisions())) + 1

    def write(sync: Connection) -> None:
        command.revision(_config(service, sync), message, autogenerate=True, rev_id=f"{number:04d}")

    await _reflect(db, write)


async def _reflect(db: Database, look: Callable[[Connection], T]) -> T:
    engine = db.reflecting()
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(look)
    finally:
        await engine.dispose()
