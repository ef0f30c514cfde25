"""When hours open, and when people come on duty. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from services.notify import oncall
from services.notify.model import Configuration
from services.notify.model.escalation import HoursSpec
from services.notify.model.hours import windows
from services.notify.model.rota import Window
from services.notify.model.specs import NotifySpec, PersonSpec
from services.notify.oncall import wall
from services.notify.oncall.duty import official
from services.notify.oncall.targets import members

AHEAD = timedelta(days=370)  # hours that do not open within it never do
_BACK = timedelta(days=8)  # an interval that is open now began at most a week ago


def opens(hours: HoursSpec, at: datetime) -> datetime | None:
    """``at`` itself where they are open, else when they open next; None where not within a year."""
    return _opens(windows(hours.weekly), ZoneInfo(hours.time_zone), hours.country, hours.subdivision, at)


def opening(hours: HoursSpec, at: datetime) -> tuple[datetime, datetime] | None:
    """When they are open: since when and until when, now or next; None where they do not open within a year."""
    weekly, zone = windows(hours.weekly), ZoneInfo(hours.time_zone)
    return _opening(weekly, zone, hours.country, hours.subdivision, at)


def _opens(
    weekly: tuple[Window, ...] | None, zone: ZoneInfo, country: str | None, subdivision: str | None, at: datetime
) -> datetime | None:
    found = _opening(weekly, zone, country, subdivision, at)
    return max(found[0], at) if found is not None else None


@lru_cache(maxsize=4096)
def _opening(
    weekly: tuple[Window, ...] | None, zone: ZoneInfo, country: str | None, subdivision: str | None, at: datetime
) -> tuple[datetime, datetime] | None:
    if weekly is None:
        weekly = tuple((day * 1440, (day + 1) * 1440) for day in range(7))  # every day apart: some are holidays
    for start, end in wall.windows(weekly, zone, at - _BACK, at + AHEAD):
        day = start.astimezone(zone).date()
        if end > at and day not in official(country, subdivision, day.year):
            return start, end
    return None


@dataclass(frozen=True, slots=True)
class Duty:
    """When the first of those whom a step tells comes on duty: ``at``, and ``who`` in plain words; never, where None.

    ``people`` are those who are on duty at the instant that was asked about; None: everybody.
    """

    at: datetime | None
    who: str = ""
    people: frozenset[str] | None = None


def duty(configuration: Configuration, entries: Iterable[NotifySpec], at: datetime) -> Duty:
    """Places are always on duty, but do not call a step on duty that names people too."""
    found = [each for entry in entries for each in _entry(configuration, entry, at)]
    timed = [(when, who) for when, who in found if when is not None]
    if not found:
        return Duty(at)
    if not timed:
        return Duty(None)
    first, who = min(timed)
    return Duty(first, who, frozenset(who for when, who in timed if when <= at))


def _entry(configuration: Configuration, entry: NotifySpec, at: datetime) -> list[tuple[datetime | None, str]]:
    if entry.kind == "destination":
        return []
    if entry.kind == "schedule":
        return _schedule(configuration, entry.name, at)
    names = [entry.name] if entry.kind == "person" else members(configuration, entry.name)
    return [(_person(configuration.people[name], at), name) for name in names if name in configuration.people]


def _schedule(configuration: Configuration, name: str, at: datetime) -> list[tuple[datetime | None, str]]:
    """Whoever is on call is on duty."""
    rota = configuration.schedules.get(name)
    if rota is None:
        return []
    if now := oncall.on_call(rota.schedule, rota.overrides, at):
        return [(at, shift.person) for shift in now]
    for shift in oncall.through(rota.schedule, rota.overrides, at, at + AHEAD):
        return [(max(shift.start, at), shift.person)]
    return [(None, name)]


def _person(spec: PersonSpec, at: datetime) -> datetime | None:
    if spec.hours is None or spec.time_zone is None:
        return at
    return _opens(windows(spec.hours), ZoneInfo(spec.time_zone), spec.country, spec.subdivision, at)
