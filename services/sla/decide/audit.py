"""Clocks re-checked: each deadline counted again from what its row says, and all of them derived again. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from uuid import UUID

from services.sla.calendar import business_between
from services.sla.decide import history, is_final, kept
from services.sla.decide.derive import Derived, derive, reached
from services.sla.decide.policies import BUILT_IN
from services.sla.decide.sentences import counted
from services.sla.decide.standing import composed
from services.sla.model import Calendar, Case, Clock
from shared.contracts.words import ClockState, Metric

# Versions of what counts alike, and what only says so, do not make a clock another one.
COMPARED = tuple(name for name in Clock.__slots__ if name not in ("because", "libraries", "version", "announced"))

Calendars = Mapping[tuple[str, int], Calendar]  # by name and version


@dataclass(frozen=True, slots=True)
class Finding:
    """One clock that stands otherwise than it should."""

    case_id: UUID
    clock_id: UUID
    metric: Metric
    instance: int
    text: str


def recounted(clock: Clock, calendar: Calendar) -> datetime | None:
    """The deadline, counted again from what is kept of how it came about; None while paused.

    ``calendar``: in the version that the promise was made with.
    """
    due = reached(calendar, clock.started_at, clock.pauses, clock.terms.within)
    return None if due is None else max(due, clock.promised_at)


def time_left(clock: Clock, calendar: Calendar, now: datetime) -> timedelta:
    """How much of the promise's own time is left; zero once it is due."""
    if clock.due_at is not None:
        return business_between(calendar, now, clock.due_at)
    used = counted(calendar, clock.started_at, now, clock.pauses)
    return max(clock.terms.within - sum((b - a for a, b in used), timedelta(0)), timedelta(0))


def overdue(clock: Clock, calendar: Calendar, now: datetime) -> timedelta:
    """How far a promise was or is over, in its own time."""
    until = clock.ended_at or now
    if clock.due_at is None or until <= clock.due_at:
        return timedelta(0)
    pauses = [each for each in clock.pauses if each.until is None or each.until > clock.due_at]
    return sum((b - a for a, b in counted(calendar, clock.due_at, until, pauses)), timedelta(0))


def today(case: Case, now: datetime) -> dict[UUID, Derived]:
    """The clocks as they would be, had what is configured now always been so; none of an erased customer's."""
    if case.opening is None or case.opening.erased:
        return {}
    walk = history.walk(case.opening, case.facts, case.folded)
    found = derive(case.case_id, case.opening, walk, case.configuration.as_of(now).latest, {})
    return {each.id: each for each in found}


def audit(
    case: Case, now: datetime, planning: bool = False, calendars: Calendars = MappingProxyType({})
) -> list[Finding]:
    """Every clock of the case that stands otherwise than its facts say, or than its own row adds up to.

    ``planning``: a re-plan is under way, so cases that were not planned with this configuration may wait for it.
    ``calendars``: in those old versions that clocks name and the configuration no longer holds.
    """
    found = {clock.id: text for clock in case.clocks if (text := _miscounted(clock, case, calendars))}
    standing = {clock.id: clock for clock in case.clocks}
    if case.opening is None or (planning and case.planned_with != case.configuration.version):
        return [_finding(standing[clock_id], text) for clock_id, text in found.items()]
    walk = history.walk(case.opening, case.facts, case.folded)
    settled = {clock.id for clock in case.clocks if is_final(clock, case.opening, case.folded)}
    for each in derive(case.case_id, case.opening, walk, case.configuration.as_of(now), kept(case)):
        was = standing.get(each.id)
        trust = was is not None and was.libraries != case.configuration.libraries
        should = composed(case, each, was, trust)
        if was is None:
            found[each.id] = "is missing"
            standing[each.id] = should
        elif each.id not in settled and (wrong := [n for n in COMPARED if getattr(was, n) != getattr(should, n)]):
            found[each.id] = "; ".join(
                f"{name} is {_said(getattr(was, name))}, derived {_said(getattr(should, name))}" for name in wrong[:3]
            )
        settled.add(each.id)
    for clock in case.clocks:
        if clock.id not in settled and clock.state is not ClockState.WITHDRAWN:
            found[clock.id] = "nothing calls for it"
    return [_finding(standing[clock_id], text) for clock_id, text in found.items()]


def counted_with(clock: Clock, case: Case) -> Calendar | None:
    """The calendar in the version that the clock names, where the configuration holds it."""
    name, version = clock.terms.calendar, clock.terms.calendar_version
    found = BUILT_IN if version == BUILT_IN.version else case.configuration.calendar(name, version)
    return found if found is not None and found.version == version else None


def _miscounted(clock: Clock, case: Case, calendars: Calendars) -> str:
    """Other time zone data count otherwise, and what was promised with the old ones stays."""
    calendar = counted_with(clock, case) or calendars.get((clock.terms.calendar, clock.terms.calendar_version))
    if calendar is None:
        return f"calendar {clock.terms.calendar} is not there in the version it was counted with"
    due = recounted(clock, calendar)
    if clock.libraries != case.configuration.libraries or due == clock.due_at:
        return ""
    return f"due {_said(clock.due_at)}, counted {_said(due)}"


def _finding(clock: Clock, text: str) -> Finding:
    return Finding(clock.case_id, clock.id, clock.metric, clock.instance, text)


def _said(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)[:200]
