"""Intake on a real Postgres, with a clock that stands still unless moved, and a client with an admin's key."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import httpx
import pytest
from sqlalchemy import text

from services.intake.app import assemble, service
from services.intake.model import CaseFile
from shared import ledger
from shared.auth import Keys
from shared.clock import ManualClock
from shared.db import Database
from shared.embedded import EmbeddedPostgres
from shared.gate import Gate
from shared.http import create_app
from shared.ids import Ids
from shared.log import Log
from shared.runtime import Runtime
from shared.sealing import Seal
from shared.settings import Settings
from tests.conftest import UNFLUSHED

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)  # a Monday
CARD = "4111 1111 1111 1111"
OURS = Settings(mailboxes="help@desk.example", agents="acme.example", mail_key="a key of thirty-two characters!!")
JSON = dict[str, Any]
SEAL = Seal(["a key for tests only"])


class NoLog:
    """All that deciding needs of the log."""

    partitions = 8


@dataclass
class Intake:
    """The service as the platform runs it, without its loops."""

    runtime: Runtime[CaseFile]
    clock: ManualClock
    client: httpx.AsyncClient
    keys_db: Database

    async def close(self) -> None:
        await self.client.aclose()
        await self.runtime.db.close()
        await self.keys_db.close()

    async def post(self, path: str, body: Any = None, status: int = 202, **more: Any) -> JSON:
        answer = await self.client.post(path, json=body, **more)
        assert answer.status_code == status, answer.text
        return cast(JSON, answer.json())

    async def contact(self, status: int = 202, key: str | None = None, **fields: Any) -> JSON:
        headers = {"Idempotency-Key": key} if key else {}
        return await self.post("/v1/contacts", {"subject": "Payout missing"} | fields, status, headers=headers)

    async def activity(self, kind: str, status_code: int = 202, **fields: Any) -> JSON:
        return await self.post("/v1/activities", {"kind": kind} | fields, status_code)

    async def mail(self, raw: bytes | str, status: int = 202, **query: str) -> JSON:
        content = raw.encode() if isinstance(raw, str) else raw
        answer = await self.client.post("/v1/contacts/email", content=content, params=query)
        assert answer.status_code == status, answer.text
        return cast(JSON, answer.json())

    async def batch(self, lines: Sequence[Any], path: str = "/v1/contacts/batch") -> list[JSON]:
        body = b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
        answer = await self.client.post(path, content=body)
        assert answer.status_code == 200, answer.text
        return [json.loads(line) for line in answer.text.splitlines()]

    async def get(self, path: str, code: int = 200, **query: str) -> JSON:
        answer = await self.client.get(path, params=query)
        assert answer.status_code == code, answer.text
        return cast(JSON, answer.json())

    async def status(self, case_id: str) -> str:
        return str((await self.get(f"/v1/cases/{case_id}"))["status"])

    async def published(self, case_id: str | None = None) -> list[JSON]:
        """The events written, in order: type, and what each says."""
        async with self.runtime.db.transaction() as tx:
            rows = await tx.rows("SELECT case_id, headers, convert_from(body, 'UTF8') AS body FROM outbox ORDER BY id")
        found = [
            {"type": dict(json.loads(row.headers))["ce_type"].split(".", 2)[2], **json.loads(row.body)} for row in rows
        ]
        return [each for each in found if case_id in (None, each["case_id"])]

    async def count(self, table: str) -> int:
        async with self.runtime.db.transaction() as tx:
            return int(await tx.scalar(f"SELECT count(*) FROM {table}"))

    async def everything_stored(self) -> str:
        """All text of all tables, as it is on disk."""
        async with self.runtime.db.transaction() as tx:
            tables = await tx.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'intake' ORDER BY tablename")
            dump = [await tx.rows(f"SELECT CAST(t AS text) AS row FROM {row.tablename} t") for row in tables]
            bodies = await tx.rows("SELECT convert_from(body, 'UTF8') AS row FROM outbox")
            raws = await tx.rows("SELECT convert_from(raw, 'LATIN1') AS row FROM quarantine WHERE raw IS NOT NULL")
        return "\n".join(row.row for rows in (*dump, bodies, raws) for row in rows)

    async def difference(self, hop: str) -> int:
        async with self.runtime.db.transaction() as tx:
            entries = await assemble(self.runtime).ledger(tx)
        return next(line.difference for line in ledger.merge(entries) if line.hop == hop)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = EmbeddedPostgres(tmp_path_factory.mktemp("intake"), **UNFLUSHED)
    yield server.start()
    server.stop()


async def assembled(postgres: str, clock: ManualClock, seed: int, key: str) -> Intake:
    """A replica: its own connections and ids."""
    ids = Ids(clock, seed=seed)
    own = Database(postgres, "auth", pool_size=2, seal=SEAL)
    runtime = Runtime(
        OURS,
        service(),
        Database(postgres, "intake", seal=SEAL),
        clock,
        ids,
        cast(Log, NoLog()),
    )
    app = create_app("intake", [assemble(runtime).router], Keys(own, clock, ids), 1_000_000)
    settings = runtime.settings
    limits = {"": settings.body_limit, "/v1/contacts/batch": settings.batch_body_limit}
    limits["/v1/contacts/email"] = settings.email_body_limit
    transport = httpx.ASGITransport(Gate(app, ids, limits), raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {key}"}
    client = httpx.AsyncClient(transport=transport, base_url="http://intake", headers=headers)
    return Intake(runtime, clock, client, own)


@pytest.fixture(scope="session")
def admin_key(postgres: str) -> str:
    """The key of an admin, once the tables are there."""
    return asyncio.run(_prepared(postgres))


async def _prepared(postgres: str) -> str:
    made, clock = service(), ManualClock(NOON)
    db, own = Database(postgres, "intake"), Database(postgres, "auth", pool_size=2)
    async with db.engine.begin() as connection:
        await connection.execute(text("CREATE SCHEMA intake"))
        await connection.run_sync(made.metadata.create_all)
    keys = Keys(own, clock, Ids(clock, seed=1))
    await keys.migrate()
    key = await keys.create("ana", ["admin"])
    await db.close()
    await own.close()
    return key


@pytest.fixture
async def replicas(postgres: str, admin_key: str) -> AsyncIterator[tuple[Intake, Intake]]:
    """Two of the same service on one database, and nothing in it."""
    clock = ManualClock(NOON)
    both = (await assembled(postgres, clock, 1, admin_key), await assembled(postgres, clock, 2, admin_key))
    tables = ", ".join(service().metadata.tables)
    async with both[0].runtime.db.engine.begin() as connection:
        await connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY"))
    yield both
    for each in both:
        await each.close()


@pytest.fixture
def intake(replicas: tuple[Intake, Intake]) -> Intake:
    return replicas[0]
