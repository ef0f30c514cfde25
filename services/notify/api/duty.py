"""The duty report: hours on call, paged and handling, with weekends and public holidays apart."""

import asyncio
import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field

from services.notify.model import CaseState, Configuration
from services.notify.model.rota import Override, Schedule
from services.notify.model.schedules import ScheduleSpec
from services.notify.oncall.duty import (
    Counted,
    Day,
    DayKind,
    Home,
    Stretch,
    TooMuch,
    country_of,
    days,
    handled,
    on_duty,
    paged,
    window,
)
from services.notify.oncall.targets import person_title
from services.notify.store import calendars, schedules
from services.notify.store import duty as stored
from services.notify.store.configuration import SCHEDULE, build, schedule
from shared import resources
from shared.contracts import duration
from shared.contracts.spec import Date, Name
from shared.errors import invalid
from shared.http import Answer, allow
from shared.runtime import Runtime

LONGEST = timedelta(days=366)

History = list[tuple[datetime, Schedule | None]]


class Hours(Answer):
    """ISO 8601. A holiday counts as one whatever day it falls on."""

    weekday: str
    weekend: str
    holiday: str
    total: str


class DayDuty(Answer):
    date: date
    kind: DayKind
    holiday: str | None  # its name
    on_call: str
    paged: str
    handled: str
    pages: int


class PersonDuty(Answer):
    """``pages``: how many reached the person. ``days`` only where asked for."""

    person: str
    label: str
    time_zone: str
    country: str | None
    on_call: Hours
    paged: Hours
    handled: Hours
    pages: int
    days: list[DayDuty] | None = None


class DutyReport(Answer):
    """Days from ``from`` until ``until`` (not included), each in the zone of the person."""

    from_: date = Field(serialization_alias="from")
    until: date
    people: list[PersonDuty]


@dataclass(frozen=True, slots=True)
class _Known:
    """What is read of the database for one report."""

    configuration: Configuration
    histories: Mapping[str, History]
    overrides: Mapping[str, list[Override]]
    told: stored.Pages


def router(runtime: Runtime[CaseState]) -> APIRouter:
    routes = APIRouter(tags=["duty"])

    @routes.get(
        "/v1/duty-report",
        dependencies=[Depends(allow("read"))],
        response_model=DutyReport,
        responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
    )
    async def report(
        from_: Annotated[Date, Query(alias="from")],
        until: Annotated[Date, Query(description="The day after the last")],
        person: Annotated[Name | None, Query()] = None,
        by: Annotated[Literal["person", "day"], Query()] = "person",
        format: Annotated[Literal["json", "csv"], Query()] = "json",
    ) -> DutyReport | Response:
        """Hours on call, paged and handling, weekends and public holidays apart, as the schedules stood at the time."""
        if not timedelta(0) < until - from_ <= LONGEST:
            raise invalid(f"until must come after from, and within {LONGEST.days} days of it")
        if not 1970 <= from_.year <= 2100:
            raise invalid("from: write a date between 1970 and 2100")
        known = await _read(runtime, from_, until)
        now = runtime.clock.now()
        found = await asyncio.to_thread(_people, known, from_, until, now, person, by == "day")
        if format == "csv":
            name = f"duty-{from_}-{until}.csv"
            headers = {"Content-Disposition": f'attachment; filename="{name}"'}
            text = _by_day(found) if by == "day" else _by_person(found)
            return Response(text, media_type="text/csv; charset=utf-8", headers=headers)
        return DutyReport(from_=from_, until=until, people=found)

    return routes


async def _read(runtime: Runtime[CaseState], first: date, until: date) -> _Known:
    start, end = window(first, until)
    async with runtime.db.transaction() as tx:
        configuration = await build(tx, await resources.snapshot(tx, 0))
        bodies = await schedules.versions(tx, SCHEDULE, start, end)
        specs = {
            name: [(since, ScheduleSpec.model_validate(body) if body else None) for since, body in versions]
            for name, versions in bodies.items()
        }
        sources = {source for versions in specs.values() for _, spec in versions if spec for source in spec.sources}
        read = await calendars.calendars(tx, sources)
        overrides = await schedules.overrides(tx)
        told = await stored.pages(tx, start, end)
    if told is None:
        raise invalid(f"There are more than {stored.MAX_LINES} messages and acts in this time. Ask for less of it.")
    histories = {
        name: [
            (since, schedule(spec, configuration.people, read) if spec is not None else None)
            for since, spec in versions
        ]
        for name, versions in specs.items()
    }
    return _Known(configuration, histories, overrides, told)


def _people(
    known: _Known, first: date, until: date, now: datetime, person: str | None, whole: bool
) -> list[PersonDuty]:
    start, end = window(first, until)
    shifts: list[Stretch] = []
    zones: dict[str, ZoneInfo] = {}
    try:
        for name, history in sorted(known.histories.items()):
            for each in on_duty(history, known.overrides.get(name, ()), start, end):
                shifts.append(each)
                zones.setdefault(each.person, next(s.zone for _, s in history if s is not None))
    except TooMuch:
        raise invalid("There are too many shifts in this time. Ask for less of it.") from None
    told, acts = known.told.told, known.told.acts
    called = {Counted.PAGED: list(paged(told, acts, now)), Counted.HANDLED: list(handled(acts, now))}
    everybody = known.configuration.people.keys() | zones.keys()
    wanted = sorted(everybody if person is None else everybody & {person})
    homes = {name: _home(known.configuration, name, zones.get(name)) for name in wanted}
    found = days({Counted.ON_CALL: shifts, **called}, told, homes)
    asked = {name: {on: day for on, day in of.items() if first <= on < until} for name, of in found.items()}
    return [_person(known.configuration, name, homes[name], asked[name], whole) for name in wanted if asked[name]]


def _home(configuration: Configuration, name: str, zone: ZoneInfo | None) -> Home:
    """The person's own zone and country; else the zone of a schedule that has them, and the country of the zone."""
    spec = configuration.people.get(name)
    own = ZoneInfo(spec.time_zone) if spec and spec.time_zone else zone or ZoneInfo("UTC")
    country = spec.country if spec and spec.country else country_of(own.key)
    return Home(own, country, spec.subdivision if spec else None)


def _person(configuration: Configuration, name: str, home: Home, of: Mapping[date, Day], whole: bool) -> PersonDuty:
    every = [
        DayDuty(
            date=on,
            kind=day.kind,
            holiday=day.holiday,
            on_call=duration.text(day.hours[Counted.ON_CALL]),
            paged=duration.text(day.hours[Counted.PAGED]),
            handled=duration.text(day.hours[Counted.HANDLED]),
            pages=day.pages,
        )
        for on, day in sorted(of.items())
    ]
    return PersonDuty(
        person=name,
        label=person_title(configuration, name),
        time_zone=home.zone.key,
        country=home.country,
        on_call=_hours(of.values(), Counted.ON_CALL),
        paged=_hours(of.values(), Counted.PAGED),
        handled=_hours(of.values(), Counted.HANDLED),
        pages=sum(day.pages for day in of.values()),
        days=every if whole else None,
    )


def _hours(found: Iterable[Day], counted: Counted) -> Hours:
    sums = dict.fromkeys(DayKind, timedelta(0))
    for day in found:
        sums[day.kind] += day.hours[counted]
    return Hours(
        weekday=duration.text(sums[DayKind.WEEKDAY]),
        weekend=duration.text(sums[DayKind.WEEKEND]),
        holiday=duration.text(sums[DayKind.HOLIDAY]),
        total=duration.text(sum(sums.values(), timedelta(0))),
    )


_COUNTED = tuple(Counted)
_SPLIT = ("weekday", "weekend", "holiday", "total")


def _by_person(found: list[PersonDuty]) -> str:
    head = ["person", "label", "time_zone", "country"]
    head += [f"{counted}_{part}_hours" for counted in _COUNTED for part in _SPLIT] + ["pages"]
    rows = [
        [*_who(p), *(_number(getattr(getattr(p, c), part)) for c in _COUNTED for part in _SPLIT), p.pages]
        for p in found
    ]
    return _csv([head, *rows])


def _by_day(found: list[PersonDuty]) -> str:
    head = ["person", "label", "time_zone", "country", "date", "kind", "holiday"]
    head += [f"{counted}_hours" for counted in _COUNTED] + ["pages"]
    rows = [
        [*_who(p), d.date, d.kind, _plain(d.holiday or ""), *(_number(getattr(d, c)) for c in _COUNTED), d.pages]
        for p in found
        for d in p.days or ()
    ]
    return _csv([head, *rows])


def _who(duty: PersonDuty) -> list[str]:
    return [duty.person, _plain(duty.label), duty.time_zone, duty.country or ""]


def _plain(text: str) -> str:
    """No formula to a spreadsheet."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _number(length: str) -> str:
    return f"{duration.parse(length) / timedelta(hours=1):.4f}".rstrip("0").rstrip(".")


def _csv(rows: Iterable[Iterable[object]]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()
