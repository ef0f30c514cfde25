"""Overrides of schedules, and swaps: two overrides at once. A PUT of the schedule never touches them."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import Field
from sqlalchemy import Row

from services.notify.model import CaseState, Rota
from services.notify.model.rota import Override
from services.notify.model.schedules import OverrideSpec, SpanSpec, SwapSpec
from services.notify.oncall import shifts
from services.notify.store import schedules as stored
from services.notify.store.configuration import PERSON, SCHEDULE, build
from services.notify.store.schedules import MAX_OVERRIDES
from shared import audit, resources
from shared.audit import Act
from shared.auth import Principal
from shared.db import Tx
from shared.errors import conflict, invalid, not_found
from shared.http import Answer, Cursor, Limit, Listing, allow, decode_cursor, encode_cursor
from shared.openapi import also
from shared.resources import ResourceName, Snapshot
from shared.runtime import Runtime

Writer = Annotated[Principal, Depends(allow("config:write"))]


class OverrideAnswer(Answer):
    """``swap``: the exchange that it is one half of, if any."""

    id: UUID
    person: str
    from_: datetime = Field(serialization_alias="from")
    until: datetime
    created_at: datetime
    created_by: str
    swap: UUID | None


class SwapAnswer(Answer):
    id: UUID
    overrides: list[OverrideAnswer]


def router(runtime: Runtime[CaseState]) -> APIRouter:
    routes = APIRouter(tags=[SCHEDULE])

    @routes.get("/v1/schedules/{name}/overrides", dependencies=[Depends(allow("read"))])
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

    @routes.post("/v1/schedules/{name}/overrides", status_code=201, responses=also(409))
    async def add(name: ResourceName, spec: OverrideSpec, who: Writer) -> OverrideAnswer:
        """Somebody else is on call for a while. The override made last wins; a PUT of the schedule keeps them all."""
        async with runtime.db.transaction() as tx:
            await _known(tx, name, [spec.person])
            [made] = await _add(tx, name, [Override(spec.person, spec.from_, spec.until)], who)
        return made

    @routes.post("/v1/schedules/{name}/swaps", status_code=201, responses=also(409))
    async def swap(name: ResourceName, spec: SwapSpec, who: Writer) -> SwapAnswer:
        """Two people exchange shifts, both or neither: each must be on call for all of the time that they give."""
        first, second = spec.shifts
        async with runtime.db.transaction() as tx:
            rota = (await build(tx, await _known(tx, name, [first.person, second.person]))).schedules[name]
            for given in spec.shifts:
                if not _has(rota, given):
                    detail = (
                        f"{given.person} is not on call all of that time. GET /v1/schedules/{name}/shifts says when."
                    )
                    raise conflict("not-on-call", detail)
            swap_id = runtime.ids.new()
            taken = [
                Override(second.person, first.from_, first.until),
                Override(first.person, second.from_, second.until),
            ]
            made = await _add(tx, name, taken, who, swap_id)
        return SwapAnswer(id=swap_id, overrides=made)

    async def _known(tx: Tx, name: str, people: list[str]) -> Snapshot:
        """What is configured, held until the end of the transaction. Raises where one of the names is unknown."""
        snapshot = await resources.snapshot(tx, await resources.version(tx, "FOR UPDATE"))
        if name not in snapshot.of(SCHEDULE):
            raise not_found(SCHEDULE, name)
        for person in people:
            if person not in snapshot.of(PERSON):
                raise invalid(f"There is no person {person}. PUT the person first, or correct the name.")
        return snapshot

    async def _add(
        tx: Tx, name: str, made: list[Override], who: Principal, swap_id: UUID | None = None
    ) -> list[OverrideAnswer]:
        now, by = runtime.clock.now(), who.name
        known = [(runtime.ids.new(), each) for each in made]
        if not await stored.add_overrides(tx, name, known, by, now, swap_id):
            raise conflict("too-many", f"Schedule {name} has {MAX_OVERRIDES} overrides ahead. Delete some first.")
        what = "swap" if swap_id else "override"
        facts = {"id": str(swap_id or known[0][0]), "people": [each.person for each in made]}
        await audit.write(tx, who, Act(f"made {what}", SCHEDULE, name, facts=facts), now)
        return [
            OverrideAnswer(
                id=i, person=o.person, from_=o.start, until=o.end, created_at=now, created_by=by, swap=swap_id
            )
            for i, o in known
        ]

    @routes.delete("/v1/schedules/{name}/overrides/{override_id}", status_code=204)
    async def remove(name: ResourceName, override_id: UUID, who: Writer) -> None:
        """Take an override back. One that is under way ends now, so that what has been stays on record."""
        async with runtime.db.transaction() as tx:
            await resources.version(tx, "FOR UPDATE")
            if not await stored.remove_overrides(tx, name, runtime.clock.now(), override_id=override_id):
                raise not_found("override", override_id)
            act = Act("deleted override", SCHEDULE, name, facts={"id": str(override_id)})
            await audit.write(tx, who, act, runtime.clock.now())

    @routes.delete("/v1/schedules/{name}/swaps/{swap_id}", status_code=204)
    async def swap_back(name: ResourceName, swap_id: UUID, who: Writer) -> None:
        """Take both halves of a swap back; what is under way ends now."""
        async with runtime.db.transaction() as tx:
            await resources.version(tx, "FOR UPDATE")
            if not await stored.remove_overrides(tx, name, runtime.clock.now(), swap=swap_id):
                raise not_found("swap", swap_id)
            act = Act("deleted swap", SCHEDULE, name, facts={"id": str(swap_id)})
            await audit.write(tx, who, act, runtime.clock.now())

    return routes


def _has(rota: Rota, given: SpanSpec) -> bool:
    """Whether the person is on call from the beginning to the end, in one shift or in several that adjoin."""
    at = given.from_
    for shift in shifts(rota.schedule, rota.overrides, given.from_, given.until):
        if shift.person == given.person and shift.start <= at:
            at = max(at, shift.end)
    return at >= given.until


def _override(row: Row[Any]) -> OverrideAnswer:
    return OverrideAnswer(
        id=row.id,
        person=row.person,
        from_=row.start,
        until=row.end,
        created_at=row.created_at,
        created_by=row.created_by,
        swap=row.swap,
    )
