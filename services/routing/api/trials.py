"""Trials over HTTP: a version beside the active one, as a shadow that decides nothing or as a canary."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request

from services.routing.api import checks
from services.routing.api.activation import Version, Writer, actor, expected_active, number_of, take_over
from services.routing.api.shapes import RulesetAnswer
from services.routing.api.trial_shapes import CanaryBody, PromoteBody, TrialAnswer, TrialItem, WhyBody
from services.routing.lab.trials import ENDS_BY_HAND, goes_on, why_not
from services.routing.model import CaseState, RulesetState
from services.routing.model.trials import Trial, TrialKind, TrialState
from services.routing.preparing import Preparing
from services.routing.spec import CanaryTerms
from services.routing.store import audit, trials
from services.routing.store import rulesets as stored
from services.routing.store.audit import Action
from shared import resources
from shared.audit import Actor
from shared.db import Tx
from shared.errors import conflict, not_found
from shared.http import Cursor, Limit, Listing, allow, decode_cursor, encode_cursor
from shared.openapi import also
from shared.runtime import Runtime

READER = [Depends(allow("read"))]
Number = Annotated[int, Path(ge=1, lt=2**63, description="A trial")]


def routes(runtime: Runtime[CaseState], preparing: Preparing) -> APIRouter:
    router = APIRouter(tags=["trials"])

    @router.post("/v1/rulesets/{version}/shadow", status_code=201, responses=also(409))
    async def start_shadow(request: Request, version: Version, body: WhyBody, who: Writer) -> TrialAnswer:
        """Run this version beside the active one on new cases, and count where they differ. It decides nothing."""
        by, now = actor(request, who), runtime.clock.now()
        async with runtime.db.transaction() as tx:
            named = (await checks.ruleset(tx, version)).spec.teams()
        async with checks.configuring(runtime) as tx:
            number = await _start(tx, TrialKind.SHADOW, version, named, None, by, body.reason, now)
            return await _answer(tx, await trials.trial(tx, number))

    @router.post("/v1/rulesets/{version}/canary", status_code=201, responses=also(409))
    async def start_canary(request: Request, version: Version, body: CanaryBody, who: Writer) -> TrialAnswer:
        """Let this version decide a share of new cases, until it is promoted, aborted, or one of its conditions breaks.

        Refused as activating is. A shadow of the same version ends with it.
        """
        async with runtime.db.transaction() as tx:
            chosen = await checks.ruleset(tx, version)
        compiled, named = await preparing.everywhere(version, chosen.spec), chosen.spec.teams()
        failed = await checks.tests_hold(chosen, compiled, body.force, runtime.clock.now())
        by, now = actor(request, who), runtime.clock.now()
        terms = CanaryTerms(share=body.share, rollback=body.rollback)
        async with checks.configuring(runtime) as tx:
            expected = expected_active(await checks.listed(tx, version), body.expected_active, None)
            await checks.not_overtaken(tx, expected)
            if failed:
                await audit.write(tx, Action.FORCED, version, None, by, f"{failed}: {body.reason}", now)
            number = await _start(tx, TrialKind.CANARY, version, named, terms, by, body.reason, now)
            return await _answer(tx, await trials.trial(tx, number))

    @router.get("/v1/rulesets/{version}/shadow", dependencies=READER)
    async def get_shadow(version: Version) -> TrialAnswer:
        """What the newest shadow of this version has shown."""
        async with runtime.db.transaction() as tx:
            return await _answer(tx, await trials.newest(tx, TrialKind.SHADOW, version), f"shadow of version {version}")

    @router.get("/v1/rulesets/{version}/canary", dependencies=READER)
    async def get_canary(version: Version) -> TrialAnswer:
        """How the newest canary of this version stands against its control, condition by condition."""
        async with runtime.db.transaction() as tx:
            return await _answer(tx, await trials.newest(tx, TrialKind.CANARY, version), f"canary of version {version}")

    @router.post("/v1/rulesets/{version}/shadow/stop", responses=also(409))
    async def stop_shadow(request: Request, version: Version, body: WhyBody, who: Writer) -> TrialAnswer:
        """End the shadow. Its report stays."""
        return await end(version, TrialKind.SHADOW, actor(request, who), body.reason)

    @router.post("/v1/rulesets/{version}/canary/abort", responses=also(409))
    async def abort_canary(request: Request, version: Version, body: WhyBody, who: Writer) -> TrialAnswer:
        """The active version decides every new case again. Cases keep where they are."""
        return await end(version, TrialKind.CANARY, actor(request, who), body.reason)

    @router.post("/v1/rulesets/{version}/canary/promote", responses=also(409))
    async def promote_canary(request: Request, version: Version, body: PromoteBody, who: Writer) -> RulesetAnswer:
        """Make a running canary the active version. Refused as activating is."""
        return await take_over(runtime, preparing, version, body, actor(request, who), canary=True)

    @router.get("/v1/trials", dependencies=READER)
    async def list_trials(limit: Limit = 50, cursor: Cursor = None) -> Listing[TrialItem]:
        """What runs and what ran, newest first."""
        before = number_of(decode_cursor(cursor, 1))
        async with runtime.db.transaction() as tx:
            found = await trials.listing(tx, limit + 1, before)
        following = encode_cursor(str(found[limit - 1].number)) if len(found) > limit else None
        return Listing(items=[TrialItem.of(each) for each in found[:limit]], next=following)

    @router.get("/v1/trials/{number}", dependencies=READER)
    async def get_trial(number: Number) -> TrialAnswer:
        async with runtime.db.transaction() as tx:
            return await _answer(tx, await trials.trial(tx, number), f"trial {number}")

    async def end(version: int, kind: TrialKind, by: Actor, reason: str) -> TrialAnswer:
        now = runtime.clock.now()
        async with runtime.db.transaction() as tx:
            await resources.version(tx, "FOR UPDATE")
            await checks.listed(tx, version)
            running = await checks.runs(tx, kind, version)
            await trials.end(tx, running, ENDS_BY_HAND[kind], by, reason, now)
            return await _answer(tx, await trials.trial(tx, running.number))

    return router


async def _start(
    tx: Tx, kind: TrialKind, version: int, teams: Mapping[str, str], terms: CanaryTerms | None, by: Actor, reason: str,
    now: datetime,
) -> int:  # fmt: skip
    chosen, running = await checks.listed(tx, version), await trials.running(tx)
    if refused := why_not(kind, version, chosen.state, running):
        raise conflict("cannot-be-tried", refused)
    await checks.teams_exist(tx, teams)
    restores = chosen.state
    if shadow := goes_on(version, running):
        held = await trials.hold(tx, shadow.number, wait=True) or shadow
        await trials.end(tx, held, TrialState.STOPPED, by, f"It goes on as a canary: {reason}"[:1_000], now)
        restores = RulesetState(shadow.restores)
    control = (await stored.active(tx)).version
    return await trials.start(tx, kind, version, restores, dict(teams), control, terms, by, reason, now)


async def _answer(tx: Tx, trial: Trial | None, named: str = "") -> TrialAnswer:
    if trial is None:
        raise not_found("trial:", named)
    shadows = trial.kind == TrialKind.SHADOW and trial.state == TrialState.RUNNING
    return TrialAnswer.whole(trial, await trials.waiting(tx, trial.number) if shadows else 0)
