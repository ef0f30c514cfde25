"""Silences: messages in scope wait until the silence ends."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import Field
from sqlalchemy import Row

from services.notify.api.places import place
from services.notify.model import CaseState, Silence
from services.notify.model.commands import Unmute
from services.notify.model.specs import MAX_SILENCE, SilenceScope, SilenceSpec
from services.notify.store import reads
from services.notify.store.cases import MAX_SILENCES, in_force
from shared.auth import Principal
from shared.batch import Input
from shared.errors import conflict, invalid, not_found
from shared.http import Answer, Cursor, Limit, Listing, allow, encode_cursor
from shared.runtime import Runtime

CASES_AT_ONCE = 500


class SilenceAnswer(Answer):
    """``holds``: how many messages wait for it."""

    id: UUID
    scope: SilenceScope
    reason: str
    author: str
    from_: datetime = Field(serialization_alias="from")
    until: datetime
    created_at: datetime
    holds: int


def router(runtime: Runtime[CaseState]) -> APIRouter:
    routes = APIRouter(tags=["silence"])
    writes = allow("pages:write")

    @routes.post("/v1/silences", status_code=201)
    async def add(spec: SilenceSpec, who: Annotated[Principal, Depends(writes)]) -> SilenceAnswer:
        now = runtime.clock.now()
        start = spec.from_ or now
        if not max(start, now) < spec.until <= now + MAX_SILENCE:
            raise invalid("until must be in the future, after from, and within a year")
        scope = spec.scope.model_dump()
        made = Silence(runtime.ids.new(), **scope, reason=spec.reason, author=who.name, start=start, end=spec.until)
        async with runtime.db.transaction() as tx:
            if len(await in_force(tx, now)) >= MAX_SILENCES:
                raise conflict("too-many", f"{MAX_SILENCES} silences are in force, which is the limit. End some first.")
            await reads.add_silence(tx, made, now)
            row = await reads.silence(tx, made.id)
        if row is None:
            raise not_found("silence", made.id)
        return _answer(row)

    @routes.get("/v1/silences", dependencies=[Depends(allow("read"))])
    async def silences(limit: Limit = 50, cursor: Cursor = None) -> Listing[SilenceAnswer]:
        async with runtime.db.transaction() as tx:
            rows = await reads.silences(tx, place(cursor), limit + 1)
        last = rows[limit - 1] if len(rows) > limit else None
        following = encode_cursor(last.created_at.isoformat(), str(last.id)) if last else None
        return Listing(items=[_answer(row) for row in rows[:limit]], next=following)

    @routes.delete("/v1/silences/{silence_id}", status_code=204, dependencies=[Depends(writes)])
    async def end(silence_id: UUID) -> None:
        """End it now; what waited for it goes out. It stays on record."""
        async with runtime.db.transaction() as tx:
            if not await reads.end_silence(tx, silence_id, runtime.clock.now()):
                raise not_found("silence", silence_id)
        while True:
            async with runtime.db.transaction() as tx:
                cases = await reads.muted_cases(tx, silence_id, runtime.clock.now(), CASES_AT_ONCE)
            if not cases:
                return
            await runtime.command([Input(case_id, Unmute(silence_id)) for case_id in cases])

    return routes


def _answer(row: Row[Any]) -> SilenceAnswer:
    scope = SilenceScope(team=row.team, case_id=row.case_id, destination=row.destination, person=row.person)
    same = {name: getattr(row, name) for name in ("id", "reason", "author", "created_at", "holds")}
    return SilenceAnswer(**same, scope=scope, from_=row.start, until=row.end)
