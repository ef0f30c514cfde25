"""Rulesets: write a version, look at it, try it, activate it."""

import asyncio
import time
from collections.abc import Collection
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from services.routing import lab
from services.routing.api import checks
from services.routing.api.activation import Version, Writer, actor, number_of
from services.routing.api.shapes import (
    BacktestAnswer,
    BacktestBody,
    CreatedAnswer,
    DiffAnswer,
    LintAnswer,
    PlacementAnswer,
    RulesetAnswer,
    RulesetBody,
    RulesetItem,
    TrialBody,
    evaluation,
)
from services.routing.model import CaseState, Compiled
from services.routing.rules.lint import Finding, lint
from services.routing.rules.versions import diff
from services.routing.spec import RulesetSpec
from services.routing.store import RoutingStore, StoredRuleset, contact, newest_contacts
from services.routing.store import rulesets as stored
from shared.errors import Problem, not_found
from shared.http import Cursor, Limit, Listing, allow, decode_cursor, encode_cursor, etag
from shared.pace import gently, let_go
from shared.runtime import Runtime

PAGE = 500  # contacts read at a time
BACKTEST_S = 20.0  # then a backtest answers with what it has


def routes(runtime: Runtime[CaseState], store: RoutingStore) -> APIRouter:
    router = APIRouter(tags=["rulesets"])
    lab_bench = asyncio.Semaphore(1)

    @router.post("/v1/rulesets", status_code=201)
    async def create_ruleset(request: Request, body: RulesetBody, response: Response, who: Writer) -> CreatedAnswer:
        """Store a draft. It is checked whole: every condition compiles, and every team exists.

        ``warnings`` name what is certainly odd about it. ``based_on`` is the version that you changed, the active one
        where left out: activating is refused once another one is active.
        """
        spec = RulesetSpec(rules=body.rules, fallback=body.fallback, hand_off=body.hand_off)
        compiled = await checks.compiles(spec)
        async with runtime.db.transaction() as tx:
            await checks.teams_exist(tx, spec)
            if body.based_on is not None:
                await checks.ruleset(tx, body.based_on)
            based_on = body.based_on or (await stored.active_ruleset(tx)).version
            made = await stored.create(tx, spec, actor(request, who), body.note, based_on, runtime.clock.now())
            teams = await checks.teams(tx)
        response.headers["Location"] = f"/v1/rulesets/{made.version}"
        response.headers["ETag"] = etag(made.version)
        answer = CreatedAnswer.created(made, await _findings(compiled, teams))
        parts = list(compiled.rules)
        del compiled
        await let_go(parts)
        return answer

    @router.get("/v1/rulesets", dependencies=[Depends(allow("read"))])
    async def list_rulesets(limit: Limit = 50, cursor: Cursor = None) -> Listing[RulesetItem]:
        before = number_of(decode_cursor(cursor, 1))
        async with runtime.db.transaction() as tx:
            found = await stored.listing(tx, limit + 1, before)
        following = encode_cursor(str(found[limit - 1].version)) if len(found) > limit else None
        return Listing(items=[RulesetItem.of(each) for each in found[:limit]], next=following)

    @router.get("/v1/rulesets/active", dependencies=[Depends(allow("read"))])
    async def active_ruleset(response: Response) -> RulesetAnswer:
        async with runtime.db.transaction() as tx:
            found = await stored.active_ruleset(tx)
        response.headers["ETag"] = etag(found.version)
        return RulesetAnswer.of(found)

    @router.get("/v1/rulesets/{version}", dependencies=[Depends(allow("read"))])
    async def get_ruleset(version: Version, response: Response) -> RulesetAnswer:
        async with runtime.db.transaction() as tx:
            found = await checks.ruleset(tx, version)
        response.headers["ETag"] = etag(found.version)
        return RulesetAnswer.of(found)

    @router.get("/v1/rulesets/{version}/diff", dependencies=[Depends(allow("read"))])
    async def diff_rulesets(version: Version, to: Annotated[int, Query(ge=1, lt=2**31)]) -> DiffAnswer:
        """What changes from this version to another, by rule."""
        async with runtime.db.transaction() as tx:
            before, after = await checks.ruleset(tx, version), await checks.ruleset(tx, to)
        return DiffAnswer.of(version, to, diff(before.spec, after.spec))

    @router.post("/v1/rulesets/{version}/lint", dependencies=[Depends(allow("read"))])
    async def lint_ruleset(version: Version) -> LintAnswer:
        """What is certainly odd about this version: rules that never match or never decide, or match everything."""
        async with runtime.db.transaction() as tx:
            chosen = await checks.ruleset(tx, version)
            teams = await checks.teams(tx)
        return LintAnswer.of(version, await _findings(await _compiled(store, chosen), teams))

    @router.post("/v1/rulesets/{version}/evaluate", dependencies=[Depends(allow("read"))])
    async def evaluate(version: Version, body: TrialBody) -> PlacementAnswer:
        """What this version says of a contact, and why the rules before the one that matches do not."""
        async with runtime.db.transaction() as tx:
            chosen = await checks.ruleset(tx, version)
            facts = await contact(tx, body.case_id) if body.case_id else body.facts(runtime.clock.now())
        if facts is None:
            raise not_found("contact of a case", body.case_id)
        if body.at is not None:
            facts = facts.model_copy(update={"at": body.at})
        return evaluation(body.case_id, version, lab.evaluate(await _compiled(store, chosen), facts))

    @router.post("/v1/rulesets/{version}/backtest", dependencies=[Depends(allow("read"))])
    async def backtest(version: Version, body: BacktestBody | None = None) -> BacktestAnswer:
        """How many of the newest cases would have gone elsewhere, from which team to which."""
        asked = body or BacktestBody()
        if lab_bench.locked():
            raise Problem(429, "busy", "Another backtest is under way. Repeat when it has ended.", {"Retry-After": "5"})
        async with lab_bench:
            async with runtime.db.transaction() as tx:
                after = await checks.ruleset(tx, version)
                before = await checks.ruleset(tx, asked.against) if asked.against else await stored.active_ruleset(tx)
            found, complete = await _compare(
                runtime, await _compiled(store, before), await _compiled(store, after), asked.limit
            )
        return BacktestAnswer.of(version, before.version, found, complete)

    return router


async def _compare(
    runtime: Runtime[CaseState], before: Compiled, after: Compiled, limit: int
) -> tuple[lab.Moves, bool]:
    comparison = lab.Comparison(before, after)
    until = time.monotonic() + BACKTEST_S
    left, last = limit, None
    while left > 0:
        async with runtime.db.transaction() as tx:
            page = await newest_contacts(tx, min(left, PAGE), last)
        async for case_id, facts in gently(page):
            if time.monotonic() > until:
                return comparison.result(), False
            comparison.add(case_id, facts)
            last = (facts.at, case_id)
        if len(page) < PAGE:
            break
        left -= len(page)
    return comparison.result(), True


async def _findings(compiled: Compiled, teams: Collection[str]) -> list[Finding]:
    return [each async for each in gently(lint(compiled, teams)) if each is not None]


async def _compiled(store: RoutingStore, chosen: StoredRuleset) -> Compiled:
    return await store.compiled(chosen.version, chosen.spec)
