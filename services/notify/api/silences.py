"""Silences: messages in scope wait until the silence ends."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import Field
from sqlalchemy import Row

from services.notify.api import answers
from services.notify.api.places import place
from services.notify.model import CaseState, Silence
from services.notify.model.commands import Unmute
from services.notify.model.escalation import HoursSpec
from services.notify.model.silences import MAX_SILENCE, Effect, SilenceScope, SilenceSpec
from services.notify.oncall.opening import opening
from services.notify.store import reads
from services.notify.store import silences as silenced
from services.notify.store.cases import MAX_SILENCES, in_force, silence_of
from shared import audit
from shared.audit import Act
from shared.auth import Principal
from shared.batch import Input
from shared.errors import conflict, invalid, not_found
from shared.http import Answer, Cursor, Limit, Listing, allow, encode_cursor
from shared.openapi import also
from shared.runtime import Runtime

CASES_AT_ONCE = 500
MAX_LISTED = 500  # messages of one answer


class SilenceState(StrEnum):
    """Whether it is in force; one that is planned, or between two of its windows, is maintenance ahead."""

    PLANNED = "planned"
    ACTIVE = "active"
    ENDED = "ended"


class WindowAnswer(Answer):
    from_: datetime = Field(serialization_alias="from")
    until: datetime


class SilenceAnswer(Answer):
    """``holds``: how many messages wait for it; ``held``: how many it ever kept back; ``suppressed``: for good.

    ``window``: when it is in force, now or next; null once it is over.
    """

    id: UUID
    scope: SilenceScope
    effect: Effect
    state: SilenceState
    reason: str
    author: str
    from_: datetime = Field(serialization_alias="from")
    until: datetime
    during: HoursSpec | None
    window: WindowAnswer | None
    created_at: datetime
    holds: int
    held: int
    suppressed: int


class WholeSilence(SilenceAnswer):
    """With the messages that it kept back, newest first, at most ``MAX_LISTED``."""

    deliveries: list[answers.DeliveryAnswer]


def router(runtime: Runtime[CaseState]) -> APIRouter:
    routes = APIRouter(tags=["silence"])
    writes = allow("pages:write")

    @routes.post("/v1/silences", status_code=201, responses=also(409))
    async def add(spec: SilenceSpec, who: Annotated[Principal, Depends(writes)]) -> SilenceAnswer:
        now = runtime.clock.now()
        start = spec.from_ or now
        if not max(start, now) < spec.until <= now + MAX_SILENCE:
            raise invalid("until must be in the future, after from, and within a year")
        made = Silence(
            runtime.ids.new(),
            **spec.scope.model_dump(),
            effect=spec.effect,
            reason=spec.reason,
            author=who.name,
            start=start,
            end=spec.until,
            during=spec.during,
        )
        if made.during is not None and _window(made, now) is None:
            raise invalid("during: these hours do not open between from and until")
        async with runtime.db.transaction() as tx:
            if len(await in_force(tx, now)) >= MAX_SILENCES:
                raise conflict("too-many", f"{MAX_SILENCES} silences are in force, which is the limit. End some first.")
            await silenced.add(tx, made, now)
            facts = spec.scope.model_dump(exclude_none=True)
            await audit.write(tx, who, Act("made", "silence", str(made.id), spec.reason, facts), now)
            row = await silenced.one(tx, made.id)
        if row is None:
            raise not_found("silence", made.id)
        return _answer(row, now)

    @routes.get("/v1/silences", dependencies=[Depends(allow("read"))])
    async def silences(limit: Limit = 50, cursor: Cursor = None) -> Listing[SilenceAnswer]:
        now = runtime.clock.now()
        async with runtime.db.transaction() as tx:
            rows = await silenced.listing(tx, place(cursor), limit + 1)
        last = rows[limit - 1] if len(rows) > limit else None
        following = encode_cursor(last.created_at.isoformat(), str(last.id)) if last else None
        return Listing(items=[_answer(row, now) for row in rows[:limit]], next=following)

    @routes.get("/v1/silences/{silence_id}", dependencies=[Depends(allow("read"))])
    async def whole(silence_id: UUID) -> WholeSilence:
        """With what it kept back, and what became of that."""
        now = runtime.clock.now()
        async with runtime.db.transaction() as tx:
            row = await silenced.one(tx, silence_id)
            if row is None:
                raise not_found("silence", silence_id)
            ids = await silenced.kept_back(tx, silence_id, MAX_LISTED)
            found = [each for each in [await reads.delivery(tx, i, now) for i in ids] if each is not None]
            attempts = await reads.attempts(tx, ids)
        kept = [answers.delivery(each, attempts.get(each.id, [])) for each in found]
        return WholeSilence(**dict(_answer(row, now)), deliveries=kept)

    @routes.delete("/v1/silences/{silence_id}", status_code=204)
    async def end(silence_id: UUID, who: Annotated[Principal, Depends(writes)]) -> None:
        """End it now; what waited for it goes out. It stays on record."""
        async with runtime.db.transaction() as tx:
            now = runtime.clock.now()
            if not await silenced.end(tx, silence_id, now):
                raise not_found("silence", silence_id)
            await audit.write(tx, who, Act("ended", "silence", str(silence_id)), now)
        while True:
            async with runtime.db.transaction() as tx:
                cases = await silenced.muted_cases(tx, silence_id, runtime.clock.now(), CASES_AT_ONCE)
            if not cases:
                return
            await runtime.command([Input(case_id, Unmute(silence_id)) for case_id in cases])

    return routes


def _answer(row: Row[Any], now: datetime) -> SilenceAnswer:
    silence = silence_of(row._asdict())
    scope = SilenceScope(**{name: getattr(row, name) for name in SilenceScope.model_fields})
    same = ("id", "effect", "reason", "author", "created_at", "holds", "held", "suppressed")
    window = _window(silence, now)
    state = SilenceState.ENDED
    if window is not None:
        state = SilenceState.ACTIVE if window.from_ <= now else SilenceState.PLANNED
    return SilenceAnswer(
        **{name: getattr(row, name) for name in same},
        scope=scope,
        state=state,
        from_=silence.start,
        until=silence.end,
        during=silence.during,
        window=window,
    )


def _window(silence: Silence, now: datetime) -> WindowAnswer | None:
    """When it is in force, now or next."""
    start, end = silence.start, silence.end
    if silence.during is not None:
        hours = opening(silence.during, max(start, now))
        if hours is None:
            return None
        start, end = max(start, hours[0]), min(end, hours[1])
    return WindowAnswer(from_=start, until=end) if max(start, now) < end else None
