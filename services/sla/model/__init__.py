"""Frozen state and value types of sla: what happened to a case, what is promised, and the clocks that stand."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from services.sla.model.walk import Walk
from shared.conditions import Condition
from shared.contracts.clocks import CaseSummary
from shared.contracts.envelope import Because
from shared.contracts.words import Channel, ClockState, Metric, Priority, Status

ENDED = (ClockState.MET, ClockState.CANCELLED, ClockState.WITHDRAWN)
DONE = (Status.SOLVED, Status.CLOSED)  # nobody waits for us in these


NOT_SAID = Because(text="")

# What happened


class FactKind(StrEnum):
    CONTACTED = "contacted"  # the customer wrote or called; automated mail is not a fact
    CUSTOMER_REPLIED = "customer_replied"  # the same, told as an activity
    REPLIED = "replied"  # an agent replied, in public, in person
    PICKED_UP = "picked_up"  # somebody took the case, or acknowledged its page
    STATUS = "status"
    PRIORITY = "priority"
    TAGS = "tags"
    PLACED = "placed"  # assigned or handed off
    ABSORBED = "absorbed"  # took over another case
    MERGED = "merged"  # became part of another case


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that happened to a case and may matter to a clock. ``(topic, sequence)`` identifies it."""

    topic: str
    sequence: int
    kind: FactKind
    occurred_at: datetime  # as told
    known_at: datetime  # when Tocsin received or recorded it: it cannot have happened later
    by: str | None = None  # the agent, never the customer
    status: Status | None = None
    priority: Priority | None = None
    tags: tuple[str, ...] | None = None
    team: str | None = None
    routed: Because | None = None  # why the case is with this team
    since: datetime | None = None  # ABSORBED: since when that case's customer has waited for an answer
    other: str | None = None  # MERGED, ABSORBED: the number of the other case
    history: bool = False  # imported


@dataclass(frozen=True, slots=True)
class Opening:
    """The contact that opened the case: what conditions ask about, and what a message says."""

    number: str
    opened_at: datetime
    received_at: datetime
    channel: Channel
    source: str | None = None
    language: str | None = None
    reason: str | None = None
    tags: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    customer_id: str | None = None
    customer_email: str | None = None
    customer_name: str | None = None
    customer_tier: str | None = None
    customer_country: str | None = None
    subject: str = ""
    excerpt: str = ""
    url: str | None = None
    history: bool = False  # imported
    erased: bool = False  # identity and text are gone; promises stay as they were made


# What is promised


@dataclass(frozen=True, slots=True)
class Calendar:
    """Opening hours, ready to count with. Equal calendars open at the same instants, whatever their version.

    Where ``first_day`` is set, days before it open as ``before`` says.
    """

    name: str = field(compare=False)
    version: int = field(compare=False)
    zone: str
    weekly: tuple[tuple[tuple[int, int], ...], ...]  # per weekday from Monday: minutes since midnight, up to 2880
    country: str | None = None
    subdivision: str | None = None
    excepted: frozenset[date] = frozenset()
    extra: Mapping[date, str] = field(default_factory=dict)  # by date, the holiday's name
    first_day: date | None = None
    before: "Calendar | None" = None

    @property
    def always(self) -> bool:
        """Open around the clock, every day."""
        if self.country is not None or self.extra or self.weekly != (((0, 1440),),) * 7:
            return False
        return self.before is None or self.before.always


@dataclass(frozen=True, slots=True)
class Terms:
    """One promise as it was made. Versions are noted, and do not make a promise another one."""

    within: timedelta
    calendar: str
    zone: str
    policy: str | None = None  # None: `unassigned`, which is ours
    policy_version: int | None = field(default=None, compare=False)
    calendar_version: int = field(default=0, compare=False)
    warn_at: tuple[float, ...] = ()  # shares of the target
    overdue_at: tuple[float, ...] = ()  # shares of the target on top of it
    pause_on: tuple[Status, ...] = ()


@dataclass(frozen=True, slots=True)
class Promise:
    """Terms with the calendar they count in."""

    terms: Terms
    calendar: Calendar


@dataclass(frozen=True, slots=True)
class Policy:
    """One version of a policy, compiled."""

    name: str
    version: int
    position: int
    condition: Condition
    promises: Mapping[Metric, Promise]

    @property
    def order(self) -> tuple[int, str]:
        return self.position, self.name


@dataclass(frozen=True, slots=True)
class Edition:
    """Everything configured, as it was in force from ``since`` until the next edition."""

    since: datetime
    policies: tuple[Policy, ...]  # by position
    calendars: Mapping[str, Calendar]
    fresh: tuple[Policy, ...] = ()  # those of the policies that the edition before did not have
    delayed: bool = False  # it was written earlier than it took effect

    def has(self, policy: Policy) -> bool:
        """Whether this very version of the policy, with the same calendars, is in force."""
        at = bisect_left(self.policies, policy.order, key=lambda each: each.order)
        return at < len(self.policies) and self.policies[at] is policy


@dataclass(frozen=True, slots=True)
class Configuration:
    """What was promised at any time. The first edition also holds for all time before it."""

    version: int
    editions: tuple[Edition, ...]  # by `since`; at least one
    libraries: str  # versions of the time zones and holidays that deadlines are counted with

    def as_of(self, now: datetime) -> "Configuration":
        """Without what takes effect only later. Edits of a replica whose clock is ahead are no such thing."""
        for number in range(bisect_right(self.editions, now, key=lambda edition: edition.since), len(self.editions)):
            if self.editions[number].delayed:
                return replace(self, editions=self.editions[: max(number, 1)])
        return self

    @property
    def latest(self) -> "Configuration":
        """As if what is configured last had always been so."""
        return replace(self, editions=self.editions[-1:])

    @property
    def delayed(self) -> list[datetime]:
        """When versions took or take effect that were written before that, in order."""
        return [edition.since for edition in self.editions if edition.delayed]

    def calendar(self, name: str, version: int) -> Calendar | None:
        """That version of the calendar, or the newest that there is."""
        found = None
        for edition in self.editions:
            found = edition.calendars.get(name, found)
            if found is not None and found.version == version:
                break
        return found


# The clocks that stand


@dataclass(frozen=True, slots=True)
class Pause:
    since: datetime
    until: datetime | None = None  # None: paused still


@dataclass(frozen=True, slots=True)
class Level:
    """The instant at which a share of the target has passed, above 1 when overdue; None while paused before it."""

    share: float
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Firing:
    """What was announced about a clock because its timer came due. Never erased, also where it proves wrong."""

    warned_share: float | None = None
    warned_fired_at: datetime | None = None
    breached_at: datetime | None = None  # the due time that was announced as broken
    breach_fired_at: datetime | None = None
    overdue_share: float | None = None  # on top of the target
    overdue_fired_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A promise that held before another took its place, and the deadline that it gave."""

    since: datetime
    policy: str | None
    within: timedelta
    calendar: str
    policy_version: int | None = field(default=None, compare=False)
    calendar_version: int = field(default=0, compare=False)
    due_at: datetime | None = field(default=None, compare=False)  # None: paused then


@dataclass(frozen=True, slots=True)
class Clock:
    """One promise on one case: one row."""

    id: UUID
    case_id: UUID
    metric: Metric
    instance: int
    state: ClockState
    started_at: datetime
    terms: Terms
    promised_at: datetime  # since when these terms hold: the deadline is never before it
    due_at: datetime | None
    levels: tuple[Level, ...]
    pauses: tuple[Pause, ...]
    team: str | None
    history: bool
    libraries: str  # versions of the data that the deadline was counted with
    ended_at: datetime | None = None
    met_at: datetime | None = None
    breached_at: datetime | None = None
    warned_at: datetime | None = None
    overdue: float | None = None  # the highest share on top of the target that was announced
    firing: Firing = Firing()
    earlier: tuple[Held, ...] = ()
    because: Because = NOT_SAID
    version: int = 0  # grows by one with each event about this instance
    announced: bool = False  # a warning or breach was published about it, right or wrong

    @property
    def ended(self) -> bool:
        return self.state in ENDED


@dataclass(frozen=True, slots=True)
class Gone:
    """What consumers heard of a clock before it was withdrawn: should it come back, it goes on from there."""

    version: int
    announced: bool


@dataclass(frozen=True, slots=True)
class Case:
    """What sla knows of one case, and the clocks that follow from it."""

    case_id: UUID
    configuration: Configuration
    opening: Opening | None = None
    facts: tuple[Fact, ...] = ()
    folded: Walk | None = None  # what older facts came to, where a case has very many
    clocks: tuple[Clock, ...] = ()
    gone: Mapping[UUID, "Gone"] = field(default_factory=dict)  # clocks that were none and left no row
    planned_with: int | None = None  # version of the configuration that the clocks were derived with
    owed: int = 0  # how many spans are open in which something is owed, promised by a policy or not
    words: CaseSummary | None = None  # what a message says, ready for when a timer fires; None until the case opened
