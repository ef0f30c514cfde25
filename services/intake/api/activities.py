"""Routes: what happened on cases."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import ValidationError

from services.intake.api import lines
from services.intake.api.accept import attempts
from services.intake.api.answers import ActivityRecorded, WaitingActivity
from services.intake.api.record import Posted, Recorded, normalized, record
from services.intake.channels.api import explain
from services.intake.model import CaseFile
from services.intake.model.posted import NewActivity
from services.intake.store import reads
from shared import idempotency, telemetry
from shared.auth import Principal
from shared.batch import Work
from shared.errors import Problem, invalid
from shared.http import Cursor, Limit, Listing, allow, decode_cursor, encode_cursor
from shared.idempotency import IdempotencyKey
from shared.runtime import Runtime

_NDJSON = {"requestBody": {"required": True, "content": {"application/x-ndjson": {"schema": {"type": "string"}}}}}
Answered = dict[str, Any]


def routes(runtime: Runtime[CaseFile]) -> APIRouter:
    router = APIRouter(tags=["activities"])

    @router.post("/v1/activities", status_code=202, response_model=ActivityRecorded)
    async def post_activity(
        new: NewActivity,
        principal: Annotated[Principal, Depends(allow("contacts:write"))],
        key: IdempotencyKey = None,
    ) -> Answered:
        """Record one activity. When this answers, it is committed."""
        name = idempotency.normalized(key) if key is not None else None
        trace = telemetry.traceparent()

        async def body(work: Work[CaseFile]) -> Answered:
            activity = normalized(work, new)
            if isinstance(activity, Problem):
                raise activity
            if name is not None:
                print_of_request = idempotency.fingerprint(b"activity", str(new.case_id).encode(), activity.fingerprint)
                stored = await idempotency.claim(
                    work.tx, principal.key_id, name, print_of_request, work.now, runtime.settings.idempotency_days
                )
                if stored:
                    return {**stored.body, "duplicate": True}
            [fate] = await record(work, [Posted(activity, new.case_id, trace)])
            if isinstance(fate, Problem):
                raise fate
            answer = _answered(fate)
            if name is not None:
                await idempotency.remember(work.tx, principal.key_id, name, 202, answer)
            return answer

        return await attempts(runtime, body)

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

        async def together(group: Sequence[NewActivity]) -> Sequence[Recorded | Problem]:
            return await attempts(runtime, lambda work: _record(work, group, history, trace))

        async def handle(group: Sequence[NewActivity]) -> Sequence[lines.Fate]:
            fates = await lines.each_its_own(group, together)
            return [fate if isinstance(fate, Problem) else _answered(fate) for fate in fates]

        return await lines.answer(request, _read, handle)

    @router.get("/v1/activities/unmatched", dependencies=[Depends(allow("read"))])
    async def get_unmatched(limit: Limit = 50, cursor: Cursor = None) -> Listing[WaitingActivity]:
        """Activities whose thread has no contact yet: they wait for its first one."""
        after = decode_cursor(cursor, 2)
        try:
            before = (datetime.fromisoformat(after[0]), UUID(after[1])) if after else None
        except ValueError:
            raise invalid("This cursor is not one of ours. Leave it out to start from the newest.") from None
        async with runtime.db.transaction() as tx:
            rows = await reads.waiting(tx, before, limit + 1)
        items = [WaitingActivity.of(row) for row in rows[:limit]]
        more = len(rows) > limit
        return Listing(
            items=items, next=encode_cursor(items[-1].received_at.isoformat(), str(items[-1].id)) if more else None
        )

    return router


def _read(line: bytes) -> NewActivity | Problem:
    try:
        return NewActivity.model_validate_json(line)
    except ValidationError as wrong:
        return invalid(explain(wrong))


async def _record(
    work: Work[CaseFile], group: Sequence[NewActivity], history: bool, trace: str | None
) -> list[Recorded | Problem]:
    made = [normalized(work, new, history) for new in group]
    posted = [
        Posted(activity, new.case_id, trace)
        for activity, new in zip(made, group, strict=True)
        if not isinstance(activity, Problem)
    ]
    fates = iter(await record(work, posted))
    return [each if isinstance(each, Problem) else next(fates) for each in made]


def _answered(recorded: Recorded) -> Answered:
    return ActivityRecorded(
        activity_id=recorded.activity_id,
        case_id=recorded.case_id,
        waiting=recorded.case_id is None,
        duplicate=recorded.duplicate,
    ).model_dump(mode="json")
