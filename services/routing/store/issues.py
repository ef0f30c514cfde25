"""Issues that cases wait for, in trackers elsewhere."""

from collections.abc import Sequence
from uuid import UUID

from services.routing.model.commands import Issue
from shared.db import Tx


async def save(tx: Tx, brought: Sequence[tuple[UUID, Issue]]) -> None:
    """The last word about each counts."""
    last = {(case_id, issue.url): issue for case_id, issue in brought}
    if not last:
        return
    await tx.run(
        "INSERT INTO linked_issue (case_id, url, status, title, by, updated_at) SELECT * FROM unnest("
        "CAST(:cases AS uuid[]), CAST(:urls AS text[]), CAST(:statuses AS text[]), CAST(:titles AS text[]),"
        " CAST(:by AS text[]), CAST(:times AS timestamptz[])) ON CONFLICT (case_id, url) DO UPDATE SET"
        " status = excluded.status, title = coalesce(excluded.title, linked_issue.title), by = excluded.by,"
        " updated_at = excluded.updated_at",
        cases=[case_id for case_id, _ in last],
        urls=[url for _, url in last],
        statuses=[issue.status for issue in last.values()],
        titles=[issue.title for issue in last.values()],
        by=[issue.by for issue in last.values()],
        times=[issue.updated_at for issue in last.values()],
    )


async def of_case(tx: Tx, case_id: UUID) -> list[Issue]:
    """The last that changed first."""
    rows = await tx.rows(
        "SELECT url, status, title, by, updated_at FROM linked_issue WHERE case_id = :case_id"
        " ORDER BY updated_at DESC, url",
        case_id=case_id,
    )
    return [Issue(row.url, row.status, row.title, row.by, row.updated_at) for row in rows]


async def unlink(tx: Tx, case_id: UUID, url: str) -> bool:
    return bool(
        await tx.run("DELETE FROM linked_issue WHERE case_id = :case_id AND url = :url", case_id=case_id, url=url)
    )


async def erase(tx: Tx, case_ids: Sequence[UUID]) -> None:
    """Titles may name the customer."""
    await tx.run(
        "UPDATE linked_issue SET title = NULL WHERE case_id = ANY(CAST(:ids AS uuid[])) AND title IS NOT NULL",
        ids=list(case_ids),
    )
