"""Deliveries: was it sent, when, and if not, why; and sending again by hand."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from services.notify.api import answers
from services.notify.api.places import LaneName, place
from services.notify.model import CaseState
from services.notify.model.commands import Retry
from services.notify.store import lanes, reads
from shared import audit
from shared.audit import Act
from shared.auth import Principal
from shared.batch import Input
from shared.contracts.spec import Instant, Name
from shared.contracts.words import DeliveryState
from shared.db import Tx
from shared.errors import conflict, invalid, not_found
from shared.http import Cursor, Limit, Listing, allow, decode_cursor, encode_cursor
from shared.openapi import also
from shared.runtime import Runtime


async def listed(
    tx: Tx, now: datetime, limit: int, search: reads.Search, after: reads.After | None = None
) -> list[answers.DeliveryAnswer]:
    """Newest first, each with its attempts."""
    rows = await reads.deliveries(tx, now, limit, search, after)
    attempts = await reads.attempts(tx, [row.id for row in rows])
    return [answers.delivery(row, attempts.get(row.id, [])) for row in rows]


def router(runtime: Runtime[CaseState]) -> APIRouter:
    routes = APIRouter(tags=["delivery"])
    reading = [Depends(allow("read"))]

    @routes.get("/v1/deliveries", dependencies=reading)
    async def deliveries(
        page_id: Annotated[UUID | None, Query()] = None,
        case_id: Annotated[UUID | None, Query()] = None,
        destination: Annotated[Name | None, Query()] = None,
        person: Annotated[Name | None, Query()] = None,
        lane: LaneName = None,
        state: Annotated[DeliveryState | None, Query()] = None,
        created_from: Annotated[Instant | None, Query(alias="from")] = None,
        created_until: Annotated[Instant | None, Query(alias="until")] = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Listing[answers.DeliveryAnswer]:
        """The delivery log, kept for good: was it sent, when, and if not, why, and until when it waits."""
        if destination is not None and person is not None:
            raise invalid("name a destination or a person, not both: a delivery goes to one of them")
        target = f"destination:{destination}" if destination else f"person:{person}" if person else None
        search = reads.Search(page_id, case_id, target, lane, state, created_from, created_until)
        async with runtime.db.transaction() as tx:
            found = await listed(tx, runtime.clock.now(), limit + 1, search, place(cursor))
        last = found[limit - 1] if len(found) > limit else None
        following = encode_cursor(last.created_at.isoformat(), str(last.id)) if last else None
        return Listing(items=found[:limit], next=following)

    @routes.get("/v1/lanes", dependencies=reading)
    async def lanes_by_name(limit: Limit = 50, cursor: Cursor = None) -> Listing[answers.LaneAnswer]:
        """Every address that messages went to: its limits, what waits for it, and whether it is left alone, and why."""
        parts, now = decode_cursor(cursor, 1), runtime.clock.now()
        async with runtime.db.transaction() as tx:
            rows = await lanes.every(tx, now, parts[0] if parts else "", limit + 1)
        following = encode_cursor(rows[limit - 1].name) if len(rows) > limit else None
        return Listing(items=[answers.lane(row, now) for row in rows[:limit]], next=following)

    @routes.post("/v1/deliveries/{delivery_id}/retry", status_code=202, responses=also(409))
    async def retry(
        delivery_id: UUID, who: Annotated[Principal, Depends(allow("pages:write"))]
    ) -> answers.DeliveryAnswer:
        """Send again what failed, or at once what waits. 409 where there is nothing to send any more."""
        async with runtime.unit() as work:
            found = await reads.delivery(work.tx, delivery_id, work.now)
            if found is None:
                raise not_found("delivery", delivery_id)
            await work.lock([found.case_id])
            [decision] = await work.apply([Input(found.case_id, Retry(delivery_id, who.name))])
            after = decision.state.deliveries.get(delivery_id)
            if after is None or after.state != DeliveryState.QUEUED:
                raise conflict("nothing-to-send", decision.because.text)
            await audit.write(work.tx, who, Act("retried", "delivery", str(delivery_id)), work.now)
            row = await reads.delivery(work.tx, delivery_id, work.now)
            attempts = await reads.attempts(work.tx, [delivery_id])
        return answers.delivery(row or found, attempts.get(delivery_id, []))

    return routes
