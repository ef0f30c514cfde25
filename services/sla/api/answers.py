"""The shapes of sla's answers."""

from datetime import date, datetime
from typing import Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from services.sla.decide.audit import overdue, time_left
from services.sla.decide.derive import Derived
from services.sla.model import Calendar, Clock, Held
from shared.contracts import duration
from shared.contracts.envelope import Because
from shared.contracts.words import ClockState, Metric
from shared.http import Answer


class StretchAnswer(Answer):
    """From one instant to another, in UTC; ``until`` is null while it lasts."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    since: datetime = Field(alias="from")
    until: datetime | None


class ClockAnswer(Answer):
    """One promise on one case. ``due_at`` is null while paused; ``breached_at`` is the instant the promise broke.

    ``first_due_at`` is what was promised first, before any edit or change of the case moved it. ``time_left`` and
    ``overdue`` are in the promise's own time: opening hours that are not paused.
    """

    id: UUID
    case_id: UUID
    metric: Metric
    instance: int
    state: ClockState
    started_at: datetime
    due_at: datetime | None
    first_due_at: datetime | None
    time_left: str | None  # ISO 8601; null once it ended
    overdue: str | None  # ISO 8601; null unless it broke
    overdue_level: float | None  # the highest of the target's `overdue_at` that was announced, as a share of it
    warned_at: datetime | None
    breached_at: datetime | None
    met_at: datetime | None
    ended_at: datetime | None
    team: str | None
    policy: str | None  # null for `unassigned`, which is ours
    policy_version: int | None
    within: str
    calendar: str
    time_zone: str
    history: bool
    version: int
    because: Because


class TruthAnswer(Answer):
    """One promise and the deadline that it gives; ``due_at`` is null while paused."""

    policy: str | None
    policy_version: int | None
    within: str
    calendar: str
    calendar_version: int
    promised_at: datetime
    due_at: datetime | None


class HolidayAnswer(Answer):
    date: date
    name: str


class DerivationAnswer(Answer):
    """How a deadline came about, counted again from the versions that it was promised with."""

    clock_id: UUID
    sentence: str
    started_at: datetime
    due_at: datetime | None
    within: str
    policy: str | None
    policy_version: int | None
    promised_at: datetime  # since when these terms hold: the deadline is never before it
    calendar: str
    calendar_version: int
    time_zone: str
    counted: list[StretchAnswer]  # these add up to `within`
    counted_in_all: int  # how many there are, where the list was cut
    pauses: list[StretchAnswer]
    holidays: list[HolidayAnswer]
    libraries: str  # versions of the time zone and holiday data
    first: TruthAnswer  # what was promised then, first of all
    today: TruthAnswer | None  # what would be promised now; null where nothing would, or where it can't be known
    recomputed_due_at: datetime | None
    agrees: bool  # with what stands


class ReplanAnswer(Answer):
    """How far the open clocks follow an edit. ``calendars`` is null where the edit may touch any case."""

    version: int  # of the configuration
    state: Literal["running", "done", "superseded"]  # superseded: a later edit began again
    calendars: list[str] | None
    cases: int  # with clocks that it may touch, when it began
    done: int
    started_at: datetime
    moved_at: datetime
    finished_at: datetime | None


class TriedAnswer(Answer):
    policy: str
    position: int
    matched: bool
    reason: str | None


class PromiseAnswer(Answer):
    metric: Metric
    within: str
    calendar: str
    due_at: datetime
    warnings_at: list[datetime]
    derivation: str


class PreviewAnswer(Answer):
    """``policy`` is null where none matches: nothing would be promised."""

    policy: str | None
    policy_version: int | None
    promises: list[PromiseAnswer]
    tried: list[TriedAnswer]


def of_clock(clock: Clock, hours: Calendar, now: datetime) -> ClockAnswer:
    """``hours``: the clock's calendar."""
    return ClockAnswer(
        id=clock.id,
        case_id=clock.case_id,
        metric=clock.metric,
        instance=clock.instance,
        state=clock.state,
        started_at=clock.started_at,
        due_at=clock.due_at,
        first_due_at=clock.earlier[0].due_at if clock.earlier else clock.due_at,
        time_left=None if clock.ended else duration.text(time_left(clock, hours, now)),
        overdue=duration.text(overdue(clock, hours, now)) if clock.breached_at else None,
        overdue_level=clock.overdue,
        warned_at=clock.warned_at,
        breached_at=clock.breached_at,
        met_at=clock.met_at,
        ended_at=clock.ended_at,
        team=clock.team,
        policy=clock.terms.policy,
        policy_version=clock.terms.policy_version,
        within=duration.text(clock.terms.within),
        calendar=clock.terms.calendar,
        time_zone=clock.terms.zone,
        history=clock.history,
        version=clock.version,
        because=clock.because,
    )


def of_held(held: Held) -> TruthAnswer:
    return TruthAnswer(
        policy=held.policy,
        policy_version=held.policy_version,
        within=duration.text(held.within),
        calendar=held.calendar,
        calendar_version=held.calendar_version,
        promised_at=held.since,
        due_at=held.due_at,
    )


def of_derived(derived: Derived | Clock) -> TruthAnswer:
    terms = derived.terms if isinstance(derived, Clock) else derived.promise.terms
    return TruthAnswer(
        policy=terms.policy,
        policy_version=terms.policy_version,
        within=duration.text(terms.within),
        calendar=terms.calendar,
        calendar_version=terms.calendar_version,
        promised_at=derived.promised_at,
        due_at=derived.due_at,
    )
