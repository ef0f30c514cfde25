"""Sla on a real Postgres, with a clock that stands still unless moved, and a client with an admin's key."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

import httpx
import pytest
from sqlalchemy import text

from services.sla.app import assemble, service
from services.sla.model import Case
from services.sla.store.replan import Replanning
from shared import ledger, timers
from shared.auth import Keys
from shared.batch import Input
from shared.clock import ManualClock
from shared.contracts.envelope import Event
from shared.db import Database
from shared.http import create_app
from shared.ids import Ids
from shared.log import Log
from shared.runtime import Runtime
from shared.settings import Settings
from shared.ticker import Ticker
from tests.unit.sla.stories import CASE, START

JSON = dict[str, Any]


class NoLog:
    """All that deciding needs of the log."""

    partitions = 8


@dataclass
class Sla:
    """The service as the platform runs it, without its loops."""

    runtime: Runtime[Case]
    clock: ManualClock
    client: httpx.AsyncClient
    db: Database

    async def take(self, events: Sequence[Event], batch: int = 500) -> None:
        """What the worker does with batches."""
        for start in range(0, len(events), batch):
            some = events[start : start + batch]
            async with self.runtime.unit() as work:
                await work.lock([each.case_id for each in some])
                await work.apply([Input(each.case_id, each) for each in some])

    async def tick(self) -> int:
        """What the ticker does with what is due, until nothing is."""
        ticker, fired = Ticker(self.runtime), 0
        while True:
            now = self.clock.now()
            async with self.db.reading() as tx:
                due = await timers.due(tx, now, 500, dict.fromkeys(range(8), now))
            count = await ticker.fire(due, now)
            if not count:
                return fired
            fired += count

    async def replan(self) -> int:
        """Re-plan until nothing is left; gives how many cases were looked at."""
        loop, before = Replanning(self.runtime), await self.rows("SELECT sum(seen) AS seen FROM replan")
        while await loop.step() == 0.0:
            pass
        after = await self.rows("SELECT sum(seen) AS seen FROM replan")
        return int((after[0].seen or 0) - (before[0].seen or 0))

    async def loaded(self) -> Case:
        async with self.db.transaction() as tx:
            return (await self.runtime.service.store.load(tx, [CASE], self.clock.now()))[CASE]

    async def rows(self, sql: str, **parameters: Any) -> Sequence[Any]:
        async with self.db.transaction() as tx:
            return await tx.rows(sql, **parameters)

    async def run(self, sql: str) -> None:
        async with self.db.transaction() as tx:
            await tx.run(sql)

    async def put(self, path: str, body: JSON, status: int = 201) -> JSON:
        self.clock.advance(timedelta(milliseconds=1))  # edits happen one after the other
        answer = await self.client.put(path, json=body)
        assert answer.status_code == status, answer.text
        return cast(JSON, answer.json())

    async def get(self, path: str, status: int = 200, **query: Any) -> JSON:
        answer = await self.client.get(path, params=query)
        assert answer.status_code == status, answer.text
        return cast(JSON, answer.json())

    async def lines(self) -> dict[str, ledger.Line]:
        async with self.db.transaction() as tx:
            return {line.hop: line for line in ledger.merge(await assemble(self.runtime).ledger(tx))}


async def first_start(runtime: Runtime[Case], now: datetime) -> None:
    assert runtime.service.first_start is not None
    async with runtime.db.transaction() as tx:
        await runtime.service.first_start(tx, now)


@pytest.fixture
async def sla(database_url: str) -> AsyncIterator[Sla]:
    made, clock = service(), ManualClock(START)
    ids = Ids(clock, seed=1)
    db, own = Database(database_url, "sla"), Database(database_url, "auth", pool_size=2)
    async with db.engine.begin() as connection:
        await connection.execute(text("CREATE SCHEMA sla"))
        await connection.run_sync(made.metadata.create_all)
    keys = Keys(own, clock, ids)
    await keys.migrate()
    key = await keys.create("ana", ["admin"])
    runtime = Runtime(Settings(), made, db, clock, ids, cast(Log, NoLog()))
    await first_start(runtime, clock.now())
    app = create_app("sla", [assemble(runtime).router], keys, 100_000)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://sla", headers=headers) as client:
        yield Sla(runtime, clock, client, db)
    await db.close()
    await own.close()
