"""Who is on call: at an instant, and in which shifts."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from services.notify.api.configured import configured, rota_of, sensible
from services.notify.model import CaseState, Configuration
from services.notify.model.rota import OVERRIDE, Shift
from services.notify.oncall import MAX_SHIFTS, on_call, shifts
from services.notify.oncall.targets import person_title
from services.notify.store.configuration import PERSON, SCHEDULE
from shared.contracts.spec import Instant
from shared.errors import invalid, not_found
from shared.http import Answer, Cursor, Limit, Listing, allow, decode_cursor, encode_cursor
from shared.resources import ResourceName
from shared.runtime import Runtime

SHOWN = timedelta(days=30)  # ahead, where `until` is left out
LONGEST = timedelta(days=400)  # of one question

Moment = Annotated[Instant | None, Query()]
From = Annotated[Instant | None, Query(alias="from", description="Now, where left out")]
Until = Annotated[Instant | None, Query(description="30 days after `from`, where left out")]


class ShiftAnswer(Answer):
    person: str
    layer: int | Literal["override"]
    from_: datetime = Field(serialization_alias="from")
    until: datetime


class OnCall(Answer):
    at: datetime
    people: list[ShiftAnswer]


class LocalTimes(Answer):
    """The same span on the wall of a zone."""

    time_zone: str
    from_: datetime = Field(serialization_alias="from")
    until: datetime


class WholeShift(ShiftAnswer):
    """``local`` is in the zone of the schedule, ``person_local`` in that of the person, where we know it."""

    schedule: str
    label: str  # what the person is called
    local: LocalTimes
    person_local: LocalTimes | None


def router(runtime: Runtime[CaseState]) -> APIRouter:
    routes = APIRouter(tags=[SCHEDULE])
    reads = [Depends(allow("read"))]

    @routes.get("/v1/schedules/{name}/on-call", dependencies=reads)
    async def at(name: ResourceName, at: Moment = None) -> OnCall:
        """Who is on call at an instant; now, where ``at`` is left out. Empty where nobody is."""
        rota, _ = await rota_of(runtime, name)
        moment = sensible("at", at or runtime.clock.now())
        return OnCall(
            at=moment, people=[ShiftAnswer(**_said(each)) for each in on_call(rota.schedule, rota.overrides, moment)]
        )

    @routes.get("/v1/schedules/{name}/shifts", dependencies=reads)
    async def of_schedule(
        name: ResourceName, from_: From = None, until: Until = None, limit: Limit = 50, cursor: Cursor = None
    ) -> Listing[WholeShift]:
        """The shifts that overlap the time asked for, whole, the earliest first."""
        _, found = await rota_of(runtime, name)
        return _listed(found, _shifts(found, [name], *_span(from_, until)), limit, cursor)

    @routes.get("/v1/people/{name}/shifts", dependencies=reads)
    async def of_person(
        name: ResourceName, from_: From = None, until: Until = None, limit: Limit = 50, cursor: Cursor = None
    ) -> Listing[WholeShift]:
        """One person's shifts in every schedule, the earliest first."""
        found = await configured(runtime)
        if name not in found.people:
            raise not_found(PERSON, name)
        every = _shifts(found, sorted(found.schedules), *_span(from_, until))
        return _listed(found, [(of, shift) for of, shift in every if shift.person == name], limit, cursor)

    def _span(from_: datetime | None, until: datetime | None) -> tuple[datetime, datetime]:
        start = sensible("from", from_ or runtime.clock.now())
        end = sensible("until", until or start + SHOWN)
        if not timedelta(0) < end - start <= LONGEST:
            raise invalid(f"until must come after from, and within {LONGEST.days} days of it")
        return start, end

    return routes


def _shifts(found: Configuration, names: Iterable[str], start: datetime, end: datetime) -> list[tuple[str, Shift]]:
    rotas = [(name, found.schedules[name]) for name in names]
    every = [(name, each) for name, rota in rotas for each in shifts(rota.schedule, rota.overrides, start, end)]
    if len(every) >= MAX_SHIFTS:
        raise invalid(f"There are more than {MAX_SHIFTS} shifts in this time. Ask for less of it.")
    return sorted(every, key=lambda named: (named[1].start, named[0], named[1].person))


def _listed(
    found: Configuration, every: list[tuple[str, Shift]], limit: int, cursor: str | None
) -> Listing[WholeShift]:
    after = decode_cursor(cursor, 3)
    rest = [each for each in every if after is None or _key(each) > after]
    following = encode_cursor(*_key(rest[limit - 1])) if len(rest) > limit else None
    return Listing(items=[_whole(found, *each) for each in rest[:limit]], next=following)


def _key(named: tuple[str, Shift]) -> tuple[str, ...]:
    return named[1].start.astimezone(UTC).isoformat(), named[0], named[1].person


def _whole(found: Configuration, name: str, shift: Shift) -> WholeShift:
    person = found.people.get(shift.person)
    own = ZoneInfo(person.time_zone) if person is not None and person.time_zone else None
    return WholeShift(
        **_said(shift),
        schedule=name,
        label=person_title(found, shift.person),
        local=_local(shift, found.schedules[name].schedule.zone),
        person_local=_local(shift, own) if own is not None else None,
    )


def _local(shift: Shift, zone: ZoneInfo) -> LocalTimes:
    return LocalTimes(time_zone=zone.key, from_=shift.start.astimezone(zone), until=shift.end.astimezone(zone))


def _said(shift: Shift) -> dict[str, object]:
    layer: int | Literal["override"] = "override" if shift.layer == OVERRIDE else int(shift.layer)
    return {"person": shift.person, "layer": layer, "from_": shift.start, "until": shift.end}
