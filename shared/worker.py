"""The worker: poll → one transaction for the whole batch → commit positions. Poison is parked, not dropped.

By the service's card some events wait a moment for a batch that is worth its cost: those that change nothing here, of
which only the inbox hears, and those that nobody waits for.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError

from shared import announcing, inbox, outbox, parked, telemetry
from shared.batch import Input, Undecidable, Work
from shared.contracts import catalogue
from shared.contracts.contacts import CustomerErased
from shared.contracts.envelope import Event
from shared.contracts.identity import derived
from shared.db import is_data_error, is_transient
from shared.log import Consumer, OwnershipLost, Positions, Received
from shared.outbox import EventTooLarge
from shared.pace import gently
from shared.runtime import Runtime

BATCH_S = 0.1
REST_S = 0.01  # after a batch that is not full, at most: as long as it took
WAITING_REST_S = 0.01  # after records that wait, of which the ticker hears at once; …
UNHEARD_REST_S = 0.05  # … and of which nobody does
SMALLEST = 100  # records of a batch, where there are so many: fewer cost more each
MOST_WAITING = 500  # records that wait for a batch
LET_WAIT = timedelta(seconds=0.25)  # … and how long the first of them may

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Read:
    """A record with its event, or with why it is none. ``passed``: it is no concern of this service, and not read.

    ``waits``: for others to share a batch with.
    """

    record: Received
    event_id: UUID
    case_id: UUID
    event: Event | None
    error: str | None
    passed: bool = False
    waits: bool = False


class Worker:
    """Consumes the topics of one service's card."""

    def __init__(self, runtime: Runtime[Any]) -> None:
        self._runtime = runtime
        self._card = runtime.service.card
        self._passes_over = {catalogue.ce_type(each).encode() for each in self._card.passes_over}
        self._unhurried = self._card.unhurried
        self._consumer: Consumer | None = None
        self._unfinished: Positions = {}  # to seek back to after a failure
        self._waiting: list[Read] = []  # for a batch
        self._waiting_since: datetime | None = None
        self._silent = False
        self._size = SMALLEST  # records of the next batch, at most
        self.rest = 0.0  # seconds until the next batch is worth its cost

    async def step(self) -> int:
        """One batch; gives how many records were read. After any exception the same records are read again."""
        consumer = await self._ready()
        settings = self._runtime.settings
        self.rest = 0.0
        records = await consumer.poll(min(self._size, settings.batch_size), settings.poll_timeout_s)
        began = time.monotonic()
        self._unfinished = _first_positions([*(read.record for read in self._waiting), *records])
        reads = [self._read(record) async for record in gently(records)]
        if self._may_wait(reads):
            self._unfinished = {}
            if len(records) < self._size:
                self.rest = WAITING_REST_S if all(read.passed for read in self._waiting) else UNHEARD_REST_S
        elif together := [*self._waiting, *reads]:
            await self._take(together)
            self._fit(len(records), time.monotonic() - began)
            await self._commit(consumer, _next_positions([read.record for read in together]))
        return len(records)

    def _may_wait(self, reads: Sequence[Read]) -> bool:
        """Whether all of them may wait for a batch that is worth its cost.

        The ticker hears at once of what is passed over: that keeps no timer waiting.
        """
        now = self._runtime.clock.now()
        if not reads or not all(read.waits for read in reads):
            return False
        if not self._waiting:
            self._waiting_since = now
        elif len(self._waiting) >= MOST_WAITING or now > (self._waiting_since or now) + LET_WAIT:
            return False
        self._waiting += reads
        if all(read.passed for read in self._waiting):
            self._runtime.passed.update(_next_positions([read.record for read in reads]))
        return True

    async def _take(self, reads: Sequence[Read]) -> None:
        try:
            await self._handle(reads)
        except (Undecidable, EventTooLarge) as poison:
            await self._one_by_one(reads, poison)
        except DBAPIError as wrong:
            if not is_data_error(wrong):
                raise
            await self._one_by_one(reads, wrong)
        self._unfinished, self._waiting = {}, []

    async def _commit(self, consumer: Consumer, positions: Positions) -> None:
        try:
            await consumer.commit(positions)
        except OwnershipLost as lost:
            log.info("partition moved", service=self._card.name, detail=str(lost))

    def _fit(self, records: int, took: float) -> None:
        """Batches that take about ``BATCH_S``: timers wait for what is being read, and for the cases it holds."""
        if records < min(self._size, self._runtime.settings.batch_size):
            self.rest = min(took, REST_S)  # else what is read is mostly the cost of reading
        elif took > 0:
            fitting = int(records * BATCH_S / took)
            self._size = min(max(fitting, SMALLEST), 2 * self._size, self._runtime.settings.batch_size)

    def rebuild(self) -> None:
        """Start over with a fresh consumer at the next step: for one that went silent."""
        self._silent = True

    async def stop(self) -> None:
        consumer, self._consumer = self._consumer, None
        self._unfinished, self._waiting = {}, []
        if consumer is not None:
            await consumer.stop()

    async def _ready(self) -> Consumer:
        if self._silent:
            await self.stop()
        if self._consumer is None:
            consumer = self._runtime.log.consumer(self._card.name, self._card.consumes)
            await consumer.start()
            self._consumer = consumer
        self._silent = False  # here: it was silent while it joined, too
        if self._unfinished:
            await self._consumer.seek(self._unfinished)
            self._unfinished, self._waiting = {}, []
        return self._consumer

    async def _handle(self, reads: Sequence[Read], poison: Mapping[UUID, str] | None = None) -> None:
        """All of ``reads`` in one transaction, and what they decided is begun in it.

        ``poison``: nothing is begun, and these events are known to be undecidable, and why.
        """
        async with self._runtime.unit() as work:
            events = [(read.event_id, read.record.topic) for read in reads]
            new = await inbox.claim(work.tx, events, _next_positions([read.record for read in reads]), work.now)
            fresh = _distinct([read for read in reads if read.event_id in new])
            if concern := [read for read in fresh if not read.passed]:
                await self._decide(work, concern, poison)
        for read in fresh:
            telemetry.EVENTS_HANDLED.labels(self._card.name, read.record.topic).inc()

    async def _decide(self, work: Work[Any], reads: Sequence[Read], poison: Mapping[UUID, str] | None) -> None:
        await work.lock([read.case_id for read in reads])
        stuck = await parked.cases(work.tx, sorted({read.case_id for read in reads}))
        inputs, put_aside = [], []
        for read in reads:
            error = read.error or (poison or {}).get(read.event_id)
            erases = read.event is not None and isinstance(read.event.data, CustomerErased)
            if error is None and read.case_id in stuck and not erases:  # an erasure waits for nothing
                error = "waits behind an earlier parked event of its case"
            if error is not None or read.event is None:
                stuck.add(read.case_id)
                put_aside.append(parked.of_record(read.record, read.event_id, read.case_id, error or "unreadable"))
            else:
                inputs.append(Input(read.case_id, read.event, read.event.traceparent))
        if inputs:
            with telemetry.span(f"{self._card.name} decide", inputs):
                decisions = await work.apply(inputs)
            if poison is None:
                await self._begin(work, {each.case_id: d.state for each, d in zip(inputs, decisions, strict=True)})
        erased = [each.case_id for each in inputs if isinstance(each.body.data, CustomerErased)]
        if put_aside:
            await parked.write(work.tx, put_aside, work.now)
            for each in put_aside:
                log.error(
                    "parked", service=self._card.name, case_id=str(each.case_id), topic=each.topic, error=each.error
                )
        if erased:
            await announcing.moved(work.tx, erased)
            await parked.forget(work.tx, erased)
            await outbox.forget(work.tx, self._card.publishes, erased)

    async def _begin(self, work: Work[Any], states: Mapping[UUID, Any]) -> None:
        if self._runtime.begin is None:
            return
        try:
            await self._runtime.begin(work, states)
        except Exception as wrong:  # whatever it is, the events are without fault: decided again singly, begun later
            if is_transient(wrong):
                raise
            raise Undecidable(f"what was decided cannot be begun: {wrong}") from wrong

    async def _one_by_one(self, reads: Sequence[Read], first: Exception) -> None:
        """Replay a batch singly, so that only what is poison is parked; others begin what is decided."""
        log.warning("replaying a batch singly", service=self._card.name, events=len(reads), error=str(first)[:500])
        for read in reads:
            try:
                await self._handle([read], {})
            except (Undecidable, EventTooLarge) as poison:
                await self._handle([read], {read.event_id: str(poison)})
            except DBAPIError as wrong:
                if not is_data_error(wrong):
                    raise
                await self._handle([read], {read.event_id: str(wrong)})

    def _read(self, record: Received) -> Read:
        passed = catalogue.identified(record.headers) if self._passes_over else None
        if passed is not None and passed[0] in self._passes_over:
            return Read(record, passed[1], _case_of(record), None, None, passed=True, waits=True)
        read = _read(record)
        if read.event is not None and isinstance(read.event.data, self._unhurried):
            return replace(read, waits=True)
        return read


def _read(record: Received) -> Read:
    try:
        event = catalogue.decode(record.topic, record.headers, record.body)
        return Read(record, event.id, event.case_id, event, None)
    except catalogue.UnknownEvent as wrong:
        event_id = derived("unreadable", record.topic, record.partition, record.position)
        return Read(record, event_id, _case_of(record), None, str(wrong))


def _case_of(record: Received) -> UUID:
    """The case of an unreadable record: its key, or an id of its own where the key is none."""
    try:
        return UUID(record.key)
    except ValueError:
        return derived("unreadable-key", record.key)


def _distinct(reads: Sequence[Read]) -> list[Read]:
    return list({read.event_id: read for read in reversed(reads)}.values())[::-1]


def _first_positions(records: Sequence[Received]) -> Positions:
    first: dict[tuple[str, int], int] = {}
    for record in records:
        key = (record.topic, record.partition)
        first[key] = min(record.position, first.get(key, record.position))
    return first


def _next_positions(records: Sequence[Received]) -> Positions:
    following: dict[tuple[str, int], int] = {}
    for record in records:
        key = (record.topic, record.partition)
        following[key] = max(record.position + 1, following.get(key, 0))
    return following
