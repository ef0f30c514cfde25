"""Routes: cases, and merging them."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from services.intake.api.answers import CaseAnswer, CaseLine, Merged
from services.intake.decide import merge_problem
from services.intake.model import Absorb, CaseFile, MergeInto
from services.intake.model.identity import canonical
from services.intake.model.posted import Merge
from services.intake.store import contacts, customers, reads
from shared import audit, telemetry
from shared.audit import Act, Actor
from shared.auth import Principal
from shared.batch import Input
from shared.contracts.mailids import case_token
from shared.contracts.words import Status
from shared.db import Tx
from shared.errors import conflict, invalid, not_found
from shared.http import Cursor, Limit, Listing, allow, decode_cursor, encode_cursor
from shared.openapi import also
from shared.runtime import Runtime

SHOWN = 500  # contacts, and activities, of one case in one answer


def routes(runtime: Runtime[CaseFile]) -> APIRouter:
    router = APIRouter(tags=["cases"])

    @router.get("/v1/cases", dependencies=[Depends(allow("read"))])
    async def get_cases(
        status: Annotated[Status | None, Query(description="Only cases of this status")] = None,
        customer: Annotated[str | None, Query(max_length=320, description="An id, address or phone number")] = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Listing[CaseLine]:
        """Cases, newest first."""
        after = decode_cursor(cursor, 1)
        if after and not (after[0].isascii() and after[0].isdecimal() and len(after[0]) < 19):
            raise invalid("This cursor is not one of ours. Leave it out to start from the newest.")
        if customer is not None and ("\x00" in customer or not customer.strip()):
            raise invalid("customer is empty or has a NUL character. Send an id, an address or a phone number.")
        who = canonical(customer) if customer is not None else ()
        async with runtime.db.transaction() as tx:
            if who:  # whatever is given, under every name of whom it names
                who = tuple(sorted({*who, *(name for known in await customers.find(tx, who) for name in known.names)}))
            rows = await reads.cases(tx, status, who, int(after[0]) if after else None, limit + 1)
        items = [CaseLine.of(row) for row in rows[:limit]]
        return Listing(items=items, next=encode_cursor(str(rows[limit - 1].number)) if len(rows) > limit else None)

    @router.get("/v1/cases/{id}", dependencies=[Depends(allow("read"))])
    async def get_case(id: str) -> CaseAnswer:
        """One case by its id or number, with its newest contacts and activities."""
        async with runtime.db.transaction() as tx:
            case_id = await _found(tx, id)
            row = await reads.case(tx, case_id)
            assert row is not None
            listed = await reads.contacts_of(tx, case_id, SHOWN)
            happened = await reads.activities_of(tx, case_id, SHOWN)
            totals = await reads.counts_of(tx, case_id)
        token = case_token(row.number, runtime.settings.mail_secret)
        return CaseAnswer.whole(row, listed, happened, totals, token)

    @router.post("/v1/cases/{id}/merge", responses=also(409))
    async def merge(id: str, into: Merge, principal: Annotated[Principal, Depends(allow("cases:write"))]) -> Merged:
        """Merge a case into another. It stays as a tombstone that points there."""
        by = into.by or principal.name
        async with runtime.unit() as work:
            source_id, target_id = await _found(work.tx, id), await _found(work.tx, into.into)
            await work.lock([source_id, target_id])
            files = await work.service.store.load(work.tx, [source_id, target_id], work.now)
            source, target = files[source_id], files[target_id]
            if source.merged_into == target.id and source.id != target.id:  # asked again: it is done
                return Merged(case_id=source.id, merged_into=target.id, number=target.name)
            if problem := merge_problem(source, target):
                raise conflict("cannot-merge", problem)
            unanswered = await contacts.earliest_unanswered(work.tx, source.id)
            trace = telemetry.traceparent()
            assert target.number is not None
            await work.apply(
                [
                    Input(source.id, MergeInto(target.id, target.number, by), trace),
                    Input(target.id, Absorb(source, unanswered, by), trace),
                ]
            )
            act = Act("merged", "case", source.name, facts={"case_id": str(source.id), "into": target.name})
            await audit.write(work.tx, Actor.of(principal, into.by), act, work.now)
        return Merged(case_id=source.id, merged_into=target.id, number=target.name)

    return router


async def _found(tx: Tx, reference: str) -> UUID:
    if "\x00" in reference or (case_id := await reads.case_id(tx, reference)) is None:
        raise not_found("case", reference.replace("\x00", "")[:60])
    return case_id
