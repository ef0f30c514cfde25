"""Routes: forgetting a customer."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path

from services.intake.api.answers import Erased
from services.intake.model import CaseFile, Erase
from services.intake.model.identity import canonical
from services.intake.store import quarantine
from shared import telemetry
from shared.batch import Input
from shared.errors import invalid
from shared.http import allow
from shared.runtime import Runtime

GROUP = 500  # cases a transaction


def routes(runtime: Runtime[CaseFile]) -> APIRouter:
    router = APIRouter(tags=["customers"])

    @router.delete("/v1/customers/{id}", dependencies=[Depends(allow("admin"))])
    async def erase(id: Annotated[str, Path(max_length=320)]) -> Erased:
        """Erase identity and text of a customer, named by id or address, here and in every service. Repeatable."""
        if "\x00" in id:
            raise invalid("The customer's id has a NUL character. Remove it.")
        return await erase_customer(runtime, id)

    return router


async def erase_customer(runtime: Runtime[CaseFile], who: str) -> Erased:
    """In groups, each a transaction: what a stop leaves undone, the same request again completes."""
    async with runtime.db.transaction() as tx:
        known_as = await quarantine.identities(tx, canonical(who))
        dropped = await quarantine.forget(tx, known_as, runtime.clock.now())
    done: set[UUID] = set()
    while case_ids := await _erase_some(runtime, who, known_as):
        done |= set(case_ids)
    return Erased(cases=len(done), quarantined=dropped)


async def _erase_some(runtime: Runtime[CaseFile], who: str, known_as: frozenset[str]) -> list[UUID]:
    async with runtime.unit() as work:
        case_ids = await quarantine.cases_of(work.tx, known_as, GROUP)
        if case_ids:
            await work.lock(case_ids)
            trace = telemetry.traceparent()
            await work.apply([Input(case_id, Erase(who, known_as), trace) for case_id in case_ids])
    return case_ids
