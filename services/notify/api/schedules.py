"""Who is on call, overrides, and the calendar feed."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

import icalendar
from fastapi import APIRouter, Depends, Query, Response
from pydantic import AwareDatetime, Field
from sqlalchemy import Row

from services.notify.model import CaseState, Rota
from services.notify.model.rota import OVERRIDE, Override, Shift
from services.notify.model.specs import OverrideSpec
from services.notify.oncall import on_call, shifts
from services.notify.oncall.targets import person_title
from services.notify.store import configuration as stored
from services.notify.store.configuration import MAX_OVERRIDES, PERSON, SCHEDULE
from shared import resources
from shared.auth import Principal
from shared.contracts.identity import derived
from shared.errors import conflict, invalid, not_found
from shared.http import Answer, Cursor, Limit, Listing, allow, decode_cursor, encode_cursor
from shared.resources import ResourceName
from shared.runtime import Runtime

FEED_DAYS = 90
CALENDAR = "text/calendar; charset=utf-8"


class ShiftAnswer(Answer):
    person: str
    layer: int | Literal["override"]
    from_: datetime = Field(serialization_alias="from")
    until: datetime


class OnCall(Answer):
    at: datetime
    people: list[ShiftAnswer]


class OverrideAnswer(Answer):
    id: UUID
    person: str
    from_: datetime = Field(serialization_alias="from")
    until: datetime
    created_at: datetime
    created_by: str


def router(runtime: Runtime[CaseState]) -> APIRouter:
    routes = APIRouter(tags=[SCHEDULE])
    reads = [Depends(allow("read"))]

    async def rota_of(name: str) -> tuple[Rota, dict[str, str]]:
        """A schedule with its overrides, and what its people are called."""
        async with runtime.db.transaction() as tx:
            built = await stored.build(tx, await resources.snapshot(tx, 0))
        if name not in built.schedules:
            raise not_found(SCHEDULE, name)
        return built.schedules[name], {person: person_title(built, person) for person in built.people}

    @routes.get("/v1/schedules/{name}.ics", dependencies=reads, response_class=Response, responses=_CALENDARS)
    async def feed(name: ResourceName) -> Response:
        """The next 90 days of shifts, as iCalendar."""
        rota, titles = await rota_of(name)
        now = runtime.clock.now()
        found = shifts(rota.schedule, rota.overrides, now, now + timedelta(days=FEED_DAYS))
        return Response(_calendar(name, found, titles, now), media_type=CALENDAR)

    @routes.get("/v1/schedules/{name}/on-call", dependencies=reads)
    async def at(name: ResourceName, at: Annotated[AwareDatetime | None, Query()] = None) -> OnCall:
        """Who is on call at an instant; now, where ``at`` is left out. Empty where nobody is."""
        rota, _ = await rota_of(name)
        moment = at or runtime.clock.now()
        try:
            found = on_call(rota.schedule, rota.overrides, moment)
        except OverflowError:
            raise invalid("at: write a time between the years 2 and 9998") from None
        return OnCall(at=moment, people=[_answer(shift) for shift in found])

    @routes.get("/v1/schedules/{name}/overrides", dependencies=reads)
    async def overrides(name: ResourceName, limit: Limit = 50, cursor: Cursor = None) -> Listing[OverrideAnswer]:
        after = decode_cursor(cursor, 1)
        async with runtime.db.transaction() as tx:
            if name not in (await resources.snapshot(tx, 0)).of(SCHEDULE):
                raise not_found(SCHEDULE, name)
            rows = [_override(row) for row in await stored.overrides_of(tx, name)][::-1]
        known = [str(row.id) for row in rows]
        if after is not None and after[0] in known:
            rows = rows[known.index(after[0]) + 1 :]
        return Listing(items=rows[:limit], next=encode_cursor(str(rows[limit - 1].id)) if len(rows) > limit else None)

    @routes.post("/v1/schedules/{name}/overrides", status_code=201)
    async def add(
        name: ResourceName, spec: OverrideSpec, who: Annotated[Principal, Depends(allow("config:write"))]
    ) -> OverrideAnswer:
        """Somebody else is on call for a while. The override made last wins; a PUT of the schedule keeps them all."""
        made, now = runtime.ids.new(), runtime.clock.now()
        async with runtime.db.transaction() as tx:
            snapshot = await resources.snapshot(tx, await resources.version(tx, "FOR UPDATE"))
            if name not in snapshot.of(SCHEDULE):
                raise not_found(SCHEDULE, name)
            if spec.person not in snapshot.of(PERSON):
                raise invalid(f"There is no person {spec.person}. PUT the person first, or correct the name.")
            override = Override(spec.person, spec.from_, spec.until)
            if not await stored.add_override(tx, made, name, override, who.name, now):
                raise conflict("too-many", f"Schedule {name} has {MAX_OVERRIDES} overrides. Delete old ones first.")
        return OverrideAnswer(
            id=made, person=spec.person, from_=spec.from_, until=spec.until, created_at=now, created_by=who.name
        )

    @routes.delete(
        "/v1/schedules/{name}/overrides/{override_id}", status_code=204, dependencies=[Depends(allow("config:write"))]
    )
    async def remove(name: ResourceName, override_id: UUID) -> None:
        async with runtime.db.transaction() as tx:
            await resources.version(tx, "FOR UPDATE")
            if not await stored.remove_override(tx, name, override_id):
                raise not_found("override", override_id)

    return routes


_CALENDARS: dict[int | str, dict[str, object]] = {200: {"content": {"text/calendar": {"schema": {"type": "string"}}}}}


def _answer(shift: Shift) -> ShiftAnswer:
    layer: int | Literal["override"] = "override" if shift.layer == OVERRIDE else int(shift.layer)
    return ShiftAnswer(person=shift.person, layer=layer, from_=shift.start, until=shift.end)


def _override(row: Row[Any]) -> OverrideAnswer:
    return OverrideAnswer(
        id=row.id,
        person=row.person,
        from_=row.start,
        until=row.end,
        created_at=row.created_at,
        created_by=row.created_by,
    )


def _calendar(name: str, found: tuple[Shift, ...], titles: dict[str, str], now: datetime) -> bytes:
    calendar = icalendar.Calendar()
    calendar.add("prodid", "-//Tocsin//on call//EN")
    calendar.add("version", "2.0")
    calendar.add("x-wr-calname", f"On call: {name}")
    for shift in found:
        event = icalendar.Event()
        event.add("uid", f"{derived(name, shift.person, shift.layer, shift.start.isoformat())}@tocsin")
        event.add("dtstamp", now)
        event.add("dtstart", shift.start)
        event.add("dtend", shift.end)
        event.add("summary", f"{titles.get(shift.person, shift.person)} on call: {name}")
        calendar.add_component(event)
    written: bytes = calendar.to_ical()
    return written
