"""Rotas as values: layers of people who take turns, overrides, and the shifts that follow from them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

OVERRIDE = "override"  # the layer of a shift that an override made
MINUTES_A_DAY, MINUTES_A_WEEK = 1440, 10080

Window = tuple[int, int]  # minutes on the wall since Monday 00:00; the end may lie in the week after


@dataclass(frozen=True, slots=True)
class Layer:
    """People who take turns, in order. All times are on the wall of ``zone`` (the schedule's, where None).

    A turn begins at ``start`` and then every ``turn``, or at each of ``hand_offs`` (minutes of the week, in order);
    with neither, the first turn never ends. ``hours`` are the windows in which the layer counts, in order, apart from
    each other; None is always. Outside of them, before ``start`` and from ``end`` on, it leaves the layers below alone.
    """

    people: tuple[str, ...]
    start: datetime  # naive
    turn: timedelta | None = None
    hand_offs: tuple[int, ...] = ()
    hours: tuple[Window, ...] | None = None
    end: datetime | None = None  # naive
    zone: ZoneInfo | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """These people, from ``start`` until ``end`` (UTC, exclusive)."""

    start: datetime
    end: datetime
    people: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CalendarEvent:
    """One event of a calendar, repetitions counted out. Naive times are on the wall of whoever reads it."""

    start: datetime
    end: datetime
    summary: str = ""
    attendees: tuple[str, ...] = ()  # their email addresses, in lower case


@dataclass(frozen=True, slots=True)
class CalendarLayer:
    """Shifts that somebody keeps in a calendar: in order, apart from each other. ``source`` names the calendar.

    ``strangers`` are the events that name nobody we know, their times as instants.
    """

    source: str
    spans: tuple[Span, ...]
    strangers: tuple[CalendarEvent, ...] = ()


AnyLayer = Layer | CalendarLayer


@dataclass(frozen=True, slots=True)
class Override:
    """``person`` is on call from ``start`` until ``end``, whatever the layers say. The later in order wins."""

    person: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Schedule:
    """Later layers win over earlier ones. ``covers``: when somebody must be on call; None is always."""

    zone: ZoneInfo
    layers: tuple[AnyLayer, ...]
    covers: tuple[Window, ...] | None = None


@dataclass(frozen=True, slots=True)
class Calendar:
    """A calendar as it was last read. ``error``: why the last try failed, since when it fails."""

    source: str
    events: tuple[CalendarEvent, ...] = ()
    fetched_at: datetime | None = None
    failing_since: datetime | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Shift:
    """One person, without a change. ``layer`` counts from 1, or is ``override``; ``end`` is exclusive; in UTC."""

    person: str
    layer: str
    start: datetime
    end: datetime
