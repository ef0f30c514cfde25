"""Routes: who a customer is, merging two that are one, taking that back, and forgetting one."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query

from services.intake.api.answers import CustomerAnswer, CustomerMerge, Erased
from services.intake.model import CaseFile, Erase
from services.intake.model.identity import canonical
from services.intake.model.posted import MergeCustomer
from services.intake.store import customers
from services.intake.store.customers import Known
from shared import audit, outbox, telemetry
from shared.audit import Act, Actor
from shared.auth import Principal
from shared.batch import Input
from shared.db import Tx
from shared.errors import conflict, invalid, not_found
from shared.http import allow
from shared.openapi import also
from shared.runtime import Runtime

GROUP = 500  # cases a transaction
SHOWN = 50  # cases, and merges, in one answer
CUSTOMER = "customer"

Named = Annotated[str, Path(max_length=320, description="An id, address or phone number")]


def routes(runtime: Runtime[CaseFile]) -> APIRouter:
    router = APIRouter(tags=["customers"])

    @router.get("/v1/customers/{id}", responses=also(409), dependencies=[Depends(allow("read"))])
    async def get_customer(
        id: Named, limit: Annotated[int, Query(ge=1, le=500, description="How many cases at most")] = SHOWN
    ) -> CustomerAnswer:
        """A customer: every name that is theirs, their newest cases, and who merged them with whom."""
        async with runtime.db.transaction() as tx:
            return await _answer(tx, await _one(tx, id), limit)

    @router.post("/v1/customers/{id}/merge", responses=also(409))
    async def merge(
        id: Named, into: MergeCustomer, principal: Annotated[Principal, Depends(allow("cases:write"))]
    ) -> CustomerAnswer:
        """Say that a customer is another one. Nothing is rewritten: DELETE takes it back."""
        if not set(_names(id)).isdisjoint(_names(into.into)):
            raise conflict("cannot-merge", f"{id!r} cannot be merged into itself. Name another customer.")
        async with runtime.db.transaction() as tx:
            await customers.lock_merges(tx)
            source, target = await _one(tx, id), await _one(tx, into.into)
            if source.name != target.name:
                by = into.by or principal.name
                now = runtime.clock.now()
                await customers.merge(tx, runtime.ids.new(), source.name, target.name, by, into.reason, now)
                act = Act("merged", CUSTOMER, source.name, into.reason, {"into": target.name})
                await audit.write(tx, Actor.of(principal, into.by), act, now)
            elif source.name not in canonical(into.into):  # asked again it is done; the other way round it cannot be
                raise conflict("cannot-merge", f"Both are {source.name!r} already. Take back the merge first.")
            return await _answer(tx, await _one(tx, id), SHOWN)

    @router.delete("/v1/customers/{id}/merge")
    async def unmerge(
        id: Annotated[
            str, Path(max_length=320, description="The name that was merged into another, as `merges` has it")
        ],
        principal: Annotated[Principal, Depends(allow("cases:write"))],
    ) -> CustomerMerge:
        """Take a merge back: both are again what they were. It stays on record."""
        async with runtime.db.transaction() as tx:
            await customers.lock_merges(tx)
            for name in _names(id):
                if row := await customers.unmerge(tx, name, principal.name, runtime.clock.now()):
                    await audit.write(tx, principal, Act("unmerged", CUSTOMER, name), runtime.clock.now())
                    return CustomerMerge.of(row)
        raise not_found("merge of customer", id)

    @router.delete("/v1/customers/{id}", responses=also(409))
    async def erase(id: Named, principal: Annotated[Principal, Depends(allow("admin"))]) -> Erased:
        """Erase identity and text of a customer, here and in every service. Counts and clocks stay. Repeatable."""
        return await erase_customer(runtime, id, Actor.of(principal))

    return router


def _names(who: str) -> tuple[str, ...]:
    if "\x00" in who:
        raise invalid("The customer's id has a NUL character. Remove it.")
    return canonical(who)


async def _one(tx: Tx, who: str) -> Known:
    found = await customers.find(tx, _names(who))
    if not found:
        raise not_found("customer", who)
    return _alone(found, who)


def _alone(found: list[Known], who: str) -> Known:
    if len(found) > 1:
        names = ", ".join(repr(each.name) for each in found)
        raise conflict("ambiguous", f"{who!r} names several customers: {names}. Name one of them.")
    return found[0]


async def _answer(tx: Tx, known: Known, limit: int) -> CustomerAnswer:
    latest = await customers.latest(tx, known.names)
    assert latest is not None
    cases = await customers.cases(tx, known.names, limit)
    merges = await customers.merges(tx, known.names, SHOWN)
    return CustomerAnswer.whole(known, latest, cases, merges)


async def erase_customer(runtime: Runtime[CaseFile], who: str, by: Actor) -> Erased:
    """In groups, each a transaction: what a stop leaves undone, the same request again completes."""
    async with runtime.db.transaction() as tx:
        names = await _to_erase(tx, who, runtime)
    done: set[UUID] = set()
    while case_ids := await _erase_some(runtime, names):
        done |= set(case_ids)
    while await _leave_others(runtime, names):
        pass
    async with runtime.db.transaction() as tx:
        now = runtime.clock.now()
        quarantined = await customers.forget(tx, names, now)
        await audit.forget(tx, CUSTOMER, sorted(names))
        facts = {"cases": len(done), "quarantined": quarantined}
        await audit.write(tx, by, Act("erased", CUSTOMER, audit.FORGOTTEN, facts=facts), now)
    return Erased(cases=len(done), quarantined=quarantined)


async def _to_erase(tx: Tx, who: str, runtime: Runtime[CaseFile]) -> frozenset[str]:
    """Every name of the customer; what nobody is known by may still be in quarantine, or take part somewhere.

    The names are tied together first, as merges that end with the erasure: what ties them now is about to go.
    """
    found = await customers.find(tx, _names(who))
    if not found:
        return frozenset(_names(who))
    known = _alone(found, who)
    if shared := known.directory.shared(known.name):
        names = ", ".join(map(repr, shared))
        raise conflict("shared", f"{who!r} is shared by the customers {names}. Erase each by its id.")
    loose = sorted(known.names - {known.name} - set(known.directory.merges))
    now = runtime.clock.now()
    for name in loose:
        await customers.merge(tx, runtime.ids.new(), name, known.name, "erasure", None, now)
    return known.names


async def _erase_some(runtime: Runtime[CaseFile], names: frozenset[str]) -> list[UUID]:
    async with runtime.unit() as work:
        case_ids = await customers.cases_of(work.tx, names, GROUP)
        if case_ids:
            await work.lock(case_ids)
            await outbox.forget(work.tx, work.service.card.publishes, case_ids)
            trace = telemetry.traceparent()
            await work.apply([Input(case_id, Erase(names), trace) for case_id in case_ids])
            await customers.leave(work.tx, case_ids, names)
    return case_ids


async def _leave_others(runtime: Runtime[CaseFile], names: frozenset[str]) -> list[UUID]:
    """They took part in cases of others: their addresses go, the others' words stay."""
    async with runtime.unit() as work:
        case_ids = await customers.taking_part(work.tx, names, GROUP)
        if case_ids:
            await work.lock(case_ids)
            await customers.leave(work.tx, case_ids, names)
    return case_ids
