"""The shapes of sla's answers."""

from datetime import date, datetime
from typing import Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from services.sla.model import Clock
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
    """One promise on one case. ``due_at`` is null while paused; ``breached_at`` is the instant the promise broke."""

    id: UUID
    case_id: UUID
    metric: Metric
    instance: int
    state: ClockState
    started_at: datetime
    due_at: datetime | None
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


def of_clock(clock: Clock) -> ClockAnswer:
    return ClockAnswer(
        id=clock.id,
        case_id=clock.case_id,
        metric=clock.metric,
        instance=clock.instance,
        state=clock.state,
        started_at=clock.started_at,
        due_at=clock.due_at,
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
