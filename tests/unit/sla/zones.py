"""Business time against brute force, minute by minute, around every change of every zone's clocks from 1990 to 2037.

The oracle shares nothing with ``services/sla/calendar.py`` but the description of a calendar: it looks at the wall
time of each minute. CI looks an hour and a half around each change with one calendar; a longer run takes longer looks:

    python -m tests.unit.sla.zones --around 1560 --calendars 6 --look 30
"""

import argparse
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from importlib import resources
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from services.sla.calendar import add_business, business_between, evolved
from services.sla.model import Calendar
from services.sla.model.spec import CalendarSpec
from shared.contracts.hours import DAYS

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
SINCE, UNTIL = datetime(1990, 1, 1, tzinfo=UTC), datetime(2038, 1, 1, tzinfo=UTC)


def every(*hours: list[str], days: Sequence[str] = DAYS) -> dict[str, Any]:
    return {day: list(hours) for day in days}


NIGHTS = every(["22:00", "06:00"])
EARLY = every(["00:15", "00:45"], ["01:00", "01:30"], ["02:00", "03:30"], ["04:00", "21:30"])
SHAPES: list[list[dict[str, Any]]] = [
    [EARLY],
    [NIGHTS],
    [every(["00:00", "24:00"], days=("mon", "wed", "fri", "sun"))],
    [every(["00:00", "00:30"], ["23:00", "24:00"])],
    [every(["09:00", "13:00"], ["14:00", "17:30"], days=DAYS[:5])],
    [NIGHTS, EARLY],  # the hours change on the very day that the clocks do
]


def distinct_zones() -> list[str]:
    """One name for each different set of rules; the others are its aliases."""
    found: dict[bytes, str] = {}
    for name in sorted(available_timezones()):
        found.setdefault((resources.files("tzdata") / "zoneinfo" / name).read_bytes(), name)
    return sorted(found.values())


def changes(zone: str, look: timedelta) -> Iterator[datetime]:
    """Every instant at which a zone's offset changes; looks every so often, and halves from there."""
    info, at = ZoneInfo(zone), SINCE
    offset = at.astimezone(info).utcoffset()
    while at < UNTIL:
        later = at + look
        if (now := later.astimezone(info).utcoffset()) != offset:
            before, after = at, later
            while after - before > timedelta(seconds=1):
                middle = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
                before, after = (middle, after) if middle.astimezone(info).utcoffset() == offset else (before, middle)
            yield after
            offset = now
        at = later


@lru_cache
def shaped(number: int, zone: str, day: date | None) -> Calendar:
    """A calendar whose second hours, where it has some, are in force from a day on."""
    specs = [{"time_zone": zone, "weekly": weekly} for weekly in SHAPES[number]]
    for later in specs[1:]:
        later["effective_from"] = day
    found = evolved("c", enumerate(map(CalendarSpec.model_validate, specs), 1))
    assert found is not None
    return found


def is_open(of: Calendar, wall: datetime) -> bool:
    """By wall time, in the hours of the day it belongs to, or of the day before."""
    minute = wall.hour * 60 + wall.minute
    return _covers(of, wall.date(), minute) or _covers(of, wall.date() - DAY, minute + 1440)


def _covers(of: Calendar, day: date, minute: int) -> bool:
    while of.before is not None and of.first_day is not None and day < of.first_day:
        of = of.before
    return day not in of.extra and any(opens <= minute < closes for opens, closes in of.weekly[day.weekday()])


def check(of: Calendar, since: datetime, minutes: int) -> None:
    """Count and add over a stretch, and compare with every minute of it."""
    info = ZoneInfo(of.zone)
    opened = [is_open(of, (since + n * MINUTE).astimezone(info).replace(tzinfo=None)) for n in range(minutes)]
    until, count = since + minutes * MINUTE, sum(opened)
    assert business_between(of, since, until) == count * MINUTE, (of, since, minutes)
    half = minutes // 2
    assert business_between(of, since, since + half * MINUTE) == sum(opened[:half]) * MINUTE, (of, since, half)
    open_minutes = [n for n, it_is in enumerate(opened) if it_is]
    for amount in {1, count // 2, count} - {0} if count else ():
        due = add_business(of, since, amount * MINUTE)
        assert due == since + (open_minutes[amount - 1] + 1) * MINUTE, (of, since, amount)
        assert business_between(of, since, due) == amount * MINUTE, (of, since, amount)


def run(around: int, calendars: int, look: timedelta) -> tuple[int, int, int]:
    """Check all; gives how many zones, changes and checks. ``around``: minutes before and after each change."""
    zones, seen, checks = distinct_zones(), 0, 0
    for zone in zones:
        info = ZoneInfo(zone)
        for change in changes(zone, look):
            day = change.astimezone(info).date()
            for number in ((seen + n) % len(SHAPES) for n in range(calendars)):
                of = shaped(number, zone, day if len(SHAPES[number]) > 1 else None)
                check(of, change - around * MINUTE, 2 * around)
                checks += 1
            seen += 1
    return len(zones), seen, checks


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--around", type=int, default=90, help="minutes before and after each change")
    arguments.add_argument("--calendars", type=int, default=1)
    arguments.add_argument("--look", type=int, default=1440, help="minutes between looks for a change")
    given = arguments.parse_args()
    print("{} zones, {} changes, {} checks".format(*run(given.around, given.calendars, given.look * MINUTE)))
