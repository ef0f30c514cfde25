"""Versions of the ruleset: written once, read, activated."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from services.routing.model import RulesetState
from services.routing.spec import FallbackSpec, RulesetSpec, RuleSpec, TestSpec
from services.routing.store import audit, trials
from services.routing.store.audit import Action
from services.routing.store.trials import RULESET
from shared import resources
from shared.audit import Actor
from shared.db import Tx, from_json, to_json
from shared.pace import gently

TEAM = "team"
ACTIVE = (RULESET, "active")  # the resource that says which version is active, and names its teams
FIRST_TEAM = "frontline"
FIRST_AUTHOR = "first start"


@dataclass(frozen=True, slots=True)
class StoredRuleset:
    """A version of the ruleset, as it was written but for its state. ``based_on`` is the version it was made from."""

    version: int
    state: RulesetState
    spec: RulesetSpec
    author: str
    note: str | None
    created_at: datetime
    activated_at: datetime | None
    based_on: int | None


@dataclass(frozen=True, slots=True)
class Listed:
    """A version in a list: all but its rules."""

    version: int
    state: RulesetState
    rules: int
    author: str
    note: str | None
    created_at: datetime
    activated_at: datetime | None
    based_on: int | None


_RULESET = "SELECT version, state, document, author, note, created_at, activated_at, based_on FROM ruleset"


_LISTED = (
    "SELECT version, state, CAST(jsonb_array_length(coalesce(document->'rules', '[]')) AS int) AS rules, author,"
    " note, created_at, activated_at, based_on FROM ruleset"
)


async def ruleset(tx: Tx, version: int) -> StoredRuleset | None:
    """Read rule by rule, for a large one takes as long as deciding a hundred contacts."""
    row = await tx.one(f"{_RULESET} WHERE version = :version", version=version)
    if row is None:
        return None
    document = from_json(row.document)
    rules = [RuleSpec.model_validate(each) async for each in gently(document.pop("rules", ()))]
    tests = [TestSpec.model_validate(each) async for each in gently(document.pop("tests", ()))]
    spec = RulesetSpec.model_validate({**document, "rules": rules, "tests": tests})
    return StoredRuleset(
        row.version, RulesetState(row.state), spec, row.author, row.note, row.created_at, row.activated_at, row.based_on
    )


async def active(tx: Tx) -> Listed:
    """Which version is active. Raises ``LookupError`` before the first start."""
    row = await tx.one(f"{_LISTED} WHERE state = 'active'")
    if row is None:
        raise LookupError("no ruleset is active. Run `tocsin migrate`, which makes the first one.")
    return _listed(row)


async def active_ruleset(tx: Tx) -> StoredRuleset:
    """Raises ``LookupError`` before the first start."""
    found = await ruleset(tx, (await active(tx)).version)
    assert found is not None  # versions are never deleted
    return found


async def listed(tx: Tx, version: int) -> Listed | None:
    row = await tx.one(f"{_LISTED} WHERE version = :version", version=version)
    return _listed(row) if row else None


async def listing(tx: Tx, limit: int, before: int | None) -> Sequence[Listed]:
    """Newest first; ``before`` is the last version had already."""
    rows = await tx.rows(
        f"{_LISTED} WHERE CAST(:before AS int) IS NULL OR version < :before ORDER BY version DESC LIMIT :limit",
        before=before,
        limit=limit,
    )
    return [_listed(row) for row in rows]


def _listed(row: Row[Any]) -> Listed:
    return Listed(
        row.version, RulesetState(row.state), row.rules, row.author, row.note, row.created_at, row.activated_at,
        row.based_on,
    )  # fmt: skip


async def create(
    tx: Tx, spec: RulesetSpec, author: Actor, note: str | None, based_on: int | None, now: datetime
) -> StoredRuleset:
    """Store a draft as the next version: without gaps, so writers wait for each other."""
    await tx.run("LOCK TABLE ruleset IN SHARE ROW EXCLUSIVE MODE")
    version = int(await tx.scalar("SELECT coalesce(max(version), 0) + 1 FROM ruleset"))
    await tx.run(
        "INSERT INTO ruleset (version, state, document, author, note, created_at, based_on)"
        " VALUES (:version, 'draft', CAST(:document AS jsonb), :author, :note, :now, :based_on)",
        version=version,
        document=to_json(spec),
        author=author.by,
        note=note,
        now=now,
        based_on=based_on,
    )
    await audit.write(tx, Action.CREATED, version, None, author, note, now)
    return StoredRuleset(version, RulesetState.DRAFT, spec, author.by, note, now, None, based_on)


async def retire(tx: Tx, version: int, by: Actor, reason: str | None, now: datetime) -> None:
    """Lay aside a version that is not active."""
    if await tx.run(
        "UPDATE ruleset SET state = 'retired' WHERE version = :version AND state = 'draft'", version=version
    ):
        await audit.write(tx, Action.RETIRED, version, None, by, reason, now)


async def activate(
    tx: Tx,
    version: int,
    teams: Mapping[str, str],
    by: Actor,
    now: datetime,
    action: Action = Action.ACTIVATED,
    reason: str | None = None,
) -> None:
    """Make a version, which names ``teams``, the active one; retire the one before. The caller holds the configuration.

    Which is active is a resource too: so every activation is kept with who did it, and batches see it move. Trials
    that run end with it.
    """
    before = await tx.scalar("SELECT version FROM ruleset WHERE state = 'active'")
    if before == version:
        return
    await audit.write(tx, action, version, before, by, reason, now)
    await tx.run("UPDATE ruleset SET state = 'retired' WHERE state = 'active' AND version <> :version", version=version)
    await tx.run(
        "UPDATE ruleset SET state = 'active', activated_at = :now WHERE version = :version AND state <> 'active'",
        version=version,
        now=now,
    )
    await resources.put(tx, *ACTIVE, {"version": version, "teams": dict(teams)}, by.by, now)
    await trials.end_with_activation(tx, version, by, now)


def uses_of_team(snapshot: resources.Snapshot, team: str) -> list[str]:
    """What stands in the way of deleting a team: where another team, the active ruleset or one on trial names it."""
    falls = [f"the fallback of team {each.name}" for each in snapshot.of(TEAM).values() if _fallback(each) == team]
    return falls + [
        f"{used.body['teams'][team]} of ruleset {used.body['version']}, which is {name}"
        for name, used in snapshot.of(RULESET).items()
        if team in used.body["teams"]
    ]


def _fallback(team: resources.Resource) -> str | None:
    return (team.body.get("fallback") or {}).get("team")


async def first_start(tx: Tx, now: datetime) -> None:
    """On an empty database: a team, and a ruleset that gives it everything."""
    await tx.run("LOCK TABLE ruleset IN SHARE ROW EXCLUSIVE MODE")
    if await tx.scalar("SELECT count(*) FROM ruleset"):
        return
    await resources.put(tx, TEAM, FIRST_TEAM, {"time_zone": "UTC", "members": []}, FIRST_AUTHOR, now)
    spec = RulesetSpec(fallback=FallbackSpec(team=FIRST_TEAM))
    made = await create(tx, spec, Actor(FIRST_AUTHOR, "start"), "Everything to frontline", None, now)
    await activate(tx, made.version, spec.teams(), Actor(FIRST_AUTHOR, "start"), now)
