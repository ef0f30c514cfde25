"""What the API reads: pages, deliveries, silences, troubles, the ledger. Newest first, a total order everywhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from services.notify.model import Clock, Page
from services.notify.store.cases import PAGE_COLUMNS, clock_of, page_of
from shared.contracts.words import PageState
from shared.db import Tx
from shared.ledger import Entry

After = tuple[datetime, UUID]  # the place of the last item of the page before
MAX_HISTORY = 1_000
MAX_TROUBLED = 500

# What a reader calls held: also what waits for its lane, which its provider, its breaker or its limits hold back.
_TURN = "(l.full_at - (l.burst - 1) / l.rate * interval '1 second')"  # when its bucket has a token
_HELD = f"(d.state = 'queued' AND d.claimed_until IS NULL AND greatest(l.blocked_until, {_TURN}) > :now)"
_SHOWN = f"CASE WHEN {_HELD} THEN 'held' ELSE d.state END"
_DELIVERY = (
    f"SELECT d.*, f.summary ->> 'number' AS case_number, {_SHOWN} AS shown, l.rate,"
    f" CASE WHEN {_HELD} AND l.blocked_until > :now THEN l.blocked_reason ELSE d.reason END AS shown_reason,"
    f" greatest(d.next_at, l.blocked_until, {_TURN}) AS until"
    " FROM delivery d JOIN lane l ON l.name = d.lane LEFT JOIN case_facts f ON f.case_id = d.case_id"
)
MAX_AHEAD = 1_000  # messages counted before one that waits for its turn


@dataclass(frozen=True, slots=True)
class StoredPage:
    case_id: UUID
    case_number: str | None
    page: Page


async def pages(tx: Tx, state: str | None, case_id: UUID | None, after: After | None, limit: int) -> list[StoredPage]:
    """Newest first. Only the conditions that are asked for are written, so that each finds its index."""
    conditions, asked = ["true"], dict[str, Any]()
    if state is not None:
        conditions.append("p.state = :state")
        asked["state"] = state
        if state != PageState.RESOLVED:
            conditions.append("p.state <> 'resolved'")  # the index of pages that stand, whatever the state is
    if case_id is not None:
        conditions.append("p.case_id = :case_id")
        asked["case_id"] = case_id
    if after is not None:
        conditions.append("(p.opened_at, p.id) < (:at, CAST(:id AS uuid))")
        asked |= {"at": after[0], "id": after[1]}
    rows = await tx.rows(
        f"SELECT {PAGE_COLUMNS}, f.summary ->> 'number' AS case_number FROM page p"
        f" LEFT JOIN case_facts f ON f.case_id = p.case_id WHERE {' AND '.join(conditions)}"
        " ORDER BY p.opened_at DESC, p.id DESC LIMIT :limit",
        limit=limit,
        **asked,
    )
    return [_stored(row) for row in rows]


async def page(tx: Tx, page_id: UUID) -> StoredPage | None:
    return (await pages_by_id(tx, [page_id])).get(page_id)


async def pages_by_id(tx: Tx, page_ids: Sequence[UUID]) -> dict[UUID, StoredPage]:
    rows = await tx.rows(
        f"SELECT {PAGE_COLUMNS}, f.summary ->> 'number' AS case_number FROM page p"
        " LEFT JOIN case_facts f ON f.case_id = p.case_id WHERE p.id = ANY(CAST(:ids AS uuid[])) ORDER BY p.id",
        ids=sorted(set(page_ids)),
    )
    return {row.id: _stored(row) for row in rows}


def _stored(row: Row[Any]) -> StoredPage:
    return StoredPage(row.case_id, row.case_number, page_of(row._asdict()))


async def case_numbered(tx: Tx, number: str) -> UUID | None:
    """The case with this number. Looks at every case that ever called: for an admin's rare question."""
    found: UUID | None = await tx.scalar(
        "SELECT case_id FROM case_facts WHERE summary ->> 'number' = :number ORDER BY case_id LIMIT 1", number=number
    )
    return found


async def history(tx: Tx, page_id: UUID) -> Sequence[Row[Any]]:
    return await tx.rows(
        "SELECT * FROM page_entry WHERE page_id = :id ORDER BY number LIMIT :limit", id=page_id, limit=MAX_HISTORY
    )


async def clocks_of(tx: Tx, page_id: UUID) -> list[Clock]:
    rows = await tx.rows(
        "SELECT c.* FROM clock c JOIN page_clock p ON p.clock_id = c.id WHERE p.page_id = :id ORDER BY p.place",
        id=page_id,
    )
    return [clock_of(row._asdict()) for row in rows]


@dataclass(frozen=True, slots=True)
class Search:
    """What a reader asks of the delivery log: all that it names must hold."""

    page_id: UUID | None = None
    case_id: UUID | None = None
    target: str | None = None  # destination:payments-slack, person:ana
    lane: str | None = None
    state: str | None = None
    since: datetime | None = None  # created from then on
    until: datetime | None = None  # and before then


_FILTERS = {
    "page_id": "d.page_id = :page_id",
    "case_id": "d.case_id = :case_id",
    "target": "d.target = :target",
    "lane": "d.lane = :lane",
    "state": f"{_SHOWN} = :state",
    "since": "d.created_at >= :since",
    "until": "d.created_at < :until",
}

# What a state that is shown is stored as, in the words of an index: the few that are not finished, or failed.
_STORED = dict.fromkeys(("queued", "held", "unknown"), "d.state IN ('queued', 'held', 'unknown')")
_STORED["failed"] = "d.state = 'failed'"


async def deliveries(
    tx: Tx, now: datetime, limit: int, search: Search = Search(), after: After | None = None
) -> Sequence[Row[Any]]:
    """Newest first. Only the conditions that are asked for are written, so that each finds its index."""
    asked = {name: value for name in _FILTERS if (value := getattr(search, name)) is not None}
    conditions = [_FILTERS[name] for name in asked]
    if after:
        conditions.append("(d.created_at, d.id) < (:at, CAST(:id AS uuid))")
        asked |= {"at": after[0], "id": after[1]}
    if search.state is not None:
        conditions.append(_STORED.get(search.state, "d.state = :state"))
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return await tx.rows(
        f"SELECT d.*, a.ahead FROM ({_DELIVERY}{where} ORDER BY d.created_at DESC, d.id DESC LIMIT :limit) d"
        f" {_AHEAD} ORDER BY d.created_at DESC, d.id DESC",
        now=now,
        limit=limit,
        **asked,
    )


# How many messages of its lane go before one that waits for its turn; counted only there.
_AHEAD = (
    "CROSS JOIN LATERAL (SELECT count(*) AS ahead FROM (SELECT FROM delivery q WHERE q.lane = d.lane"
    " AND q.state IN ('queued', 'held', 'unknown') AND d.state = 'queued' AND d.shown = 'held' AND q.next_at <= :now"
    f" AND (q.rank_at, q.id) < (d.rank_at, d.id) LIMIT {MAX_AHEAD}) q) a"
)


async def delivery(tx: Tx, delivery_id: UUID, now: datetime) -> Row[Any] | None:
    return await tx.one(f"SELECT d.*, a.ahead FROM ({_DELIVERY} WHERE d.id = :id) d {_AHEAD}", id=delivery_id, now=now)


async def attempts(tx: Tx, delivery_ids: Sequence[UUID]) -> dict[UUID, list[Row[Any]]]:
    rows = await tx.rows(
        "SELECT * FROM attempt WHERE delivery_id = ANY(CAST(:ids AS uuid[])) ORDER BY delivery_id, number",
        ids=list(delivery_ids),
    )
    found: dict[UUID, list[Row[Any]]] = {}
    for row in rows:
        found.setdefault(row.delivery_id, []).append(row)
    return found


async def person_of_slack_user(tx: Tx, slack_user: str) -> str | None:
    name: str | None = await tx.scalar(
        "SELECT name FROM resource WHERE kind = 'person' AND body ->> 'slack_user' = :user ORDER BY name LIMIT 1",
        user=slack_user,
    )
    return name


async def troubled(tx: Tx) -> Sequence[Row[Any]]:
    """Pages that stand and could not tell everybody, or that nobody took."""
    return await tx.rows(
        "SELECT p.id, p.case_id, p.state, p.troubles, f.summary ->> 'number' AS case_number FROM page p"
        " LEFT JOIN case_facts f ON f.case_id = p.case_id"
        " WHERE p.state <> 'resolved' AND (p.troubles <> '[]' OR p.state = 'exhausted')"
        " ORDER BY p.opened_at DESC, p.id DESC LIMIT :limit",
        limit=MAX_TROUBLED,
    )


async def standing(tx: Tx) -> dict[str, int]:
    """How many pages stand, by state."""
    rows = await tx.rows(
        "SELECT state, count(*) AS pages FROM page WHERE state <> 'resolved' GROUP BY state ORDER BY state"
    )
    return {row.state: row.pages for row in rows}


async def doubtful(tx: Tx, now: datetime, since: timedelta) -> Sequence[Row[Any]]:
    """Messages that may have arrived twice or not at all, lately."""
    return await tx.rows(
        "SELECT d.id, d.target, d.state, d.lost, d.reason, f.summary ->> 'number' AS case_number FROM delivery d"
        " LEFT JOIN case_facts f ON f.case_id = d.case_id"
        " WHERE d.created_at > :since AND d.lost > 0 AND NOT EXISTS"
        " (SELECT 1 FROM attempt a WHERE a.delivery_id = d.id AND a.outcome = 'found')"
        " ORDER BY d.created_at DESC, d.id DESC LIMIT :limit",
        since=now - since,
        limit=MAX_TROUBLED,
    )


async def ledger(tx: Tx) -> list[Entry]:
    """Clocks that called became pages, or have a reason; every target that a page chose has a delivery; every send has
    an answer, or is listed as failed: it may have arrived, so what follows it may be a duplicate."""
    row = await tx.one(
        "SELECT (SELECT count(DISTINCT clock_id) FROM page_clock) AS paged,"
        " (SELECT count(*) FROM clock c WHERE c.ignored IS NOT NULL"
        "  AND NOT EXISTS (SELECT 1 FROM page_clock p WHERE p.clock_id = c.id)) AS ignored,"
        " (SELECT CAST(coalesce(sum(jsonb_array_length(deliveries)), 0) AS bigint) FROM page_entry) AS chosen,"
        " (SELECT CAST(coalesce(sum(attempts), 0) AS bigint) FROM delivery) AS sends"
    )
    ends = await tx.rows(
        "SELECT coalesce(a.outcome, CASE WHEN d.state IN ('queued', 'held', 'unknown') THEN 'out' ELSE 'lost' END)"
        " AS outcome, count(*) AS sends FROM attempt a LEFT JOIN delivery d ON d.id = a.delivery_id"
        " GROUP BY 1 ORDER BY 1"
    )
    sends = {each.outcome: each.sends for each in ends}
    answered = sum(count for outcome, count in sends.items() if outcome not in ("out", "lost"))
    states = await tx.rows("SELECT state, count(*) AS deliveries FROM delivery GROUP BY state ORDER BY state")
    counts = {each.state: each.deliveries for each in states}
    clocks, hop, sent = "clocks→pages", "pages→deliveries", "sends→answers"
    return [
        Entry(clocks, "clock", "done", row.paged if row else 0),
        Entry(clocks, "clock", "suppressed", row.ignored if row else 0),
        Entry(hop, "delivery", "in", row.chosen if row else 0),
        Entry(hop, "delivery", "done", counts.get("sent", 0)),
        Entry(hop, "delivery", "suppressed", counts.get("suppressed", 0)),
        Entry(hop, "delivery", "failed", counts.get("failed", 0)),
        Entry(hop, "delivery", "open", sum(counts.get(state, 0) for state in ("queued", "held", "unknown"))),
        Entry(sent, "send", "in", row.sends if row else 0),
        Entry(sent, "send", "done", answered),
        Entry(sent, "send", "failed", sends.get("lost", 0)),
        Entry(sent, "send", "in_flight", sends.get("out", 0)),
    ]
