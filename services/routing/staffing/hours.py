"""Working hours: whether somebody works at an instant, and when they do next. Pure.

As calendars of promises do: an instant is open when its wall time lies in an interval of its day, and an interval
belongs to the day it starts on, so a holiday takes it away whole.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from shared.contracts.hours import DAYS, MINUTES_A_DAY, ExtraDay, HolidaysSpec, Hours, minutes, official

LOOKED_AHEAD = 21  # days

Weekly = Mapping[str, Hours]
_DAY = timedelta(days=1)


def works(weekly: Weekly, zone: str, holidays: HolidaysSpec, at: datetime) -> bool:
    wall = at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    days = (wall.date() - _DAY, wall.date())
    return any(opens <= wall < closes for day in days for opens, closes in _intervals(weekly, holidays, day))


def opens_next(weekly: Weekly, zone: str, holidays: HolidaysSpec, at: datetime) -> datetime | None:
    """The next time they begin to work after ``at``, None where that is more than ``LOOKED_AHEAD`` days away."""
    info = ZoneInfo(zone)
    first = at.astimezone(info).date()
    for day in (first + n * _DAY for n in range(LOOKED_AHEAD)):
        for opens, _ in _intervals(weekly, holidays, day):
            instant = opens.replace(tzinfo=info).astimezone(UTC)
            if instant > at and works(weekly, zone, holidays, instant):
                return instant
    return None


def _intervals(weekly: Weekly, holidays: HolidaysSpec, day: date) -> Iterator[tuple[datetime, datetime]]:
    """In wall time, in order, of the day they start on."""
    hours = weekly.get(DAYS[day.weekday()], ())
    if not hours or holiday(holidays, day):
        return
    midnight = datetime.combine(day, datetime.min.time())
    for opens, closes in sorted((minutes(opens), minutes(closes)) for opens, closes in hours):
        until = closes if closes > opens else closes + MINUTES_A_DAY
        yield midnight + timedelta(minutes=opens), midnight + timedelta(minutes=until)


def holiday(spec: HolidaysSpec, day: date) -> bool:
    if any((each.date if isinstance(each, ExtraDay) else each) == day for each in spec.extra):
        return True
    if spec.country is None or day in spec.except_:
        return False
    return day in official(spec.country, spec.subdivision, day.year)
