"""What arrived from outside, in order, for those who wait for it."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Received(Generic[T]):
    """A list that grows, and tells those who wait."""

    def __init__(self) -> None:
        self.items: list[T] = []
        self._changed = asyncio.Condition()

    async def add(self, item: T) -> None:
        async with self._changed:
            self.items.append(item)
            self._changed.notify_all()

    async def first(self, wanted: Callable[[T], bool]) -> T:
        """The first item that is wanted, now or as soon as it comes."""
        seen = 0
        async with self._changed:
            while True:
                for item in self.items[seen:]:
                    if wanted(item):
                        return item
                seen = len(self.items)
                await self._changed.wait()
