"""Who is on call at an instant: rotations in layers, overrides on top, hand-offs in local wall time. Pure.

A turn begins at ``start + k * turn`` on the clock on the wall of the schedule's zone, so a hand-off at 09:00 stays at
09:00 across daylight saving. A wall time that does not exist is the instant at which the clocks jump over it; one
that exists twice is its first pass.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from services.notify.model.rota import OVERRIDE, Layer, Override, Schedule, Shift

MAX_SHIFTS = 5_000  # of one answer of `shifts`
_END_OF_TIME = datetime.max.replace(tzinfo=UTC) - timedelta(days=2)


def on_call(schedule: Schedule, overrides: Sequence[Override], at: datetime) -> tuple[Shift, ...]:
    """The shift that ``at`` is in; empty where nobody is on call."""
    found, _ = _at(schedule, overrides, at)
    return (found,) if found else ()


def shifts(schedule: Schedule, overrides: Sequence[Override], start: datetime, end: datetime) -> tuple[Shift, ...]:
    """Every shift that overlaps [start, end), whole, in order; at most ``MAX_SHIFTS``."""
    out: list[Shift] = []
    at = start
    while at < end and len(out) < MAX_SHIFTS:
        found, changes_at = _at(schedule, overrides, at)
        if found:
            out.append(found)
        if changes_at is None:
            break
        at = changes_at
    return tuple(out)


def gaps(
    schedule: Schedule, overrides: Sequence[Override], start: datetime, end: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """The times in [start, end) when nobody is on call, in order."""
    free_from = start
    for shift in shifts(schedule, overrides, start, end):
        if shift.start > free_from:
            yield free_from, shift.start
        free_from = shift.end
    if free_from < end:
        yield free_from, end


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


def _at(schedule: Schedule, overrides: Sequence[Override], at: datetime) -> tuple[Shift | None, datetime | None]:
    """The shift at an instant, and when that answer ends (None: never)."""
    start, end = datetime.min.replace(tzinfo=UTC), _END_OF_TIME
    person, layer = None, ""
    for override in reversed(overrides):
        if override.start <= at < override.end:
            person, layer = override.person, OVERRIDE
            start, end = max(start, override.start), min(end, override.end)
            break
        start, end = _around(at, start, end, (override.start, override.end))
    if person is None:
        for number, each in reversed(list(enumerate(schedule.layers, 1))):
            begins = instant(each.start, schedule.zone)
            if at < begins:
                start, end = _around(at, start, end, (begins,))
                continue
            turn, turn_start, turn_end = _turn(each, schedule.zone, at)
            start, end = max(start, turn_start), min(end, turn_end)
            if each.people:
                person, layer = each.people[turn % len(each.people)], str(number)
            break
    shift = Shift(person, layer, start, end) if person is not None else None
    return shift, end if end < _END_OF_TIME else None


def _around(at: datetime, start: datetime, end: datetime, edges: Iterable[datetime]) -> tuple[datetime, datetime]:
    """Narrow [start, end) around ``at`` to what lies between the edges."""
    for edge in edges:
        if edge <= at:
            start = max(start, edge)
        else:
            end = min(end, edge)
    return start, end


def _turn(layer: Layer, zone: ZoneInfo, at: datetime) -> tuple[int, datetime, datetime]:
    """Which turn of a layer ``at`` is in (from 0), and when it starts and ends."""
    wall = at.astimezone(zone).replace(tzinfo=None)
    number = (wall - layer.start) // layer.turn
    while instant(layer.start + number * layer.turn, zone) > at:
        number -= 1
    while (end := instant(layer.start + (number + 1) * layer.turn, zone)) <= at:
        number += 1
    return number, instant(layer.start + number * layer.turn, zone), end
