"""Tocsin's own parts as a run uses them: seeded ids, a log that redelivers, loops that say when they have work."""

import random
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from services.intake.app import MEMBER as INTAKE
from services.notify.app import MEMBER as NOTIFY
from services.notify.senders.loop import Sending
from services.notify.store.configuration import signing_key
from services.routing.app import MEMBER as ROUTING
from services.routing.dispatcher import Dispatcher
from services.sla.app import MEMBER as SLA
from services.sla.store.effective import TakingEffect
from services.sla.store.replan import Replanning
from shared.batch import Service
from shared.clock import Clock
from shared.db import Tx
from shared.ids import Ids
from shared.leases import Leases
from shared.log import Consumer, Positions, Received, Record
from shared.log.postgres import PostgresLog
from shared.relay import NAMES, Relay
from shared.retention import Retention
from shared.runtime import Runtime
from shared.settings import Settings
from shared.ticker import Ticker
from shared.worker import Worker
from tests.sim.sinks import Sinks, senders

MEMBERS = {"intake": INTAKE, "routing": ROUTING, "sla": SLA, "notify": NOTIFY}
GROUPS = tuple(name for name, member in MEMBERS.items() if member.service().card.consumes)
PARTITIONS = 2
BATCH = 7  # of a run; when all is to become quiet there is no point in small ones


def settings(**more: Any) -> Settings:
    """Small limits, so that they are met; long sleeps, since the scheduler knows when something is due."""
    known: dict[str, Any] = {
        "kafka_partitions": PARTITIONS,
        "batch_size": BATCH,
        "poll_timeout_s": 0.0,
        "tick_s": 300.0,
        "lease_s": 30.0,
        "send_concurrency": 4,
        "mail_key": "a key of thirty-two characters!!",
        "admin_key": "simulated",
        "public_url": "https://tocsin.example",
        "rate_limit": 1_000_000,
    }
    return Settings(**known | more)


class StepIds(Ids):
    """Ids that follow from the run's seed and the step that makes them."""

    def __init__(self, clock: Clock, seed: int, step: Callable[[], str]) -> None:
        super().__init__(clock, seed)
        self._seeded = _PerStep(seed, step)


class _PerStep(random.Random):
    def __init__(self, seed: int, step: Callable[[], str]) -> None:
        super().__init__(seed)
        self._of, self._step = seed, step
        self._each: dict[str, random.Random] = {}

    def getrandbits(self, k: int) -> int:
        step = self._step()
        if step not in self._each:
            self._each[step] = random.Random(f"{self._of}/{step}")
        return self._each[step].getrandbits(k)


@dataclass
class Wire:
    """What may happen to the log's records on their way."""

    held: dict[str, str] = field(default_factory=dict)  # a topic that a group does not get for now
    back: dict[str, int] = field(default_factory=dict)  # records of each partition that a group gets again
    anew: dict[str, str] = field(default_factory=dict)  # a group that reads all from the first record on, and when
    twice: bool = False  # the next append happens twice, as of a producer that did not hear of the first


class FarLog:
    """The log as services meet it that run apart: an append is one thing, and taking it off the outbox another."""

    def __init__(self, wire: Wire, log: PostgresLog) -> None:
        self._wire, self._log, self.partitions = wire, log, log.partitions
        self.touched = False  # something may have been written since somebody looked

    async def start(self) -> None:
        await self._log.start()

    async def stop(self) -> None:
        await self._log.stop()

    async def append(self, records: Sequence[Record]) -> None:
        self.touched = True
        again, self._wire.twice = self._wire.twice, False
        await self._log.append(records)
        if again:
            await self._log.append(records)

    def consumer(self, group: str, topics: Sequence[str]) -> "SimConsumer":
        return SimConsumer(self._log.consumer(group, topics), group, topics, self._wire)

    async def end_positions(self, topics: Sequence[str]) -> Positions:
        return await self._log.end_positions(topics)

    async def committed(self, group: str, topics: Sequence[str]) -> Positions:
        return await self._log.committed(group, topics)

    async def unread(self, since: Positions, until: Positions, keys: Collection[str]) -> Collection[str]:
        return keys

    async def trim(self, before: datetime) -> int:
        return await self._log.trim(before)


class NearLog(FarLog):
    """The log in the database of the outboxes, which takes their rows over."""

    heads, records = PostgresLog.heads, PostgresLog.records

    async def adopt(self, tx: Tx, topic: str, partitions: Mapping[int, int]) -> None:
        self.touched = True
        await self._log.adopt(tx, topic, partitions)

    async def unread(self, since: Positions, until: Positions, keys: Collection[str]) -> Collection[str]:
        return await self._log.unread(since, until, keys)

    def announce(self, topics: Set[str]) -> None:
        self._log.announce(topics)


class SimConsumer:
    """A consumer whose records come again, or one topic later than another."""

    def __init__(self, inner: Consumer, group: str, topics: Sequence[str], wire: Wire) -> None:
        self._inner, self._group, self._topics, self._wire = inner, group, topics, wire
        self._anew = wire.anew.get(group)
        self._read: dict[tuple[str, int], int] = {}

    async def start(self) -> None:
        await self._inner.start()

    async def stop(self) -> None:
        await self._inner.stop()

    async def seek(self, positions: Positions) -> None:
        await self._inner.seek(positions)
        self._read.update(positions)  # a redelivery goes back from here: it never jumps over what failed

    async def commit(self, positions: Positions) -> None:
        await self._inner.commit(positions)

    async def poll(self, limit: int, timeout_s: float) -> Sequence[Received]:
        if back := self._wire.back.pop(self._group, 0):
            await self._inner.seek({each: max(0, position - back) for each, position in self._read.items()})
        if self._wire.anew.get(self._group) != self._anew:
            self._anew = self._wire.anew.get(self._group)
            await self._inner.seek({(each, number): 0 for each in self._topics for number in range(PARTITIONS)})
        records = await self._inner.poll(limit, timeout_s)
        held = self._wire.held.get(self._group)
        kept = [each for each in records if each.topic != held]
        late: dict[tuple[str, int], int] = {}
        for each in records:
            place = (each.topic, each.partition)
            if each.topic == held:
                late.setdefault(place, each.position)
            else:
                self._read[place] = each.position + 1
        if late:
            await self._inner.seek(late)
        return kept


@dataclass(eq=False)
class Loop:
    """A loop of a process, as the scheduler sees it.

    ``busy``: it was woken, or is due; ``sure``: by what it works at, not to be on the safe side; ``perhaps``: time has
    passed, and only a look can tell.
    """

    name: str
    step: Callable[[], Awaitable[Any]]
    has: Callable[[], bool] | None = None  # says for sure, where it can be known
    busy: bool = True
    sure: bool = True
    perhaps: bool = False
    due: datetime | None = None
    looks: bool = False
    ran: int = 0
    did: int = 0  # how often it did something

    def ready(self) -> bool:
        return self.has() if self.has is not None else self.busy

    def woken(self, sure: bool) -> None:
        self.busy, self.sure = True, sure or (self.busy and self.sure)

    def took(self, pause: Any, now: datetime) -> bool:
        """A step ended and gave its pause in seconds, or how much it did; says whether it did anything."""
        self.perhaps = False
        if isinstance(pause, float):
            self.busy, self.due = pause == 0.0, now + timedelta(seconds=pause)
        else:
            self.busy = bool(pause)
        self.ran, self.did = self.ran + 1, self.did + self.busy
        self.sure = self.busy and (isinstance(pause, float) or pause >= BATCH)
        return self.busy

    def chance(self, work: bool | None) -> float:
        """How likely it is to do something: is there ``work``, was it woken, how often did it do something before."""
        if not self.ready():
            return (2.0 if work else 0.1) if self.perhaps else 0.0
        if work is None:
            return 3 * (self.did + 1) / (self.ran + 3)
        return 0.15 if not work else 8.0 if self.sure else 2.0

    def passed(self, now: datetime) -> None:
        """Time has passed."""
        if self.looks:
            self.perhaps = True
        elif self.due is not None and self.due <= now:
            self.busy, self.sure, self.due = True, True, None


@dataclass
class Replica:
    """One process of a service, apart from its API: its memory is gone when it crashes."""

    name: str
    service: str
    runtime: Runtime[Any]
    loops: dict[str, Loop]

    def wake(self, *names: str, sure: bool = True) -> None:
        for name in names or self.loops:
            if name in self.loops and (names or name != "retention"):
                self.loops[name].woken(sure)

    def batches(self, size: int) -> None:
        """How much it takes at a time from now on."""
        self.runtime.settings = self.runtime.settings.model_copy(update={"batch_size": size})

    @property
    def in_hand(self) -> bool:
        """It has claimed messages, or answers that are not recorded."""
        return any(self.loops[each].ready() for each in ("send", "record") if each in self.loops)


def replica(name: str, runtime: Runtime[Any], sinks: Sinks) -> Replica:
    """A process that has just started."""
    service = runtime.service.card.name
    relay = Relay(runtime, Leases(runtime.db, NAMES, runtime.settings.lease_s))
    loops = [Loop("relay", relay.step), Loop("retention", Retention(runtime).step, busy=False)]
    if runtime.service.card.consumes:
        loops += [Loop("worker", Worker(runtime).step, looks=True), Loop("ticker", Ticker(runtime).step)]
    store = runtime.service.store
    if service == "sla":
        loops.append(Loop("replan", Replanning(runtime).step))
        loops.append(Loop("effect", TakingEffect(runtime, store.configuration).step, looks=True))  # type: ignore[attr-defined]
    elif service == "routing":
        loops.append(Loop("desk", Dispatcher(runtime, store).step, looks=True))  # type: ignore[arg-type]
    elif service == "notify":
        sending = Sending(runtime, senders(sinks), _signing_key(runtime))  # type: ignore[arg-type]
        runtime.begin = sending.begin
        loops.append(Loop("claims", sending.claim, looks=True))
        loops.append(Loop("send", sending.send, lambda: not sending.idle))
        loops.append(Loop("record", sending.record, lambda: not sending._answered.empty()))
    return Replica(name, service, runtime, {each.name: each for each in loops})


def _signing_key(runtime: Runtime[Any]) -> Callable[[], Awaitable[str]]:
    async def read() -> str:
        async with runtime.db.transaction() as tx:
            return await signing_key(tx)

    return read


def fresh_service(name: str) -> Service[Any]:
    return MEMBERS[name].service()


def forget_caches(service: Service[Any]) -> None:
    """As a process that has just started: nothing of another database is remembered."""
    service.store.__init__()  # type: ignore[misc]
