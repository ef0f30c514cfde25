"""What must hold, judged from outside: the model knows what clients were answered and what stands on the wire.

It shares no code with the services. Each violation names the promise that was broken.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.contracts import catalogue, clocks, pages
from shared.contracts.assignments import CaseAssigned, CaseHandedOff
from shared.contracts.contacts import CaseAbsorbed, CaseActivity, CaseMerged, ContactReceived
from shared.contracts.envelope import Event
from shared.contracts.words import ActivityKind, Metric, Status
from shared.log.postgres_access import unpack

REPLIES = (Metric.FIRST_REPLY, Metric.NEXT_REPLY)
ENDS = (clocks.ClockMet, clocks.ClockCancelled, clocks.ClockWithdrawn)
DONE = (Status.SOLVED, Status.CLOSED)


class Violation(AssertionError):
    """A promise is broken. The first word says which."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One record of the log."""

    topic: str
    event: Event

    @classmethod
    def of(cls, row: Any) -> "Seen":
        return cls(row.topic, catalogue.decode(row.topic, unpack(bytes(row.headers)), bytes(row.body)))


@dataclass
class Posted:
    """A contact or activity that a client sent, and the first answer that came."""

    path: str
    body: dict[str, Any]
    thread: int
    key: str | None = None
    answer: dict[str, Any] | None = None
    fresh: int = 0  # answers that do not call it a repeat


@dataclass
class ClockSeen:
    """One clock as the wire tells of it."""

    state: str = "running"
    version: int = 0
    last: Any = None
    broken: set[datetime | None] = field(default_factory=set)  # deadlines that it broke
    broken_by: datetime | None = None  # when that was last said
    cut_short: str | None = None  # a stale breach, but where another topic ended it, too late: its end follows
    doubt: str | None = None  # a breach that is right only where it was over when that became known: its end follows


@dataclass
class CaseSeen:
    """One case as the wire tells of it."""

    sequences: dict[str, int] = field(default_factory=dict)  # by topic
    team: str | None = None
    page: UUID | None = None  # that stands
    contacts: list[datetime] = field(default_factory=list)
    replies: list[tuple[datetime, datetime]] = field(default_factory=list)  # told on the log, happened
    pickups: list[tuple[datetime, datetime]] = field(default_factory=list)
    plain: bool = True  # never solved, merged or absorbed


class Model:
    def __init__(self) -> None:
        self.posted: dict[str, Posted] = {}  # by external id
        self.cases: dict[UUID, CaseSeen] = {}
        self.clocks: dict[UUID, ClockSeen] = {}
        self.pages: dict[UUID, UUID] = {}  # page → case
        self.of_thread: dict[int, list[UUID]] = {}  # the cases of all answers
        self.merged: dict[UUID, UUID] = {}
        self.draft: int | None = None  # a ruleset that was written and is not active
        self._moves: set[str] = set()  # hand-offs that somebody asked for
        self._ids: dict[UUID, tuple[str, UUID, int]] = {}
        self.told_contacts: set[UUID] = set()
        self.told_activities: set[UUID] = set()
        self.sent: dict[UUID, int] = {}  # page.sent by delivery

    def newest(self) -> int:
        """The highest conversation so far."""
        return max((each.thread for each in self.posted.values()), default=0)

    def unanswered(self) -> list[int]:
        """Conversations in which a reply is promised."""
        waiting = {each.last.case_id for each in self._running(REPLIES)}
        return [thread for thread, cases in self.of_thread.items() if waiting.intersection(cases)]

    def deadlines(self, metrics: Collection[Metric] = tuple(Metric)) -> list[datetime]:
        """Of the promises that stand, as far as the log tells."""
        return [each.last.due_at for each in self._running(metrics)]

    def _running(self, metrics: Collection[Metric]) -> list[ClockSeen]:
        return [each for each in self.clocks.values() if each.state == "running" and each.last.metric in metrics]

    def final(self, case_id: UUID) -> UUID:
        """Where a case's thread goes on after merges."""
        while case_id in self.merged:
            case_id = self.merged[case_id]
        return case_id

    # What clients are answered

    def answered(self, name: str, status: int, body: Any) -> None:
        """The answer to a contact or activity. A 503 is none: it may or may not have been taken."""
        posted = self.posted[name]
        if status == 503:
            return
        if status != 202:
            raise Violation(f"accepted: {name} is answered {status} {body}")
        what = "contact_id" if posted.path == "/v1/contacts" else "activity_id"
        if posted.answer is None:
            posted.answer = body
        elif posted.answer[what] != body[what]:
            raise Violation(f"once: {name} is {posted.answer[what]} and then {body[what]}")
        posted.fresh += not body["duplicate"]
        if posted.fresh > 1 and posted.key is None:
            raise Violation(f"once: {name} is taken again as new")
        if what == "contact_id":
            self.of_thread.setdefault(posted.thread, []).append(UUID(body["case_id"]))

    # What stands on the wire

    def told(self, seen: Sequence[Seen], now: datetime) -> None:
        """Records that became visible at ``now``, in their order."""
        for each in seen:
            if self._is_new(each):
                self._take(each.event, now)

    def _is_new(self, seen: Seen) -> bool:
        event = seen.event
        place = (seen.topic, event.case_id, event.sequence)
        if event.id in self._ids:
            if self._ids[event.id] != place:
                raise Violation(f"wire: event {event.id} stands as {self._ids[event.id]} and as {place}")
            return False
        case = self.cases.setdefault(event.case_id, CaseSeen())
        last = case.sequences.get(seen.topic, 0)
        if event.sequence != last + 1:
            raise Violation(f"wire: {event.data.TYPE} {event.sequence} of {seen.topic} follows {last}")
        case.sequences[seen.topic] = event.sequence
        self._ids[event.id] = place
        return True

    def _take(self, event: Event, now: datetime) -> None:
        data, case = event.data, self.cases[event.case_id]
        if isinstance(data, clocks.ClockEvent):
            self._clock(data, case, now)
            return
        if isinstance(data, pages.PageEvent):
            self._page(data, case)
        else:
            self._fact(data, case, now)

    def _fact(self, data: Any, case: CaseSeen, now: datetime) -> None:
        match data:
            case ContactReceived():
                if data.contact_id in self.told_contacts:
                    raise Violation(f"once: contact {data.contact_id} is received twice")
                if data.external_id not in self.posted:
                    raise Violation(f"wire: nobody sent {data.external_id}")
                self.told_contacts.add(data.contact_id)
                case.contacts.append(data.occurred_at)
            case CaseActivity():
                if data.activity_id in self.told_activities:
                    raise Violation(f"once: activity {data.activity_id} happens twice")
                self.told_activities.add(data.activity_id)
                if data.kind is ActivityKind.AGENT_REPLIED and data.public and not data.automated:
                    case.replies.append((now, data.occurred_at))
                elif data.kind is ActivityKind.PICKED_UP:
                    case.pickups.append((now, data.occurred_at))
                case.plain = case.plain and data.status not in DONE
            case CaseMerged():
                self.merged[data.case_id] = data.into
                case.plain = False
            case CaseAbsorbed():
                case.plain = False
            case CaseAssigned():
                if case.team is not None:
                    raise Violation(f"one assignment: case {data.case_id} is assigned again")
                case.team = data.team
            case CaseHandedOff():
                if case.team != data.from_team:
                    raise Violation(f"custody: {data.case_id} goes from {data.from_team}, which is not {case.team}")
                case.team = data.team
                if not data.reason.startswith(("asked ", "given ")):
                    return
                if data.reason in self._moves:
                    raise Violation(f"once: {data.case_id} is handed off twice, {data.reason!r}")
                self._moves.add(data.reason)

    def _page(self, data: pages.PageEvent, case: CaseSeen) -> None:
        match data:
            case pages.PageOpened():
                if case.page is not None:
                    raise Violation(f"one page: {data.page_id} opens while {case.page} stands")
                case.page, self.pages[data.page_id] = data.page_id, data.case_id
            case pages.PageResolved():
                if case.page != data.page_id:
                    raise Violation(f"one page: {data.page_id} is resolved, and {case.page} stands")
                case.page = None
            case pages.PageSent():
                self.sent[data.delivery_id] = self.sent.get(data.delivery_id, 0) + 1
                if self.sent[data.delivery_id] > 1:
                    raise Violation(f"once: delivery {data.delivery_id} is told as sent twice")

    def _clock(self, data: clocks.ClockEvent, case: CaseSeen, now: datetime) -> None:
        clock = self.clocks.setdefault(data.clock_id, ClockSeen())
        name = f"{data.metric} {data.instance} of {data.case_id}"
        if data.version != clock.version + 1:
            raise Violation(f"clock: {data.TYPE} of {name} has version {data.version} after {clock.version}")
        if clock.doubt is not None and not isinstance(data, ENDS):
            raise Violation(clock.doubt)
        if clock.cut_short is not None and not isinstance(data, clocks.ClockCancelled | clocks.ClockMet):
            raise Violation(clock.cut_short)
        clock.doubt = clock.cut_short = None
        if isinstance(data, clocks.ClockBreached | clocks.ClockWarned | clocks.ClockOverdue):
            self._fired(data, clock, case, now, name)
        clock.version, clock.last = data.version, data
        if isinstance(data, clocks.ClockBreached):
            clock.state = "breached"
            clock.broken.add(data.due_at)
            clock.broken_by = data.fired_at
        elif isinstance(data, ENDS):
            clock.state = "ended"
        elif isinstance(data, clocks.ClockPaused):
            clock.state = "paused"
        elif isinstance(data, clocks.ClockStarted | clocks.ClockResumed | clocks.ClockRescheduled):
            clock.state = "running" if data.due_at is not None else "paused"  # planned anew while it stands still

    def _fired(
        self,
        data: clocks.ClockBreached | clocks.ClockWarned | clocks.ClockOverdue,
        clock: ClockSeen,
        case: CaseSeen,
        now: datetime,
        name: str,
    ) -> None:
        breach = isinstance(data, clocks.ClockBreached)
        if not data.occurred_at <= data.fired_at <= now:
            raise Violation(f"early: {data.TYPE} of {name} is for {data.occurred_at}, said at {data.fired_at}")
        if breach and data.due_at is not None and data.fired_at < data.due_at:
            raise Violation(f"early: {name} is due at {data.due_at}, broken at {data.fired_at}")
        told = clock.last is not None and clock.last.due_at not in (None, data.due_at)
        # What was learned late may move the deadline of a broken promise, as long as it stays broken then; and one that
        # was broken, taken back by an edit, and true after all is broken again.
        at, by = data.due_at, clock.broken_by
        stays = isinstance(data, clocks.ClockOverdue) and at is not None and by is not None and at <= by
        if told and not stays and data.due_at not in clock.broken:
            clock.doubt = f"clock: {name} is due {clock.last.due_at}, and {data.TYPE} is for {data.due_at}"
        if breach and clock.state == "breached":
            raise Violation(f"twice: {name} is broken again")
        again = breach and isinstance(clock.last, clocks.ClockWithdrawn) and data.due_at in clock.broken
        if clock.state == "ended" and not again:
            clock.doubt = f"after its end: {data.TYPE} of {name}"
        if isinstance(data, clocks.ClockWarned) and clock.state == "breached":
            raise Violation(f"after its end: {name} is warned of when it is broken")
        if not data.lagging and case.plain and (known := _stood(data, case)):
            stale = f"stale: {data.TYPE} of {name} for {data.occurred_at}; the log had what ends it, of {known[0]}"
            if not breach:
                raise Violation(stale)
            clock.cut_short = stale


def _stood(data: Any, case: CaseSeen) -> list[datetime]:
    """When what keeps this promise happened, as far as the log had it when the timer came due."""
    ends = (
        case.replies if data.metric in REPLIES else case.replies + case.pickups if data.metric == Metric.PICKUP else []
    )
    return [at for told, at in ends if told < data.occurred_at and data.started_at < at <= data.occurred_at]
