"""Rulesets: write a version, look at it, try it, activate it."""

from collections.abc import Collection
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from services.routing.api import checks
from services.routing.api.activation import Version, Writer, actor, number_of
from services.routing.api.shapes import (
    CreatedAnswer,
    DiffAnswer,
    LintAnswer,
    RulesetAnswer,
    RulesetBody,
    RulesetItem,
)
from services.routing.model import CaseState, Compiled
from services.routing.rules.lint import Finding, lint
from services.routing.rules.versions import diff
from services.routing.spec import RulesetSpec
from services.routing.store import RoutingStore
from services.routing.store import rulesets as stored
from shared.http import Cursor, Limit, Listing, allow, decode_cursor, encode_cursor, etag
from shared.openapi import also
from shared.pace import gently
from shared.runtime import Runtime


def routes(runtime: Runtime[CaseState], store: RoutingStore) -> APIRouter:
    router = APIRouter(tags=["rulesets"])

    @router.post("/v1/rulesets", status_code=201, responses=also(404))
    async def create_ruleset(request: Request, body: RulesetBody, response: Response, who: Writer) -> CreatedAnswer:
        """Store a draft. It is checked whole: every condition compiles, and every team exists.

        ``warnings`` name what is certainly odd about it. ``based_on`` is the version that you changed, the active one
        where left out: activating is refused once another one is active.
        """
        spec = RulesetSpec(rules=body.rules, fallback=body.fallback, hand_off=body.hand_off, tests=body.tests)
        async with checks.compiled(spec) as compiled:
            async with runtime.db.transaction() as tx:
                await checks.teams_exist(tx, spec.teams())
                if body.based_on is not None:
                    await checks.listed(tx, body.based_on)
                based_on = body.based_on or (await stored.active(tx)).version
                made = await stored.create(tx, spec, actor(request, who), body.note, based_on, runtime.clock.now())
                teams = await checks.teams(tx)
            findings = await _findings(compiled, teams)
        response.headers["Location"] = f"/v1/rulesets/{made.version}"
        response.headers["ETag"] = etag(made.version)
        return CreatedAnswer.created(made, findings)

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
            await checks.listed(tx, version)
            compiled, teams = await store.versions.ready(tx, version), await checks.teams(tx)
        return LintAnswer.of(version, await _findings(compiled, teams))

    return router


async def _findings(compiled: Compiled, teams: Collection[str]) -> list[Finding]:
    return [each async for each in gently(lint(compiled, teams)) if each is not None]
