"""What is checked before a ruleset is stored or takes over."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import cast

from services.routing import lab, rules
from services.routing.api.shapes import DiffAnswer
from services.routing.model import CaseState, Compiled, Rule
from services.routing.model.trials import Trial, TrialKind
from services.routing.rules.versions import diff
from services.routing.spec import RulesetSpec
from services.routing.store import TEAM, Listed, StoredRuleset, trials
from services.routing.store import rulesets as stored
from shared import resources
from shared.db import Database, Tx
from shared.errors import Problem, conflict, not_found
from shared.pace import gently, let_go, paced
from shared.runtime import Runtime


@asynccontextmanager
async def compiled(spec: RulesetSpec) -> AsyncIterator[Compiled]:
    """A ruleset that is not stored yet, for as long as the block: every condition is checked, and what they take
    together. Raises a 422 with what is wrong."""
    made: list[Rule] = []
    try:
        found = await paced(rules.compiling(0, spec))
        made = cast("list[Rule]", found.rules)  # ours alone
        rules.check_work(found)
        yield found
    except rules.RulesetError as wrong:
        places = {rule.id: f"rules.{place}" for place, rule in enumerate(spec.rules)}
        places |= {rule.id: f"hand_off.{place}" for place, rule in enumerate(spec.hand_off)}
        errors = [
            {"field": f"{places[each.rule]}.when", "rule": each.rule, "message": each.problem, **each.place}
            for each in wrong.problems
        ]
        first = wrong.problems[0]
        raise Problem(422, "invalid", f"rule {first.rule!r}: {first.problem}", errors=errors) from None
    finally:
        await let_go(made)


async def teams(tx: Tx) -> set[str]:
    return set((await resources.snapshot(tx, 0)).of(TEAM))


async def teams_exist(tx: Tx, named: Mapping[str, str]) -> None:
    """``named``: teams, each with where."""
    known = await teams(tx)
    missing = {team: where for team, where in named.items() if team not in known}
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


async def listed(tx: Tx, version: int) -> Listed:
    """All but its rules."""
    found = await stored.listed(tx, version)
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


class Overtaken(Exception):
    """Another version is active than somebody expects."""

    def __init__(self, expected: int, active: Listed) -> None:
        super().__init__(f"version {active.version} is active, not {expected}")
        self.expected, self.active = expected, active


@asynccontextmanager
async def configuring(runtime: Runtime[CaseState]) -> AsyncIterator[Tx]:
    """A transaction that holds the configuration: batches wait for it, so nothing in it goes through a ruleset.

    Raises a 409 with what changed where the block finds that it was overtaken.
    """
    try:
        async with runtime.db.transaction() as tx:
            await resources.version(tx, "FOR UPDATE")
            yield tx
    except Overtaken as lost:
        raise await _conflict(runtime.db, lost) from None


async def not_overtaken(tx: Tx, expected: int | None) -> Listed:
    """The active version. Raises ``Overtaken`` where somebody expects another."""
    active = await stored.active(tx)
    if expected is not None and expected != active.version:
        raise Overtaken(expected, active)
    return active


async def _conflict(db: Database, lost: Overtaken) -> Problem:
    active = lost.active
    async with db.transaction() as tx:
        seen, now = await stored.ruleset(tx, lost.expected), await ruleset(tx, active.version)
    changes = DiffAnswer.of(lost.expected, active.version, diff(seen.spec, now.spec)) if seen else None
    detail = (
        f"Version {active.version} is active, not {lost.expected}: {active.author} was first."
        " Look at the diff, put your change on top of it, and activate that."
    )
    return conflict(
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
