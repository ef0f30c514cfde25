"""Timers as rows: set and cancelled with the state they belong to. ``ticker.py`` fires them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.contracts.decision import CancelTimer, Fired, SetTimer
from shared.db import Tx
from shared.log import partition_of


async def write(tx: Tx, changes: Sequence[tuple[UUID, SetTimer | CancelTimer]], partitions: int) -> datetime | None:
    """Apply changes of timers, each with its case, in order; at most two statements.

    Gives when the first of those that were set is due.
    """
    wiped: set[UUID] = set()
    last: dict[tuple[UUID, str], tuple[UUID, SetTimer] | None] = {}
    for case_id, change in changes:
        if isinstance(change, SetTimer):
            last[change.subject, change.step] = (case_id, change)
        elif change.step is not None:
            last[change.subject, change.step] = None
        else:
            wiped.add(change.subject)
            last = {key: each for key, each in last.items() if key[0] != change.subject}
    dropped = sorted(key for key, each in last.items() if each is None)
    if wiped or dropped:
        await tx.send(
            # by the index: an OR of both would read every timer there is
            "DELETE FROM timer t USING (SELECT subject, CAST(NULL AS text) AS step FROM"
            " unnest(CAST(:wiped AS uuid[])) AS w (subject) UNION ALL SELECT subject, step FROM"
            " unnest(CAST(:subjects AS uuid[]), CAST(:steps AS text[])) AS d (subject, step)) g"
            " WHERE t.subject = g.subject AND (g.step IS NULL OR t.step = g.step)"
            " AND t.subject = ANY(CAST(:subject_ids AS uuid[]))",
            subject_ids=sorted(wiped | {subject for subject, _ in dropped}),
            wiped=sorted(wiped),
            subjects=[subject for subject, _ in dropped],
            steps=[step for _, step in dropped],
        )
    kept = [each for _, each in sorted(last.items()) if each is not None]
    if not kept:
        return None
    await tx.send(
        "INSERT INTO timer (subject, step, due_at, case_id, partition, version) SELECT * FROM"
        " unnest(CAST(:subjects AS uuid[]), CAST(:steps AS text[]), CAST(:due AS timestamptz[]),"
        " CAST(:cases AS uuid[]), CAST(:partitions AS smallint[]), CAST(:versions AS int[]))"
        " ON CONFLICT (subject, step) DO UPDATE SET due_at = excluded.due_at, case_id = excluded.case_id,"
        " partition = excluded.partition, version = excluded.version",
        subjects=[timer.subject for _, timer in kept],
        steps=[timer.step for _, timer in kept],
        due=[timer.due_at for _, timer in kept],
        cases=[case_id for case_id, _ in kept],
        partitions=[partition_of(case_id, partitions) for case_id, _ in kept],
        versions=[timer.version for _, timer in kept],
    )
    return min(timer.due_at for _, timer in kept)


_BESIDES = "t.case_id NOT IN (SELECT unnest(CAST(:besides AS uuid[])))"  # a subquery: hashed once


async def due(
    tx: Tx, now: datetime, limit: int, lateness: dict[int, datetime], besides: Sequence[UUID] = ()
) -> list[Fired]:
    """Timers that are due and may fire, in order of due time, unlocked: a first look.

    ``lateness`` gives for each partition the latest due time that may fire; ``besides``: not of these cases.
    """
    found = await tx.records(
        "SELECT t.case_id, t.subject, t.step, t.due_at, t.version FROM timer t JOIN"
        " unnest(CAST(:partitions AS smallint[]), CAST(:until AS timestamptz[])) AS f (partition, until)"
        " ON t.partition = f.partition AND t.due_at <= f.until"
        f" WHERE t.due_at <= :now AND {_BESIDES} ORDER BY t.due_at, t.subject, t.step LIMIT :limit",
        partitions=list(lateness),
        until=list(lateness.values()),
        now=now,
        limit=limit,
        besides=besides,
    )
    return [Fired(*row) for row in found]


def known(heads: str, records: str, partitions: int, near: int) -> str:
    """Due timers ``t``, for ``announcing.look``, of whose case everything in the log is known, all as of one moment.

    ``heads``, ``records``: tables of a log in this database. Partitions with more than ``near`` unread records are
    left out. Wants ``:topics``, ``:now``, ``:limit``, and in ``:besides`` cases that are left out too.
    """
    return (
        "behind AS MATERIALIZED (SELECT h.topic, h.partition, coalesce(p.position, 0) AS since,"
        f" h.next_position AS until FROM {heads} h LEFT JOIN progress p USING (topic, partition)"
        " WHERE h.topic = ANY(CAST(:topics AS text[])) AND h.next_position > coalesce(p.position, 0)),"
        f" far AS MATERIALIZED (SELECT partition FROM behind GROUP BY partition HAVING sum(until - since) > {near}),"
        f" unread AS MATERIALIZED (SELECT r.key FROM behind b CROSS JOIN LATERAL (SELECT key FROM {records}"
        " WHERE topic = b.topic AND partition = b.partition AND position >= b.since AND position < b.until) r"
        f" WHERE b.partition NOT IN (SELECT partition FROM far) LIMIT {near * partitions}),"  # it is never more
        " t AS (SELECT t.*, false AS lagging, CAST(:now AS timestamptz) AS known FROM timer t WHERE t.due_at <= :now"
        " AND t.partition NOT IN (SELECT partition FROM far)"
        f" AND CAST(t.case_id AS text) NOT IN (SELECT key FROM unread) AND {_BESIDES}"
        " ORDER BY t.due_at, t.subject, t.step LIMIT :limit)"
    )


GIVEN = (
    "t AS (SELECT t.*, n.lagging, n.known FROM unnest(CAST(:subjects AS uuid[]), CAST(:steps AS text[]),"
    " CAST(:due AS timestamptz[]), CAST(:versions AS int[]), CAST(:lagging AS bool[]),"
    " CAST(:known AS timestamptz[])) AS n (subject, step, due_at, version, lagging, known)"
    " JOIN timer t USING (subject, step) WHERE t.due_at = n.due_at AND t.version = n.version)"
)
"""Timers ``t`` that were found before, for ``announcing.look``, those that still stand."""


def given(fired: Sequence[Fired]) -> dict[str, Sequence[Any]]:
    """What ``GIVEN`` wants."""
    return {
        "subjects": [each.subject for each in fired],
        "steps": [each.step for each in fired],
        "due": [each.due_at for each in fired],
        "versions": [each.version for each in fired],
        "lagging": [each.lagging for each in fired],
        "known": [each.known for each in fired],
    }


async def take(tx: Tx, fired: Sequence[Fired]) -> list[tuple[Fired, int]]:
    """Lock the cases that nobody else holds, and remove those of their timers that still stand as they were seen.

    Gives these, in order, with how many events were published about their case. A timer that moved before its case
    was locked is looked at again as it is now, and stays.
    """
    found = await tx.records(
        "WITH n AS MATERIALIZED (SELECT n.*, l.sequence FROM unnest(CAST(:subjects AS uuid[]), CAST(:steps AS text[]),"
        " CAST(:due AS timestamptz[]), CAST(:cases AS uuid[]), CAST(:versions AS int[])) WITH ORDINALITY"
        " AS n (subject, step, due_at, case_id, version, nth) JOIN case_lock l ON l.case_id = n.case_id"
        " ORDER BY l.case_id FOR UPDATE OF l SKIP LOCKED)"
        " DELETE FROM timer t USING n"
        " WHERE t.subject = n.subject AND t.step = n.step AND t.due_at = n.due_at AND t.version = n.version"
        " AND t.subject = ANY(CAST(:subjects AS uuid[])) RETURNING n.nth, n.sequence",
        subjects=[each.subject for each in fired],
        steps=[each.step for each in fired],
        due=[each.due_at for each in fired],
        cases=[each.case_id for each in fired],
        versions=[each.version for each in fired],
    )
    return [(fired[nth - 1], sequence) for nth, sequence in sorted((nth, sequence) for nth, sequence in found)]


async def next_due(tx: Tx) -> datetime | None:
    """When the earliest timer is due."""
    found = await tx.records("SELECT due_at FROM timer ORDER BY due_at, subject, step LIMIT 1")
    return found[0][0] if found else None
