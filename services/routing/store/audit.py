"""Who did what to the rulesets, when, and from where. Only ever added to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from shared import audit
from shared.audit import Act, Actor
from shared.db import Tx

_ENTRY = "SELECT number, at, action, version, before, by, key_id, address, reason FROM ruleset_audit"
MAX_ACTIVATIONS = 1_000  # looked back upon


class Action(StrEnum):
    CREATED = "created"
    ACTIVATED = "activated"
    ROLLED_BACK = "rolled_back"
    RETIRED = "retired"
    FORCED = "forced"  # what follows was done though tests failed
    SHADOW_STARTED = "shadow_started"
    SHADOW_STOPPED = "shadow_stopped"
    SHADOW_SUPERSEDED = "shadow_superseded"
    CANARY_STARTED = "canary_started"
    CANARY_PROMOTED = "canary_promoted"
    CANARY_ABORTED = "canary_aborted"
    CANARY_ROLLED_BACK = "canary_rolled_back"
    CANARY_SUPERSEDED = "canary_superseded"


@dataclass(frozen=True, slots=True)
class Entry:
    """``version`` was acted upon; ``before`` is the version that was active until then, if that changed."""

    number: int
    at: datetime
    action: Action
    version: int
    before: int | None
    by: str
    key_id: UUID | None
    address: str | None
    reason: str | None


async def write(
    tx: Tx, action: Action, version: int, before: int | None, by: Actor, reason: str | None, now: datetime
) -> None:
    await tx.run(
        "INSERT INTO ruleset_audit (at, action, version, before, by, key_id, address, reason)"
        " VALUES (:now, :action, :version, :before, :by, :key_id, :address, :reason)",
        now=now,
        action=action.value,
        version=version,
        before=before,
        by=by.by,
        key_id=by.key_id,
        address=by.address,
        reason=reason,
    )
    act = Act(action.value, "ruleset", str(version), reason, {"before": before} if before is not None else {})
    await audit.write(tx, by, act, now)


async def listing(tx: Tx, limit: int, before: int | None) -> Sequence[Entry]:
    """Newest first; ``before`` is the number of the last one had already."""
    rows = await tx.rows(
        f"{_ENTRY} WHERE CAST(:before AS bigint) IS NULL OR number < :before ORDER BY number DESC LIMIT :limit",
        before=before,
        limit=limit,
    )
    return [_entry(row) for row in rows]


async def activations(tx: Tx) -> Sequence[Entry]:
    """Oldest first. The caller holds the configuration row."""
    rows = await tx.rows(
        f"{_ENTRY} WHERE action IN ('activated', 'rolled_back') ORDER BY number DESC LIMIT :most",
        most=MAX_ACTIVATIONS,
    )
    return [_entry(row) for row in reversed(rows)]


def _entry(r: Row[Any]) -> Entry:
    return Entry(r.number, r.at, Action(r.action), r.version, r.before, r.by, r.key_id, r.address, r.reason)
