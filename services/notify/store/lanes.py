"""Lanes: one address each, shared by all replicas as rows. What may leave a lane now, and what it is asked to wait for.

A lane's tokens follow from ``full_at``: when its bucket has all of them again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from services.notify.decide.lanes import PATIENCE, TRIP, Lane, Limits, answered
from services.notify.decide.storms import Waiting
from services.notify.model import Block
from services.notify.model.commands import Outcome
from services.notify.store import tables
from services.notify.store.digests import WAITING, waiting_of
from shared.bulk import update
from shared.db import Tx

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_TOKENS = "floor(l.burst - greatest(0, extract(epoch FROM l.full_at - CAST(:now AS timestamptz))) * l.rate + 0.000001)"
_WIDTH = f"CASE WHEN l.failures >= {TRIP} THEN 1 ELSE l.width END"  # half open: one message tries it
_ROOM = (
    f"CAST(least({_TOKENS}, {_WIDTH} -"
    " (SELECT count(*) FROM delivery b WHERE b.lane = l.name AND b.claimed_until > :now) -"
    " (SELECT count(*) FROM digest g WHERE g.lane = l.name AND g.claimed_until > :now)) AS int)"
)


@dataclass(frozen=True, slots=True)
class Room:
    """What a locked lane may send now. ``known_as``: the provider's own name for its address."""

    free: int
    known_as: str | None


async def add_lanes(tx: Tx, limits: Mapping[str, Limits]) -> None:
    """Make the lanes that are not there, in order, since other batches do too; others take limits that were edited."""
    ordered = sorted(limits.items())
    await tx.send(
        "WITH n AS (SELECT * FROM unnest(CAST(:names AS text[]), CAST(:widths AS int[]), CAST(:rates AS float8[]),"
        " CAST(:bursts AS int[])) AS n (name, width, rate, burst)),"
        " made AS (INSERT INTO lane (name, width, rate, burst, full_at, failures, blocked_until)"
        " SELECT name, width, rate, burst, :long_ago, 0, :long_ago FROM n ORDER BY name ON CONFLICT DO NOTHING),"
        " stale AS (SELECT l.name, n.rate, n.burst FROM lane l JOIN n ON l.name = n.name"
        " WHERE (l.rate, l.burst) <> (n.rate, n.burst) ORDER BY l.name FOR UPDATE OF l)"
        " UPDATE lane l SET rate = s.rate, burst = s.burst FROM stale s WHERE l.name = s.name",
        names=[lane for lane, _ in ordered],
        widths=[each.width for _, each in ordered],
        rates=[each.rate for _, each in ordered],
        bursts=[each.burst for _, each in ordered],
        long_ago=_LONG_AGO,
    )


async def due(tx: Tx, now: datetime, limit: int, full: Sequence[str]) -> tuple[list[Waiting], dict[str, int]]:
    """The first deliveries of every lane that may send, lanes in turn, but for kinds that are full; and how many each
    of their lanes may send. Unlocked."""
    rows = await tx.named(
        "SELECT d.*, r.room FROM lane l"
        f" CROSS JOIN LATERAL (SELECT greatest(0, {_ROOM}) AS room OFFSET 0) r CROSS JOIN LATERAL ("
        f" SELECT {WAITING}, d.rank_at, row_number() OVER (ORDER BY d.rank_at, d.id) AS place"
        " FROM delivery d WHERE d.lane = l.name"
        " AND d.state IN ('queued', 'held', 'unknown') AND d.next_at <= :now"
        " AND (d.claimed_until IS NULL OR d.claimed_until <= :now) ORDER BY d.rank_at, d.id LIMIT r.room) d"
        f" WHERE l.blocked_until <= :now AND {_TOKENS} >= 1"
        " AND split_part(l.name, ':', 1) <> ALL(CAST(:full AS text[]))"
        " ORDER BY d.place, d.rank_at, d.id LIMIT :limit",
        now=now,
        limit=limit,
        full=sorted(full),
    )
    return [waiting_of(row) for row in rows], {row["lane"]: row["room"] for row in rows}


async def lock(tx: Tx, lanes: Sequence[str], now: datetime, only: Sequence[UUID] | None = None) -> dict[str, Room]:
    """Lock those of the lanes that nobody else claims from; what each may send now.

    ``only``: of lanes where nothing is due but these deliveries.
    """
    held = await tx.named(
        "SELECT name FROM lane WHERE name = ANY(CAST(:lanes AS text[])) AND blocked_until <= :now"
        " ORDER BY name FOR UPDATE SKIP LOCKED",
        lanes=sorted(set(lanes)),
        now=now,
    )
    rows = await tx.named(  # a later statement: it sees what was claimed until the lock was ours
        f"SELECT l.name, l.known_as, {_ROOM} AS free FROM lane l"
        " WHERE l.name = ANY(CAST(:lanes AS text[])) AND l.blocked_until <= :now"
        " AND (CAST(:only AS uuid[]) IS NULL OR NOT EXISTS (SELECT FROM delivery d WHERE d.lane = l.name"
        "  AND d.state IN ('queued', 'held', 'unknown') AND d.next_at <= :now"
        "  AND (d.claimed_until IS NULL OR d.claimed_until <= :now) AND d.id <> ALL(CAST(:only AS uuid[]))))"
        " ORDER BY l.name",
        lanes=[row["name"] for row in held],
        now=now,
        only=only,
    )
    return {row["name"]: Room(row["free"], row["known_as"]) for row in rows if row["free"] > 0}


async def spend(tx: Tx, messages: Mapping[str, int], now: datetime) -> None:
    """So many messages leave these locked lanes now: their tokens are gone."""
    await tx.send(
        "UPDATE lane l SET full_at = greatest(l.full_at, CAST(:now AS timestamptz)) + n.messages / l.rate * interval"
        " '1 second' FROM unnest(CAST(:lanes AS text[]), CAST(:messages AS int[])) AS n (name, messages)"
        " WHERE l.name = n.name",
        lanes=list(messages),
        messages=list(messages.values()),
        now=now,
    )


async def answers(tx: Tx, outcomes: Mapping[str, Sequence[Outcome]], now: datetime) -> None:
    """What answers mean for their lanes. A lane that takes one at a time counts its pause from the answer."""
    found = await tx.rows(
        "SELECT name, width, rate, failures, full_at, known_as, blocked_until, blocked_reason FROM lane"
        " WHERE name = ANY(CAST(:lanes AS text[])) AND"
        " (failures > 0 OR width = 1 OR name = ANY(CAST(:troubled AS text[])))"
        " ORDER BY name FOR UPDATE",
        lanes=sorted(outcomes),
        troubled=[lane for lane, each in outcomes.items() if any(o.kind in ("later", "lost") for o in each)],
    )
    rows = []
    for row in found:
        lane = answered(Lane(row.name, row.failures, row.blocked_until, row.blocked_reason), outcomes[row.name], now)
        paced = now + timedelta(seconds=1 / row.rate) if row.width == 1 else row.full_at
        rows.append(
            {
                "name": row.name,
                "failures": lane.failures,
                "full_at": max(row.full_at, paced),
                "known_as": _known_as(outcomes[row.name]) or row.known_as,
                "blocked_until": max(row.blocked_until, lane.blocked_until or _LONG_AGO),
                "blocked_reason": lane.reason,
            }
        )
    await update(tx, tables.lane, rows)


def _known_as(outcomes: Sequence[Outcome]) -> str | None:
    """``C123`` of a receipt ``C123/1700000000.000100``."""
    receipts = [each.receipt for each in outcomes if each.receipt and each.receipt.count("/") == 1]
    return receipts[-1].partition("/")[0] if receipts else None


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


async def overdue(tx: Tx, now: datetime, limit: int) -> list[tuple[Waiting, str]]:
    """Calls that waited long for a lane that takes nothing now, and why it does not; unlocked."""
    rows = await tx.named(
        f"SELECT {WAITING}, l.blocked_reason FROM lane l JOIN delivery d ON d.lane = l.name"
        " WHERE l.blocked_until > :now AND d.state IN ('queued', 'held', 'unknown') AND d.next_at <= :long_ago"
        " AND d.token IS NULL AND d.purpose = 'call' AND d.target <> 'catch-all'"
        " ORDER BY d.rank_at, d.id LIMIT :limit",
        now=now,
        long_ago=now - PATIENCE,
        limit=limit,
    )
    return [(waiting_of(row), row["blocked_reason"] or "") for row in rows]


async def every(tx: Tx, now: datetime, after: str, limit: int) -> Sequence[Row[Any]]:
    """Lanes by name, each with what waits in it and what is on its way."""
    return await tx.rows(
        f"SELECT l.*, {_TOKENS} AS tokens, w.waiting, w.oldest, b.busy FROM lane l"
        " CROSS JOIN LATERAL (SELECT count(*) AS waiting, min(q.created_at) AS oldest FROM delivery q"
        "  WHERE q.lane = l.name AND q.state IN ('queued', 'held', 'unknown')) w"
        " CROSS JOIN LATERAL (SELECT count(*) AS busy FROM delivery q"
        "  WHERE q.lane = l.name AND q.claimed_until > :now) b"
        " WHERE l.name > :after ORDER BY l.name LIMIT :limit",
        now=now,
        after=after,
        limit=limit,
    )
