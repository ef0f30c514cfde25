"""The ticker fires timers: exactly once, never early, never on stale knowledge.

A timer may fire when everything that stood in the log at its due time has been taken into account: the positions
that this service's batches wrote (``progress``) have passed the end positions read at or after that time. Any replica
may fire any timer, since both are shared. Knowledge that stays away is waited for, up to ``fire_grace``; then the
timer fires, marked ``lagging``.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog

from shared import inbox, pace, parked, telemetry, timers
from shared.batch import Undecidable
from shared.contracts.decision import Fired
from shared.db import is_data_error
from shared.log import LogUnavailable, Positions, partition_of
from shared.outbox import EventTooLarge
from shared.runtime import Runtime

LANES = 2  # while one waits for the database, the other decides
WORTH_LANES = 100  # timers of one round
HELD_S = 0.005  # between looks at timers that wait for unread events, …
PATIENCE = timedelta(seconds=1)  # … for so long; then less often

log = structlog.get_logger()


class Freshness:
    """Up to which instant each partition's knowledge is whole."""

    def __init__(self, partitions: int, topics: Sequence[str]) -> None:
        self._topics = topics
        self._asked: dict[int, tuple[datetime, Positions]] = {}  # partition → an end to reach, and when it was read
        self.until: dict[int, datetime] = {}
        self._all = range(partitions)

    def note(self, at: datetime, ends: Positions, progress: Positions) -> None:
        """Take in end positions read at ``at`` or later, and the progress read after them."""
        for partition in self._all:
            of = {(topic, partition): ends.get((topic, partition), 0) for topic in self._topics}
            if _reached(progress, of):
                self.until[partition] = at
                self._asked.pop(partition, None)
                continue
            since, earlier = self._asked.setdefault(partition, (at, of))
            if _reached(progress, earlier):
                self.until[partition] = since
                self._asked[partition] = (at, of)


def _reached(progress: Positions, ends: Positions) -> bool:
    return all(progress.get(key, 0) >= end for key, end in ends.items())


class Ticker:
    """Fires the due timers of one service."""

    def __init__(self, runtime: Runtime[Any]) -> None:
        self._runtime = runtime
        self._card = runtime.service.card
        self._freshness = Freshness(runtime.log.partitions, self._card.consumes)
        self._started_at = runtime.clock.now()
        self._next: datetime | None = None  # when the earliest timer was due, as of the last look
        self._more = False  # the last round fired: more is due, most likely

    async def step(self) -> float:
        """Fire what is due; gives how many seconds to sleep (0: there is more)."""
        settings, now = self._runtime.settings, self._runtime.clock.now()
        if self._more:
            self._more = await self._round(now) > 0
            return 0.0
        if self._next is None or self._next > now:
            async with self._runtime.db.reading() as tx:
                self._next = await timers.next_due(tx)
        if self._next is None or self._next > now:
            left = (self._next - now).total_seconds() if self._next else settings.tick_s
            return max(0.0, min(left, settings.tick_s))
        since, self._next = self._next, None
        self._more = await self._round(now) > 0
        if self._more:
            return 0.0
        # Held until more has been read: at first every moment counts.
        return HELD_S if now - since < PATIENCE else settings.tick_s / 10

    async def _round(self, now: datetime) -> int:
        """Fire the timers that have been due longest, by case in lanes side by side; gives how many."""
        try:
            ends = await self._runtime.log.end_positions(self._card.consumes)
        except LogUnavailable:
            ends = None  # what is known gets no fresher; the grace decides
        async with self._runtime.db.reading() as tx:
            if ends is not None:
                self._freshness.note(now, ends, await inbox.progress(tx))
            due = await timers.due(tx, now, LANES * self._runtime.settings.batch_size, self._may_fire(now))
        if not due:
            return 0
        with pace.urgent():  # not before: what timers are held for is the reading that would have to wait
            if len(due) < WORTH_LANES:
                return await self._fire(due, now)
            async with asyncio.TaskGroup() as group:
                lanes = [
                    group.create_task(self._fire([each for each in due if each.case_id.int % LANES == lane], now))
                    for lane in range(LANES)
                ]
            return sum(lane.result() for lane in lanes)

    def _may_fire(self, now: datetime) -> dict[int, datetime]:
        """For each partition the latest due time that may fire."""
        grace = self._runtime.settings.fire_grace
        out_of_patience = now - grace if now - self._started_at >= grace else None
        may: dict[int, datetime] = {}
        for partition in range(self._runtime.log.partitions):
            known = [at for at in (self._freshness.until.get(partition), out_of_patience) if at is not None]
            if known:
                may[partition] = max(known)
        return may

    async def _fire(self, due: Sequence[Fired], now: datetime) -> int:
        if not due:
            return 0
        try:
            return await self._fire_together(due, now)
        except (Undecidable, EventTooLarge) as poison:
            return await self._fire_singly(due, now, poison)
        except Exception as wrong:
            if not is_data_error(wrong):
                raise
            return await self._fire_singly(due, now, wrong)

    async def _fire_together(self, due: Sequence[Fired], now: datetime, poison: str | None = None) -> int:
        async with self._runtime.unit() as work:
            work.now = max(work.now, now)
            free = await work.lock_free([each.case_id for each in due])
            taken = await timers.take(work.tx, due, free)
            if not taken:
                return 0
            stuck = await parked.cases(work.tx, free)
            aside = [each for each in taken if poison or each.case_id in stuck]
            if aside:
                error = poison or "waits behind an earlier parked event of its case"
                await parked.write(work.tx, [parked.of_timer(each, error) for each in aside], now)
                log.error("parked timers", service=self._card.name, timers=len(aside), error=error)
            marked = [self._mark(each) for each in taken if not aside or each not in aside]
            if marked:
                await work.fire(marked)
        done = self._runtime.clock.now()
        lag = telemetry.FIRE_LAG.labels(self._card.name)
        for each in taken:
            lag.observe(max(0.0, (done - each.due_at).total_seconds()))
        return len(taken)

    def _mark(self, fired: Fired) -> Fired:
        known = self._freshness.until.get(partition_of(fired.case_id, self._runtime.log.partitions))
        return fired._replace(lagging=True) if known is None or known < fired.due_at else fired

    async def _fire_singly(self, due: Sequence[Fired], now: datetime, first: Exception) -> int:
        log.warning("firing singly", service=self._card.name, timers=len(due), error=str(first)[:500])
        count = 0
        for each in due:
            try:
                count += await self._fire_together([each], now)
            except (Undecidable, EventTooLarge) as poison:
                count += await self._fire_together([each], now, str(poison))
            except Exception as wrong:
                if not is_data_error(wrong):
                    raise
                count += await self._fire_together([each], now, str(wrong))
        return count
