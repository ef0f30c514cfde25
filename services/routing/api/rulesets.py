"""Rulesets: write a version, look at it, try it, activate it."""

import asyncio
import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response

from services.routing import lab, rules
from services.routing.api.shapes import (
    ActivateBody,
    BacktestAnswer,
    BacktestBody,
    DiffAnswer,
    PlacementAnswer,
    RulesetAnswer,
    RulesetBody,
    RulesetItem,
    TrialBody,
    evaluation,
)
from services.routing.model import CaseState, Compiled
from services.routing.pace import gently
from services.routing.rules.versions import diff
from services.routing.spec import RulesetSpec
from services.routing.store import TEAM, RoutingStore, StoredRuleset, contact, newest_contacts
from services.routing.store import rulesets as stored
from shared import resources
from shared.auth import Principal
from shared.db import Tx
from shared.errors import Problem, conflict, not_found
from shared.http import Cursor, Limit, Listing, allow, decode_cursor, encode_cursor, etag
from shared.runtime import Runtime

PAGE = 500  # contacts read at a time
BACKTEST_S = 20.0  # then a backtest answers with what it has

Version = Annotated[int, Path(ge=1, lt=2**31, description="A version of the ruleset")]
Writer = Annotated[Principal, Depends(allow("config:write"))]


def routes(runtime: Runtime[CaseState], store: RoutingStore) -> APIRouter:
    router = APIRouter(tags=["rulesets"])
    lab_bench = asyncio.Semaphore(1)

    @router.post("/v1/rulesets", status_code=201)
    async def create_ruleset(body: RulesetBody, response: Response, who: Writer) -> RulesetAnswer:
        """Store a draft. It is checked whole: every condition compiles, and every team exists."""
        spec = RulesetSpec(rules=body.rules, fallback=body.fallback)
        await _check(spec)
        async with runtime.db.transaction() as tx:
            await _check_teams(tx, spec)
            made = await stored.create(tx, spec, who.name, body.note, runtime.clock.now())
        response.headers["Location"] = f"/v1/rulesets/{made.version}"
        response.headers["ETag"] = etag(made.version)
        return RulesetAnswer.of(made)

    @router.get("/v1/rulesets", dependencies=[Depends(allow("read"))])
    async def list_rulesets(limit: Limit = 50, cursor: Cursor = None) -> Listing[RulesetItem]:
        before = _version_of(decode_cursor(cursor, 1))
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
            found = await _ruleset(tx, version)
        response.headers["ETag"] = etag(found.version)
        return RulesetAnswer.of(found)

    @router.get("/v1/rulesets/{version}/diff", dependencies=[Depends(allow("read"))])
    async def diff_rulesets(version: Version, to: Annotated[int, Query(ge=1, lt=2**31)]) -> DiffAnswer:
        """What changes from this version to another, by rule."""
        async with runtime.db.transaction() as tx:
            before, after = await _ruleset(tx, version), await _ruleset(tx, to)
        return DiffAnswer.of(version, to, diff(before.spec, after.spec))

    @router.post("/v1/rulesets/{version}/evaluate", dependencies=[Depends(allow("read"))])
    async def evaluate(version: Version, body: TrialBody) -> PlacementAnswer:
        """What this version says of a contact, and why the rules before the one that matches do not."""
        async with runtime.db.transaction() as tx:
            chosen = await _ruleset(tx, version)
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
                after = await _ruleset(tx, version)
                before = await _ruleset(tx, asked.against) if asked.against else await stored.active_ruleset(tx)
            found, complete = await _compare(
                runtime, await _compiled(store, before), await _compiled(store, after), asked.limit
            )
        return BacktestAnswer.of(version, before.version, found, complete)

    @router.post("/v1/rulesets/{version}/activate")
    async def activate(version: Version, who: Writer, body: ActivateBody | None = None) -> RulesetAnswer:
        """Make this version the active one, also an older one again. Cases keep where they are."""
        expected = body.expected_active if body else None
        async with runtime.db.transaction() as tx:
            chosen = await _ruleset(tx, version)
        await _compiled(store, chosen)  # before the configuration is held, so that no batch waits for it
        async with runtime.db.transaction() as tx:
            await resources.version(tx, "FOR UPDATE")
            active = await stored.active_ruleset(tx)
            if expected is not None and expected != active.version:
                raise await _overtaken(tx, expected, active)
            await _check_teams(tx, chosen.spec)
            await stored.activate(tx, chosen, who.name, runtime.clock.now())
            return RulesetAnswer.of(await _ruleset(tx, version))

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


async def _check(spec: RulesetSpec) -> None:
    try:
        rules.assemble(0, spec, [each async for each in gently(rules.compile_each(spec))])
    except rules.RulesetError as wrong:
        places = {rule.id: place for place, rule in enumerate(spec.rules)}
        errors = [
            {"field": f"rules.{places[each.rule]}.when", "rule": each.rule, "message": each.problem}
            for each in wrong.problems
        ]
        first = wrong.problems[0]
        raise Problem(422, "invalid", f"rule {first.rule!r}: {first.problem}", errors=errors) from None


async def _check_teams(tx: Tx, spec: RulesetSpec) -> None:
    teams = (await resources.snapshot(tx, 0)).of(TEAM)
    missing = {team: where for team, where in spec.teams().items() if team not in teams}
    if missing:
        errors = [{"field": where, "message": f"there is no team {team}"} for team, where in list(missing.items())[:50]]
        team, where = next(iter(missing.items()))
        detail = (
            f"{where} names the team {team}, which does not exist. Make it with PUT /v1/teams/{team}, or name another."
        )
        raise Problem(422, "unknown-team", detail[0].upper() + detail[1:], errors=errors)


async def _compiled(store: RoutingStore, chosen: StoredRuleset) -> Compiled:
    return await store.compiled(chosen.version, chosen.spec)


async def _ruleset(tx: Tx, version: int) -> StoredRuleset:
    found = await stored.ruleset(tx, version)
    if found is None:
        raise not_found("ruleset", version)
    return found


async def _overtaken(tx: Tx, expected: int, active: StoredRuleset) -> Problem:
    seen = await stored.ruleset(tx, expected)
    changes = DiffAnswer.of(expected, active.version, diff(seen.spec, active.spec)) if seen else None
    detail = (
        f"Version {active.version} is active, not {expected}: {active.author} was first."
        " Look at the diff, put your change on top of it, and activate that."
    )
    said: dict[str, Any] = {"active": active.version, "diff": changes.model_dump(mode="json") if changes else None}
    return conflict("another-version-is-active", detail, **said)


def _version_of(cursor: tuple[str, ...] | None) -> int | None:
    if cursor is None:
        return None
    if not cursor[0].isdecimal() or len(cursor[0]) > 9:
        raise Problem(422, "invalid", "This cursor is not one of ours. Leave it out to start from the newest.")
    return int(cursor[0])
