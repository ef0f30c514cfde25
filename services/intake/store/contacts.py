"""What accepting contacts and recording activities reads and writes beside the case files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic import TypeAdapter

from services.intake.model import Activity
from services.intake.store import tables
from services.intake.threads import Key, thread_key
from shared import bulk
from shared.db import Tx, from_json

_ACTIVITY = TypeAdapter(Activity)

# All cases that went into one case, through any number of merges, and itself.
FAMILY = (
    "WITH RECURSIVE family AS (SELECT CAST(:case_id AS uuid) AS id"
    " UNION SELECT f.id FROM case_file f JOIN family m ON f.merged_into = m.id)"
)


@dataclass(frozen=True, slots=True)
class First:
    """What was answered when a contact was first accepted."""

    contact_id: UUID
    case_id: UUID
    number: int
    opened_case: bool


async def numbers(tx: Tx, count: int) -> list[int]:
    """New case numbers, ascending. A number is never given twice; one whose transaction fails is left out."""
    if not count:
        return []
    rows = await tx.records(
        "SELECT nextval(s.name) FROM (SELECT CAST(pg_get_serial_sequence('case_file', 'number') AS regclass) AS name"
        " OFFSET 0) s, generate_series(1, :count)",
        count=count,
    )
    return sorted(number for (number,) in rows)


async def first_answers(tx: Tx, contact_ids: Sequence[UUID]) -> dict[UUID, First]:
    if not contact_ids:
        return {}
    rows = await tx.rows(
        "SELECT c.id, c.case_id, f.number, c.opened_case FROM contact c JOIN case_file f ON f.id = c.case_id"
        " WHERE c.id = ANY(CAST(:ids AS uuid[])) ORDER BY c.id",
        ids=sorted(set(contact_ids)),
    )
    return {row.id: First(row.id, row.case_id, row.number, row.opened_case) for row in rows}


async def activity_cases(tx: Tx, activity_ids: Sequence[UUID]) -> dict[UUID, UUID]:
    """The cases of those activities that have one."""
    if not activity_ids:
        return {}
    rows = await tx.rows(
        "SELECT id, case_id FROM activity WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id",
        ids=sorted(set(activity_ids)),
    )
    return {row.id: row.case_id for row in rows}


async def waiting_counts(tx: Tx, threads: Sequence[Key], at_most: int) -> tuple[int, Mapping[Key, int]]:
    """How many activities wait: in all (counted up to ``at_most``), and of each of the threads."""
    total = await tx.scalar("SELECT count(*) FROM (SELECT 1 FROM waiting_activity LIMIT :n) w", n=at_most)
    rows = await tx.rows(
        "SELECT w.source, w.thread, count(*) AS waiting FROM waiting_activity w JOIN"
        " unnest(CAST(:sources AS text[]), CAST(:threads AS text[])) AS n (source, thread)"
        " ON w.source = n.source AND w.thread = n.thread GROUP BY w.source, w.thread ORDER BY w.source, w.thread",
        sources=[key.scope for key in threads],
        threads=[key.name for key in threads],
    )
    return total, {Key("thread", row.source, row.thread): row.waiting for row in rows}


async def wait(tx: Tx, activities: Sequence[Activity]) -> None:
    """Keep activities until the first contact of their thread comes."""
    rows = [
        {
            "id": each.id,
            "source": (key := thread_key(each.source, each.thread or "")).scope,
            "thread": key.name,
            "received_at": each.received_at,
            "activity": _ACTIVITY.dump_python(each, mode="json"),
        }
        for each in activities
    ]
    await bulk.insert_new(tx, tables.waiting_activity, rows)


async def take_waiting(tx: Tx, threads: Sequence[Key]) -> dict[Key, list[Activity]]:
    """Remove and give what waited for these threads, in the order it came."""
    if not threads:
        return {}
    rows = await tx.rows(
        "WITH taken AS (DELETE FROM waiting_activity w USING"
        " unnest(CAST(:sources AS text[]), CAST(:threads AS text[])) AS n (source, thread)"
        " WHERE w.source = n.source AND w.thread = n.thread RETURNING w.*)"
        " SELECT source, thread, activity FROM taken ORDER BY received_at, id",
        sources=[key.scope for key in threads],
        threads=[key.name for key in threads],
    )
    taken: dict[Key, list[Activity]] = {}
    for row in rows:
        key = Key("thread", row.source, row.thread)
        taken.setdefault(key, []).append(_ACTIVITY.validate_python(from_json(row.activity), strict=False))
    return taken


async def expire_waiting(tx: Tx, before: datetime, at_most: int) -> list[Activity]:
    """Remove and give what waits since before then, the oldest first. Not what another is taking just now."""
    rows = await tx.rows(
        "WITH old AS (SELECT id FROM waiting_activity WHERE received_at < :before ORDER BY received_at, id"
        " LIMIT :at_most FOR UPDATE SKIP LOCKED), gone AS (DELETE FROM waiting_activity w USING old"
        " WHERE w.id = old.id RETURNING w.*) SELECT activity FROM gone ORDER BY received_at, id",
        before=before,
        at_most=at_most,
    )
    return [_ACTIVITY.validate_python(from_json(row.activity), strict=False) for row in rows]


async def earliest_unanswered(tx: Tx, case_id: UUID) -> datetime | None:
    """When the earliest word of the customer happened that no public reply of an agent followed."""
    found: datetime | None = await tx.scalar(
        FAMILY + " SELECT min(at) FROM ("
        " SELECT occurred_at AS at FROM contact WHERE case_id IN (SELECT id FROM family) AND automated IS NULL"
        " UNION ALL SELECT occurred_at FROM activity WHERE case_id IN (SELECT id FROM family)"
        " AND kind = 'customer_replied' AND public AND NOT automated) said"
        " WHERE at > coalesce((SELECT max(occurred_at) FROM activity WHERE case_id IN (SELECT id FROM family)"
        " AND kind = 'agent_replied' AND public AND NOT automated), '-infinity')",
        case_id=case_id,
    )
    return found
