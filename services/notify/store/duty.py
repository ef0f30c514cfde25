"""What a duty report reads of pages: which messages reached whom, and who acted when."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.notify.oncall.duty import Act, Told
from shared.db import Tx

MAX_LINES = 100_000  # messages, and acts, of one report

_STOOD = "p.opened_at < :until AND (p.resolved_at IS NULL OR p.resolved_at > :since)"


@dataclass(frozen=True, slots=True)
class Pages:
    """``acts`` by page, in order."""

    told: list[Told]
    acts: dict[UUID, list[Act]]


async def pages(tx: Tx, since: datetime, until: datetime) -> Pages | None:
    """Of the pages that stood at some time in [since, until). None where they are too many."""
    told = await tx.rows(
        "SELECT d.page_id, d.target, d.sent_at FROM page p JOIN delivery d ON d.page_id = p.id"
        f" WHERE {_STOOD} AND starts_with(d.target, 'person:') AND d.purpose = 'call' AND d.sent_at IS NOT NULL"
        " ORDER BY d.sent_at, d.id LIMIT :limit",
        since=since,
        until=until,
        limit=MAX_LINES + 1,
    )
    acts = await tx.rows(
        f"SELECT e.page_id, e.at, e.kind, e.by FROM page p JOIN page_entry e ON e.page_id = p.id WHERE {_STOOD}"
        " AND e.kind IN ('acknowledged', 'taken_over', 'snoozed', 'unsnoozed', 'resolved', 'exhausted', 'reopened',"
        " 'stood_down', 'team')"
        " ORDER BY e.page_id, e.number LIMIT :limit",
        since=since,
        until=until,
        limit=MAX_LINES + 1,
    )
    if max(len(told), len(acts)) > MAX_LINES:
        return None
    by_page: dict[UUID, list[Act]] = {}
    for row in acts:
        by_page.setdefault(row.page_id, []).append(Act(row.page_id, row.at, row.kind, row.by))
    return Pages([Told(r.page_id, r.target.partition(":")[2], r.sent_at) for r in told], by_page)
