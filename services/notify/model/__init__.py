"""What notify knows about a case: its clocks that fired, its page, the page's deliveries. Frozen. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from services.notify.model.escalation import EscalationPolicySpec, HoursSpec
from services.notify.model.rota import Calendar, Override, Schedule
from services.notify.model.silences import Effect
from services.notify.model.specs import AnyDestination, On, PersonSpec, TemplateSpec
from shared.contracts.clocks import CaseSummary
from shared.contracts.envelope import Because
from shared.contracts.words import ClockState, DeliveryState, Metric, PageState

METRICS = {
    Metric.FIRST_REPLY: "first reply",
    Metric.NEXT_REPLY: "next reply",
    Metric.UPDATE: "update",
    Metric.RESOLUTION: "resolution",
    Metric.PICKUP: "pick-up",
    Metric.TEAM_WAIT: "team's part",
    Metric.ENGINEERING_WAIT: "engineering's part",
    Metric.UNASSIGNED: "placing with a team",
}

CATCH_ALL = "catch-all"  # the target and lane of what nobody else could be told; resolved when it is sent
UNFINISHED = frozenset({DeliveryState.QUEUED, DeliveryState.HELD, DeliveryState.UNKNOWN})


class Purpose(StrEnum):
    """Why a message is sent."""

    CALL = "call"  # for attention
    WITHDRAWN = "withdrawn"  # an earlier call was wrong: the reply had been in time
    UPDATE = "update"  # an earlier message shows what has become of its page
    HISTORY = "history"  # what happened since, in the thread of an earlier message


QUIET = frozenset({Purpose.UPDATE, Purpose.HISTORY})  # they call nobody: silences let them pass, no step waits for them


@dataclass(frozen=True, slots=True)
class Line:
    """Something that happened to a page, as its history says it."""

    at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class Policy:
    """An escalation policy as it stood when a page took it."""

    name: str
    version: int
    spec: EscalationPolicySpec


@dataclass(frozen=True, slots=True)
class Rota:
    """A schedule with its overrides, in the order in which they were made."""

    schedule: Schedule
    overrides: tuple[Override, ...] = ()


@dataclass(frozen=True, slots=True)
class Configuration:
    """All that admins wrote, at one version."""

    version: int = 0
    people: Mapping[str, PersonSpec] = field(default_factory=dict)
    destinations: Mapping[str, AnyDestination] = field(default_factory=dict)
    schedules: Mapping[str, Rota] = field(default_factory=dict)
    policies: Mapping[str, Policy] = field(default_factory=dict)
    calendars: Mapping[str, Calendar] = field(default_factory=dict)  # those that layers read, by source
    templates: Mapping[str, TemplateSpec] = field(default_factory=dict)
    off: Mapping[str, str] = field(default_factory=dict)  # destinations that are switched off, and why


@dataclass(frozen=True, slots=True)
class Silence:
    """Messages in scope wait until it is over, or are never sent. None in the scope means any.

    ``during``: in force only in these hours of the week, from ``start`` to ``end``.
    """

    id: UUID
    team: str | None
    case_id: UUID | None
    destination: str | None
    person: str | None
    reason: str
    author: str
    start: datetime
    end: datetime
    metric: Metric | None = None
    tag: str | None = None
    effect: Effect = Effect.HOLD
    during: HoursSpec | None = None


@dataclass(frozen=True, slots=True)
class Clock:
    """A clock that warned or broke, as far as messages need it."""

    id: UUID
    metric: Metric
    instance: int
    version: int
    started_at: datetime
    due_at: datetime | None
    within: str
    calendar: str
    time_zone: str
    policy: str | None
    warned_at: datetime | None = None  # when a warning was committed; the latest
    breached_at: datetime | None = None  # its due time, when it broke
    breach_fired_at: datetime | None = None  # when that was committed
    overdue_level: int = 0  # the highest of its overdue levels that it passed
    overdue_share: float = 0.0  # of the target on top, at that level
    paused: bool = False
    ended: ClockState | None = None
    ended_at: datetime | None = None
    ended_because: str | None = None
    ignored: str | None = None  # why it opened no page

    def calls(self, on: On) -> bool:
        """Whether it still calls for attention, for a step of this kind."""
        if self.ended is not None:
            return False
        if on == On.OVERDUE:
            return self.overdue_level > 0
        if on == On.BREACHED:
            return self.breached_at is not None
        return self.breached_at is not None or (self.warned_at is not None and not self.paused)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about the case itself."""

    team: str | None = None  # by the assignments read so far
    teams_seen: tuple[str, ...] = ()
    summary: CaseSummary | None = None
    words_at: datetime | None = None  # when the customer said what the summary quotes, where a later contact told us
    erased: bool = False
    merged_into: str | None = None  # number of the case that took this one over
    fizzled: tuple[datetime, ...] = ()  # when pages about warnings alone ended by themselves, lately


@dataclass(frozen=True, slots=True)
class Held:
    """A step that waits until somebody is on duty."""

    step: int
    until: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Page:
    """One call for attention about one case. Its steps count from ``base``, absolute."""

    id: UUID
    number: int  # of the case's pages, from 1
    state: PageState
    version: int
    opened_at: datetime
    team: str | None
    policy: Policy
    clocks: tuple[UUID, ...]
    because: Because
    cycle: int = 0  # how often the steps began anew: after a snooze or a hand-off
    base_warned: datetime | None = None
    base_breached: datetime | None = None
    base_overdue: tuple[datetime, ...] = ()  # by level, from 1, as far as they were reached
    begins: datetime | None = None  # where the policy defers the page: its steps count from here
    begins_because: str | None = None
    holds: tuple[Held, ...] = ()  # steps that wait for somebody to be on duty
    waited_until: datetime | None = None  # when the last of those that waited ran
    rounds: tuple[int, ...] = ()  # for each step, how many rounds of this cycle are behind it
    acknowledged_by: str | None = None
    acknowledged_at: datetime | None = None
    snoozed_until: datetime | None = None
    snoozed_by: str | None = None
    snoozed_at: datetime | None = None
    reopens_at: datetime | None = None  # pages again then: a snooze ends, or an acknowledgement led to no reply
    answered_at: datetime | None = None  # the customer had a reply since the page last called
    resolved_by: str | None = None
    resolved_at: datetime | None = None
    handover_to: str | None = None  # the team that somebody asked routing to give the case to
    troubles: tuple[str, ...] = ()  # why some of its steps reached nobody
    entries: int = 0  # of its history

    def base(self, on: On, level: int = 1) -> datetime | None:
        """Where the steps on this count from; None while it has not happened."""
        if on == On.OVERDUE:
            found = self.base_overdue[level - 1] if level <= len(self.base_overdue) else None
        else:
            found = self.base_breached if on == On.BREACHED else self.base_warned
        return found if found is None or self.begins is None else max(found, self.begins)

    @property
    def stage(self) -> On:
        """Which steps run and repeat by themselves: those on breaches from the first breach on."""
        return On.BREACHED if self.base_breached else On.WARNED

    @property
    def live(self) -> bool:
        return self.state != PageState.RESOLVED


@dataclass(frozen=True, slots=True)
class Way:
    """A way to reach a target. ``lane`` is one address: what shares it, shares its limits."""

    kind: str  # slack, email, webhook, console, or catch-all
    lane: str


@dataclass(frozen=True, slots=True)
class Target:
    """Who is told: ``person:ana``, ``destination:payments-slack``. ``via`` is the schedule or team that gave it."""

    key: str
    ways: tuple[Way, ...]
    via: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one target by one way."""

    id: UUID
    page_id: UUID
    target: str
    via: str | None
    way: str
    lane: str
    purpose: Purpose
    on: On
    cycle: int
    step: int | None  # of the policy, from 0; null where no step asked for it
    round: int
    cause: str  # what asked for it besides the step, so that ids differ
    clock_id: UUID  # what it is about
    state: DeliveryState
    created_at: datetime
    next_at: datetime  # not before
    head_start: int = 0  # seconds of waiting that it is spared, by its urgency
    grouping: str | None = None  # what it may share a digest with
    digest_id: UUID | None = None  # the digest that names it
    reason: str | None = None  # why it is held, failed or suppressed
    muted_by: UUID | None = None
    silenced_by: UUID | None = None  # the silence that held or suppressed it, also once it is over
    attempts: int = 0
    tries: int = 0  # since it was created or retried by hand, without those that only waited
    since: datetime | None = None  # tries count from here; created_at where null
    lost: int = 0  # attempts whose answer never came: each may have arrived
    token: UUID | None = None  # of the claim that is out
    claimed_until: datetime | None = None
    sent_at: datetime | None = None
    receipt: str | None = None  # the provider's name for the message
    follows: str | None = None  # the provider's name for the earlier message that this one changes or answers
    lines: tuple[Line, ...] = ()  # what a message of purpose ``history`` says


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of one delivery."""

    delivery_id: UUID
    number: int
    token: UUID
    started_at: datetime
    ended_at: datetime | None = None
    outcome: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a page's history, numbered from 1; ``deliveries`` are those that it made."""

    page_id: UUID
    number: int
    at: datetime
    kind: str
    because: Because
    by: str | None = None
    via: str | None = None
    deliveries: tuple[UUID, ...] = ()
    origin: str | None = None  # from where somebody acted: a key and an address, a user of Slack, a link


@dataclass(frozen=True, slots=True)
class Block:
    """A provider asked us to leave a lane alone for a while."""

    until: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class CaseState:
    """Everything about one case. ``page`` is its latest; ``history``, ``tries``, ``blocks`` hold only what is new."""

    case_id: UUID
    configuration: Configuration = Configuration()
    silences: tuple[Silence, ...] = ()
    facts: Facts = Facts()
    clocks: Mapping[UUID, Clock] = field(default_factory=dict)
    page: Page | None = None
    deliveries: Mapping[UUID, Delivery] = field(default_factory=dict)
    history: tuple[Entry, ...] = ()
    tries: Mapping[tuple[UUID, int], Attempt] = field(default_factory=dict)
    blocks: Mapping[str, Block] = field(default_factory=dict)
