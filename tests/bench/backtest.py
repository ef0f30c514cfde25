"""``python -m tests.bench.backtest``: 100,000 stored contacts through 200 rules, beside live routing.

Routing's own Postgres and its unit of work, one case a batch; p50 and p99 of it idle and while backtests run, over
all turns: a turn alone has too few contacts for a p99.
"""

import asyncio
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from sqlalchemy import text

from services.routing import replay, rules
from services.routing.app import service
from services.routing.model import ContactFacts
from services.routing.spec import RulesetSpec
from services.routing.store import rulesets as stored
from shared.audit import Actor
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

CONTACTS, DISTINCT, RULES, LIVE, TURNS = 100_000, 2_000, 200, 500, 7
NEWEST = datetime(2026, 1, 31, 12, tzinfo=UTC)


class NoLog:
    partitions = 8


def history() -> Iterator[ContactFacts]:
    """Newest first, all of them older than what is routed live."""
    contacts = list(thousand.contacts(DISTINCT, seed=2))
    for n in range(CONTACTS):
        yield contacts[n % DISTINCT].model_copy(update={"at": NEWEST - timedelta(seconds=n), "number": f"C-{n}"})


async def fill(db: Database) -> None:
    """Contacts, each with who had it and how its promise ended."""
    found = enumerate(history(), 1)
    while some := list(itertools.islice(found, 10_000)):
        async with db.transaction() as tx:
            await tx.run(
                "INSERT INTO contact (case_id, number, at, facts, erased) SELECT c, n, t, CAST(f AS jsonb), false FROM"
                " unnest(CAST(:cases AS uuid[]), CAST(:numbers AS text[]), CAST(:times AS timestamptz[]),"
                " CAST(:facts AS text[])) AS x (c, n, t, f)",
                cases=[UUID(int=n) for n, _ in some],
                numbers=[each.number for _, each in some],
                times=[each.at for _, each in some],
                facts=[to_json(each) for _, each in some],
            )
    async with db.transaction() as tx:
        await tx.run(
            "INSERT INTO assignment (case_id, team, priority, tags, ruleset_version, because, assigned_at, by)"
            " SELECT case_id, 'team-1', 'normal', '[]', 1, '{}', at, 'the rules' FROM contact ORDER BY at DESC"
        )
        await tx.run(
            "INSERT INTO outcome (clock_id, case_id, version, metric, instance, state, breached, team, started_at, at)"
            " SELECT case_id, case_id, 1, 'first_reply', 1, 'met', false, 'team-1', at, at FROM contact"
            " ORDER BY at DESC"
        )
    async with db.engine.connect() as connection:
        alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
        for housekeeping in ("VACUUM ANALYZE", "CHECKPOINT"):  # else what is read first writes what was just filled
            await alone.execute(text(housekeeping))


def routed(spec: RulesetSpec) -> Counter[str]:
    """Where each contact goes by itself, as it does when it is routed."""
    compiled = rules.compile(3, spec)
    return Counter(rules.match(compiled, each).team for each in history())


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
        version = await stored.create(tx, spec, Actor("bench", "bench"), None, 1, clock.now())
        await stored.activate(tx, version.version, version.spec.teams(), Actor("bench", "bench"), clock.now())
    await fill(db)
    choice = replay.Choice(until=NEWEST + timedelta(hours=1))
    task = replay.Task(url=url, schema_name="routing", before=(2, spec), after=(3, draft), choice=choice)
    await live(runtime, 0)
    turns = [await measure_turn(runtime, task, 10_000 * (turn + 1)) for turn in range(TURNS)]
    await db.close()
    idle = [ms for each in turns for ms in each.idle]
    busy = [ms for each in turns for ms in each.beside]
    truth = routed(draft)
    return {
        "backtest, s": statistics.median(each.took for each in turns),
        "backtest, s of processor": statistics.median(each.processor for each in turns),
        "live p50 idle, ms": p(0.5, idle), "live p50 beside it, ms": p(0.5, busy),
        "live p99 idle, ms": p(0.99, idle), "live p99 beside it, ms": p(0.99, busy),
        "p99 beside ÷ idle": p(0.99, busy) / p(0.99, idle),
        "teams otherwise than routed": sum(each.loads != truth for each in turns),
    }  # fmt: skip


@dataclass
class Turn:
    """Milliseconds of each live contact, idle and beside one backtest; the seconds and the result of that."""

    idle: list[float]
    beside: list[float]
    took: float
    processor: float
    loads: Counter[str]


async def measure_turn(runtime: Runtime[Any], task: replay.Task, first: int) -> Turn:
    """Live routing idle, then beside one backtest, then idle again."""
    idle = await live(runtime, first)
    done, loads, began, before = asyncio.Event(), Counter[str](), time.perf_counter(), os.times()

    async def run() -> float:
        async for line in replay.lines(task):
            loads.update({each["team"]: each["after"] for each in line.get("report", {"load": []})["load"]})
        done.set()
        return time.perf_counter() - began

    took, beside = await asyncio.gather(run(), live(runtime, first + 2_000, done))
    after = os.times()
    idle += await live(runtime, first + 6_000)
    user, system = after.children_user - before.children_user, after.children_system - before.children_system
    return Turn(idle, beside, took, user + system, loads)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        server = EmbeddedPostgres(Path(folder))
        try:
            found = asyncio.run(measure(server.start()))
        finally:
            server.stop()
    met = found["backtest, s"] < 10 and found["p99 beside ÷ idle"] <= 1.5 and not found["teams otherwise than routed"]
    for name, figure in found.items():
        print(f"  {name:<28} {figure:>8.2f}")
    print(json.dumps({"kind": "backtest", **found}))
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
