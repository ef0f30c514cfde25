"""What is checked before a ruleset is stored or takes over."""

import asyncio

from services.routing import rules
from services.routing.api.shapes import DiffAnswer
from services.routing.model import Compiled
from services.routing.rules.versions import diff
from services.routing.spec import RulesetSpec
from services.routing.store import TEAM, StoredRuleset
from services.routing.store import rulesets as stored
from shared import resources
from shared.db import Tx
from shared.errors import Problem, conflict, not_found
from shared.pace import gently, let_go


async def compiles(spec: RulesetSpec) -> Compiled:
    """Every condition is checked, and what they take together. Raises a 422 with all that is wrong."""
    made = [each async for each in gently(rules.compile_each(spec))]
    try:
        compiled = await asyncio.to_thread(rules.assemble, 0, spec, made)
        rules.check_work(compiled)
        return compiled
    except rules.RulesetError as wrong:
        await let_go(made)
        places = {rule.id: f"rules.{place}" for place, rule in enumerate(spec.rules)}
        places |= {rule.id: f"hand_off.{place}" for place, rule in enumerate(spec.hand_off)}
        errors = [
            {"field": f"{places[each.rule]}.when", "rule": each.rule, "message": each.problem, **each.place}
            for each in wrong.problems
        ]
        first = wrong.problems[0]
        raise Problem(422, "invalid", f"rule {first.rule!r}: {first.problem}", errors=errors) from None


async def teams(tx: Tx) -> set[str]:
    return set((await resources.snapshot(tx, 0)).of(TEAM))


async def teams_exist(tx: Tx, spec: RulesetSpec) -> None:
    known = await teams(tx)
    missing = {team: where for team, where in spec.teams().items() if team not in known}
    if missing:
        errors = [{"field": where, "message": f"there is no team {team}"} for team, where in list(missing.items())[:50]]
        team, where = next(iter(missing.items()))
        detail = (
            f"{where} names the team {team}, which does not exist. Make it with PUT /v1/teams/{team}, or name another."
        )
        raise Problem(422, "unknown-team", detail[0].upper() + detail[1:], errors=errors)


async def ruleset(tx: Tx, version: int) -> StoredRuleset:
    found = await stored.ruleset(tx, version)
    if found is None:
        raise not_found("ruleset", version)
    return found


async def not_overtaken(tx: Tx, expected: int | None, active: StoredRuleset) -> None:
    """Raises a 409 with what changed between the version that somebody expects to be active and the one that is."""
    if expected is None or expected == active.version:
        return
    seen = await stored.ruleset(tx, expected)
    changes = DiffAnswer.of(expected, active.version, diff(seen.spec, active.spec)) if seen else None
    detail = (
        f"Version {active.version} is active, not {expected}: {active.author} was first."
        " Look at the diff, put your change on top of it, and activate that."
    )
    raise conflict(
        "another-version-is-active",
        detail,
        active=active.version,
        diff=changes.model_dump(mode="json") if changes else None,
    )
