"""A loop in a thread of its own: woken from outside, and its end and its failure are those of who waits for it."""

import asyncio
import threading

import pytest

from shared.aside import Wake, aside


async def test_it_runs_elsewhere_and_wakes_and_is_woken() -> None:
    here, there = Wake(), Wake()
    seen: list[int | str] = []
    here.live_here()

    async def main() -> None:
        there.live_here()
        seen.append(threading.get_ident())
        here.set()
        await there.wait()
        seen.append("woken")

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(aside("x", main))
        await here.wait()
        there.set()
    assert seen[1] == "woken"
    assert seen[0] != threading.get_ident()


async def test_its_failure_is_raised_where_it_is_awaited() -> None:
    async def main() -> None:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        await aside("x", main)


async def test_cancelling_it_ends_it_there_before_whoever_cancelled_goes_on() -> None:
    begun = Wake()
    seen: list[str] = []
    begun.live_here()

    async def main() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            seen.append("ended")

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        task = group.create_task(aside("x", main))
        await begun.wait()
        task.cancel()
    assert seen == ["ended"]
    assert task.cancelled()


async def test_it_can_be_cancelled_as_it_begins() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        task = group.create_task(aside("x", main))
        await asyncio.sleep(0)
        task.cancel()
    assert task.cancelled()


async def test_an_event_whose_loop_has_ended_may_still_be_set() -> None:
    event = Wake()

    async def main() -> None:
        event.live_here()

    await aside("x", main)
    event.set()
