"""Deliveries: was it sent, when, and if not, why; and sending again by hand."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from services.notify.api import answers
from services.notify.api.places import place
from services.notify.model import CaseState
from services.notify.model.commands import Retry
from services.notify.store import reads
from shared.auth import Principal
from shared.batch import Input
from shared.contracts.words import DeliveryState
from shared.db import Tx
from shared.errors import conflict, not_found
from shared.http import Cursor, Limit, Listing, allow, encode_cursor
from shared.runtime import Runtime


async def listed(
    tx: Tx,
    now: datetime,
    limit: int,
    page_id: UUID | None = None,
    case_id: UUID | None = None,
    state: DeliveryState | None = None,
    after: reads.After | None = None,
) -> list[answers.DeliveryAnswer]:
    """Newest first, each with its attempts."""
    rows = await reads.deliveries(tx, now, limit, page_id, case_id, state, after)
    attempts = await reads.attempts(tx, [row.id for row in rows])
    return [answers.delivery(row, attempts.get(row.id, [])) for row in rows]


def router(runtime: Runtime[CaseState]) -> APIRouter:
    routes = APIRouter(tags=["delivery"])

    @routes.get("/v1/deliveries", dependencies=[Depends(allow("read"))])
    async def deliveries(
        page_id: Annotated[UUID | None, Query()] = None,
        case_id: Annotated[UUID | None, Query()] = None,
        state: Annotated[DeliveryState | None, Query()] = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Listing[answers.DeliveryAnswer]:
        async with runtime.db.transaction() as tx:
            found = await listed(tx, runtime.clock.now(), limit + 1, page_id, case_id, state, place(cursor))
        last = found[limit - 1] if len(found) > limit else None
        following = encode_cursor(last.created_at.isoformat(), str(last.id)) if last else None
        return Listing(items=found[:limit], next=following)

    @routes.post("/v1/deliveries/{delivery_id}/retry", status_code=202)
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
            row = await reads.delivery(work.tx, delivery_id, work.now)
            attempts = await reads.attempts(work.tx, [delivery_id])
        return answers.delivery(row or found, attempts.get(delivery_id, []))

    return routes
