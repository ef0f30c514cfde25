"""From times on the wall of a zone to instants: one reading for each, also where the clocks change. Pure.

A wall time that does not exist is the instant at which the clocks jump over it; one that exists twice is its first
pass. So what follows on the wall follows in time, and a week of hours has no overlap and no hole of its own.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from services.notify.model.rota import Window

BEGINNING = datetime(1900, 1, 1, tzinfo=UTC)
END = datetime(2200, 1, 1, tzinfo=UTC)
_WEEK = timedelta(days=7)


def instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """The UTC instant of a naive wall time. Never goes back as ``wall`` goes on."""
    before = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    after = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    if after >= before:
        return before  # the usual case, or a repeated hour: its first pass
    return _jump(after, before, zone)


def _jump(early: datetime, late: datetime, zone: ZoneInfo) -> datetime:
    """The instant in (early, late] at which the zone's offset changes, to the second."""
    offset = early.astimezone(zone).utcoffset()
    low, high = 0, int((late - early).total_seconds())
    while high - low > 1:
        middle = (low + high) // 2
        if (early + timedelta(seconds=middle)).astimezone(zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return early + timedelta(seconds=high)


def wording(at: datetime, zone: str) -> str:
    """``Mon 23 Nov 09:00 Dublin``"""
    return f"{at.astimezone(ZoneInfo(zone)):%a %d %b %H:%M} {zone.rpartition('/')[2].replace('_', ' ')}"


def monday(wall: datetime) -> datetime:
    """Midnight on the wall at which the week of ``wall`` began."""
    return wall.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=wall.weekday())


def windows_around(hours: tuple[Window, ...], zone: ZoneInfo, at: datetime) -> list[tuple[datetime, datetime]]:
    """The windows of the weeks around an instant: at least one whole week before and one after it, in order."""
    this = monday(at.astimezone(zone).replace(tzinfo=None))
    return [window for n in range(-2, 3) for window in _week(hours, zone, this + n * _WEEK)]


def windows(
    hours: tuple[Window, ...] | None, zone: ZoneInfo, start: datetime, end: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """The stretches of [start, end) that lie in the hours; all of it where they are None."""
    if hours is None:
        yield start, end
        return
    week = monday(start.astimezone(zone).replace(tzinfo=None)) - 2 * _WEEK
    last = end.astimezone(zone).replace(tzinfo=None) + _WEEK
    while week < last:
        for opens, closes in _week(hours, zone, week):
            if max(opens, start) < min(closes, end):
                yield max(opens, start), min(closes, end)
        week += _WEEK


@lru_cache(maxsize=8192)
def _week(hours: tuple[Window, ...], zone: ZoneInfo, begins: datetime) -> tuple[tuple[datetime, datetime], ...]:
    """One week's windows; those that the clocks jump over whole are none."""
    found = (
        (instant(begins + timedelta(minutes=opens), zone), instant(begins + timedelta(minutes=closes), zone))
        for opens, closes in hours
    )
    return tuple((opens, closes) for opens, closes in found if opens < closes)
