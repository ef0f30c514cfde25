"""What an admin writes of schedules: layers, overrides, swaps. Pure. Every limit of these documents is named here."""

import hashlib
from datetime import datetime, timedelta
from typing import Annotated, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import Field, StringConstraints, model_validator

from services.notify.model.hours import TimeZone, WeeklyHours, WeeklyTimes, times, windows
from services.notify.model.rota import Layer
from services.notify.model.specs import Length
from shared.contracts import duration
from shared.contracts.spec import Instant, Label, Name, Spec

MAX_LAYERS = 10
MAX_PEOPLE = 100  # of one layer
MAX_CALENDAR = 200_000  # characters of a calendar that is written into a layer
MAX_OVERRIDE = timedelta(days=366)
SHORTEST_TURN = timedelta(minutes=1)


class CalendarSpec(Spec):
    """Shifts kept in a calendar, as iCalendar: at an address that is fetched again and again, or written here."""

    url: Annotated[str | None, StringConstraints(max_length=2000)] = None
    text: Annotated[str | None, StringConstraints(max_length=MAX_CALENDAR)] = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.url is None) == (self.text is None):
            raise ValueError("write either the url of an iCalendar file, or its text")
        if self.url is not None:
            try:
                parts = urlsplit(self.url)
                usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 80) > 0
            except ValueError:
                usable = False
            if not usable:
                raise ValueError("url: write a whole address, such as https://calendar.example.com/on-call.ics")
        return self

    @property
    def source(self) -> str:
        """What the calendar is known by: its address, or what stands in it."""
        return self.url or f"text:{hashlib.sha256((self.text or '').encode()).hexdigest()}"


class LayerSpec(Spec):
    """People who take turns, or a calendar that says who is on call."""

    label: Label | None = None
    people: Annotated[tuple[Name, ...], Field(max_length=MAX_PEOPLE)] | None = None
    start: datetime | None = None
    end: datetime | None = None
    turn: Length | None = None
    hand_offs: WeeklyTimes | None = None
    hours: WeeklyHours | None = None
    time_zone: TimeZone | None = None  # the schedule's where left out
    calendar: CalendarSpec | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.calendar is not None:
            given = self.model_fields_set - {"calendar", "label", "time_zone"}
            if any(getattr(self, each) is not None for each in given):
                raise ValueError(f"{', '.join(sorted(given))}: a calendar says all of that itself; leave it out")
            return self
        if self.people is None or self.start is None:
            raise ValueError("write people and the start of their first turn, or a calendar")
        for field in ("start", "end"):
            wall: datetime | None = getattr(self, field)
            if wall is not None and wall.tzinfo is not None:
                raise ValueError(f"{field} is on the wall clock of the zone: write 2026-11-02T09:00:00, no offset")
            if wall is not None and not 1970 <= wall.year <= 2100:
                raise ValueError(f"{field}: write a date between 1970 and 2100")
        if self.end is not None and self.end <= self.start:
            raise ValueError("end must come after start")
        if self.turn is not None and self.hand_offs is not None:
            raise ValueError("write either turn or hand_offs: each says when the next person's turn begins")
        if self.turn is None and self.hand_offs is None and len(self.people) > 1:
            raise ValueError(
                'say when the next one\'s turn begins: turn, such as P7D, or hand_offs: {"mon": ["09:00"]}'
            )
        if self.turn is not None and duration.parse(self.turn) < SHORTEST_TURN:
            raise ValueError(f"turn: the shortest is {duration.text(SHORTEST_TURN)}")
        return self

    @property
    def zone(self) -> ZoneInfo | None:
        return ZoneInfo(self.time_zone) if self.time_zone else None

    def rotation(self) -> Layer:
        """As a value. Only of a layer without a calendar."""
        if self.people is None or self.start is None:
            raise TypeError("a calendar is no rotation")
        return Layer(
            self.people,
            self.start,
            turn=duration.parse(self.turn) if self.turn is not None else None,
            hand_offs=times(self.hand_offs) if self.hand_offs is not None else (),
            hours=windows(self.hours),
            end=self.end,
            zone=self.zone,
        )


class ScheduleSpec(Spec):
    """An on-call rota in one zone. Later layers win. ``covers``: when somebody must be on call; always if left out."""

    label: Label | None = None
    time_zone: TimeZone
    layers: Annotated[tuple[LayerSpec, ...], Field(max_length=MAX_LAYERS)]
    covers: WeeklyHours | None = None

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    @property
    def sources(self) -> set[str]:
        """The calendars that it reads."""
        return {layer.calendar.source for layer in self.layers if layer.calendar is not None}


class SpanSpec(Spec):
    """One person from one instant until another."""

    person: Name
    from_: Annotated[Instant, Field(alias="from")]
    until: Instant

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if not timedelta(0) < self.until - self.from_ <= MAX_OVERRIDE:
            raise ValueError("until must come after from, and within a year of it")
        if not 1970 <= self.from_.year <= 2100:
            raise ValueError("from: write a date between 1970 and 2100")
        return self


class OverrideSpec(SpanSpec):
    """Somebody else is on call for a while."""


class SwapSpec(Spec):
    """Two people exchange their shifts."""

    shifts: tuple[SpanSpec, SpanSpec]

    @model_validator(mode="after")
    def _apart(self) -> Self:
        first, second = self.shifts
        if first.person == second.person:
            raise ValueError("shifts: a swap is between two people")
        if first.from_ < second.until and second.from_ < first.until:
            raise ValueError("shifts: the two overlap; write an override instead")
        return self
