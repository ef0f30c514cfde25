"""Very many clocks at once, a process that is killed, and a machine whose clock is wrong: each fires once, in time."""

import asyncio
import dataclasses
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest

from shared import announcing
from shared import clock as clocks
from shared.clock import DatabaseClock
from shared.contracts.identity import derived
from shared.db import Tx
from shared.log import Log, Positions
from shared.settings import Settings
from shared.ticker import Ticker
from tests.unit.sla.conftest import Sla
from tests.unit.sla.stories import DUBLIN, Story, m, policy, target

MANY = 330
CASES = [derived("storm", number) for number in range(MANY)]


class ReadLog:
    """A log that was read to its end."""

    partitions = 8

    async def end_positions(self, topics: Sequence[str]) -> Positions:
        return {}


async def opened(sla: Sla, team: str = "frontline") -> None:
    """Each case a few milliseconds after the one before."""
    told = []
    for number, case_id in enumerate(CASES):
        story = Story()
        story.contact(number / 40_000)
        story.assigned(team, at=0.1)
        told += [
            dataclasses.replace(e, id=derived(case_id, n), data=e.data.model_copy(update={"case_id": case_id}))
            for n, e in enumerate(story.events)
        ]
    sla.clock.set(m(1))
    await sla.take(told)


async def broken(sla: Sla) -> list[UUID]:
    """Cases in the order in which their breach was told."""
    rows = await sla.rows("SELECT case_id, CAST(headers AS text) AS headers FROM outbox ORDER BY id")
    return [row.case_id for row in rows if "clock.breached" in row.headers]


async def test_clocks_due_in_one_second_all_fire_once_those_due_first_go_first(sla: Sla) -> None:
    await opened(sla)
    batch = 60
    sla.runtime.settings, sla.runtime.log = Settings(batch_size=batch), cast(Log, ReadLog())
    sla.clock.set(m(241))
    tickers = [Ticker(sla.runtime), Ticker(sla.runtime)]  # two replicas
    while 0.0 in await asyncio.gather(*(ticker.step() for ticker in tickers)):
        pass
    told = await broken(sla)
    assert sorted(told) == sorted(CASES), "all, once each"
    place = {case_id: number for number, case_id in enumerate(CASES)}
    furthest = 0
    for case_id in told:
        furthest = max(furthest, place[case_id])
        assert furthest - place[case_id] <= 4 * batch, "nobody overtakes by more than a round of each ticker"


async def test_two_promises_of_a_case_that_break_in_one_storm_are_told_one_after_the_other(sla: Sla) -> None:
    """Rounds that are under way at once are of different cases, whatever clocks come due together."""
    await sla.put("/v1/policies/both", policy(target("first_reply", "PT4H"), target("resolution", "PT4H")))
    await sla.replan()
    await opened(sla)
    sla.runtime.settings, sla.runtime.log = Settings(batch_size=50), cast(Log, ReadLog())
    sla.clock.set(m(241))
    ticker = Ticker(sla.runtime)
    while await ticker.step() == 0.0:
        pass
    assert sorted(await broken(sla)) == sorted([*CASES, *CASES]), "both of each, once"
    rows = await sla.rows("SELECT case_id, CAST(headers AS text) AS headers FROM outbox ORDER BY id")
    told: dict[UUID, list[int]] = {}
    for row in rows:
        told.setdefault(row.case_id, []).append(int(dict(json.loads(row.headers))["ce_sequence"]))
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in told.values()), "without a gap, in order"


async def test_a_storm_whose_writing_fails_halfway_loses_nothing(sla: Sla, monkeypatch: pytest.MonkeyPatch) -> None:
    await opened(sla)
    sla.runtime.settings, sla.runtime.log = Settings(batch_size=50), cast(Log, ReadLog())
    sla.clock.set(m(241))
    ticker, write, calls = Ticker(sla.runtime), announcing.Telling.write, count()

    async def failing(telling: announcing.Telling, tx: Tx, now: datetime) -> list[announcing.Seen]:
        if next(calls) == 2:
            raise ConnectionResetError("the database is away")
        return await write(telling, tx, now)

    monkeypatch.setattr(announcing.Telling, "write", failing)
    with pytest.raises(ExceptionGroup):
        await ticker.step()
    while await ticker.step() == 0.0:
        pass
    assert sorted(await broken(sla)) == sorted(CASES), "all, once each"


REPLANNER = """
import asyncio, sys
from datetime import datetime
from services.sla.app import service
from services.sla.store import replan
from shared.clock import ManualClock
from shared.db import Database
from shared.ids import Ids
from shared.runtime import Runtime
from shared.settings import Settings
from tests.unit.sla.conftest import NoLog

async def main():
    clock = ManualClock(datetime.fromisoformat(sys.argv[2]))
    runtime = Runtime(Settings(), service(), Database(sys.argv[1], "sla"), clock, Ids(clock, seed=2), NoLog())
    replan.LARGEST = 20
    loop = replan.Replanning(runtime)
    loop._size = 20
    while True:
        await loop.step()
        print("step", flush=True)
        await asyncio.sleep(0.02)

asyncio.run(main())
"""


async def test_a_replan_killed_in_the_middle_is_finished_by_the_next_and_tells_each_clock_once(
    sla: Sla, database_url: str
) -> None:
    await sla.put("/v1/calendars/dublin", DUBLIN)
    hours = target("first_reply", "PT2H", calendar="dublin")
    await sla.put("/v1/policies/office", policy(hours, when="case.team == 'office'", position=1))
    await sla.replan()
    await opened(sla, "office")
    edited: dict[str, Any] = {**DUBLIN, "weekly": {**DUBLIN["weekly"], "tue": [["09:00", "11:00"]]}}
    await sla.put("/v1/calendars/dublin", edited, status=200)
    planner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", REPLANNER, database_url, sla.clock.now().isoformat(),
        stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert planner.stdout is not None
    for _ in range(3):
        assert await planner.stdout.readline() == b"step\n"
    planner.kill()
    await planner.wait()
    before = (await sla.get("/v1/replans"))["items"][0]
    assert before["state"] == "running"
    assert 0 < before["done"] < MANY
    assert await sla.replan() == MANY - before["done"]
    rows = await sla.rows("SELECT case_id, CAST(headers AS text) AS headers FROM outbox ORDER BY id")
    moved = [row.case_id for row in rows if "clock.rescheduled" in row.headers]
    assert sorted(moved) == sorted(CASES), "each once"
    left = await sla.rows("SELECT t.due_at, c.due_at AS wanted FROM timer t JOIN clock c ON c.id = t.subject")
    assert len(left) == MANY and all(row.due_at == row.wanted for row in left), "timers stand where clocks say"


@pytest.mark.parametrize("wrong_by", [timedelta(days=1), timedelta(days=-1)], ids=["ahead", "behind"])
async def test_a_machine_whose_clock_jumps_fires_nothing_early_and_loses_nothing(
    sla: Sla, monkeypatch: pytest.MonkeyPatch, wrong_by: timedelta
) -> None:
    """What counts is the database's time."""
    await opened(sla)
    sla.runtime.log = cast(Log, ReadLog())
    now, machine = m(239), [datetime.now(UTC)]  # noqa: TID251

    class Jumping(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Jumping":
            return cast(Jumping, machine[0])

    monkeypatch.setattr(clocks, "datetime", Jumping)
    ours = DatabaseClock()
    elapsed = clocks.time.monotonic()
    ours.sample(now, elapsed, elapsed)
    sla.runtime.clock = ours
    machine[0] += wrong_by
    await Ticker(sla.runtime).step()
    assert await broken(sla) == [], "a minute is left"
    elapsed = clocks.time.monotonic()
    ours.sample(m(241), elapsed, elapsed)  # the database says that two minutes have passed
    ticker = Ticker(sla.runtime)
    while await ticker.step() == 0.0:
        pass
    assert sorted(await broken(sla)) == sorted(CASES)
