"""Who has the event loop: long computations give way every few milliseconds, and wait while timers fire."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Generator, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar, cast

T = TypeVar("T")

SLICE_S = 0.002
GIVE_WAY_S, GIVE_WAY_TIMES = 0.001, 10  # to what is urgent, between two slices, at most

_urgent = 0  # of this process
_counting = threading.Lock()
_ours: ContextVar[bool] = ContextVar("urgent", default=False)


@contextmanager
def urgent() -> Iterator[None]:
    """What runs in here goes first: computations elsewhere wait between their slices, within a bound."""
    global _urgent
    with _counting:
        _urgent += 1
    mark = _ours.set(True)
    try:
        yield
    finally:
        _ours.reset(mark)
        with _counting:
            _urgent -= 1


async def gently(items: Iterable[T]) -> AsyncIterator[T]:
    """The items, computed in slices of ``SLICE_S``; others run in between."""
    until = time.monotonic() + SLICE_S
    for item in items:
        yield item
        if time.monotonic() > until:
            await give_way(GIVE_WAY_TIMES)
            until = time.monotonic() + SLICE_S


async def paced(steps: Generator[object, None, T]) -> T:
    """What a computation gives that may be interrupted wherever it yields; others run in between."""
    until = time.monotonic() + SLICE_S
    while True:
        try:
            next(steps)
        except StopIteration as ended:
            return cast(T, ended.value)
        if time.monotonic() > until:
            await give_way(GIVE_WAY_TIMES)
            until = time.monotonic() + SLICE_S


async def let_go(things: list[Any]) -> None:
    """Empty a list, gently: what a large ruleset is made of takes as long to free as hundreds of contacts to decide.

    The caller keeps nothing else that holds them.
    """
    async for _ in gently(range(len(things))):
        things.pop()


async def give_way(times: int) -> None:
    """To what is urgent, for so many times ``GIVE_WAY_S`` at most."""
    await asyncio.sleep(0)
    for _ in range(times):
        if not _urgent or _ours.get():
            return
        await asyncio.sleep(GIVE_WAY_S)
