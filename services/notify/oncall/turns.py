"""What one layer says of an instant: whose turn it is, and how long that stays so. Pure."""

from bisect import bisect_right
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from services.notify.model.rota import MINUTES_A_WEEK, AnyLayer, CalendarLayer, Layer, Span
from services.notify.oncall.wall import BEGINNING, END, instant, monday, windows_around

_MINUTE = timedelta(minutes=1)


class Said(NamedTuple):
    """``people`` from ``start`` until ``end``; None: nothing, so the layers below count."""

    start: datetime
    end: datetime
    people: tuple[str, ...] | None


def said(layer: AnyLayer, zone: ZoneInfo, at: datetime) -> Said:
    """What a layer says at ``at``, for as long as it says so. ``zone`` is the schedule's."""
    if isinstance(layer, CalendarLayer):
        return _kept(layer.spans, at)
    return _taken(layer, layer.zone or zone, at)


def _kept(spans: tuple[Span, ...], at: datetime) -> Said:
    number = bisect_right(spans, at, key=lambda span: span.start) - 1
    if number >= 0 and at < spans[number].end:
        return Said(spans[number].start, spans[number].end, spans[number].people)
    start = spans[number].end if number >= 0 else BEGINNING
    return Said(start, spans[number + 1].start if number + 1 < len(spans) else END, None)


def _taken(layer: Layer, zone: ZoneInfo, at: datetime) -> Said:
    begins = instant(layer.start, zone)
    ends = instant(layer.end, zone) if layer.end is not None else END
    if begins >= ends:
        return Said(BEGINNING, END, None)
    inside = min(max(at, begins), ends - timedelta(microseconds=1))
    opens, closes, open_ = _hours(layer, zone, inside)
    if at < begins:
        return Said(BEGINNING, begins if open_ else _unless(closes, ends), None)
    if at >= ends:
        return Said(ends if open_ else _since(opens, begins), END, None)
    if not open_:
        return Said(_since(opens, begins), _unless(closes, ends), None)
    number, start, end = _turn(layer, zone, at)
    people = (layer.people[number % len(layer.people)],) if layer.people else ()
    return Said(max(start, opens, begins), min(end, closes, ends), people)


def _since(closed: datetime, begins: datetime) -> datetime:
    """Since when a layer is silent: always, where it closed before it began."""
    return closed if closed > begins else BEGINNING


def _unless(opens: datetime, ends: datetime) -> datetime:
    """When a silent layer speaks again: never, where it ends before it opens."""
    return opens if opens < ends else END


def _hours(layer: Layer, zone: ZoneInfo, at: datetime) -> tuple[datetime, datetime, bool]:
    """The window, or the time between two, that ``at`` is in; and which of the two it is."""
    if layer.hours is None:
        return BEGINNING, END, True
    found = windows_around(layer.hours, zone, at)
    number = bisect_right(found, at, key=lambda window: window[0]) - 1
    opens, closes = found[number]
    if at < closes:
        return opens, closes, True
    return closes, found[number + 1][0], False


def _turn(layer: Layer, zone: ZoneInfo, at: datetime) -> tuple[int, datetime, datetime]:
    """Which turn of a layer ``at`` is in (from 0), and when it starts and ends."""
    if layer.turn is None and not layer.hand_offs:
        return 0, BEGINNING, END
    wall = at.astimezone(zone).replace(tzinfo=None)
    number = _number(layer, wall)
    while instant(_boundary(layer, number), zone) > at:
        number -= 1
    while (end := instant(_boundary(layer, number + 1), zone)) <= at:
        number += 1
    return number, instant(_boundary(layer, number), zone), end


def _number(layer: Layer, wall: datetime) -> int:
    """The turn at a wall time; off by a few where the clocks change."""
    if layer.turn is not None:
        return max(0, (wall - layer.start) // layer.turn)
    weeks = (monday(wall) - monday(layer.start)) // timedelta(minutes=MINUTES_A_WEEK)
    return max(0, weeks * len(layer.hand_offs) + _passed(layer, wall) - _passed(layer, layer.start))


def _boundary(layer: Layer, number: int) -> datetime:
    """When a turn begins, on the wall."""
    if number == 0:
        return layer.start
    if layer.turn is not None:
        return layer.start + number * layer.turn
    weeks, place = divmod(_passed(layer, layer.start) + number - 1, len(layer.hand_offs))
    return monday(layer.start) + weeks * timedelta(minutes=MINUTES_A_WEEK) + layer.hand_offs[place] * _MINUTE


def _passed(layer: Layer, wall: datetime) -> int:
    """How many of the week's hand-offs are not after a wall time."""
    return bisect_right(layer.hand_offs, (wall - monday(wall)) / _MINUTE)


def tiled(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Spans that may overlap, as spans that do not: where several do, the people of all, in alphabetical order."""
    every = sorted((each for each in spans if each.start < each.end), key=lambda s: (s.start, s.end, s.people))
    edges = sorted({edge for each in every for edge in (each.start, each.end)})
    found: list[Span] = []
    running: list[Span] = []
    place = 0
    for start, end in pairwise(edges):
        while place < len(every) and every[place].start <= start:
            running.append(every[place])
            place += 1
        running = [each for each in running if each.end > start]
        if running:
            found.append(Span(start, end, tuple(sorted({person for each in running for person in each.people}))))
    return tuple(found)
