"""The unit of work: lock → load → decide → save → outbox → timers, in one transaction.

Every writer of every service goes through ``Work``: the worker with events, the ticker with timers that came due,
the API with commands. So state and messages commit together, and the lock order is the same everywhere:
sorted inbox or idempotency keys first, then sorted cases, then their children.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import cycle
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

from sqlalchemy import MetaData

from shared import outbox, telemetry, timers
from shared.announcing import Announcer
from shared.contracts.decision import CancelTimer, Decision, Fired, Replan, SetTimer
from shared.contracts.envelope import Encoded, EventData, Outgoing
from shared.db import Tx
from shared.ids import Ids
from shared.pace import gently

S = TypeVar("S")

in_order: Callable[[Iterable[UUID]], list[UUID]] = partial(sorted, key=attrgetter("int"))  # far quicker than by UUID

_LOCK_KNOWN = (
    "SELECT case_id, sequence FROM case_lock WHERE case_id = ANY(CAST(:ids AS uuid[])) ORDER BY case_id FOR UPDATE"
)
_LOCK_NEW = (  # locked by being made
    "INSERT INTO case_lock (case_id) SELECT unnest(CAST(:ids AS uuid[])) ON CONFLICT DO NOTHING"
    " RETURNING case_id, sequence"
)


@dataclass(frozen=True, slots=True)
class Card:
    """A service's card, in its ``__init__.py``: what it owns, consumes and publishes."""

    name: str  # also its schema, its consumer group, and its ce_source
    owns: str
    consumes: tuple[str, ...]
    publishes: str  # its one topic
    passes_over: tuple[type[EventData], ...] = ()  # events of what it consumes that never change anything here
    unhurried: tuple[type[EventData], ...] = ()  # events that nobody waits for: they share a batch, a moment later

    def stamp(
        self, id: UUID, data: EventData | Encoded, sequence: int, now: datetime, traceparent: str | None = None
    ) -> Outgoing:
        """An event as it is published."""
        parent = telemetry.traceparent() or traceparent
        return Outgoing(id, self.name, self.publishes, sequence, now, data, parent)


@dataclass(frozen=True, slots=True)
class Change(Generic[S]):
    """A case before and after a batch, with all that was decided about it, in order."""

    case_id: UUID
    before: S
    after: S
    decisions: tuple[Decision[S], ...]


class Store(Protocol[S]):
    """What the unit of work needs of a service's ``store.py``: bulk, a fixed number of statements each."""

    async def load(self, tx: Tx, case_ids: Sequence[UUID], now: datetime) -> Mapping[UUID, S]:
        """The state of every case asked for, a new empty one where none is stored. The cases are locked already.

        Also takes ``FOR SHARE`` on the configuration's version row where the state carries configuration.
        """
        ...

    async def save(self, tx: Tx, changes: Sequence[Change[S]], now: datetime) -> None:
        """Write what differs between ``before`` and ``after`` of each change."""
        ...


@dataclass(frozen=True, slots=True)
class Service(Generic[S]):
    """One service as the platform sees it."""

    card: Card
    store: Store[S]
    decide: Callable[[S, Any, datetime], Decision[S]]
    metadata: MetaData
    first_start: Callable[[Tx, datetime], Any] | None = None  # async; makes the objects of a first start, idempotent
    announcer: Announcer | None = None  # of timers that came due, where less than the whole case tells
    # Asked of the inputs at hand besides the state of their cases; a fixed number of statements.
    learn: Callable[[Tx, Mapping[UUID, S], Sequence["Input"], datetime], Awaitable[Mapping[UUID, S]]] | None = None


@dataclass(frozen=True, slots=True)
class Input:
    """One thing to decide about one case: an event, a fired timer, or a command of the service's ``model.py``."""

    case_id: UUID
    body: Any
    traceparent: str | None = None


class Undecidable(Exception):
    """``decide`` raised: the input is poison. The cause is chained."""


@dataclass(slots=True)
class Work(Generic[S]):
    """One transaction's worth of deciding. ``now`` is the instant all of it is decided at."""

    service: Service[S]
    tx: Tx
    ids: Ids
    partitions: int
    now: datetime
    wrote_events: bool = False
    first_due: datetime | None = None  # of the timers that were set
    decided: bool = False
    begun: bool = False  # what was decided is under way already: nobody need be woken for it
    then: list[Callable[[], Awaitable[None]]] = field(default_factory=list)  # to do once it is committed
    _locked: dict[UUID, int] = field(default_factory=dict)  # case → how many events were published about it
    _opened: set[UUID] = field(default_factory=set)  # cases of this transaction, which have no row yet

    async def lock(self, case_ids: Sequence[UUID]) -> None:
        """Lock the cases, in order, before ``apply``. Once, for an order of locks that all writers share."""
        wanted = in_order(set(case_ids))
        statements = cycle((_LOCK_KNOWN, _LOCK_NEW))  # what somebody else is just making is looked for again
        while wanted:
            found = await self.tx.records(next(statements), ids=wanted)
            self._locked.update((case_id, sequence) for case_id, sequence in found)
            wanted = [case_id for case_id in wanted if case_id not in self._locked]

    def open(self, case_ids: Iterable[UUID]) -> None:
        """Begin cases with fresh ids, which nobody else can know yet: no lock is needed."""
        self._opened.update(case_ids)
        self._locked.update(dict.fromkeys(self._opened - self._locked.keys(), 0))

    async def lock_free(self, case_ids: Sequence[UUID]) -> list[UUID]:
        """Lock those of the cases that nobody else holds, and say which."""
        found = await self.tx.records(f"{_LOCK_KNOWN} SKIP LOCKED", ids=in_order(set(case_ids)))
        self._locked.update((case_id, sequence) for case_id, sequence in found)
        return [case_id for case_id, _ in found]

    async def take(self, fired: Sequence[Fired]) -> list[Fired]:
        """Lock the cases of timers that nobody else holds, and remove those of the timers that still stand: these."""
        taken = await timers.take(self.tx, fired)
        self._locked.update((each.case_id, sequence) for each, sequence in taken)
        return [each for each, _ in taken]

    async def apply(self, inputs: Sequence[Input], known: Mapping[UUID, S] = MappingProxyType({})) -> list[Decision[S]]:
        """Load, decide in the order given, save. Gives one decision per input.

        ``known`` are states that were loaded under the lock already, or are new. Raises ``Undecidable`` where
        ``decide`` raises, and ``LookupError`` for a case that is not locked.
        """
        concerned = in_order({each.case_id for each in inputs})
        if missing := [c for c in concerned if c not in self._locked]:
            raise LookupError(f"{self.service.card.name} must lock case {missing[0]} before it decides about it")
        before = {case_id: known[case_id] for case_id in concerned if case_id in known}
        if unknown := [case_id for case_id in concerned if case_id not in before]:
            before |= await self.service.store.load(self.tx, unknown, self.now)
        if self.service.learn is not None:
            before = dict(await self.service.learn(self.tx, before, inputs, self.now))
        return await self._settle(inputs, before)

    async def fire(self, fired: Sequence[Fired]) -> None:
        """Decide about timers of locked cases, in the order given; raises what ``apply`` raises.

        Where an announcer left them to us, their cases are planned anew first.
        """
        aside = in_order({each.case_id for each in fired}) if self.service.announcer else ()
        first = [Input(case_id, Replan(case_id)) for case_id in aside]
        await self.apply([*first, *(Input(each.case_id, each) for each in fired)])

    async def _settle(self, inputs: Sequence[Input], before: Mapping[UUID, S]) -> list[Decision[S]]:
        self.decided = True
        decisions = await self._fold(inputs, before)
        made: dict[UUID, list[Decision[S]]] = {}
        for each, decision in zip(inputs, decisions, strict=True):
            made.setdefault(each.case_id, []).append(decision)
        changes = [Change(c, before[c], of[-1].state, tuple(of)) for c, of in made.items()]
        await self.service.store.save(self.tx, changes, self.now)
        told = zip(inputs, decisions, strict=True)
        await self._publish([(data, each.traceparent) for each, decision in told for data in decision.events])
        await self._time([(each.case_id, t) for each, d in zip(inputs, decisions, strict=True) for t in d.timers])
        return decisions

    async def _time(self, changes: Sequence[tuple[UUID, SetTimer | CancelTimer]]) -> None:
        if changes:
            written = await timers.write(self.tx, changes, self.partitions)
            self.first_due = min(filter(None, (written, self.first_due)), default=None)

    async def _fold(self, inputs: Sequence[Input], before: Mapping[UUID, S]) -> list[Decision[S]]:
        states, decisions = dict(before), []
        async for each in gently(inputs):
            try:
                decision = self.service.decide(states[each.case_id], each.body, self.now)
            except Exception as wrong:  # whatever it is, the input is at fault, and only its case is parked
                raise Undecidable(f"{type(wrong).__name__}: {wrong}") from wrong
            states[each.case_id] = decision.state
            decisions.append(decision)
        return decisions

    async def _publish(self, told: Sequence[tuple[EventData, str | None]]) -> None:
        if not told:
            return
        ids = self.ids.several(len(told))
        outgoing = [self._stamp(id, data, traceparent) for id, (data, traceparent) in zip(ids, told, strict=True)]
        self.wrote_events = True
        concerned = in_order({event.data.case_id for event in outgoing})
        begun = self._opened.intersection(concerned)
        if begun:
            await self.tx.copy(
                "case_lock",
                ("case_id", "sequence"),
                [(each, self._locked[each]) for each in concerned if each in begun],
            )
            self._opened.difference_update(begun)
        if moved := [case_id for case_id in concerned if case_id not in begun]:
            await self._count(moved)
        await outbox.write(self.tx, outgoing, self.now)

    async def _count(self, moved: Sequence[UUID]) -> None:
        await self.tx.send(
            "UPDATE case_lock c SET sequence = n.sequence FROM"
            " unnest(CAST(:ids AS uuid[]), CAST(:numbers AS bigint[])) AS n (case_id, sequence)"
            " WHERE c.case_id = n.case_id AND c.case_id = ANY(CAST(:ids AS uuid[]))",
            ids=moved,
            numbers=[self._locked[case_id] for case_id in moved],
        )

    def _stamp(self, id: UUID, data: EventData, traceparent: str | None) -> Outgoing:
        if data.case_id not in self._locked:
            raise LookupError(f"{self.service.card.name} decided an event about case {data.case_id} without its lock")
        self._locked[data.case_id] += 1
        return self.service.card.stamp(id, data, self._locked[data.case_id], self.now, traceparent)
