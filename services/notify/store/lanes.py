"""Lanes: one address each, shared by all replicas as rows. What may leave a lane now, and what a provider asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from services.notify.model import Block
from shared.db import Tx

# How many messages of one lane may be on their way at once, and the milliseconds between two of them.
WIDTH: Mapping[str, int] = {
    "slack": 1,
    "email": 4,
    "webhook": 8,
    "pagerduty": 4,
    "opsgenie": 4,
    "console": 1,
    "catch-all": 4,
}
PACE_MS: Mapping[str, int] = {"slack": 1_000}  # Slack's own limit for one channel

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that may be sent now, as it looked without a lock."""

    delivery_id: UUID
    case_id: UUID
    lane: str


def new_lanes(ways: Mapping[str, str]) -> list[dict[str, Any]]:
    """Rows for lanes, given the way that each serves; in order, since other batches insert them too."""
    return [
        {
            "name": lane,
            "width": WIDTH[way],
            "pace_ms": PACE_MS.get(way, 0),
            "next_at": _LONG_AGO,
            "blocked_until": _LONG_AGO,
            "blocked_reason": None,
        }
        for lane, way in sorted(ways.items())
    ]


async def due(tx: Tx, now: datetime, limit: int) -> list[Due]:
    """The first deliveries of every lane that may send, the longest waiting first. A first look, unlocked."""
    rows = await tx.rows(
        "SELECT d.id, d.case_id, d.lane FROM lane l CROSS JOIN LATERAL ("
        " SELECT q.id, q.case_id, q.lane, q.next_at FROM delivery q WHERE q.lane = l.name"
        " AND q.state IN ('queued', 'held', 'unknown') AND q.next_at <= :now"
        " AND (q.claimed_until IS NULL OR q.claimed_until <= :now) ORDER BY q.next_at, q.id"
        " LIMIT CASE WHEN l.pace_ms > 0 THEN 1 ELSE l.width END) d"
        " WHERE l.next_at <= :now AND l.blocked_until <= :now AND l.width >"
        " (SELECT count(*) FROM delivery b WHERE b.lane = l.name AND b.claimed_until > :now)"
        " ORDER BY d.next_at, d.id LIMIT :limit",
        now=now,
        limit=limit,
    )
    return [Due(row.id, row.case_id, row.lane) for row in rows]


async def lock(tx: Tx, lanes: Sequence[str], now: datetime) -> dict[str, int]:
    """Lock those of the lanes that nobody else claims from; how many messages each may send now."""
    held = await tx.rows(
        "SELECT name FROM lane WHERE name = ANY(CAST(:lanes AS text[])) AND next_at <= :now AND blocked_until <= :now"
        " ORDER BY name FOR UPDATE SKIP LOCKED",
        lanes=sorted(set(lanes)),
        now=now,
    )
    rows = await tx.rows(  # a later statement: it sees what was claimed until the lock was ours
        "SELECT l.name, CASE WHEN l.pace_ms > 0 THEN least(1, l.width) ELSE l.width END -"
        " (SELECT count(*) FROM delivery b WHERE b.lane = l.name AND b.claimed_until > :now) AS free"
        " FROM lane l WHERE l.name = ANY(CAST(:lanes AS text[])) AND l.next_at <= :now AND l.blocked_until <= :now"
        " ORDER BY l.name",
        lanes=[row.name for row in held],
        now=now,
    )
    return {row.name: row.free for row in rows if row.free > 0}


async def paced(tx: Tx, lanes: Sequence[str], now: datetime) -> None:
    """A message leaves each of these locked lanes now: the next one waits its pace."""
    await tx.run(
        "UPDATE lane SET next_at = CAST(:now AS timestamptz) + pace_ms * interval '1 millisecond'"
        " WHERE name = ANY(CAST(:lanes AS text[])) AND pace_ms > 0",
        lanes=sorted(set(lanes)),
        now=now,
    )


async def block(tx: Tx, blocks: Mapping[str, Block]) -> None:
    """Leave these lanes alone until their providers want more."""
    if not blocks:
        return
    lanes = sorted(blocks)
    await tx.run(
        "WITH held AS (SELECT name FROM lane WHERE name = ANY(CAST(:lanes AS text[])) ORDER BY name FOR UPDATE)"
        " UPDATE lane l SET blocked_until = greatest(l.blocked_until, n.until), blocked_reason = n.reason"
        " FROM held, unnest(CAST(:lanes AS text[]), CAST(:until AS timestamptz[]), CAST(:reasons AS text[]))"
        " AS n (name, until, reason) WHERE l.name = held.name AND n.name = held.name",
        lanes=lanes,
        until=[blocks[lane].until for lane in lanes],
        reasons=[blocks[lane].reason for lane in lanes],
    )
