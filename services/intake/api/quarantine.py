"""Routes: what could not become a contact by itself."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import StringConstraints
from sqlalchemy import Row

from services.intake.api.accept import accept, attempts
from services.intake.api.answers import ContactAccepted, QuarantineItem
from services.intake.model import CaseFile
from services.intake.store import quarantine
from shared import audit, telemetry
from shared.audit import Act
from shared.auth import Principal
from shared.batch import Work
from shared.contracts.spec import Strict
from shared.db import Tx
from shared.errors import Problem, conflict, invalid, not_found
from shared.http import Cursor, Limit, Listing, allow, decode_cursor, encode_cursor
from shared.openapi import also
from shared.runtime import Runtime


class Drop(Strict):
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


def routes(runtime: Runtime[CaseFile]) -> APIRouter:
    router = APIRouter(tags=["quarantine"])

    @router.get("/v1/quarantine", dependencies=[Depends(allow("read"))])
    async def get_quarantine(
        state: Annotated[Literal["open", "released", "dropped"] | None, Query(description="Only of this state")] = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Listing[QuarantineItem]:
        """What is or was quarantined, newest first."""
        after = decode_cursor(cursor, 2)
        try:
            before = (datetime.fromisoformat(after[0]), UUID(after[1])) if after else None
        except ValueError:
            raise invalid("This cursor is not one of ours. Leave it out to start from the newest.") from None
        async with runtime.db.transaction() as tx:
            rows = await quarantine.listing(tx, state, before, limit + 1)
        items = [QuarantineItem.of(row) for row in rows[:limit]]
        more = len(rows) > limit
        return Listing(
            items=items, next=encode_cursor(items[-1].received_at.isoformat(), str(items[-1].id)) if more else None
        )

    @router.get("/v1/quarantine/{id}", dependencies=[Depends(allow("read"))])
    async def get_one(id: UUID) -> QuarantineItem:
        """One of them, with what can be read of it."""
        async with runtime.db.transaction() as tx:
            return QuarantineItem.of(await _one(tx, id), whole=True)

    @router.post("/v1/quarantine/{id}/release", status_code=202, responses=also(409))
    async def release(id: UUID, principal: Annotated[Principal, Depends(allow("cases:write"))]) -> ContactAccepted:
        """Make a contact of what could be read of it."""
        trace = telemetry.traceparent()

        async def body(work: Work[CaseFile]) -> ContactAccepted:
            row = await _one(work.tx, id, lock=True)
            _must_be_open(row)
            contact = quarantine.salvage(row)
            if contact is None:
                raise conflict("unreadable", "Nothing of it can be read. Drop it, and ask the sender to write again.")
            [result] = await accept(work, [contact], [trace])
            if isinstance(result, Problem):
                raise result
            await quarantine.settle(work.tx, id, "released", principal.name, None, result.contact_id, work.now)
            act = Act("released", "quarantine", str(id), facts={"contact_id": str(result.contact_id)})
            await audit.write(work.tx, principal, act, work.now)
            return ContactAccepted(
                contact_id=result.contact_id,
                case_id=result.case_id,
                case_number=result.case_number,
                opened_case=result.opened_case,
                duplicate=result.duplicate,
            )

        return await attempts(runtime, body)

    @router.post("/v1/quarantine/{id}/drop", responses=also(409))
    async def drop(
        id: UUID, why: Drop, principal: Annotated[Principal, Depends(allow("cases:write"))]
    ) -> QuarantineItem:
        """Give it up, for a reason that is kept. Its content is erased."""
        async with runtime.db.transaction() as tx:
            _must_be_open(await _one(tx, id, lock=True))
            now = runtime.clock.now()
            await quarantine.settle(tx, id, "dropped", principal.name, why.reason, None, now)
            await audit.write(tx, principal, Act("dropped", "quarantine", str(id), why.reason), now)
            return QuarantineItem.of(await _one(tx, id))

    return router


async def _one(tx: Tx, held_id: UUID, lock: bool = False) -> Row[Any]:
    row = await quarantine.one(tx, held_id, lock)
    if row is None:
        raise not_found("quarantined contact", held_id)
    return row


def _must_be_open(row: Row[Any]) -> None:
    if row.state != "open":
        raise conflict("settled", f"It was {row.state} at {row.settled_at.isoformat()} by {row.settled_by or 'us'}.")
