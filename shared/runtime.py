"""What one service runs with: its parts, and how they wake each other."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from shared.batch import Input, Service, Work
from shared.clock import Clock
from shared.contracts.decision import Decision
from shared.db import Database, Tx
from shared.ids import Ids
from shared.log import Log
from shared.settings import Settings

S = TypeVar("S")


@dataclass
class Runtime(Generic[S]):
    """Handed to every part of one service: worker, relay, ticker, routes."""

    settings: Settings
    service: Service[S]
    db: Database
    clock: Clock
    ids: Ids
    log: Log
    wake_relay: asyncio.Event = field(default_factory=asyncio.Event)
    wake_ticker: asyncio.Event = field(default_factory=asyncio.Event)
    wake_sender: asyncio.Event = field(default_factory=asyncio.Event)
    configurable: list[Any] = field(default_factory=list)  # every kind of resource that the routes serve

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[Work[S]]:
        """One transaction of deciding: commits at the end of the block, then wakes who has work from it."""
        async with self.db.transaction() as tx:
            work = Work(self.service, tx, self.ids, self.log.partitions, self.clock.now())
            yield work
        if work.wrote_events:
            self.wake_relay.set()
        if work.wrote_timers:
            self.wake_ticker.set()
        self.wake_sender.set()

    async def command(
        self, inputs: Sequence[Input], before: Callable[[Tx], Awaitable[Any]] | None = None
    ) -> list[Decision[S]]:
        """Decide about known cases in a transaction of their own; ``before`` runs first in it."""
        async with self.unit() as work:
            if before is not None:
                await before(work.tx)
            await work.lock([each.case_id for each in inputs])
            return await work.apply(inputs)
