"""Clocks: of a case, what is at risk now, and how a deadline came about."""

from datetime import UTC, date, datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from services.sla.api.answers import (
    ClockAnswer,
    DerivationAnswer,
    HolidayAnswer,
    StretchAnswer,
    of_clock,
    of_derived,
    of_held,
)
from services.sla.decide.audit import recounted, today
from services.sla.decide.derive import Derived
from services.sla.decide.policies import BUILT_IN
from services.sla.decide.sentences import counted, derivation, holidays_told
from services.sla.model import Calendar, Case, Clock, Configuration
from services.sla.store import SlaStore, reads
from shared.contracts import duration
from shared.contracts.spec import Instant
from shared.contracts.words import ClockState
from shared.db import Tx
from shared.errors import Problem, invalid, not_found
from shared.http import CaseName, Cursor, Limit, Listing, allow, case_named, decode_cursor, encode_cursor
from shared.runtime import Runtime

MAX_COUNTED = 1_000  # intervals listed in one derivation

State = Annotated[ClockState | None, Query(description="Clocks in this state")]
DueBefore = Annotated[Instant | None, Query(description="Clocks that are due before this instant")]
Team = Annotated[str | None, Query(max_length=63)]
Order = Annotated[
    Literal["newest", "due"],
    Query(description="`due`: what is at risk now, the least time left first; open clocks only"),
]


def routes(runtime: Runtime[Case], store: SlaStore) -> APIRouter:
    router = APIRouter(tags=["clocks"], dependencies=[Depends(allow("read"))])

    def shown(clock: Clock, configured: Configuration) -> ClockAnswer:
        hours = configured.calendar(clock.terms.calendar, clock.terms.calendar_version)
        return of_clock(clock, hours or BUILT_IN, runtime.clock.now())

    @router.get("/v1/cases/{case_id}/clocks")
    async def of_case(case_id: CaseName) -> Listing[ClockAnswer]:
        """Every promise on the case, newest first. 404 `not-yet` where nothing of it has arrived."""
        named = case_named(case_id)
        async with runtime.db.transaction() as tx:
            known = named if isinstance(named, UUID) else await reads.case_id(tx, named)
            found = await reads.clocks_of(tx, known) if known else []
            configured = await store.configuration.read(tx)
            if not found and not (known and await reads.knows(tx, known)):
                detail = f"Nothing of case {named} has arrived here yet. Repeat shortly, or check the id."
                raise Problem(404, "not-yet", detail, {"Retry-After": "1"})
        return Listing(items=[shown(each, configured) for each in found])

    @router.get("/v1/clocks")
    async def listing(
        state: State = None,
        due_before: DueBefore = None,
        team: Team = None,
        order: Order = "newest",
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Listing[ClockAnswer]:
        """Clocks, newest first; with ``order=due`` what is at risk now, the least time left first."""
        by_due = order == "due"
        async with runtime.db.transaction() as tx:
            found = await reads.listed(tx, reads.Wanted(state, due_before, team, by_due, _place(cursor, order), limit))
            configured = await store.configuration.read(tx)
        last = found[limit - 1] if len(found) > limit else None
        at = last and (last.due_at if by_due else last.started_at)
        following = encode_cursor(order, at.isoformat(), str(last.id)) if last and at else None
        return Listing(items=[shown(each, configured) for each in found[:limit]], next=following)

    @router.get("/v1/clocks/{clock_id}")
    async def one(clock_id: UUID) -> ClockAnswer:
        async with runtime.db.transaction() as tx:
            return shown(await _found(tx, clock_id), await store.configuration.read(tx))

    @router.get("/v1/clocks/{clock_id}/derivation")
    async def derived(clock_id: UUID) -> DerivationAnswer:
        """How the deadline came about: what counted, pauses, holidays, versions; and the same as a sentence."""
        async with runtime.db.transaction() as tx:
            found = await _found(tx, clock_id)
            hours = await _calendar(tx, found)
            case = (await store.load(tx, [found.case_id], runtime.clock.now()))[found.case_id]
        return _derivation(found, hours, today(case, runtime.clock.now()).get(clock_id))

    return router


async def _found(tx: Tx, clock_id: UUID) -> Clock:
    found = await reads.clock(tx, clock_id)
    if found is None:
        raise not_found("clock", clock_id)
    return found


async def _calendar(tx: Tx, clock: Clock) -> Calendar:
    """The calendar as it was when the promise was made."""
    name, version = clock.terms.calendar, clock.terms.calendar_version
    if version == BUILT_IN.version:
        return BUILT_IN
    found = await reads.calendar_version(tx, name, version)
    if found is None:
        raise not_found("calendar", f"{name} in version {version}")
    return found


def _derivation(clock: Clock, hours: Calendar, now: Derived | None) -> DerivationAnswer:
    """``now``: the clock as it would be by what is configured now."""
    terms, recomputed = clock.terms, recounted(clock, hours)
    until = clock.due_at or clock.started_at
    spans = counted(hours, clock.started_at, until, clock.pauses)
    return DerivationAnswer(
        clock_id=clock.id,
        sentence=derivation(clock, hours),
        started_at=clock.started_at,
        due_at=clock.due_at,
        within=duration.text(terms.within),
        policy=terms.policy,
        policy_version=terms.policy_version,
        promised_at=clock.promised_at,
        calendar=terms.calendar,
        calendar_version=terms.calendar_version,
        time_zone=terms.zone,
        counted=[StretchAnswer(since=since, until=end) for since, end in spans[:MAX_COUNTED]],
        counted_in_all=len(spans),
        pauses=[StretchAnswer(since=pause.since, until=pause.until) for pause in clock.pauses],
        holidays=[
            HolidayAnswer(date=date.fromisoformat(day), name=name)
            for day, name in holidays_told(hours, clock.started_at, until)
        ],
        libraries=clock.libraries,
        first=of_held(clock.earlier[0]) if clock.earlier else of_derived(clock),
        today=of_derived(now) if now else None,
        recomputed_due_at=recomputed,
        agrees=recomputed == clock.due_at,
    )


def _place(cursor: str | None, order: str) -> tuple[datetime, UUID] | None:
    parts = decode_cursor(cursor, 3)
    if parts is None:
        return None
    try:
        if parts[0] != order:
            raise ValueError("the cursor is of another order")
        return datetime.fromisoformat(parts[1]).astimezone(UTC), UUID(parts[2])
    except (ValueError, OverflowError):
        raise invalid("This cursor is not one of this list. Leave it out to start from the beginning.") from None
