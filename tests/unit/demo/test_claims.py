"""What the demo reckons from answers, and that a claim which does not hold is said plainly and fails the run."""

import asyncio
import io
from collections import Counter
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from rich.console import Console

from services.demo.claims import Claims, Failed
from services.demo.client import together
from services.demo.received import Received
from services.demo.scenes import closing, crash
from services.demo.screen import Screen
from services.demo.story import cause
from shared.clock import ManualClock, SystemClock

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def clock(team: str | None, state: str, breached: bool = False, metric: str = "first_reply") -> dict[str, Any]:
    return {"team": team, "state": state, "metric": metric, "breached_at": "2026-11-22T09:00:00Z" if breached else None}


def test_promises_are_counted_by_what_became_of_them() -> None:
    clocks = [
        clock("risk", "met"),
        clock("risk", "met", breached=True),  # kept late is broken
        clock("risk", "breached", breached=True),
        clock("risk", "running"),
        clock("risk", "paused"),
        clock("risk", "withdrawn", breached=True),  # was none
        clock("risk", "cancelled"),
        clock("risk", "met", metric="pickup"),  # the team's own, promised to no customer
        clock("risk", "breached", breached=True, metric="unassigned"),
        clock(None, "met"),
    ]
    tally = closing.by_team(clocks, [{"team": "risk"}, {"team": "risk"}])
    assert tally == Counter(
        {("risk", "kept"): 1, ("risk", "broken"): 2, ("risk", "running"): 2, ("risk", "pages"): 2, ("–", "kept"): 1}
    )


@pytest.mark.parametrize(
    ("kept", "broken", "share"),
    [(0, 0, "–"), (1, 0, "100.0 %"), (0, 1, "0.0 %"), (9_995, 5, "99.9 %"), (99_999, 1, "99.9 %")],
)
def test_compliance_is_rounded_down(kept: int, broken: int, share: str) -> None:
    tally = Counter({("a", "kept"): kept, ("a", "broken"): broken})
    assert closing.row(tally, "a")[2] == share


@pytest.mark.parametrize(
    ("found", "here", "doubled"),
    [
        ({"a": 1, "b": 1, "c": 1}, 3, 0),
        ({"a": 1, "b": 1}, 2, 0),
        ({"a": 2, "b": 1, "c": 3}, 3, 3),
        ({"a": 1, "b": 1, "c": 1, "z": 1}, 3, 1),
    ],
)
def test_what_is_missing_and_what_is_doubled_are_both_counted(found: dict[str, int], here: int, doubled: int) -> None:
    assert crash.tally(Counter(found), ["a", "b", "c"]) == (here, doubled)


def screen(claims: Claims, now: Any = None) -> tuple[Screen, io.StringIO]:
    out = io.StringIO()
    return Screen(now or SystemClock(), claims, Console(file=out, width=80, highlight=False)), out


def test_a_claim_that_does_not_hold_says_what_is_true_and_is_repeated_at_the_end() -> None:
    claims = Claims()
    shown, out = screen(claims)
    shown.claim(True, "300 of 300 here", "299 of 300 here")
    shown.claim(False, "0 doubled", "2 doubled")
    assert [claim.text for claim in claims.broken] == ["2 doubled"]
    shown.verdict(1.0)
    text = out.getvalue()
    assert "0 doubled" not in text
    assert text.count("NOT TRUE: 2 doubled") == 2
    assert "1 of 2 claims did not hold" in text


async def test_an_event_is_waited_for_and_not_slept_through() -> None:
    received: Received[str] = Received()
    shown, _ = screen(Claims())
    await received.add("other")

    async def come() -> None:
        await received.add("wanted")

    async with asyncio.TaskGroup() as group:
        group.create_task(come())
        at = SystemClock().now() + timedelta(seconds=60)
        assert await shown.until(at, "waiting", received.first(lambda each: each == "wanted"), 0) == "wanted"


async def test_what_never_comes_is_none_once_patience_ends() -> None:
    received: Received[str] = Received()
    shown, out = screen(Claims(), ManualClock(NOW))
    past = NOW - timedelta(seconds=2)
    assert await shown.until(past, "waiting", received.first(bool), 1) is None
    assert "left" not in out.getvalue()


async def test_no_more_than_so_many_run_together_and_all_run() -> None:
    running, most, done = 0, 0, 0

    async def work() -> None:
        nonlocal running, most, done
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        done += 1

    await together((work() for _ in range(50)), at_once=4)
    assert (most, done) == (4, 50)


async def test_the_first_error_ends_the_others() -> None:
    started = 0

    async def work(number: int) -> None:
        nonlocal started
        started += 1
        if number == 3:
            raise Failed("no")
        await asyncio.sleep(0)

    jobs: list[Coroutine[Any, Any, None]] = [work(n) for n in range(1000)]
    with pytest.raises(ExceptionGroup):
        await together(iter(jobs), at_once=2)
    assert started < 20
    for job in jobs:
        job.close()


def test_a_failure_is_told_by_its_cause_and_a_bug_is_not_hidden() -> None:
    dead, silent = Failed("The server ended by itself."), aiohttp.ServerDisconnectedError()
    assert cause(BaseExceptionGroup("x", [silent, ExceptionGroup("y", [dead])])).startswith("The server ended")
    assert cause(silent).startswith("The server did not answer")
    with pytest.raises(ZeroDivisionError):
        cause(BaseExceptionGroup("x", [ZeroDivisionError()]))
