"""Who is on call at an instant: layers, later ones first, and overrides on top. Pure.

``turns.py`` has what one layer says, ``wall.py`` what a time on the wall means where the clocks change.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice

from services.notify.model.rota import OVERRIDE, Override, Schedule, Shift
from services.notify.oncall.turns import said
from services.notify.oncall.wall import BEGINNING, END, instant, windows

__all__ = ["MAX_SHIFTS", "gaps", "instant", "on_call", "shifts", "through"]

MAX_SHIFTS = 5_000  # of one answer of `shifts`
MAX_STEPS = 20_000  # of one search for gaps


def on_call(schedule: Schedule, overrides: Sequence[Override], at: datetime) -> tuple[Shift, ...]:
    """The shifts that ``at`` is in; empty where nobody is on call. Several only where a calendar names several."""
    return _at(schedule, overrides, at)[0]


def shifts(schedule: Schedule, overrides: Sequence[Override], start: datetime, end: datetime) -> tuple[Shift, ...]:
    """Every shift that overlaps [start, end), whole, in order; at most ``MAX_SHIFTS``."""
    return tuple(islice(through(schedule, overrides, start, end), MAX_SHIFTS))


def through(schedule: Schedule, overrides: Sequence[Override], start: datetime, end: datetime) -> Iterator[Shift]:
    """As ``shifts``, one after the other and without a limit."""
    return (each for found, _, _ in _walk(schedule, overrides, start, end) for each in found)


def gaps(
    schedule: Schedule, overrides: Sequence[Override], start: datetime, end: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """The times in [start, end) that the schedule covers and when nobody is on call, in order."""
    for since, until in _free(schedule, overrides, start, end):
        yield from windows(schedule.covers, schedule.zone, since, until)


def _free(
    schedule: Schedule, overrides: Sequence[Override], start: datetime, end: datetime
) -> Iterator[tuple[datetime, datetime]]:
    free_from: datetime | None = None
    for found, at, until in islice(_walk(schedule, overrides, start, end), MAX_STEPS):
        if found and free_from is not None:
            yield free_from, at
            free_from = None
        elif not found and free_from is None:
            free_from = at
        if free_from is not None and until >= end:
            yield free_from, end


def _walk(
    schedule: Schedule, overrides: Sequence[Override], start: datetime, end: datetime
) -> Iterator[tuple[tuple[Shift, ...], datetime, datetime]]:
    """Who is on call in each stretch of [start, end), one after the other; the stretches from where we look."""
    at = max(start, BEGINNING)
    while at < min(end, END):
        found, changes_at = _at(schedule, overrides, at)
        yield found, at, changes_at
        at = changes_at


def _at(schedule: Schedule, overrides: Sequence[Override], at: datetime) -> tuple[tuple[Shift, ...], datetime]:
    """The shifts at an instant, and when that answer ends."""
    start, end = BEGINNING, END
    people: tuple[str, ...] = ()
    layer = ""
    for override in reversed(overrides):
        if override.start <= at < override.end:
            people, layer = (override.person,), OVERRIDE
            start, end = max(start, override.start), min(end, override.end)
            break
        if override.end <= at:
            start = max(start, override.end)
        else:
            end = min(end, override.start)
    if not layer:
        for number, each in reversed(list(enumerate(schedule.layers, 1))):
            since, until, answer = said(each, schedule.zone, at)
            start, end = max(start, since), min(end, until)
            if answer is not None:
                people, layer = answer, str(number)
                break
    return tuple(Shift(person, layer, start, end) for person in people), end
