"""Why a clock stands as it does, in sentences that a support specialist understands. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from pydantic import JsonValue

from services.sla.calendar import holidays_between, intervals, place
from services.sla.decide.policies import ALWAYS_NAME
from services.sla.model import Calendar, Clock, Pause
from services.sla.model.metrics import RULES
from shared.contracts import duration
from shared.contracts.envelope import Because
from shared.contracts.trusted import trusted
from shared.contracts.words import ClockState

MAX_DAYS_TOLD = 6  # a derivation tells this many days one by one

PROMISED: Mapping[str, str] = {metric: rule.promised for metric, rule in RULES.items()}
_RUNS: Mapping[str, str] = {metric: f"{what} is due " for metric, what in PROMISED.items()}
_BROKE = "{} was due {}, and has not happened."


def local(at: datetime, zone: str, exact: bool = False) -> str:
    """``Fri 24 Oct 16:20``, in the zone; with seconds where ``exact``."""
    return at.astimezone(ZoneInfo(zone)).strftime("%a %d %b %H:%M:%S" if exact else "%a %d %b %H:%M")


def amount(length: timedelta, calendar: str) -> str:
    """``4 business hours``, ``90 min``: how people say a target."""
    hours, rest = divmod(length, timedelta(hours=1))
    if hours and not rest:
        kind = "hour" if calendar == ALWAYS_NAME else "business hour"
        return f"{hours} {kind}" + ("" if hours == 1 else "s")
    return duration.words(length) + ("" if calendar == ALWAYS_NAME else " of business time")


def because(clock: Clock, why: str = "") -> Because:
    """The state of a clock as one sentence, with the facts it stands on. ``why``: it ended."""
    facts = _facts(clock)
    return trusted(Because, text=_text(clock, why), facts=facts | {"ended": why} if why else facts)


def broken(metric: str, said: str) -> str:
    """What a running clock says once its deadline has passed. ``said``: what it said before."""
    return _BROKE.format(PROMISED[metric], said.removeprefix(_RUNS[metric]).removesuffix("."))


def _facts(clock: Clock) -> dict[str, JsonValue]:
    terms = clock.terms
    found: dict[str, JsonValue] = {
        "policy": terms.policy,
        "policy_version": terms.policy_version,
        "calendar": terms.calendar,
        "calendar_version": terms.calendar_version,
        "time_zone": terms.zone,
        "within": duration.text(terms.within),
        "started_at": clock.started_at.isoformat(),
        "due_at": clock.due_at.isoformat() if clock.due_at else None,
    }
    if clock.pauses:
        found["pauses"] = [
            {"from": each.since.isoformat(), "until": each.until.isoformat() if each.until else None}
            for each in clock.pauses
        ]
    return found


def _text(clock: Clock, why: str) -> str:
    what, when = PROMISED[clock.metric], f" at {_at(clock, clock.ended_at)}" if clock.ended_at else ""
    match clock.state:
        case ClockState.RUNNING:
            return f"{_RUNS[clock.metric]}{_due(clock)}."
        case ClockState.PAUSED:
            since = clock.pauses[-1].since if clock.pauses else clock.started_at
            return f"{what} is promised within {_within(clock)}; the clock stands still since {_at(clock, since)}."
        case ClockState.BREACHED:
            return _BROKE.format(what, _due(clock))
        case ClockState.MET if clock.breached_at and clock.ended_at:
            late = duration.words(clock.ended_at - clock.breached_at)
            return f"{what} came {late} late: {why}{when}, due {_due(clock)}."
        case ClockState.MET:
            return f"{what} came in time: {why}{when}, due {_due(clock)}."
        case ClockState.WITHDRAWN if why:
            announced = f" for {_at(clock, clock.firing.breached_at)}" if clock.firing.breached_at else ""
            return f"The breach announced{announced} was none: {why}{when}, which we learned only later."
        case ClockState.WITHDRAWN:
            return f"{what} was not owed after all, which we learned only later."
    late = f", after it was broken: due {_due(clock)}" if clock.breached_at else ""
    return f"{what} is no longer owed: {why}{when}{late}."


def _at(clock: Clock, at: datetime) -> str:
    return f"{local(at, clock.terms.zone, clock.terms.within < timedelta(minutes=10))} {place(clock.terms.zone)}"


def _within(clock: Clock) -> str:
    terms = clock.terms
    by = f" by policy {terms.policy}" if terms.policy else ""
    exact = terms.within < timedelta(minutes=10)
    return f"{amount(terms.within, terms.calendar)} from {local(clock.started_at, terms.zone, exact)}{by}"


def _due(clock: Clock) -> str:
    due = _at(clock, clock.due_at) if clock.due_at else "when it runs again"
    told = f"{due}: {_within(clock)}"
    if clock.due_at and clock.due_at == clock.promised_at > clock.started_at:
        told += f", which it promises only since {_at(clock, clock.promised_at)}"
    paused = [pause for pause in clock.pauses if clock.due_at is None or pause.since < clock.due_at]
    if paused:
        length = sum((pause.until - pause.since for pause in paused if pause.until), timedelta(0))
        times = "once" if len(paused) == 1 else f"{len(paused)} times"
        told += f", not counting {duration.words(length)} in which it was paused ({times})"
    return told


def counted(
    calendar: Calendar, start: datetime, until: datetime, pauses: Sequence[Pause]
) -> list[tuple[datetime, datetime]]:
    """The intervals, in UTC, that count from ``start`` to ``until``: open, and not paused."""
    found: list[tuple[datetime, datetime]] = []
    since = start
    for pause in pauses:
        if pause.since >= until:
            break
        found.extend(intervals(calendar, since, pause.since))
        since = pause.until or until
    if since < until:
        found.extend(intervals(calendar, since, until))
    return found


def holidays_told(calendar: Calendar, start: datetime, until: datetime) -> list[tuple[str, str]]:
    """Dates and names of the holidays between two instants, as the calendar's zone dates them."""
    zone = ZoneInfo(calendar.zone)
    first, last = start.astimezone(zone).date(), until.astimezone(zone).date()
    return [(day.isoformat(), name) for day, name in holidays_between(calendar, first, last)]


def derivation(clock: Clock, calendar: Calendar) -> str:
    """How a deadline came about: the days that counted, the holidays that did not, and where it ended.

    ``4 business hours from Fri 16:20 Dublin: 1 h 10 on Friday, Monday is a holiday, 2 h 50 on Tuesday → Tue 11:50``;
    with dates where it takes a week or more.
    """
    still = clock.pauses[-1].since if clock.pauses else clock.started_at
    until = clock.due_at or max(still, clock.started_at)
    dated = until - clock.started_at >= timedelta(days=7)
    days = ["around the clock"] if calendar.always else _days(clock, calendar, until, dated)
    told = f"{amount(clock.terms.within, clock.terms.calendar)} from {_moment(clock, clock.started_at, dated)}"
    told = f"{told} {place(clock.terms.zone).removesuffix(' time')}: {', '.join(days)}"
    if clock.due_at is None:
        return f"{told}; it stands still since {_moment(clock, until, dated)}"
    if clock.due_at == clock.promised_at > clock.started_at:
        told += ", promised only since then"
    return f"{told} → {_moment(clock, clock.due_at, dated)}"


def _moment(clock: Clock, at: datetime, dated: bool) -> str:
    written = ("%a %d %b " if dated else "%a ") + (
        "%H:%M:%S" if clock.terms.within < timedelta(minutes=10) else "%H:%M"
    )
    return at.astimezone(ZoneInfo(clock.terms.zone)).strftime(written)


def _days(clock: Clock, calendar: Calendar, until: datetime, dated: bool) -> list[str]:
    zone = ZoneInfo(calendar.zone)
    passed: dict[str, timedelta] = {}
    for opens, closes in counted(calendar, clock.started_at, until, clock.pauses):
        day = opens.astimezone(zone).date().isoformat()
        passed[day] = passed.get(day, timedelta(0)) + (closes - opens)
    told = {day: f"{_length(length)} on {_weekday(day, dated)}" for day, length in passed.items()}
    for day, name in holidays_told(calendar, clock.started_at, until):
        if day not in passed:
            told[day] = f"{_weekday(day, dated)} is a holiday ({name})"
    days = [text for _, text in sorted(told.items())] or ["nothing yet"]
    if len(days) > MAX_DAYS_TOLD:
        days = [*days[: MAX_DAYS_TOLD - 1], f"the rest on {len(days) - MAX_DAYS_TOLD + 1} later days"]
    paused = sum((each.until - each.since for each in clock.pauses if each.until and each.since < until), timedelta(0))
    return [*days, f"{_length(paused)} paused"] if paused else days


def _length(length: timedelta) -> str:
    """``1 h 10``, ``50 min``."""
    said = duration.words(length)
    return said.removesuffix(" min") if " h " in said else said


def _weekday(day: str, dated: bool) -> str:
    return f"{datetime.fromisoformat(day):{'%a %d %b' if dated else '%A'}}"
