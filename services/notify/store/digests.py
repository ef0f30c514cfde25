"""Digests and what waits to join them. Written only under the lock of their lane."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from services.notify.decide.storms import (
    CHANGED,
    CLOSES_AFTER,
    MAIL_EVERY,
    MAX_CLAIMED,
    OPEN_FOR,
    WINDOW,
    Digest,
    Key,
    Past,
    Waiting,
)
from services.notify.store import tables
from shared.bulk import upsert
from shared.db import Tx

MAX_REDRAWN = 3  # at once
MAX_CLOSED = 20  # digests of any storm, at once
_NEWS = "('acknowledged', 'resolved', 'snoozed', 'reopened', 'team')"


_MEMBERS = (
    "(SELECT count(*) FROM delivery m WHERE m.digest_id = g.id AND (m.state = 'sent'"
    " OR (g.receipt IS NULL AND m.state IN ('queued', 'held', 'unknown')))) AS members"
)


async def gather(tx: Tx, keys: Iterable[Key], now: datetime) -> list[Waiting]:
    """What waits of these groupings, in the order of their lanes; unlocked."""
    lanes, groupings = _columns(keys)
    rows = await tx.named(
        f"SELECT q.* FROM {_KEYS} CROSS JOIN LATERAL (SELECT {WAITING}, d.rank_at"
        " FROM delivery d WHERE d.lane = k.lane AND d.grouping = k.grouping"
        " AND d.state IN ('queued', 'held', 'unknown') AND d.next_at <= :now"
        " AND (d.claimed_until IS NULL OR d.claimed_until <= :now) ORDER BY d.rank_at, d.id LIMIT :limit) q"
        " ORDER BY q.rank_at, q.id",
        lanes=lanes,
        groupings=groupings,
        now=now,
        limit=MAX_CLAIMED,
    )
    return [waiting_of(row) for row in rows]


WAITING = "d.id, d.case_id, d.lane, d.grouping, d.attempts, d.digest_id, d.way, d.target, d.created_at"
_WAITING = itemgetter("id", "case_id", "lane", "grouping", "attempts", "digest_id", "way", "target", "created_at")
_KEYS = "unnest(CAST(:lanes AS text[]), CAST(:groupings AS text[])) AS k (lane, grouping)"


def _columns(keys: Iterable[Key]) -> tuple[list[str], list[str]]:
    ordered = sorted(set(keys))
    return [lane for lane, _ in ordered], [grouping for _, grouping in ordered]


def waiting_of(row: Mapping[str, Any]) -> Waiting:
    return Waiting(*_WAITING(row))


async def past(tx: Tx, keys: Iterable[Key], now: datetime) -> dict[Key, Past]:
    """What lanes were lately sent of each grouping; of digests that began together, the one with the most room."""
    lanes, groupings = _columns(keys)
    if not lanes:
        return {}
    rows = await tx.rows(
        f"SELECT k.lane AS key_lane, k.grouping AS key_grouping, a.alone, g.* FROM {_KEYS}"
        " CROSS JOIN LATERAL (SELECT count(*) AS alone FROM delivery d WHERE d.lane = k.lane"
        "  AND d.grouping = k.grouping AND d.since > :recently AND d.digest_id IS NULL AND d.attempts > 0) a"
        f" LEFT JOIN LATERAL (SELECT g.*, {_MEMBERS} FROM digest g WHERE g.lane = k.lane AND g.grouping = k.grouping"
        "  AND g.opened_at > :open ORDER BY g.opened_at DESC, members, g.id LIMIT 1) g ON true"
        " ORDER BY k.lane, k.grouping",
        lanes=lanes,
        groupings=groupings,
        recently=now - WINDOW,
        open=now - OPEN_FOR,
    )
    return {(r.key_lane, r.key_grouping): Past(r.alone, digest_of(r) if r.id else None) for r in rows}


async def tried(tx: Tx, waiting: Iterable[Waiting]) -> dict[UUID, Digest]:
    """The digests in which any of them were tried before."""
    ids = sorted({each.digest for each in waiting if each.digest is not None})
    if not ids:
        return {}
    rows = await tx.rows(
        f"SELECT g.*, {_MEMBERS} FROM digest g WHERE g.id = ANY(CAST(:ids AS uuid[])) ORDER BY g.id", ids=ids
    )
    return {row.id: digest_of(row) for row in rows}


def digest_of(row: Row[Any]) -> Digest:
    return Digest(
        row.id, row.lane, row.grouping, row.way, row.target, row.opened_at, row.members, row.receipt, row.lost,
        row.token, row.claimed_until, row.closed,
    )  # fmt: skip


async def take(tx: Tx, taken: Sequence[Digest], until: datetime) -> None:
    """These digests are being sent, each by its token; one without a token begins to gather."""
    rows = [
        {
            "id": digest.id,
            "lane": digest.lane,
            "grouping": digest.grouping,
            "way": digest.way,
            "target": digest.target,
            "opened_at": digest.opened_at,
            "closed": False,
            "receipt": digest.receipt,
            "lost": digest.lost,
            "next_at": until,
            "token": digest.token,
            "claimed_until": until if digest.token is not None else None,
        }
        for digest in taken
    ]
    await upsert(tx, tables.digest, rows)


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of sending a digest, fenced by its token. None leaves what is known as it is."""

    id: UUID
    token: UUID | None
    receipt: str | None
    lost: int
    closed: bool
    drawn_at: datetime | None
    next_at: datetime


async def record(tx: Tx, answers: Sequence[Answered]) -> None:
    if not answers:
        return
    await tx.run(
        "UPDATE digest g SET receipt = coalesce(n.receipt, g.receipt), lost = g.lost + n.lost, closed = n.closed,"
        " drawn_at = coalesce(n.drawn_at, g.drawn_at), next_at = n.next_at, token = NULL, claimed_until = NULL"
        " FROM unnest(CAST(:ids AS uuid[]), CAST(:tokens AS uuid[]), CAST(:receipts AS text[]), CAST(:lost AS int[]),"
        " CAST(:closed AS bool[]), CAST(:drawn AS timestamptz[]), CAST(:next AS timestamptz[]))"
        " AS n (id, token, receipt, lost, closed, drawn_at, next_at) WHERE g.id = n.id AND g.token = n.token",
        ids=[each.id for each in answers],
        tokens=[each.token for each in answers],
        receipts=[each.receipt for each in answers],
        lost=[each.lost for each in answers],
        closed=[each.closed for each in answers],
        drawn=[each.drawn_at for each in answers],
        next=[each.next_at for each in answers],
    )


async def members(tx: Tx, digest_ids: Sequence[UUID]) -> dict[UUID, list[tuple[UUID, UUID]]]:
    """The cases and deliveries that reached their readers in these digests, in order."""
    rows = await tx.rows(
        "SELECT digest_id, case_id, id FROM delivery WHERE digest_id = ANY(CAST(:ids AS uuid[])) AND state = 'sent'"
        " ORDER BY sent_at, rank_at, id",
        ids=list(digest_ids),
    )
    found: dict[UUID, list[tuple[UUID, UUID]]] = {}
    for row in rows:
        found.setdefault(row.digest_id, []).append((row.case_id, row.id))
    return found


async def stale(tx: Tx, ways: Iterable[str], since: datetime, now: datetime) -> list[Digest]:
    """Digests, opened after ``since``, of which a case changed since they were drawn; unlocked."""
    rows = await tx.rows(
        f"SELECT g.*, {_MEMBERS} FROM digest g"
        " WHERE g.opened_at > :since AND g.way = ANY(CAST(:ways AS text[])) AND g.receipt IS NOT NULL"
        " AND NOT g.closed AND g.next_at <= :now AND (g.claimed_until IS NULL OR g.claimed_until <= :now)"
        " AND EXISTS (SELECT FROM delivery m JOIN page_entry e ON e.page_id = m.page_id"
        f"  WHERE m.digest_id = g.id AND e.at > g.drawn_at AND e.kind IN {_NEWS})"
        " ORDER BY g.opened_at, g.id LIMIT :limit",
        since=since,
        ways=sorted(ways),
        now=now,
        limit=MAX_REDRAWN,
    )
    return [digest_of(row) for row in rows]


async def over(tx: Tx, since: datetime, now: datetime) -> list[list[Digest]]:
    """Digests that cannot be changed, opened after ``since``, that are to be closed: of each storm those that one mail
    closes. All their cases are over, or the last of them is ``CLOSES_AFTER`` old."""
    rows = await tx.rows(
        f"WITH left_open AS (SELECT g.*, {_MEMBERS}, (SELECT count(*) FROM delivery m JOIN page p ON p.id = m.page_id"
        "  WHERE m.digest_id = g.id AND m.state = 'sent' AND p.state <> 'resolved') AS calling FROM digest g"
        "  WHERE g.opened_at > :since AND g.way <> ALL(CAST(:changed AS text[])) AND g.receipt IS NOT NULL"
        "  AND NOT g.closed)"
        " SELECT g.* FROM left_open g JOIN (SELECT lane, grouping FROM left_open GROUP BY lane, grouping"
        "  HAVING max(opened_at) <= :settled AND (sum(calling) = 0 OR max(opened_at) <= :late)"
        "  AND bool_and(next_at <= :now AND (claimed_until IS NULL OR claimed_until <= :now))) s"
        " ON s.lane = g.lane AND s.grouping = g.grouping ORDER BY g.opened_at, g.id LIMIT :limit",
        since=since,
        changed=sorted(CHANGED),
        settled=now - MAIL_EVERY,
        late=now - CLOSES_AFTER,
        now=now,
        limit=MAX_CLOSED,
    )
    storms: dict[Key, list[Digest]] = {}
    for digest in map(digest_of, rows):
        storm = storms.setdefault((digest.lane, digest.grouping), [])
        if sum(each.members for each in storm) + digest.members <= MAX_CLAIMED:
            storm.append(digest)  # the others in the next
    return list(storms.values())


_LISTED = (
    f"SELECT g.*, {_MEMBERS}, (SELECT count(*) FROM delivery m JOIN page p ON p.id = m.page_id"
    " WHERE m.digest_id = g.id AND m.state = 'sent' AND p.state = 'resolved') AS over FROM digest g"
)


async def listing(tx: Tx, lane: str | None, after: tuple[datetime, UUID] | None, limit: int) -> Sequence[Row[Any]]:
    """Newest first, with how many cases each names, and how many of those are over."""
    return await tx.rows(
        f"{_LISTED} WHERE (CAST(:lane AS text) IS NULL OR g.lane = :lane)"
        " AND (CAST(:at AS timestamptz) IS NULL OR (g.opened_at, g.id) < (:at, CAST(:id AS uuid)))"
        " ORDER BY g.opened_at DESC, g.id DESC LIMIT :limit",
        lane=lane,
        at=after[0] if after else None,
        id=after[1] if after else None,
        limit=limit,
    )


async def one(tx: Tx, digest_id: UUID) -> Row[Any] | None:
    return await tx.one(f"{_LISTED} WHERE g.id = :id", id=digest_id)


async def cases(tx: Tx, digest_id: UUID) -> Sequence[Row[Any]]:
    """What it names, in order, each with its page as it stands, and what it will name when its answer is known."""
    return await tx.rows(
        "SELECT m.id AS delivery_id, m.state, m.case_id, m.page_id, p.state AS page_state, p.acknowledged_by,"
        " f.summary ->> 'number' AS case_number FROM delivery m JOIN page p ON p.id = m.page_id"
        " LEFT JOIN case_facts f ON f.case_id = m.case_id WHERE m.digest_id = :id"
        " AND m.state IN ('sent', 'queued', 'held', 'unknown') ORDER BY m.sent_at, m.rank_at, m.id",
        id=digest_id,
    )
