"""A world for the tests of notify: a case, people, events, and a way to play them through ``decide``."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from services.notify.decide import decide
from services.notify.model import QUIET, CaseState, Configuration, Delivery, Page, Policy, Rota
from services.notify.model.commands import Claim, Outcome, Recorded
from services.notify.model.escalation import EscalationPolicySpec
from services.notify.model.rota import Layer, Override, Schedule
from services.notify.model.specs import (
    DestinationSpec,
    PersonSpec,
)
from shared.contracts.clocks import (
    CaseSummary,
    ClockBreached,
    ClockCancelled,
    ClockEvent,
    ClockMet,
    ClockWarned,
    ClockWithdrawn,
)
from shared.contracts.decision import CancelTimer, Decision, Fired, SetTimer
from shared.contracts.envelope import Because, Event, EventData
from shared.contracts.identity import derived
from shared.contracts.words import DeliveryState, Metric, Priority

CASE = UUID(int=0x4812)
DUE = datetime(2026, 11, 22, 2, 3, tzinfo=UTC)
STARTED = DUE - timedelta(minutes=15)

SUMMARY = CaseSummary(
    number="C-4812",
    subject="Payout missing",
    excerpt="We expected our payout on Friday and nothing has come.",
    customer_name="A.",
    customer_tier="enterprise",
    customer_country="IE",
    url="https://acme.example/tickets/88121",
    team="payments",
    priority=Priority.URGENT,
    routed=Because(text="enterprise-payouts: tier is enterprise, tagged payouts", facts={"rule": "enterprise-payouts"}),
)

PEOPLE = {
    "ana": {"email": "ana@example.com", "slack_user": "U1", "time_zone": "Europe/Madrid"},
    "li": {"email": "li@example.com", "time_zone": "Europe/Dublin"},
    "ghost": {},
}
DESTINATIONS = {
    "payments-slack": {"kind": "slack", "channel": "#payments-alerts"},
    "quiet-slack": {"kind": "slack", "channel": "#quiet", "excerpt": False},
    "desk": {"kind": "email", "to": ["desk@example.com"]},
    "console": {"kind": "console"},
}
PAYMENTS = {
    "teams": ["payments"],
    "steps": [
        {"on": "warned", "notify": [{"destination": "payments-slack"}]},
        {"on": "breached", "notify": [{"destination": "payments-slack"}]},
        {"on": "breached", "after": "PT5M", "notify": [{"schedule": "payments-primary"}]},
        {"on": "breached", "after": "PT10M", "notify": [{"person": "li"}]},
    ],
    "repeat": {"every": "PT15M", "times": 1},
}
FRAUD = {"teams": ["fraud"], "steps": [{"notify": [{"destination": "desk"}]}]}
MONDAY = datetime.fromisoformat("2026-11-16T09:00")  # on the wall in Dublin
PRIMARY = Rota(Schedule(ZoneInfo("Europe/Dublin"), (Layer(("ana", "li"), MONDAY, timedelta(7)),)))


def configuration(
    policies: Mapping[str, Any] | None = None,
    people: Mapping[str, Any] = PEOPLE,
    destinations: Mapping[str, Any] = DESTINATIONS,
    schedules: Mapping[str, Rota] | None = None,
) -> Configuration:
    found = {"payments": PAYMENTS, "fraud": FRAUD} if policies is None else policies
    return Configuration(
        1,
        {name: PersonSpec.model_validate(body) for name, body in people.items()},
        {name: DestinationSpec.model_validate(body).root for name, body in destinations.items()},
        {"payments-primary": PRIMARY} if schedules is None else schedules,
        {name: Policy(name, 1, EscalationPolicySpec.model_validate(body)) for name, body in found.items()},
    )


def overridden(person: str, start: datetime, end: datetime) -> Rota:
    return replace(PRIMARY, overrides=(Override(person, start, end),))


def clock_event(kind: type[ClockEvent], at: datetime, metric: Metric = Metric.FIRST_REPLY, **more: Any) -> ClockEvent:
    """An event of the case's clock of this metric; ``version`` grows with time unless given."""
    fields: dict[str, Any] = {
        "case_id": CASE,
        "occurred_at": at,
        "clock_id": derived(CASE, metric),
        "metric": metric,
        "instance": 1,
        "version": int((at - STARTED).total_seconds() * 1000) + 1,
        "started_at": STARTED,
        "due_at": DUE,
        "within": "PT15M",
        "because": Because(text="Within 15 min, says policy urgent."),
    }
    if kind in (ClockWarned, ClockBreached):
        fields |= {"fired_at": at, "summary": SUMMARY}
    if kind is ClockWarned:
        fields["share"] = 0.9
    if kind in (ClockMet, ClockCancelled, ClockWithdrawn):
        fields["breached"] = at > DUE
    return kind(**fields | more)


def warned(at: datetime, **more: Any) -> ClockEvent:
    return clock_event(ClockWarned, at, **more)


def breached(at: datetime = DUE, **more: Any) -> ClockEvent:
    return clock_event(ClockBreached, at, **more)


def met(at: datetime, **more: Any) -> ClockEvent:
    return clock_event(ClockMet, at, **more)


@dataclass
class World:
    """One case through time: events and commands in, decisions out, timers fire when due."""

    now: datetime = STARTED
    state: CaseState = field(default_factory=lambda: CaseState(CASE, configuration()))
    events: list[EventData] = field(default_factory=list)
    timers: dict[tuple[UUID, str], SetTimer] = field(default_factory=dict)
    claims: int = 0
    sent: list[tuple[datetime, Delivery]] = field(default_factory=list)
    followed: list[tuple[datetime, Delivery]] = field(default_factory=list)  # what called nobody

    def tell(self, *happened: EventData) -> "World":
        for data in happened:
            self.now = max(self.now, data.occurred_at)
            self.do(Event(derived(data.model_dump_json()), "test", "test", 1, self.now, data))
        return self

    def do(self, what: Any) -> Decision[CaseState]:
        decision = decide(self.state, what, self.now)
        self.state = decision.state
        self.events += decision.events
        for change in decision.timers:
            if isinstance(change, SetTimer):
                self.timers[change.subject, change.step] = change
            elif change.step is not None:
                self.timers.pop((change.subject, change.step), None)
            else:
                self.timers = {k: t for k, t in self.timers.items() if k[0] != change.subject}
            assert isinstance(change, SetTimer | CancelTimer)
        return decision

    def until(self, at: datetime, send: bool = True) -> "World":
        """Let time pass: timers fire at their instant, and what is queued is sent."""
        self.deliver(send)
        while True:
            due = [(t.due_at, t.step, t) for t in self.timers.values() if t.due_at <= at]
            tries = [d.next_at for d in self.waiting() if send and self.now < d.next_at <= at]
            if not due and not tries:
                break
            if not due or (tries and min(tries) < min(due)[0]):
                self.now = max(self.now, min(tries))
            else:
                timer = min(due)[2]
                del self.timers[timer.subject, timer.step]
                self.now = max(self.now, timer.due_at)
                self.do(Fired(CASE, timer.subject, timer.step, timer.due_at, timer.version))
            self.deliver(send)
        self.now = max(self.now, at)
        return self

    def deliver(self, send: bool = True) -> None:
        while send and (waiting := [d for d in self.waiting() if d.next_at <= self.now]):
            delivery = waiting[0]
            token = self.claim(delivery)
            if self.state.deliveries[delivery.id].token == token:
                to = self.followed if delivery.purpose in QUIET else self.sent
                to.append((self.now, self.state.deliveries[delivery.id]))
                self.do(Recorded(delivery.id, token, Outcome("sent", "ok", receipt="r")))

    def claim(self, delivery: Delivery) -> UUID:
        self.claims += 1
        token = UUID(int=self.claims)
        self.do(Claim(delivery.id, token, self.now + timedelta(seconds=15)))
        return token

    def fail(self, delivery: Delivery, outcome: Outcome) -> Delivery:
        """Try to send once, with this outcome."""
        self.do(Recorded(delivery.id, self.claim(delivery), outcome))
        return self.state.deliveries[delivery.id]

    def waiting(self) -> list[Delivery]:
        unfinished = (DeliveryState.QUEUED, DeliveryState.HELD, DeliveryState.UNKNOWN)
        return [d for d in self.state.deliveries.values() if d.state in unfinished]

    def timers_due(self) -> list[SetTimer]:
        """Those whose time has come and that have not fired."""
        return [timer for timer in self.timers.values() if timer.due_at <= self.now]

    @property
    def page(self) -> Page:
        assert self.state.page is not None
        return self.state.page

    def told(self) -> list[tuple[str, str]]:
        """Who was told, when: minutes and seconds after the deadline."""
        return [(_after(at), delivery.target) for at, delivery in self.sent]

    def types(self) -> list[str]:
        return [event.TYPE for event in self.events]


def _after(at: datetime) -> str:
    seconds = int((at - DUE).total_seconds())
    sign = "-" if seconds < 0 else "+"
    return f"{sign}{abs(seconds) // 60:02d}:{abs(seconds) % 60:02d}"


def minutes(number: float) -> datetime:
    """An instant so many minutes after the deadline."""
    return DUE + timedelta(minutes=number)


def play(*happened: EventData, policies: Mapping[str, Any] | None = None) -> World:
    world = World(state=CaseState(CASE, configuration(policies)))
    for data in happened:
        world.until(getattr(data, "fired_at", data.occurred_at))
        world.tell(data).deliver()
    return world


def targets(deliveries: Iterable[Delivery]) -> list[str]:
    return [each.target for each in deliveries]
