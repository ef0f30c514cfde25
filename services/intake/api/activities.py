"""Routes: what happened on cases."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import ValidationError

from services.intake.api import lines
from services.intake.api.answers import ActivityRecorded, WaitingActivity, answered
from services.intake.api.desk import Desk
from services.intake.api.record import WAITS_FOR, Posted, normalized
from services.intake.channels.api import explain
from services.intake.model import CaseFile
from services.intake.model.posted import NewActivity
from services.intake.store import reads
from shared import telemetry
from shared.auth import Principal
from shared.errors import Problem, invalid
from shared.http import Cursor, Limit, Listing, allow, decode_cursor, encode_cursor
from shared.idempotency import EXPIRES_HEADER, IdempotencyKey
from shared.openapi import also
from shared.runtime import Runtime

_NDJSON: dict[str, Any] = {"requestBody": {"content": {"application/x-ndjson": {"schema": {}}}}}


def routes(runtime: Runtime[CaseFile], desk: Desk) -> APIRouter:
    router = APIRouter(tags=["activities"])

    @router.post(
        "/v1/activities",
        status_code=202,
        response_model=ActivityRecorded,
        responses={202: {"headers": EXPIRES_HEADER}, **also(404, 409)},
    )
    async def post_activity(
        new: NewActivity,
        principal: Annotated[Principal, Depends(allow("contacts:write"))],
        key: IdempotencyKey = None,
    ) -> Response:
        """Record one activity. When this answers, it is committed."""
        posted = posted_activity(runtime, new, False, telemetry.traceparent())
        if isinstance(posted, Problem):
            raise posted
        return answered(await desk.activity(principal.key_id, key, posted, len(new.text)))

    @router.post(
        "/v1/activities/batch",
        dependencies=[Depends(allow("contacts:write"))],
        openapi_extra=_NDJSON,
        response_class=Response,
    )
    async def post_activities(
        request: Request,
        history: Annotated[bool, Query(description="An import: clocks are computed, nobody is paged")] = False,
    ) -> Response:
        """Record activities, one a line; answers one line for each, with its own status."""
        trace = telemetry.traceparent()

        def read(line: bytes) -> Posted | Problem:
            try:
                return posted_activity(runtime, NewActivity.model_validate_json(line), history, trace)
            except ValidationError as wrong:
                return invalid(explain(wrong))

        return await lines.answer(request, read, desk.activity_lines)

    @router.get("/v1/activities/unmatched", dependencies=[Depends(allow("read"))])
    async def get_unmatched(limit: Limit = 50, cursor: Cursor = None) -> Listing[WaitingActivity]:
        """Activities whose thread has no contact yet: they wait for its first one, 30 days long."""
        after = decode_cursor(cursor, 2)
        try:
            before = (datetime.fromisoformat(after[0]), UUID(after[1])) if after else None
        except ValueError:
            raise invalid("This cursor is not one of ours. Leave it out to start from the newest.") from None
        async with runtime.db.transaction() as tx:
            rows = await reads.waiting(tx, before, limit + 1)
        items = [WaitingActivity.of(row, WAITS_FOR) for row in rows[:limit]]
        more = len(rows) > limit
        return Listing(
            items=items, next=encode_cursor(items[-1].received_at.isoformat(), str(items[-1].id)) if more else None
        )

    return router


def posted_activity(runtime: Runtime[CaseFile], new: NewActivity, history: bool, trace: str | None) -> Posted | Problem:
    activity = normalized(new, runtime.ids.new(), runtime.clock.now(), history)
    return activity if isinstance(activity, Problem) else Posted(activity, new.case_id, trace)
