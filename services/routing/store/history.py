"""What routing has seen: contacts that opened cases, and what became of them. Only read."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from services.routing.lab.backtest import Past
from services.routing.model import ContactFacts
from shared.db import Database

_FINE = 1_000_000  # of a sample: parts of a million
Place = tuple[datetime, UUID]


async def history(
    db: Database, since: datetime | None, until: datetime | None, sample: float, limit: int, before: Place | None
) -> tuple[Sequence[Past], Place | None]:
    """A page, newest first, in a short transaction that can only read; and where the next begins, None at the end.

    ``sample`` is the share of cases by a stable hash of their ids. Erased contacts are left out: nobody can say any
    more how they would be routed. A case broke a promise where a clock of it but ``unassigned`` breached; it is not
    known yet where none has ended.
    """
    async with db.transaction() as tx:
        await tx.run("SET TRANSACTION READ ONLY")
        rows = await tx.records(
            "SELECT k.case_id, k.at, CAST(k.facts AS text), coalesce(o.team, a.team), a.priority, o.breached"
            " FROM contact k LEFT JOIN assignment a ON a.case_id = k.case_id"
            " LEFT JOIN LATERAL (SELECT bool_or(breached) AS breached,"
            " (array_agg(team ORDER BY started_at, clock_id))[1] AS team FROM outcome"
            " WHERE case_id = k.case_id AND metric <> 'unassigned' AND (breached OR state = 'met')) o ON true"
            " WHERE NOT k.erased"
            " AND (CAST(:since AS timestamptz) IS NULL OR k.at >= CAST(:since AS timestamptz))"
            " AND (CAST(:until AS timestamptz) IS NULL OR k.at < CAST(:until AS timestamptz))"
            " AND (CAST(:last_at AS timestamptz) IS NULL"
            " OR (k.at, k.case_id) < (CAST(:last_at AS timestamptz), CAST(:last_case AS uuid)))"
            " AND (CAST(:share AS int) >= :fine"
            " OR abs(hashtextextended(CAST(k.case_id AS text), 0) % CAST(:fine AS bigint)) < CAST(:share AS int))"
            " ORDER BY k.at DESC, k.case_id DESC LIMIT :limit",
            since=since,
            until=until,
            last_at=before[0] if before else None,
            last_case=before[1] if before else None,
            share=round(sample * _FINE),
            fine=_FINE,
            limit=limit,
        )
    page = [
        Past(case_id, ContactFacts.model_validate_json(facts), team, priority, breached)
        for case_id, _, facts, team, priority, breached in rows
    ]
    return page, (rows[-1][1], rows[-1][0]) if len(rows) == limit else None
