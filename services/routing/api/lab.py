"""The rule lab over HTTP: evaluate, test and backtest a version, or a draft that is stored nowhere."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Annotated
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import Response, StreamingResponse

from services.routing import lab, replay
from services.routing.api import checks
from services.routing.api.activation import Version
from services.routing.api.lab_shapes import (
    BacktestAnswer,
    BacktestBody,
    DraftBacktestBody,
    DraftBody,
    DraftEvaluateBody,
    EvaluateBody,
    TestsAnswer,
    evaluation,
)
from services.routing.api.shapes import PlacementAnswer
from services.routing.model import CaseState, ContactFacts
from services.routing.rules.facts import ENVIRONMENT
from services.routing.spec import RulesetSpec
from services.routing.store import RoutingStore, case_id, contact
from services.routing.store import rulesets as stored
from shared.conditions import ConditionError
from shared.db import Tx
from shared.errors import Problem, not_found
from shared.http import allow, case_named
from shared.openapi import also
from shared.pace import paced
from shared.runtime import Runtime

STREAM = "application/x-ndjson"
DRAFT = 0  # the version of what is stored nowhere
READER = [Depends(allow("read"))]


def routes(runtime: Runtime[CaseState], store: RoutingStore) -> APIRouter:
    router = APIRouter(tags=["rule lab"])
    bench = asyncio.Semaphore(1)

    async def backtest(request: Request, chosen: tuple[int, RulesetSpec], asked: BacktestBody) -> Response:
        _where(asked.where)
        async with runtime.db.transaction() as tx:
            before = await checks.ruleset(tx, asked.against) if asked.against else await stored.active_ruleset(tx)
        task = replay.Task(
            url=runtime.db.url, schema_name=runtime.db.schema, before=(before.version, before.spec), after=chosen,
            choice=asked.choice(),
        )  # fmt: skip
        if bench.locked():
            raise Problem(429, "busy", "Another backtest is under way. Repeat when it has ended.", {"Retry-After": "5"})
        told = _told(task, bench, chosen[0] or None, before.version)
        if STREAM in request.headers.get("accept", ""):
            return StreamingResponse(told, media_type=STREAM)
        answer = b""
        async with contextlib.aclosing(told):
            async for line in told:
                answer = line
                if await request.is_disconnected():
                    break
        return Response(answer, media_type="application/json")

    @router.post("/v1/rulesets/evaluate", responses=also(404), dependencies=READER)
    async def evaluate_draft(body: DraftEvaluateBody) -> PlacementAnswer:
        """What a draft that is stored nowhere says of a contact, and why earlier rules do not match."""
        async with runtime.db.transaction() as tx:
            named, facts = await _given(tx, runtime, body)
        async with checks.compiled(body.ruleset) as compiled:
            return evaluation(named, DRAFT, await paced(lab.evaluating(compiled, facts)))

    @router.post("/v1/rulesets/{version}/evaluate", dependencies=READER)
    async def evaluate(version: Version, body: EvaluateBody) -> PlacementAnswer:
        """What this version says of a contact, and why the rules before the one that matches do not."""
        async with runtime.db.transaction() as tx:
            await checks.listed(tx, version)
            named, facts = await _given(tx, runtime, body)
            compiled = await store.versions.ready(tx, version)
        return evaluation(named, version, await paced(lab.evaluating(compiled, facts)))

    @router.post("/v1/rulesets/test", dependencies=READER)
    async def run_tests_of_draft(body: DraftBody) -> TestsAnswer:
        """Run the tests of a draft that is stored nowhere."""
        async with checks.compiled(body.ruleset) as compiled:
            return TestsAnswer.of(None, await checks.tests(body.ruleset, compiled, runtime.clock.now()))

    @router.post("/v1/rulesets/{version}/test", dependencies=READER)
    async def run_tests(version: Version) -> TestsAnswer:
        """Run the tests that are kept with this version."""
        async with runtime.db.transaction() as tx:
            chosen = await checks.ruleset(tx, version)
        compiled = await store.versions.compiled(version, chosen.spec)
        return TestsAnswer.of(version, await checks.tests(chosen.spec, compiled, runtime.clock.now()))

    @router.post("/v1/rulesets/backtest", responses=also(404), dependencies=READER, response_model=BacktestAnswer)
    async def backtest_draft(request: Request, body: DraftBacktestBody) -> Response:
        """What a draft that is stored nowhere would have done to stored cases."""
        async with checks.compiled(body.ruleset):
            pass  # it can be used, as the process of the backtest will
        return await backtest(request, (DRAFT, body.ruleset), body)

    @router.post("/v1/rulesets/{version}/backtest", dependencies=READER, response_model=BacktestAnswer)
    async def backtest_version(
        request: Request,
        version: Version,
        body: BacktestBody | None = None,
        accept: Annotated[str | None, Header(description=f"{STREAM}: progress, and the answer as last line")] = None,
    ) -> Response:
        """What this version would have done to stored cases. Hanging up ends it."""
        async with runtime.db.transaction() as tx:
            chosen = await checks.ruleset(tx, version)
        return await backtest(request, (version, chosen.spec), body or BacktestBody())

    return router


async def _told(
    task: replay.Task, bench: asyncio.Semaphore, version: int | None, against: int
) -> AsyncGenerator[bytes, None]:
    """Lines of JSON: progress, at last the answer."""
    async with bench:
        async for line in replay.lines(task):
            if "report" in line:
                more = {"ruleset_version": version, "against": against, "complete": line["complete"]}
                yield orjson.dumps(BacktestAnswer.model_validate({**line["report"], **more}).model_dump(mode="json"))
            else:
                yield orjson.dumps({"progress": {**line, "limit": task.choice.limit}}) + b"\n"


async def _given(tx: Tx, runtime: Runtime[CaseState], body: EvaluateBody) -> tuple[UUID | None, ContactFacts]:
    if body.case_id is None:
        return None, lab.facts_of(body, body.at or body.occurred_at or runtime.clock.now())
    named = await case_id(tx, case_named(body.case_id))
    facts = await contact(tx, named) if named else None
    if facts is None:
        raise not_found("contact of a case", body.case_id)
    return named, facts if body.at is None else facts.model_copy(update={"at": body.at})


def _where(source: str | None) -> None:
    try:
        if source is not None:
            ENVIRONMENT.compile(source)
    except ConditionError as wrong:
        raise Problem(422, "invalid", f"where: {wrong}") from None
