"""What is checked before a ruleset is stored or takes over."""

import asyncio
from datetime import datetime

from services.routing import lab, rules
from services.routing.api.shapes import DiffAnswer
from services.routing.model import Compiled
from services.routing.model.trials import Trial, TrialKind
from services.routing.rules.versions import diff
from services.routing.spec import RulesetSpec
from services.routing.store import TEAM, StoredRuleset, trials
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


async def runs(tx: Tx, kind: TrialKind, version: int) -> Trial:
    """Locked. Raises a 409 where it does not run. The caller holds the configuration row."""
    newest = await trials.newest(tx, kind, version)
    held = await trials.hold(tx, newest.number, wait=True) if newest else None
    if held is None:
        how = f"it is {newest.state}: {newest.ended_because}" if newest else "there was none"
        raise conflict("not-running", f"No {kind} of version {version} runs; {how}. GET /v1/trials lists them.")
    return held


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


async def tests(spec: RulesetSpec, compiled: Compiled, now: datetime) -> list[lab.Tested]:
    return [each async for each in gently(lab.run_tests(spec, compiled, now))]


async def tests_hold(chosen: StoredRuleset, compiled: Compiled, force: bool, now: datetime) -> str | None:
    """What failed, where that was forced. Raises a 409 with the failures where not."""
    failed = [each for each in await tests(chosen.spec, compiled, now) if each.wrong]
    if not failed:
        return None
    said = f"{len(failed)} of {len(chosen.spec.tests)} tests fail, first {failed[0].name!r}"
    if force:
        return said
    detail = f"{said}: {failed[0].wrong[0]}. Correct rules or test, or repeat with force and a reason, which is kept."
    failures = [{"name": each.name, "wrong": list(each.wrong)} for each in failed[:50]]
    raise conflict("tests-fail", detail, failures=failures)
