"""Re-check every clock that stands, in bounded batches, without holding up anything that runs."""

from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from services.sla.decide.audit import Finding, audit
from services.sla.store.cases import SlaStore
from shared.clock import Clock
from shared.db import Database

BATCH = 200


async def audited(db: Database, store: SlaStore, clock: Clock) -> AsyncIterator[tuple[int, int, Sequence[Finding]]]:
    """Batch by batch: how many cases and clocks were re-checked, and what was found of them."""
    after = UUID(int=0)
    while True:
        async with db.transaction() as tx:
            rows = await tx.rows(
                "SELECT case_id FROM case_facts WHERE case_id > :after ORDER BY case_id LIMIT :batch",
                after=after,
                batch=BATCH,
            )
            planning = not await tx.scalar(
                "SELECT coalesce(bool_and(finished_at IS NOT NULL), false) FROM replan"
                " WHERE version >= (SELECT version FROM configuration WHERE one)"
            )
            cases = await store.load(tx, [row.case_id for row in rows], clock.now()) if rows else {}
        if not cases:
            return
        now = clock.now()
        found = [finding for case in cases.values() for finding in audit(case, now, planning)]
        yield len(cases), sum(len(case.clocks) for case in cases.values()), found
        after = rows[-1].case_id
