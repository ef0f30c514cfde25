"""``python -m tests.bench.backtest``: 100,000 stored contacts through 200 rules, beside live routing.

Routing's own Postgres and its unit of work, one case a batch; p50 and p99 of it idle and while backtests run.
"""

import asyncio
import json
import statistics
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from sqlalchemy import text

from services.routing import replay
from services.routing.app import service
from services.routing.spec import RulesetSpec
from services.routing.store import rulesets as stored
from services.routing.store.audit import Actor
from shared.batch import Input
from shared.clock import SystemClock
from shared.contracts.contacts import ContactReceived, Customer
from shared.contracts.envelope import Event
from shared.db import Database, to_json
from shared.embedded import EmbeddedPostgres
from shared.ids import Ids
from shared.log import Log
from shared.runtime import Runtime
from shared.settings import Settings
from tests.bench import thousand

CONTACTS, RULES, LIVE, TURNS = 100_000, 200, 400, 3


class NoLog:
    partitions = 8


async def fill(db: Database, count: int) -> None:
    contacts = list(thousand.contacts(2_000, seed=2))
    for start in range(0, count, 10_000):
        some = range(start, min(count, start + 10_000))
        async with db.transaction() as tx:
            await tx.run(
                "INSERT INTO contact (case_id, number, at, facts, erased) SELECT c, n, t, CAST(f AS jsonb), false FROM"
                " unnest(CAST(:cases AS uuid[]), CAST(:numbers AS text[]), CAST(:times AS timestamptz[]),"
                " CAST(:facts AS text[])) AS x (c, n, t, f)",
                cases=[UUID(int=n + 1) for n in some],
                numbers=[f"C-{n}" for n in some],
                times=[contacts[n % 2_000].at - timedelta(seconds=n) for n in some],
                facts=[to_json(contacts[n % 2_000]) for n in some],
            )
    async with db.engine.connect() as connection:
        await connection.execute(text("ANALYZE contact"))


def event(number: int, runtime: Runtime[Any]) -> Event:
    now = runtime.clock.now()
    data = ContactReceived(
        case_id=UUID(int=10**9 + number), contact_id=UUID(int=2 * 10**9 + number), case_number=f"C-{10**6 + number}",
        opened_case=True, channel="email", occurred_at=now, received_at=now, customer=Customer(tier="enterprise"),
        subject="Payout missing", body="Where is it?", reason="payout_delay",
    )  # fmt: skip
    return Event(UUID(int=3 * 10**9 + number), "bench", "contacts", number, now, data)


async def live(runtime: Runtime[Any], first: int, until: asyncio.Event | None = None) -> list[float]:
    took: list[float] = []
    while len(took) < LIVE if until is None else not until.is_set():
        each = event(first + len(took), runtime)
        began = time.perf_counter()
        async with runtime.unit() as work:
            await work.lock([each.case_id])
            await work.apply([Input(each.case_id, each)])
        took.append(1_000 * (time.perf_counter() - began))
        await asyncio.sleep(0.01)
    return took


def p(share: float, took: list[float]) -> float:
    return sorted(took)[int(share * (len(took) - 1))]


async def measure(url: str) -> dict[str, float]:
    made, db = service(), Database(url, "routing")
    async with db.engine.begin() as connection:
        await connection.execute(text("CREATE SCHEMA routing"))
        await connection.run_sync(made.metadata.create_all)
    clock = SystemClock()
    runtime = Runtime(Settings(), made, db, clock, Ids(clock, seed=1), cast(Log, NoLog()))
    spec = thousand.ruleset(1, RULES)
    draft = RulesetSpec(rules=spec.rules[20:] + spec.rules[:20], fallback=spec.fallback)
    assert made.first_start is not None
    async with db.transaction() as tx:
        await made.first_start(tx, clock.now())
        version = await stored.create(tx, spec, Actor("bench"), None, 1, clock.now())
        await stored.activate(tx, version, Actor("bench"), clock.now())
    await fill(db, CONTACTS)
    task = replay.Task(url=url, schema_name="routing", before=(2, spec), after=(3, draft), choice=replay.Choice())
    await live(runtime, 0)
    seconds, ratios, idle_all, busy_all = [], [], [], []
    for turn in range(TURNS):
        idle = await live(runtime, 10_000 * (2 * turn + 1))
        done = asyncio.Event()

        async def run(done: asyncio.Event = done) -> float:
            began = time.perf_counter()
            async for line in replay.lines(task):
                if "report" in line:
                    assert line["report"]["cases"] >= CONTACTS
            done.set()
            return time.perf_counter() - began

        took, busy = await asyncio.gather(run(), live(runtime, 10_000 * (2 * turn + 2), done))
        seconds.append(took)
        ratios.append(p(0.99, busy) / p(0.99, idle))
        idle_all += idle
        busy_all += busy
    await db.close()
    return {
        "backtest, s": statistics.median(seconds), "live p99 idle, ms": p(0.99, idle_all),
        "live p99 beside it, ms": p(0.99, busy_all), "p99 beside ÷ idle": statistics.median(ratios),
        "live p50 idle, ms": p(0.5, idle_all), "live p50 beside it, ms": p(0.5, busy_all),
    }  # fmt: skip


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        server = EmbeddedPostgres(Path(folder))
        try:
            found = asyncio.run(measure(server.start()))
        finally:
            server.stop()
    met = found["backtest, s"] < 10 and found["p99 beside ÷ idle"] <= 1.5
    for name, figure in found.items():
        print(f"  {name:<26} {figure:>8.2f}")
    print(json.dumps({"kind": "backtest", **found}))
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
