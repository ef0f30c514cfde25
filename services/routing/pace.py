"""Long computations that give way: the event loop is held a few milliseconds at a time."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

T = TypeVar("T")

SLICE_S = 0.003


async def gently(items: Iterable[T]) -> AsyncIterator[T]:
    """The items, computed in slices of ``SLICE_S``; others run in between."""
    until = time.monotonic() + SLICE_S
    for item in items:
        yield item
        if time.monotonic() > until:
            await asyncio.sleep(0)
            until = time.monotonic() + SLICE_S
