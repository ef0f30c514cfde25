"""Who has the event loop: long computations give way every few milliseconds, and wait while timers fire."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")

SLICE_S = 0.002
GIVE_WAY_S, GIVE_WAY_TIMES = 0.0005, 20  # to what is urgent, between two slices, at most

_urgent = 0  # of this process, which has one loop
_ours: ContextVar[bool] = ContextVar("urgent", default=False)


@contextmanager
def urgent() -> Iterator[None]:
    """What runs in here goes first: computations elsewhere wait between their slices, within a bound."""
    global _urgent
    _urgent += 1
    mark = _ours.set(True)
    try:
        yield
    finally:
        _ours.reset(mark)
        _urgent -= 1


async def gently(items: Iterable[T]) -> AsyncIterator[T]:
    """The items, computed in slices of ``SLICE_S``; others run in between."""
    until = time.monotonic() + SLICE_S
    for item in items:
        yield item
        if time.monotonic() > until:
            await _give_way()
            until = time.monotonic() + SLICE_S


async def let_go(things: list[Any]) -> None:
    """Empty a list, gently: what a large ruleset is made of takes as long to free as hundreds of contacts to decide.

    The caller keeps nothing else that holds them.
    """
    async for _ in gently(range(len(things))):
        things.pop()


async def _give_way() -> None:
    await asyncio.sleep(0)
    for _ in range(GIVE_WAY_TIMES):
        if not _urgent or _ours.get():
            return
        await asyncio.sleep(GIVE_WAY_S)
