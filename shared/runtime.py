"""What one service runs with: its parts, and how they wake each other."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from shared.aside import Wake
from shared.batch import Input, Service, Work
from shared.clock import Clock
from shared.contracts.decision import Decision
from shared.db import Database, Tx
from shared.ids import Ids
from shared.log import Log, Positions, TopicPartition
from shared.settings import Settings

S = TypeVar("S")


@dataclass
class Sleep:
    """Until when the ticker means to sleep, past where it looks again by itself; None: about to look, or no timer."""

    until: datetime | None = None


@dataclass
class Runtime(Generic[S]):
    """Handed to every part of one service: worker, relay, ticker, routes."""

    settings: Settings
    service: Service[S]
    db: Database
    clock: Clock
    ids: Ids
    log: Log
    wake_relay: Wake = field(default_factory=Wake)
    wake_ticker: Wake = field(default_factory=Wake)
    ticker_sleeps: Sleep = field(default_factory=Sleep)
    wake_sender: Wake = field(default_factory=Wake)
    passed: dict[TopicPartition, int] = field(default_factory=dict)  # read in this process: nothing before it matters
    # What a batch decided, begun in the batch's own transaction: handed the states that it left.
    begin: Callable[[Work[S], Mapping[UUID, S]], Awaitable[None]] | None = None
    configurable: list[Any] = field(default_factory=list)  # every kind of resource that the routes serve

    def known(self, progress: Positions) -> Positions:
        """How far the service has read: what its batches wrote, and what this process passed over since."""
        return {each: max(position, self.passed.get(each, 0)) for each, position in progress.items()} | {
            each: position for each, position in list(self.passed.items()) if each not in progress
        }

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[Work[S]]:
        """One transaction of deciding: commits at the end of the block, then wakes who has work from it."""
        async with self.db.transaction() as tx:
            work = Work(self.service, tx, self.ids, self.log.partitions, self.clock.now())
            yield work
        for each in work.then:
            await each()
        if work.wrote_events:
            self.wake_relay.set()
        asleep = self.ticker_sleeps.until
        if work.first_due is not None and (asleep is None or work.first_due < asleep):
            self.wake_ticker.set()
        if work.decided and not work.begun:  # not for a loop that found nothing to do: it would wake itself for ever
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
