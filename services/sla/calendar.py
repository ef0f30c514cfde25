"""Business time: opening hours of a calendar as instants, counted forwards and backwards. Pure.

One rule covers every daylight-saving change: an instant is open when its wall time in the calendar's zone lies in an
interval of its day. So a skipped hour is never open, a repeated hour counts twice, and a day that a zone skips is no
day. An interval belongs to the day it starts on: a holiday takes it away whole, also the part after midnight.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from heapq import merge
from importlib.metadata import version
from zoneinfo import ZoneInfo

from services.sla.model import Calendar
from services.sla.model.spec import CalendarSpec
from shared.contracts.hours import DAYS, MINUTES_A_DAY, ExtraDay, minutes, official

LIBRARIES = f"tzdata {version('tzdata')}, holidays {version('holidays')}"
HORIZON = timedelta(days=3653)  # a deadline is searched this far
MAX_CHANGES = 50  # of one calendar with an effective date; the oldest kept also stands for all before it
MAX_WEEKS = 208  # a target may take this much of a calendar's weekly hours, so it is always found within the horizon

EXTRA = "extra holiday"  # where a name was not given

Interval = tuple[datetime, datetime]

_DAY = timedelta(days=1)


class CalendarError(ValueError):
    """The deadline lies beyond the horizon. The text says what to do."""


def compiled(name: str, version: int, spec: CalendarSpec, before: Calendar | None = None) -> Calendar:
    """The calendar that a document describes. ``before``: as the one before it did; holds up to ``effective_from``."""
    weekly = tuple(tuple(sorted(_minutes(opens, closes) for opens, closes in spec.weekly.get(day, ()))) for day in DAYS)
    given, first_day = spec.holidays, spec.effective_from
    while before is not None and (
        first_day is None or (before.first_day is not None and before.first_day >= first_day)
    ):
        before = before.before if first_day is not None else None  # it never came into force, or was corrected
    return Calendar(
        name=name,
        version=version,
        zone=spec.time_zone,
        weekly=weekly,
        country=given.country,
        subdivision=given.subdivision,
        excepted=frozenset(given.except_),
        extra=dict((each.date, each.name) if isinstance(each, ExtraDay) else (each, EXTRA) for each in given.extra),
        first_day=first_day if before is not None else None,
        before=_shortened(before, MAX_CHANGES),
    )


def evolved(name: str, versions: Iterable[tuple[int, CalendarSpec]]) -> Calendar | None:
    """The last of the versions, which come in order, with what holds of those before it; None of none."""
    found: Calendar | None = None
    for number, spec in versions:
        found = compiled(name, number, spec, found)
    return found


def _shortened(calendar: Calendar | None, changes: int) -> Calendar | None:
    """Without the oldest, which the one after it stands for."""
    if calendar is None or calendar.before is None:
        return calendar
    if changes <= 1:
        return replace(calendar, first_day=None, before=None)
    return replace(calendar, before=_shortened(calendar.before, changes - 1))


def add_business(calendar: Calendar, start: datetime, amount: timedelta) -> datetime:
    """The earliest instant by which ``amount`` of business time has passed since ``start``.

    ``start`` itself where ``amount`` is zero; never an opening where the closing before it will do.
    Raises ``CalendarError`` beyond ``HORIZON``.
    """
    if amount <= timedelta(0):
        return start
    if calendar.always:
        return start + amount
    left, since = amount, _naive(start)
    for opens, closes in _openings(calendar, since, since + HORIZON):
        if left <= closes - opens:
            return (opens + left).replace(tzinfo=UTC)
        left -= closes - opens
    raise CalendarError(
        f"calendar {calendar.name} does not open for {amount} in the ten years after {start:%d %B %Y}. "
        "Give it more hours, or promise less time."
    )


def business_between(calendar: Calendar, since: datetime, until: datetime) -> timedelta:
    """How much business time lies between two instants; zero where ``until`` is not after ``since``."""
    if calendar.always:
        return max(until - since, timedelta(0))
    return sum((closes - opens for opens, closes in intervals(calendar, since, until)), timedelta(0))


def intervals(calendar: Calendar, since: datetime, until: datetime) -> Iterator[Interval]:
    """The open intervals between two instants, in UTC, apart from each other and in order."""
    for opens, closes in _openings(calendar, _naive(since), _naive(until)):
        yield opens.replace(tzinfo=UTC), closes.replace(tzinfo=UTC)


def holidays_between(calendar: Calendar, since: date, until: date) -> list[tuple[date, str]]:
    """The holidays from one date to another, both included, that fall on a day with opening hours."""
    found: list[tuple[date, str]] = []
    for day in (since + timedelta(days=n) for n in range((until - since).days + 1)):
        hours = _of_day(calendar, day)
        if hours.weekly[day.weekday()] and (name := _holiday(hours, day)):
            found.append((day, name))
    return found


def weekly_time(calendar: Calendar) -> timedelta:
    """Opening hours of a week without holidays; the shortest, where they change."""
    hours = timedelta(minutes=sum(closes - opens for day in calendar.weekly for opens, closes in day))
    return hours if calendar.before is None else min(hours, weekly_time(calendar.before))


def place(zone: str) -> str:
    """What people call the clock of a zone: ``Europe/Dublin`` → ``Dublin time``."""
    return "UTC" if zone in ("UTC", "Etc/UTC") else zone.rsplit("/", 1)[-1].replace("_", " ") + " time"


def _minutes(opens: str, closes: str) -> tuple[int, int]:
    since, until = minutes(opens), minutes(closes)
    return since, until if until > since else until + MINUTES_A_DAY


def _midnight(day: date) -> datetime:
    return _new_year(day.year).replace(month=day.month, day=day.day)


def _new_year(year: int) -> datetime:
    return datetime(year, 1, 1, tzinfo=UTC).replace(tzinfo=None)


def _naive(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(tzinfo=None)


def _openings(calendar: Calendar, since: datetime, until: datetime) -> Iterator[Interval]:
    """Open intervals in naive UTC; those that touch are joined."""
    if calendar.always:
        if since < until:
            yield since, until
        return
    last: Interval | None = None
    for opens, closes in _unjoined(calendar, since, until, None):
        if last is not None and opens <= last[1]:
            last = last[0], max(last[1], closes)
            continue
        if last is not None:
            yield last
        last = opens, closes
    if last is not None:
        yield last


def _unjoined(calendar: Calendar, since: datetime, until: datetime, end_day: date | None) -> Iterator[Interval]:
    """Open intervals by start, of days before ``end_day``; those of before and after a change may overlap."""
    days = calendar.first_day, end_day
    ours = (
        (opens - offset, closes - offset)
        for begin, end, offset in _offsets(calendar.zone, since, until)
        for opens, closes in _wall_openings(calendar, begin + offset, end + offset, days)
    )
    if calendar.before is None or calendar.first_day is None or since.date() > calendar.first_day + 3 * _DAY:
        return ours
    return merge(_unjoined(calendar.before, since, until, calendar.first_day), ours)


def _of_day(calendar: Calendar, day: date) -> Calendar:
    """The calendar as it is in force on a day."""
    while calendar.before is not None and calendar.first_day is not None and day < calendar.first_day:
        calendar = calendar.before
    return calendar


def _wall_openings(
    calendar: Calendar, since: datetime, until: datetime, days: tuple[date | None, date | None]
) -> Iterator[Interval]:
    """Open intervals in wall time, as if no clock ever changed; begins a day early for what lasts over midnight.

    ``days``: the first one, and the one after the last.
    """
    midnight = since.replace(hour=0, minute=0, second=0, microsecond=0) - _DAY
    first_day, end_day = days
    if first_day is not None:
        midnight = max(midnight, _midnight(first_day))
    last = until if end_day is None else min(until, _midnight(end_day))
    while midnight < last:
        hours = calendar.weekly[midnight.weekday()]
        if hours and not _holiday(calendar, midnight.date()):
            for opens, closes in hours:
                begin = max(midnight + timedelta(minutes=opens), since)
                end = min(midnight + timedelta(minutes=closes), until)
                if begin < end:
                    yield begin, end
        midnight += _DAY


def _holiday(calendar: Calendar, day: date) -> str | None:
    """The name of the holiday, or None on any other day."""
    if day in calendar.extra:
        return calendar.extra[day]
    if calendar.country is None or day in calendar.excepted:
        return None
    return official(calendar.country, calendar.subdivision, day.year).get(day)


def _offsets(zone: str, since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime, timedelta]]:
    """Stretches of naive UTC between two instants in which the zone's offset stays the same."""
    while since < until:
        changes = _changes(zone, since.year)
        at = bisect_right(changes, since, key=lambda change: change[0])
        end = changes[at][0] if at < len(changes) else _new_year(since.year + 1)
        end = min(end, until)
        yield since, end, changes[at - 1][1]
        since = end


@lru_cache(maxsize=16384)
def _changes(zone: str, year: int) -> tuple[tuple[datetime, timedelta], ...]:
    """The offset at the start of a year (UTC), and every change in it.

    Looks every five days and halves from there: no zone has ever changed twice within six days since 1907.
    """
    info, at, end = ZoneInfo(zone), _new_year(year), _new_year(year + 1)
    found = [(at, _offset(info, at))]
    while at < end:
        later = min(at + 5 * _DAY, end)
        if _offset(info, later) != found[-1][1]:
            instant = _first_after(info, at, later)
            if instant < end:
                found.append((instant, _offset(info, instant)))
        at = later
    return tuple(found)


def _first_after(info: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """The first second with the offset of ``after``; ``before`` has another."""
    old = _offset(info, before)
    while after - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
        if _offset(info, middle) == old:
            before = middle
        else:
            after = middle
    return after


def _offset(info: ZoneInfo, at: datetime) -> timedelta:
    offset = at.replace(tzinfo=UTC).astimezone(info).utcoffset()
    return offset if offset is not None else timedelta(0)
