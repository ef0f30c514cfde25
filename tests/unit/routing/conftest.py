"""Routing on a real Postgres, with a clock that stands still unless moved, and a client with an admin's key."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from services.routing.app import assemble, service
from services.routing.model import CaseState
from shared.auth import Keys
from shared.batch import Input
from shared.clock import ManualClock
from shared.contracts.contacts import ContactReceived, Customer
from shared.contracts.envelope import Event, EventData
from shared.db import Database
from shared.embedded import EmbeddedPostgres
from shared.http import create_app
from shared.ids import Ids
from shared.log import Log
from shared.runtime import Runtime
from shared.settings import Settings
from tests.conftest import UNFLUSHED

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)  # a Monday


def case(number: int) -> UUID:
    return UUID(int=number)


def contact(number: int = 1, **fields: Any) -> ContactReceived:
    """The contact that opens case ``number``."""
    customer = Customer(**fields.pop("customer", {}))
    given = {"contact_id": UUID(int=10_000 + number), "case_number": f"C-{number}", "opened_case": True,
             "channel": "email", "occurred_at": NOON, "received_at": NOON}  # fmt: skip
    return ContactReceived(case_id=case(number), customer=customer, **given | fields)


def event(data: EventData, sequence: int = 1, topic: str = "contacts") -> Event:
    return Event(UUID(int=sequence), "test", topic, sequence, NOON, data)


class NoLog:
    """All that deciding needs of the log."""

    partitions = 8


@dataclass
class Routing:
    """The service as the platform runs it, without its loops."""

    runtime: Runtime[CaseState]
    clock: ManualClock
    client: httpx.AsyncClient
    keys: Keys

    async def take(self, *events: EventData) -> None:
        """What the worker does with a batch."""
        async with self.runtime.unit() as work:
            await work.lock([each.case_id for each in events])
            await work.apply([Input(each.case_id, event(each)) for each in events])

    async def count(self, table: str) -> int:
        async with self.runtime.db.transaction() as tx:
            return int(await tx.scalar(f"SELECT count(*) FROM {table}"))


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = EmbeddedPostgres(tmp_path_factory.mktemp("routing"), **UNFLUSHED)
    yield server.start()
    server.stop()


@pytest.fixture
async def routing(postgres: str) -> AsyncIterator[Routing]:
    made, clock = service(), ManualClock(NOON)
    ids = Ids(clock, seed=1)
    db, own = Database(postgres, "routing"), Database(postgres, "auth", pool_size=2)
    async with db.engine.begin() as connection:
        for statement in ("DROP SCHEMA IF EXISTS routing, auth CASCADE", "CREATE SCHEMA routing"):
            await connection.execute(text(statement))
        await connection.run_sync(made.metadata.create_all)
    keys = Keys(own, clock, ids)
    await keys.migrate()
    key = await keys.create("ana", ["admin"])
    runtime = Runtime(Settings(), made, db, clock, ids, cast(Log, NoLog()))
    assert made.first_start is not None
    async with db.transaction() as tx:
        await made.first_start(tx, clock.now())
    app = create_app("routing", [assemble(runtime).router], keys, 100_000)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://routing", headers=headers) as client:
        yield Routing(runtime, clock, client, keys)
    await db.close()
    await own.close()
