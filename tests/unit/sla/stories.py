"""Tells the story of one case: events as other services publish them, and what sla makes of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from services.sla.decide import decide
from services.sla.decide.policies import Stored, configuration
from services.sla.model import Case, Clock, Configuration
from shared.contracts.assignments import CaseAssigned, CaseHandedOff
from shared.contracts.clocks import ClockEvent
from shared.contracts.contacts import CaseAbsorbed, CaseActivity, CaseMerged, ContactReceived, Customer, CustomerErased
from shared.contracts.decision import CancelTimer, Decision, Fired, Replan, SetTimer
from shared.contracts.envelope import Because, Event, EventData
from shared.contracts.identity import derived
from shared.contracts.pages import PageAcknowledged
from shared.contracts.words import ActivityKind, Channel, Metric, Priority

CASE, OTHER = UUID(int=1), UUID(int=2)
START = datetime(2026, 11, 3, 10, tzinfo=UTC)  # a Tuesday
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
DUBLIN: dict[str, Any] = {
    "time_zone": "Europe/Dublin",
    "weekly": {day: [["09:00", "17:00"]] for day in ("mon", "tue", "wed", "thu", "fri")},
    "holidays": {"country": "IE"},
}


def m(minutes: float) -> datetime:
    """An instant, in minutes after the start of the story."""
    return START + minutes * MINUTE


def target(metric: str, within: str, **more: Any) -> dict[str, Any]:
    return {"metric": metric, "within": within, **more}


def policy(*targets: dict[str, Any], when: str = "true", position: int = 10) -> dict[str, Any]:
    return {"position": position, "when": when, "targets": list(targets)}


def configured(
    policies: Mapping[str, Mapping[str, Any]],
    calendars: Mapping[str, Mapping[str, Any]] | None = None,
    version: int = 1,
) -> Configuration:
    """A configuration that has been in force since long ago."""
    stored = [Stored(LONG_AGO, "calendar", name, 1, body) for name, body in (calendars or {}).items()]
    stored += [Stored(LONG_AGO, "policy", name, 1, body) for name, body in policies.items()]
    return configuration(version, stored)


@dataclass
class Story:
    """Writes events. Each method gives the event and keeps it; ``at`` and ``known`` are minutes after the start."""

    events: list[Event] = field(default_factory=list)
    sequences: dict[str, int] = field(default_factory=dict)

    def _add(self, topic: str, data: EventData, known: float) -> Event:
        number = self.sequences.get(topic, 0) + 1
        self.sequences[topic] = number
        event = Event(derived(topic, number), topic, topic, number, m(known), data)
        self.events.append(event)
        return event

    def contact(self, at: float = 0, known: float | None = None, **more: Any) -> Event:
        known = at if known is None else known
        opened = not any(isinstance(event.data, ContactReceived) for event in self.events)
        values: dict[str, Any] = {
            "case_id": CASE,
            "occurred_at": m(at),
            "contact_id": derived("contact", len(self.events)),
            "case_number": "C-7",
            "opened_case": opened,
            "channel": Channel.EMAIL,
            "received_at": m(known),
            "subject": "Payout missing",
            "excerpt": "Where is it?",
            "customer": Customer(id="cus_1", email="a@b.example", name="A", tier="enterprise", country="IE"),
        }
        return self._add("contacts", ContactReceived(**values | more), known)

    def activity(self, kind: str, at: float, known: float | None = None, **more: Any) -> Event:
        known = at if known is None else known
        values: dict[str, Any] = {
            "case_id": CASE,
            "occurred_at": m(at),
            "activity_id": derived("activity", len(self.events)),
            "kind": ActivityKind(kind),
            "received_at": m(known),
        }
        return self._add("contacts", CaseActivity(**values | more), known)

    def reply(self, at: float, known: float | None = None, **more: Any) -> Event:
        return self.activity("agent_replied", at, known, **({"actor": "ana", "public": True} | more))

    def status(self, status: str, at: float, known: float | None = None) -> Event:
        return self.activity("status_changed", at, known, status=status)

    def priority(self, priority: str, at: float, known: float | None = None) -> Event:
        return self.activity("priority_changed", at, known, priority=priority)

    def assigned(
        self, team: str = "frontline", at: float = 0, priority: str = "normal", known: float | None = None
    ) -> Event:
        data = CaseAssigned(
            case_id=CASE,
            occurred_at=m(at),
            team=team,
            priority=Priority(priority),
            ruleset_version=1,
            because=Because(text=f"the rules chose {team}"),
        )
        return self._add("assignments", data, at if known is None else known)

    def handed_off(self, team: str, at: float, known: float | None = None) -> Event:
        data = CaseHandedOff(
            case_id=CASE,
            occurred_at=m(at),
            team=team,
            from_team="",
            priority=Priority.NORMAL,
            reason="theirs",
            by="li",
            because=Because(text=f"li handed it to {team}"),
        )
        return self._add("assignments", data, at if known is None else known)

    def acknowledged(self, at: float, known: float | None = None) -> Event:
        data = PageAcknowledged(
            case_id=CASE, occurred_at=m(at), page_id=UUID(int=9), by="ana", because=Because(text="she pressed it")
        )
        return self._add("pages", data, at if known is None else known)

    def merged(self, at: float) -> Event:
        return self._add("contacts", CaseMerged(case_id=CASE, occurred_at=m(at), into=OTHER, into_number="C-2"), at)

    def absorbed(self, at: float, since: float | None) -> Event:
        data = CaseAbsorbed(
            case_id=CASE,
            occurred_at=m(at),
            source_case=OTHER,
            source_number="C-2",
            earliest_unanswered_at=None if since is None else m(since),
        )
        return self._add("contacts", data, at)

    def erased(self, at: float) -> Event:
        return self._add("contacts", CustomerErased(case_id=CASE, occurred_at=m(at), customer_id=""), at)


class Desk:
    """One case of sla, with its timers, driven as the platform drives it."""

    def __init__(self, of: Configuration) -> None:
        self.case = Case(CASE, of)
        self.now = LONG_AGO
        self.told: list[ClockEvent] = []
        self.timers: dict[tuple[UUID, str], SetTimer] = {}
        self.versions: dict[UUID, int] = {}

    def take(self, message: Event | Fired | Replan, now: datetime) -> Decision[Case]:
        self.now = now = max(self.now, now)  # time never goes backwards
        decision = decide(self.case, message, now)
        self.case = decision.state
        for change in decision.timers:
            if isinstance(change, SetTimer):
                self.timers[change.subject, change.step] = change
            elif isinstance(change, CancelTimer) and change.step is None:
                self.timers = {key: each for key, each in self.timers.items() if key[0] != change.subject}
            else:
                self.timers.pop((change.subject, str(change.step)), None)
        for event in decision.events:
            assert isinstance(event, ClockEvent)
            assert event.version == self.versions.get(event.clock_id, 0) + 1, "versions grow by one with each event"
            self.versions[event.clock_id] = event.version
            self.told.append(event)
        return decision

    def play(self, events: Sequence[Event], now: datetime | None = None) -> "Desk":
        for event in events:
            self.take(event, now or max(event.recorded_at, event.data.occurred_at))
        return self

    def replan(self, of: Configuration, now: datetime) -> Decision[Case]:
        self.case = replace(self.case, configuration=of)
        return self.take(Replan(CASE), now)

    def tick(self, until: datetime, lagging: bool = False) -> None:
        """Fire every timer when it is due, up to an instant."""
        while due := sorted((t for t in self.timers.values() if t.due_at <= until), key=lambda t: (t.due_at, t.step)):
            timer = due[0]
            self.fire(timer, max(timer.due_at, START), lagging)

    def fire(
        self, timer: SetTimer, now: datetime, lagging: bool = False, known: datetime | None = None
    ) -> Decision[Case]:
        self.timers.pop((timer.subject, timer.step), None)  # a timer that fires is gone
        return self.take(Fired(CASE, timer.subject, timer.step, timer.due_at, timer.version, lagging, known), now)

    def wake(self, now: datetime) -> None:
        """After downtime: fire all that is overdue, at once."""
        while due := sorted((t for t in self.timers.values() if t.due_at <= now), key=lambda t: (t.due_at, t.step)):
            self.fire(due[0], now)

    def clock(self, metric: str, instance: int = 1) -> Clock:
        found = [c for c in self.case.clocks if (c.metric, c.instance) == (Metric(metric), instance)]
        assert found, f"there is no {metric} {instance}; there are {[(c.metric, c.instance) for c in self.case.clocks]}"
        return found[0]

    def has(self, metric: str, instance: int = 1) -> bool:
        return any((c.metric, c.instance) == (Metric(metric), instance) for c in self.case.clocks)

    def types(self, metric: str, instance: int = 1) -> list[str]:
        """What was told about one clock, in order: ``started met``."""
        told = [e for e in self.told if (e.metric, e.instance) == (Metric(metric), instance)]
        return [e.TYPE.removeprefix("clock.") for e in told]

    def last(self, metric: str, instance: int = 1) -> Any:
        return [e for e in self.told if (e.metric, e.instance) == (Metric(metric), instance)][-1]


def table(desk: Desk) -> list[tuple[Any, ...]]:
    """The rows as they would stand in the database, but for what counts how we got there."""
    names = [name for name in Clock.__slots__ if name not in ("version", "announced")]
    return [tuple(getattr(clock, name) for name in names) for clock in desk.case.clocks]


def timers(desk: Desk) -> list[tuple[UUID, str, datetime]]:
    return sorted((t.subject, t.step, t.due_at) for t in desk.timers.values())
