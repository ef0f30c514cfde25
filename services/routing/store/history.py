"""What routing has seen: contacts that opened cases, and what became of them. Only read."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from services.routing.lab.backtest import Past
from services.routing.rules.facts import stored
from shared.contracts.words import WATCHER
from shared.db import Database, from_json

_FINE = 1_000_000  # of a sample: parts of a million
_SAMPLED = " AND abs(hashtextextended(CAST(k.case_id AS text), 0) % CAST(:fine AS bigint)) < :share"
_BEGINNING, _END = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
Place = tuple[datetime, UUID]


async def history(
    db: Database, since: datetime | None, until: datetime | None, sample: float, limit: int, before: Place | None
) -> tuple[Sequence[Past], Place | None]:
    """A page, newest first, by two short statements that only read; and where the next begins, None at the end.

    ``sample`` is the share of cases by a stable hash of their ids. Erased contacts are left out: nobody can say any
    more how they would be routed; so are the watcher's own. A case broke a promise where a clock of it but
    ``unassigned`` breached; it is not known yet where none has ended.
    """
    last_at, last_case = before or (until or _END, UUID(int=0))
    async with db.reading() as tx:
        rows = await tx.records(
            "SELECT k.case_id, k.at, CAST(k.facts AS text), a.team, a.priority"
            " FROM contact k LEFT JOIN assignment a ON a.case_id = k.case_id"
            " WHERE NOT k.erased AND k.facts ->> 'source' IS DISTINCT FROM :watcher"
            " AND k.at >= :since AND (k.at, k.case_id) < (:last_at, :last_case)"  # nothing optional: an index's range
            f"{_SAMPLED if sample < 1 else ''} ORDER BY k.at DESC, k.case_id DESC LIMIT :limit",
            since=since or _BEGINNING,
            last_at=last_at,
            last_case=last_case,
            share=round(sample * _FINE),
            fine=_FINE,
            watcher=WATCHER,
            limit=limit,
        )
        ended = await tx.records(
            "SELECT case_id, team, breached FROM outcome WHERE case_id = ANY(CAST(:ids AS uuid[]))"
            " AND metric <> 'unassigned' AND (breached OR state = 'met') ORDER BY case_id, started_at, clock_id",
            ids=[row[0] for row in rows],
        )
    ends: dict[UUID, tuple[str | None, bool]] = {}  # the team of the first clock, and whether any breached
    for case_id, team, breached in ended:
        first, already = ends.get(case_id, (team, False))
        ends[case_id] = (first, already or breached)
    page = []
    for case_id, at, facts, team, priority in rows:
        of_clocks, broken = ends.get(case_id, (None, None))
        page.append(Past(case_id, stored(from_json(facts), at), of_clocks or team, priority, broken))
    return page, (rows[-1][1], rows[-1][0]) if len(rows) == limit else None
