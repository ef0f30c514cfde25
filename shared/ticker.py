"""The ticker fires timers: exactly once, never early, never on stale knowledge.

A timer may fire when everything that stood in the log about its case at its due time has been taken into account: the
positions that this service's batches wrote (``progress``) have passed the end positions read at or after that time,
or nothing in between is about that case. Any replica may fire any timer, since both are shared. Knowledge that stays
away is waited for, up to ``fire_grace``; then the timer fires, marked ``lagging``.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError

from shared import inbox, pace, parked, points, telemetry, timers
from shared.announcing import Seen, Telling, look
from shared.batch import Undecidable
from shared.contracts.decision import Fired
from shared.db import is_data_error
from shared.log import LogUnavailable, Neighbour, Positions, partition_of
from shared.outbox import EventTooLarge
from shared.runtime import Runtime

# Timers due at once, where a batch is not smaller: rounds overlap, and what else the process does waits a little. Never
# for a steady stream, or its reading starves.
STORM = 500
ROUNDS = 20  # of one step
WRITTEN_AT_ONCE = 2  # rounds, while the next is computed and the one after it looked up
NEAR = 2_000  # unread records of a partition among which a case is looked for
HELD_S = 0.005  # between looks at timers that wait for unread events, …
PATIENCE = timedelta(seconds=1)  # … for so long; then less often
THOROUGH = timedelta(seconds=0.5)  # between looks at timers that are not known to be fresh by a look at all of them

log = structlog.get_logger()


class Freshness:
    """Up to which instant each partition's knowledge is whole, and what was unread at the last look."""

    def __init__(self, partitions: int, topics: Sequence[str]) -> None:
        self._topics = topics
        self._asked: dict[int, tuple[datetime, Positions]] = {}  # partition → an end to reach, and when it was read
        self._unread: dict[int, tuple[Positions, Positions]] = {}  # partition → from where to where, at the last look
        self.until: dict[int, datetime] = {}
        self._all = range(partitions)

    def note(self, at: datetime, ends: Positions, progress: Positions) -> None:
        """Take in end positions read at ``at`` or later, and the progress read after them."""
        self._unread = {}
        for partition in self._all:
            of = {(topic, partition): ends.get((topic, partition), 0) for topic in self._topics}
            if _reached(progress, of):
                self.until[partition] = at
                self._asked.pop(partition, None)
                continue
            self._unread[partition] = {key: progress.get(key, 0) for key in of}, of
            since, earlier = self._asked.setdefault(partition, (at, of))
            if _reached(progress, earlier):
                self.until[partition] = since
                self._asked[partition] = (at, of)

    def near(self) -> dict[int, tuple[Positions, Positions]]:
        """Partitions of which little was unread at the last look: from where to where."""
        return {
            partition: (since, until)
            for partition, (since, until) in self._unread.items()
            if sum(max(0, until[key] - since[key]) for key in until) <= NEAR
        }

    def nothing_known(self) -> None:
        """The last look gave nothing."""
        self._unread = {}


def _reached(progress: Positions, ends: Positions) -> bool:
    return all(progress.get(key, 0) >= end for key, end in ends.items())


class _Told(NamedTuple):
    """A round that is ready to be written: what columns told, and timers of which whole cases have to."""

    due: Sequence[Seen]
    telling: Telling | None
    left: Sequence[Seen]
    now: datetime


class Ticker:
    """Fires the due timers of one service."""

    def __init__(self, runtime: Runtime[Any]) -> None:
        self._runtime = runtime
        self._card = runtime.service.card
        self._freshness = Freshness(runtime.log.partitions, self._card.consumes)
        self._started_at = runtime.clock.now()
        self._next: datetime | None = None  # when the earliest timer was due, as of the last look
        self._thorough_at = self._started_at  # when those that wait are looked at, though others fire
        self.fired = 0  # in the last step
        self._acquainted = False  # with the log

    async def step(self) -> float:
        """Fire what is due; gives how many seconds to sleep (0: there is more)."""
        if not self._acquainted:
            await self._acquaint()
        settings, now = self._runtime.settings, self._runtime.clock.now()
        sleep = self._runtime.ticker_sleeps
        if self.fired:  # more is due, most likely
            self.fired = await self._round(now)
            sleep.until = now if self.fired else None  # it looks again by itself: nobody need wake it
            return 0.0
        sleep.until = None
        if self._next is None or self._next > now:
            async with self._runtime.db.reading() as tx:
                self._next = await timers.next_due(tx)
        if self._next is None or self._next > now:
            sleep.until = self._next
            left = (self._next - now).total_seconds() if self._next else settings.tick_s
            return max(0.0, min(left, settings.tick_s))
        since, self._next = self._next, None
        self.fired = await self._round(now)
        if self.fired:
            sleep.until = now
            return 0.0
        # Held until more has been read: at first every moment counts.
        return HELD_S if now - since < PATIENCE else settings.tick_s / 10

    async def fire(self, due: Sequence[Fired], now: datetime) -> int:
        """Fire timers of which is known that they may; gives how many."""
        return await self._write(await self._tell(await self._seen(due), now))

    async def stop(self) -> None:
        """In the thread that it ran in, where its connections belong."""
        await self._runtime.log.stop()
        await self._runtime.db.close()

    async def _acquaint(self) -> None:
        """Ask Kafka before anything is due: its client learns of topics one by one, which takes a third of a second."""
        self._acquainted = True
        if not isinstance(self._runtime.log, Neighbour):
            with contextlib.suppress(LogUnavailable):
                await self._runtime.log.end_positions(self._card.consumes)

    async def _round(self, now: datetime) -> int:
        """Fire the timers that have been due longest; gives how many."""
        due = await self._look(now)
        if len(due) < min(STORM, self._runtime.settings.batch_size):
            return await self._write(await self._tell(due, now))
        with pace.urgent():  # not before: what timers are held for is the reading that would have to wait
            return await self._storm(due, now)

    async def _storm(self, due: Sequence[Seen], now: datetime) -> int:
        """Round after round, each of other cases: some are written while one is computed and the next looked up."""
        fired, under_way = 0, deque[tuple[_Told, asyncio.Task[int]]]()
        async with asyncio.TaskGroup() as group:
            for _ in range(ROUNDS):
                busy = [each.fired.case_id for seen in (due, *(told.due for told, _ in under_way)) for each in seen]
                ahead = group.create_task(self._look(self._runtime.clock.now(), busy))
                told = await self._tell(due, now)
                if len(under_way) == WRITTEN_AT_ONCE:
                    fired += await under_way.popleft()[1]
                under_way.append((told, group.create_task(self._write(told))))
                due = await ahead
                if not due:
                    break
        return fired + sum(written.result() for _, written in under_way)

    async def _look(self, now: datetime, besides: Sequence[UUID] = ()) -> list[Seen]:
        """What may fire, of other cases than ``besides``, with what tells what it says."""
        log, announcer, limit = self._runtime.log, self._runtime.service.announcer, self._runtime.settings.batch_size
        if isinstance(log, Neighbour) and (besides or now < self._thorough_at):
            due = timers.known(log.heads, log.records, log.partitions, NEAR)
            topics = list(self._card.consumes)
            async with self._runtime.db.reading() as tx:
                seen = await look(tx, due, announcer, topics=topics, now=now, limit=limit, besides=besides)
            if seen or besides:
                return seen
        self._thorough_at = now + THOROUGH
        return await self._seen(await self._due(now, besides))

    async def _seen(self, due: Sequence[Fired]) -> list[Seen]:
        if self._runtime.service.announcer is None or not due:
            return [Seen(each, 0, 0, ()) for each in due]
        async with self._runtime.db.reading() as tx:
            return await look(tx, timers.GIVEN, self._runtime.service.announcer, **timers.given(due))

    async def _due(self, now: datetime, besides: Sequence[UUID] = ()) -> list[Fired]:
        """What may fire: all that stood in the log when it came due is known, of its partition or of its case."""
        log = self._runtime.log
        try:
            ends = await log.end_positions(self._card.consumes)
        except LogUnavailable:
            ends = None  # what is known gets no fresher; the grace decides
        async with self._runtime.db.reading() as tx:
            if ends is None:
                self._freshness.nothing_known()
            else:
                self._freshness.note(now, ends, self._runtime.known(await inbox.progress(tx)))
            may, near = self._may_fire(now), self._freshness.near()
            may_fire = may | dict.fromkeys(near, now)
            found = await timers.due(tx, now, self._runtime.settings.batch_size, may_fire, besides)
        partitions = [partition_of(each.case_id, log.partitions) for each in found]
        asked = {str(e.case_id) for e, p in zip(found, partitions, strict=True) if p in near and not self._knows(e, p)}
        since, until = ({key: at for each in near.values() for key, at in each[end].items()} for end in (0, 1))
        try:
            unread = await log.unread(since, until, asked) if asked else ()
        except LogUnavailable:
            unread = asked
        due = []
        for each, partition in zip(found, partitions, strict=True):
            if self._knows(each, partition):
                due.append(each._replace(known=self._freshness.until[partition]))
            elif partition in near and str(each.case_id) not in unread:
                due.append(each._replace(known=now))
            elif partition in may and each.due_at <= may[partition]:
                due.append(each._replace(lagging=True, known=now))
        return due

    def _knows(self, timer: Fired, partition: int) -> bool:
        known = self._freshness.until.get(partition)
        return known is not None and known >= timer.due_at

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

    async def _tell(self, due: Sequence[Seen], now: datetime) -> _Told:
        """What a few columns tell."""
        announcer, service, ids = self._runtime.service.announcer, self._card, self._runtime.ids
        if announcer is None:
            return _Told(due, None, due, now)
        now = max(self._runtime.clock.now(), now)
        telling = Telling(announcer, self._runtime.log.partitions, lambda e, n: service.stamp(ids.new(), e, n, now))
        left = [each async for each in pace.gently(due) if not telling.add(each, now)]
        return _Told(due, telling, left, now)

    async def _write(self, told: _Told) -> int:
        """What columns told in one statement, the rest by whole cases; gives how many fired."""
        due, telling, left, now = told
        try:
            written = await self._write_told(telling, now) if telling else 0
        except DBAPIError as wrong:
            if not is_data_error(wrong):
                raise
            written, left = 0, due
        return written + await self._decide([each.fired for each in left], now)

    async def _write_told(self, telling: Telling, now: datetime) -> int:
        async with self._runtime.db.reading() as tx:
            await points.reach("db.commit")
            written = await telling.write(tx, now)
            await points.reach("db.committed")
        if written:
            self._runtime.wake_relay.set()
            self._observe([each.fired for each in written])
        return len(written)

    def _observe(self, fired: Sequence[Fired]) -> None:
        done, lag = self._runtime.clock.now(), telemetry.FIRE_LAG.labels(self._card.name)
        for each in fired:
            lag.observe(max(0.0, (done - each.due_at).total_seconds()))

    async def _decide(self, due: Sequence[Fired], now: datetime) -> int:
        if not due:
            return 0
        try:
            return await self._fire_together(due, now)
        except (Undecidable, EventTooLarge) as poison:
            return await self._fire_singly(due, now, poison)
        except DBAPIError as wrong:
            if not is_data_error(wrong):
                raise
            return await self._fire_singly(due, now, wrong)

    async def _fire_together(self, due: Sequence[Fired], now: datetime, poison: str | None = None) -> int:
        async with self._runtime.unit() as work:
            work.now = max(work.now, now)
            taken = await work.take(due)
            if not taken:
                return 0
            stuck = await parked.cases(work.tx, [each.case_id for each in taken])
            aside = [each for each in taken if poison or each.case_id in stuck]
            if aside:
                error = poison or "waits behind an earlier parked event of its case"
                await parked.write(work.tx, [parked.of_timer(each, error) for each in aside], now)
                log.error("parked timers", service=self._card.name, timers=len(aside), error=error)
            plain = [each for each in taken if each not in aside] if aside else taken
            if plain:
                await work.fire(plain)
        self._observe(taken)
        return len(taken)

    async def _fire_singly(self, due: Sequence[Fired], now: datetime, first: Exception) -> int:
        log.warning("firing singly", service=self._card.name, timers=len(due), error=str(first)[:500])
        count = 0
        for each in due:
            try:
                count += await self._fire_together([each], now)
            except (Undecidable, EventTooLarge) as poison:
                count += await self._fire_together([each], now, str(poison))
            except DBAPIError as wrong:
                if not is_data_error(wrong):
                    raise
                count += await self._fire_together([each], now, str(wrong))
        return count
