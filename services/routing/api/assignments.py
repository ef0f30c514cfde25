"""Who has a case and why; hand it off."""

import asyncio
import time
from datetime import datetime, timedelta
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from fastapi.responses import JSONResponse, Response
from pydantic import ConfigDict

from services.routing import rules
from services.routing.api.shapes import PlacementAnswer, Reason, why_not
from services.routing.model import RULES, CaseState, Earlier, StepKind
from services.routing.model.commands import HandOff
from services.routing.staffing import Needs, nobody
from services.routing.store import RoutingStore, StoredAssignment, assignment, desks
from services.routing.store import case_id as named_case
from shared import audit, idempotency
from shared.audit import Act
from shared.auth import Principal
from shared.batch import Input
from shared.contracts import duration
from shared.contracts.envelope import Because
from shared.contracts.spec import Name
from shared.db import Tx
from shared.errors import Problem
from shared.http import Answer, CaseName, Strict, allow, case_named
from shared.idempotency import IdempotencyKey
from shared.openapi import also
from shared.pace import paced
from shared.runtime import Runtime

MAX_WAIT = timedelta(seconds=20)
MAX_WAITING = 200  # requests of one process that wait at once; the others are answered at once
FIRST_LOOK_S, LONGEST_LOOK_S = 0.02, 0.25  # between two looks

Wait = Annotated[str | None, Query(max_length=40, description="Wait for it this long at most, for example PT5S")]

_REFUSALS = {"unknown-team": 422, "same-team": 409, "too-many-hand-offs": 409, "unknown-member": 422}


class HandOffBody(Strict):
    """``person``: of that team, who gets it whatever they have already; their own team may give it to them too."""

    team: Name
    reason: Reason
    person: Name | None = None


class StepAnswer(Answer):
    """One entry of the custody of a case."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    number: int
    kind: StepKind
    at: datetime
    team: str
    from_team: str | None
    by: str
    reason: str | None
    because: Because
    person: str | None


class AssignmentAnswer(PlacementAnswer):
    """Who has a case now and how it came there; ``history`` is oldest first.

    ``waiting``: why nobody of the team has it yet, where it waits for a person. ``returns``: how often it came right
    back to a team.
    """

    by: str
    person: str | None
    waiting: Because | None
    from_team: str | None
    returns: int
    history: list[StepAnswer]

    @classmethod
    def made(cls, stored: StoredAssignment, waiting: Because | None, earlier: Earlier | None) -> Self:
        found = stored.assignment
        return cls(
            case_id=stored.case_id, person=found.person, waiting=waiting, from_team=found.from_team,
            returns=found.returns, team=found.team, priority=found.priority, tags=found.tags,
            skills=found.skills, language=found.language,
            ruleset_version=found.ruleset_version, rule=found.rule, because=found.because,
            assigned_at=found.assigned_at, by=found.by,
            history=[StepAnswer.model_validate(step) for step in stored.history],
            why_not=why_not(earlier) if earlier else None, why_not_more=earlier.more if earlier else None,
        )  # fmt: skip


def routes(runtime: Runtime[CaseState], store: RoutingStore) -> APIRouter:
    router = APIRouter(tags=["assignments"])
    waiting = asyncio.Semaphore(MAX_WAITING)

    @router.get("/v1/cases/{case_id}/assignment", dependencies=[Depends(allow("read"))])
    async def get_assignment(case_id: CaseName, wait: Wait = None) -> AssignmentAnswer:
        """The team that has the case, why, its history, and why earlier rules did not match."""
        patience, named = _patience(wait), case_named(case_id)
        found = await _look(runtime, named)
        if found is None and patience and not waiting.locked():
            async with waiting:
                found = await _wait(runtime, named, patience)
        if found is None:
            raise not_yet(named)
        async with runtime.db.transaction() as tx:
            return await _answer(tx, store, found, runtime.clock.now())

    @router.post("/v1/cases/{case_id}/assignment", responses=also(409), response_model=AssignmentAnswer)
    async def hand_off(
        case_id: CaseName,
        body: HandOffBody,
        who: Annotated[Principal, Depends(allow("cases:write"))],
        key: IdempotencyKey = None,
    ) -> Response:
        """Give the case to another team. The customer's clocks go on."""
        named = case_named(case_id)
        async with runtime.unit() as work:
            claimed = idempotency.normalized(key) if key is not None else None
            known = await named_case(work.tx, named)
            if known is None:
                raise not_yet(named)
            if claimed is not None:
                request = idempotency.fingerprint(b"hand off", known.bytes, body.model_dump_json().encode())
                days = runtime.settings.idempotency_days
                before = await idempotency.claim(work.tx, who.key_id, claimed, request, work.now, days)
                if before is not None:
                    return JSONResponse(before.body, before.status)
            await work.lock([known])
            [decision] = await work.apply([Input(known, HandOff(known, body.team, who.name, body.reason, body.person))])
            if refused := decision.because.facts.get("refused"):
                raise _refusal(known, str(refused), decision.because.text)
            act = Act("handed off", "case", str(known), body.reason, {"team": body.team, "person": body.person})
            await audit.write(work.tx, who, act, work.now)
            found = await assignment(work.tx, known)
            assert found is not None  # decided and saved just now
            answer = (await _answer(work.tx, store, found, work.now)).model_dump(mode="json")
            if claimed is not None:
                await idempotency.remember(work.tx, who.key_id, claimed, 200, answer)
        return JSONResponse(answer)

    return router


async def _look(runtime: Runtime[Any], named: UUID | str) -> StoredAssignment | None:
    async with runtime.db.transaction() as tx:
        known = await named_case(tx, named)
        return await assignment(tx, known) if known else None


async def _wait(runtime: Runtime[Any], named: UUID | str, patience: float) -> StoredAssignment | None:
    until, pause = time.monotonic() + patience, FIRST_LOOK_S
    found = None
    while found is None and (left := until - time.monotonic()) > 0:
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 1.5, LONGEST_LOOK_S)
        found = await _look(runtime, named)
    return found


async def _answer(tx: Tx, store: RoutingStore, found: StoredAssignment, now: datetime) -> AssignmentAnswer:
    waiting = await _waiting(tx, store, found, now)
    return AssignmentAnswer.made(found, waiting, await _earlier(tx, store, found))


async def _waiting(tx: Tx, store: RoutingStore, found: StoredAssignment, now: datetime) -> Because | None:
    """Why nobody of the team has it yet, where it waits for somebody."""
    standing = found.assignment
    team = (await store.configuration.read(tx)).teams.get(standing.team) if standing.waiting else None
    if team is None:
        return None
    bench = await desks.bench(tx, standing.team, team, now)
    return nobody(bench, Needs(frozenset(standing.skills), standing.language))


async def _earlier(tx: Tx, store: RoutingStore, found: StoredAssignment) -> Earlier | None:
    """Recomputed from the version that placed the case; None where a person did, or the contact is not known."""
    if found.contact is None or found.contact.erased or found.history[0].by != RULES:
        return None
    compiled = await store.versions.ready(tx, found.assignment.ruleset_version)
    return await paced(rules.explaining(compiled, found.contact))


def _patience(wait: str | None) -> float:
    if wait is None:
        return 0.0
    try:
        return min(duration.parse(wait), MAX_WAIT).total_seconds()
    except ValueError as wrong:
        raise Problem(422, "invalid", f"wait: {wrong}") from None


def not_yet(named: UUID | str) -> Problem:
    detail = (
        f"Case {named} has no team yet: routing has not seen it, or it does not exist. Ask again, or add ?wait=PT5S."
    )
    return Problem(404, "not-yet", detail, {"Retry-After": "1"})


def _refusal(case_id: UUID, kind: str, text: str) -> Problem:
    return not_yet(case_id) if kind == "not-yet" else Problem(_REFUSALS[kind], kind, f"{text}.")
