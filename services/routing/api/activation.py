"""Which version of the ruleset is active: activate, roll back, retire; and the record of who did."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Path, Request
from pydantic import ConfigDict

from services.routing.api import checks
from services.routing.api.shapes import ForceBody, RetireBody, RollbackBody, RulesetAnswer
from services.routing.model import CaseState, RulesetState
from services.routing.model.trials import TrialKind
from services.routing.preparing import Preparing
from services.routing.rules.versions import standing_before
from services.routing.store import Listed, audit
from services.routing.store import rulesets as stored
from services.routing.store.audit import Action
from shared import resources
from shared.audit import Actor
from shared.auth import Principal
from shared.db import Tx
from shared.errors import Problem, conflict
from shared.http import Answer, Cursor, Limit, Listing, allow, decode_cursor, encode_cursor, expected_version
from shared.openapi import also
from shared.runtime import Runtime

TWICE = timedelta(minutes=1)  # a second rollback this soon must say what it takes back

Version = Annotated[int, Path(ge=1, lt=2**31, description="A version of the ruleset")]
Writer = Annotated[Principal, Depends(allow("config:write"))]
IfMatch = Annotated[str | None, Header(description="The ETag of the version that you believe is active")]


class AuditEntry(Answer):
    """``version`` was acted upon by the key ``by``; ``before`` was active until then, where that changed."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    number: int
    at: datetime
    action: Action
    version: int
    before: int | None
    by: str
    key_id: UUID | None
    address: str | None
    reason: str | None


def actor(request: Request, who: Principal) -> Actor:
    return Actor.of(who)


def routes(runtime: Runtime[CaseState], preparing: Preparing) -> APIRouter:
    router = APIRouter(tags=["rulesets"])

    @router.get("/v1/rulesets/audit", dependencies=[Depends(allow("read"))])
    async def audit_of_rulesets(limit: Limit = 50, cursor: Cursor = None) -> Listing[AuditEntry]:
        """Who made, activated, rolled back or retired which version, when, and from where."""
        before = number_of(decode_cursor(cursor, 1))
        async with runtime.db.transaction() as tx:
            found = await audit.listing(tx, limit + 1, before)
        following = encode_cursor(str(found[limit - 1].number)) if len(found) > limit else None
        return Listing(items=[AuditEntry.model_validate(each) for each in found[:limit]], next=following)

    @router.post("/v1/rulesets/{version}/activate", responses=also(409))
    async def activate(
        request: Request, version: Version, who: Writer, body: ForceBody | None = None, if_match: IfMatch = None
    ) -> RulesetAnswer:
        """Make this version the active one, also an older one again. Cases keep where they are.

        Refused with 409 and the diff where another version is active than you expect: by ``expected_active``, else
        ``If-Match``; else, for a draft, the version that it was made from. Refused with 409 and what failed while one
        of its tests fails, unless forced.
        """
        said = body or ForceBody()
        return await take_over(runtime, preparing, version, said, actor(request, who), if_match)

    @router.post("/v1/rulesets/rollback", responses=also(409))
    async def roll_back(request: Request, who: Writer, body: RollbackBody | None = None) -> RulesetAnswer:
        """Bring back the version that was active before this one; once more, the one before that."""
        said, now = body or RollbackBody(), runtime.clock.now()
        async with runtime.db.transaction() as tx:
            before = await _to_roll_back_to(tx, said, now)
            chosen = await checks.ruleset(tx, before)
        await preparing.everywhere(before, chosen.spec)
        named = chosen.spec.teams()
        async with checks.configuring(runtime) as tx:
            await checks.not_overtaken(tx, said.expected_active)
            if await _to_roll_back_to(tx, said, now) != before:
                raise conflict("rolled-back-just-now", "Another version became active just now. Look, and repeat.")
            await checks.teams_exist(tx, named)
            await stored.activate(tx, before, named, actor(request, who), now, Action.ROLLED_BACK, said.reason)
            done = await checks.listed(tx, before)
        return RulesetAnswer.of(chosen, done)

    @router.post("/v1/rulesets/{version}/retire", responses=also(409))
    async def retire(request: Request, version: Version, who: Writer, body: RetireBody | None = None) -> RulesetAnswer:
        """Lay a draft aside. Nothing is deleted, and it can still be activated."""
        async with runtime.db.transaction() as tx:
            await resources.version(tx, "FOR UPDATE")
            chosen = await checks.listed(tx, version)
            if chosen.state not in (RulesetState.DRAFT, RulesetState.RETIRED):
                detail = f"Version {version} is {chosen.state}. Activate another one, or end its trial, first."
                raise conflict("in-use", detail)
            reason = body.reason if body else None
            await stored.retire(tx, version, actor(request, who), reason, runtime.clock.now())
            return RulesetAnswer.of(await checks.ruleset(tx, version))

    return router


async def take_over(
    runtime: Runtime[CaseState], preparing: Preparing, version: int, said: ForceBody, by: Actor,
    if_match: str | None = None, canary: bool = False,
) -> RulesetAnswer:  # fmt: skip
    """Make a version the active one, past every guard. ``canary``: only where it is a running one."""
    async with runtime.db.transaction() as tx:
        chosen = await checks.ruleset(tx, version)
    # Before the configuration is held, so that no batch waits.
    compiled = await preparing.everywhere(version, chosen.spec)
    failed = await checks.tests_hold(chosen, compiled, said.force, runtime.clock.now())
    named = chosen.spec.teams()
    async with checks.configuring(runtime) as tx:
        if canary:
            await checks.runs(tx, TrialKind.CANARY, version)
        expected = expected_active(await checks.listed(tx, version), said.expected_active, if_match)
        await checks.not_overtaken(tx, expected)
        await checks.teams_exist(tx, named)
        now = runtime.clock.now()
        if failed:
            await audit.write(tx, Action.FORCED, version, None, by, f"{failed}: {said.reason}", now)
        await stored.activate(tx, version, named, by, now, reason=said.reason)
        done = await checks.listed(tx, version)
    return RulesetAnswer.of(chosen, done)


async def _to_roll_back_to(tx: Tx, said: RollbackBody, now: datetime) -> int:
    done = await audit.activations(tx)
    _not_just_now(done, said.expected_active, now)
    before = standing_before((each.action == Action.ROLLED_BACK, each.version) for each in done)
    if before is None:
        active = await stored.active(tx)
        detail = f"No version was active before {active.version}. Activate the one you want by its number."
        raise conflict("nothing-to-roll-back-to", detail)
    return before


def expected_active(chosen: Listed, said: int | None, if_match: str | None) -> int | None:
    """The version that must be active for ``chosen`` to take over; None where nobody cares."""
    expected = said or expected_version(if_match)
    # A canary needs no guess: it ends when another version becomes active.
    new = chosen.state == RulesetState.DRAFT or (chosen.state == RulesetState.SHADOW and chosen.activated_at is None)
    return chosen.based_on if expected is None and new else expected


def _not_just_now(done: Sequence[audit.Entry], expected: int | None, now: datetime) -> None:
    """Two admins who roll back at once mean the same step back, not two."""
    last = done[-1] if done else None
    if expected is None and last and last.action == Action.ROLLED_BACK and now - last.at < TWICE:
        detail = (
            f"{last.by} rolled back to version {last.version} just now."
            f' To go back further, repeat with {{"expected_active": {last.version}}}.'
        )
        raise conflict("rolled-back-just-now", detail, active=last.version)


def number_of(cursor: tuple[str, ...] | None) -> int | None:
    if cursor is None:
        return None
    if not cursor[0].isdecimal() or len(cursor[0]) > 9:
        raise Problem(422, "invalid", "This cursor is not one of ours. Leave it out to start from the newest.")
    return int(cursor[0])
