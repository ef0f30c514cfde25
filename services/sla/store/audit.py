"""Re-check every clock that stands, in bounded batches, without holding up anything that runs."""

from collections.abc import AsyncIterator, Iterable, Sequence
from uuid import UUID

from services.sla.decide.audit import Finding, audit, counted_with
from services.sla.model import Calendar, Case
from services.sla.store import reads
from services.sla.store.cases import SlaStore
from shared.clock import Clock
from shared.db import Database, Tx

BATCH = 200


async def audited(db: Database, store: SlaStore, clock: Clock) -> AsyncIterator[tuple[int, int, Sequence[Finding]]]:
    """Batch by batch: how many cases and clocks were re-checked, and what was found of them."""
    after, calendars = UUID(int=0), dict[tuple[str, int], Calendar]()
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
            await _know(tx, cases.values(), calendars)
        if not cases:
            return
        now = clock.now()
        found = [finding for case in cases.values() for finding in audit(case, now, planning, calendars)]
        yield len(cases), sum(len(case.clocks) for case in cases.values()), found
        after = rows[-1].case_id


async def _know(tx: Tx, cases: Iterable[Case], calendars: dict[tuple[str, int], Calendar]) -> None:
    """Add the old versions that clocks name, each once."""
    for case in cases:
        for clock in case.clocks:
            key = clock.terms.calendar, clock.terms.calendar_version
            if key not in calendars and counted_with(clock, case) is None:
                found = await reads.calendar_version(tx, *key)
                if found is not None:
                    calendars[key] = found
