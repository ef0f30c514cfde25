"""Hours on call, paged and handling, per person and day, for compensatory time. Pure.

- **on call**: in at least one shift; two schedules at once count once.
- **paged**: from the first message about a page that reached the person until somebody acknowledged or snoozed the
  page, it was resolved, or it was exhausted.
- **handled**: from the person's own acknowledgement until the page was resolved, snoozed, opened again, or went to
  another person or team.

Hours are hours that passed, cut at midnight in the person's zone: a day on which the clocks go back has 25.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from importlib.resources import files
from itertools import islice
from uuid import UUID
from zoneinfo import ZoneInfo

import holidays

from services.notify.model.rota import Override, Schedule
from services.notify.oncall import through
from services.notify.oncall.wall import instant

MAX_STEPS = 100_000  # shifts of one schedule
_TAKEN = ("acknowledged", "taken_over")
_CALM = (*_TAKEN, "snoozed")
_ENDS_CALL = (*_CALM, "resolved", "exhausted", "stood_down")
_ENDS_WORK = ("resolved", "snoozed", "reopened", "unsnoozed", "taken_over", "team")
_ONE = timedelta(days=1)


class Counted(StrEnum):
    """What hours are counted as."""

    ON_CALL = "on_call"
    PAGED = "paged"
    HANDLED = "handled"


class DayKind(StrEnum):
    """A public holiday is one whatever day of the week it falls on."""

    WEEKDAY = "weekday"
    WEEKEND = "weekend"
    HOLIDAY = "holiday"


@dataclass(frozen=True, slots=True)
class Stretch:
    person: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Told:
    """A message about a page reached a person."""

    page_id: UUID
    person: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Act:
    """A line of a page's history."""

    page_id: UUID
    at: datetime
    kind: str
    by: str | None


@dataclass(frozen=True, slots=True)
class Home:
    """Where a person lives: whose midnights and holidays count."""

    zone: ZoneInfo
    country: str | None
    subdivision: str | None = None


@dataclass(slots=True)
class Day:
    kind: DayKind
    holiday: str | None
    hours: dict[Counted, timedelta] = field(default_factory=lambda: dict.fromkeys(Counted, timedelta(0)))
    pages: int = 0  # that reached the person first on this day


class TooMuch(ValueError):
    """More shifts than one answer counts."""


def on_duty(
    versions: Sequence[tuple[datetime, Schedule | None]],
    overrides: Sequence[Override],
    start: datetime,
    end: datetime,
) -> Iterator[Stretch]:
    """Who was on call by one schedule, as it stood at the time; the first version also counts for the time before it.

    Raises ``TooMuch``.
    """
    for number, (since, schedule) in enumerate(versions):
        begins = start if number == 0 else max(start, since)
        ends = min(end, versions[number + 1][0]) if number + 1 < len(versions) else end
        if schedule is None or begins >= ends:
            continue
        found = list(islice(through(schedule, overrides, begins, ends), MAX_STEPS + 1))
        if len(found) > MAX_STEPS:
            raise TooMuch
        yield from (Stretch(each.person, max(each.start, begins), min(each.end, ends)) for each in found)


def paged(told: Iterable[Told], acts: Mapping[UUID, Sequence[Act]], now: datetime) -> Iterator[Stretch]:
    """``acts`` in order. A message about a page that is acknowledged already calls for nobody's time."""
    for each in told:
        history = acts.get(each.page_id, ())
        before = [act.kind for act in history if act.at <= each.at and act.kind in (*_ENDS_CALL, *_ENDS_WORK)]
        if before and before[-1] in (*_CALM, "resolved"):
            continue
        yield Stretch(
            each.person, each.at, _next(act.at for act in history if act.at > each.at and act.kind in _ENDS_CALL) or now
        )


def handled(acts: Mapping[UUID, Sequence[Act]], now: datetime) -> Iterator[Stretch]:
    for history in acts.values():
        for number, act in enumerate(history):
            if act.kind in _TAKEN and act.by is not None:
                later = history[number + 1 :]
                yield Stretch(act.by, act.at, _next(each.at for each in later if each.kind in _ENDS_WORK) or now)


def _next(found: Iterator[datetime]) -> datetime | None:
    return next(found, None)


def days(
    stretches: Mapping[Counted, Iterable[Stretch]], told: Iterable[Told], homes: Mapping[str, Home]
) -> dict[str, dict[date, Day]]:
    """What each person's days hold, of the people whose homes are given."""
    found: dict[str, dict[date, Day]] = {person: {} for person in homes}
    for counted, every in stretches.items():
        by_person: dict[str, list[tuple[datetime, datetime]]] = {}
        for each in every:
            if each.person in homes:
                by_person.setdefault(each.person, []).append((each.start, each.end))
        for person, spans in by_person.items():
            for start, end in _joined(spans):
                for on, length in _by_day(start, end, homes[person].zone):
                    _day(found[person], on, homes[person]).hours[counted] += length
    seen: set[tuple[UUID, str]] = set()
    for told_ in sorted(told, key=lambda t: t.at):
        if told_.person in homes and (told_.page_id, told_.person) not in seen:
            seen.add((told_.page_id, told_.person))
            home = homes[told_.person]
            _day(found[told_.person], told_.at.astimezone(home.zone).date(), home).pages += 1
    return found


def _day(of: dict[date, Day], on: date, home: Home) -> Day:
    if on not in of:
        kind, holiday = kind_of(on, home)
        of[on] = Day(kind, holiday)
    return of[on]


def _joined(spans: list[tuple[datetime, datetime]]) -> Iterator[tuple[datetime, datetime]]:
    """Without overlaps."""
    open_: tuple[datetime, datetime] | None = None
    for start, end in sorted(spans):
        if open_ is not None and start <= open_[1]:
            open_ = open_[0], max(open_[1], end)
            continue
        if open_ is not None:
            yield open_
        open_ = start, end
    if open_ is not None:
        yield open_


def _by_day(start: datetime, end: datetime, zone: ZoneInfo) -> Iterator[tuple[date, timedelta]]:
    while start < end:
        on = start.astimezone(zone).date()
        midnight = instant(datetime.combine(on + _ONE, time()), zone)
        until = min(end, midnight) if midnight > start else end
        yield on, until - start
        start = until


def kind_of(on: date, home: Home) -> tuple[DayKind, str | None]:
    """What a day is where the person lives, and the name of the holiday."""
    known, weekend = _official(home.country, home.subdivision, on.year)
    if on in known:
        return DayKind.HOLIDAY, known[on]
    return (DayKind.WEEKEND if on.weekday() in weekend else DayKind.WEEKDAY), None


def official(country: str | None, subdivision: str | None, year: int) -> Mapping[date, str]:
    """The public holidays of a place in a year; none where the country is not given or not known."""
    return _official(country, subdivision, year)[0]


@lru_cache(maxsize=1024)
def _official(country: str | None, subdivision: str | None, year: int) -> tuple[Mapping[date, str], frozenset[int]]:
    if country is None or country not in holidays.list_supported_countries():
        return {}, frozenset({5, 6})
    found = holidays.country_holidays(country, subdiv=subdivision, years=year, expand=False)
    return dict(found.items()), frozenset(int(day) for day in found.weekend)


def country_of(zone: str) -> str | None:
    """``IE`` for Europe/Dublin; None for a zone of no one country, such as UTC."""
    return _countries().get(zone)


@lru_cache(maxsize=1)
def _countries() -> Mapping[str, str]:
    lines = files("tzdata").joinpath("zoneinfo/zone.tab").read_text().splitlines()
    return {parts[2]: parts[0] for line in lines if not line.startswith("#") and len(parts := line.split("\t")) > 2}


def window(first: date, until: date) -> tuple[datetime, datetime]:
    """All instants that are on the days [first, until) anywhere on earth."""
    return (
        datetime.combine(first, time(), UTC) - _ONE,
        datetime.combine(until, time(), UTC) + _ONE,
    )
