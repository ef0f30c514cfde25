"""After an edit of policies or calendars: derive the clocks of every open case again, in bounded batches.

Resumable: what is left is what was planned with an older version, so a crash in the middle loses nothing. A case
that cannot be derived is parked, as an event that cannot be decided is, and holds up no other.
"""

from collections.abc import Sequence
from uuid import UUID

import structlog

from services.sla.model import Case
from shared import parked, resources
from shared.batch import Input, Undecidable, Work
from shared.contracts.decision import Replan
from shared.db import Tx
from shared.runtime import Runtime

BATCH = 500
LOOK_EVERY_S = 1.0  # edits may come from another replica
BUSY_S = 0.05  # while others hold the cases that are left

log = structlog.get_logger()


class Replanning:
    """The re-plan loop."""

    def __init__(self, runtime: Runtime[Case]) -> None:
        self._runtime = runtime

    async def step(self) -> float:
        """Re-plan one batch; gives how long to sleep."""
        async with self._runtime.db.transaction() as tx:
            found = await _outdated(tx, await resources.version(tx))
        if not found:
            return LOOK_EVERY_S
        try:
            return 0.0 if await self._replan(found) else BUSY_S
        except Undecidable as first:
            log.warning("re-planning singly", cases=len(found), error=str(first)[:500])
        for case_id in found:
            try:
                await self._replan([case_id])
            except Undecidable as poison:
                await self._park(case_id, str(poison))
        return 0.0

    async def _replan(self, case_ids: Sequence[UUID]) -> int:
        """Re-plan those of the cases that nobody holds; gives how many."""
        async with self._runtime.unit() as work:
            free = await work.lock_free(case_ids)
            stuck = await parked.cases(work.tx, free)
            await _pass_over(work, sorted(stuck))  # what is parked derives them again when it is retried
            ready = [Input(case_id, Replan(case_id)) for case_id in free if case_id not in stuck]
            if ready:
                await work.apply(ready)
        return len(free)

    async def _park(self, case_id: UUID, error: str) -> None:
        async with self._runtime.unit() as work:
            await work.lock([case_id])
            await parked.write(work.tx, [parked.of_replan(case_id, error)], work.now)
        log.error("parked", service="sla", case_id=str(case_id), topic=parked.REPLAN, error=error)


async def _outdated(tx: Tx, current: int) -> Sequence[UUID]:
    """Cases with open clocks that were planned with another configuration, those that wait longest first."""
    rows = await tx.rows(
        "SELECT case_id FROM case_facts WHERE open_clocks > 0 AND planned_with < :current"
        " ORDER BY planned_with, case_id LIMIT :batch",
        current=current,
        batch=BATCH,
    )
    return [row.case_id for row in rows]


async def _pass_over(work: Work[Case], case_ids: Sequence[UUID]) -> None:
    """Note that cases need no planning for the version in force."""
    if case_ids:
        await work.tx.run(
            "UPDATE case_facts SET planned_with = :version WHERE case_id = ANY(CAST(:ids AS uuid[]))",
            version=await resources.version(work.tx),
            ids=list(case_ids),
        )
