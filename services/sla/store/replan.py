"""After an edit of policies or calendars: derive the clocks that it touches again, in bounded batches.

One row of ``replan`` for each edit noticed: how far it is (cases in order of id) commits with each batch, so a crash
loses nothing, and whoever comes next goes on. A case that cannot be derived is parked, as an event that cannot be
decided is, and holds up no other. Cases whose timers come due meanwhile are planned when those fire.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from services.sla.calendar import LIBRARIES
from services.sla.model import Case
from shared import parked, resources
from shared.batch import Input, Undecidable
from shared.contracts.decision import Replan
from shared.db import Tx, from_json, to_json
from shared.runtime import Runtime

LARGEST = 500  # cases of a batch
BATCH_S = 0.05  # a batch holds its cases this long, and with them the timers that come due
LOOK_EVERY_S = 1.0  # edits may come from another replica
BUSY_S = 0.05  # while others hold the cases that are left

log = structlog.get_logger()

Configured = Mapping[str, int | str]  # version by kind and name; and the libraries


@dataclass(frozen=True, slots=True)
class Job:
    """One re-plan, as far as it is. ``calendars``: only cases with an open clock on one of them; None: all."""

    version: int  # of the configuration
    calendars: tuple[str, ...] | None
    after: UUID  # cases up to this one are done


class Replanning:
    """The re-plan loop. Replicas take turns: one at a time holds the job."""

    def __init__(self, runtime: Runtime[Case]) -> None:
        self._runtime = runtime
        self._size = 50

    async def step(self) -> float:
        """Re-plan one batch; gives how long to sleep."""
        started = time.monotonic()
        try:
            planned = await self._batch(self._size)
        except Undecidable as first:
            log.warning("re-planning singly", error=str(first)[:500])
            self._size = 1
            return 0.0
        took = time.monotonic() - started
        if planned:
            self._size = max(1, min(LARGEST, int(self._size * min(2.0, max(0.5, BATCH_S / took)))))
        return LOOK_EVERY_S if planned is None else 0.0 if planned else BUSY_S

    async def _batch(self, size: int) -> int | None:
        """Plan up to ``size`` cases anew; gives how many, None where no job is left. One alone is parked if it must."""
        async with self._runtime.unit() as work:
            job = await _current(work.tx, work.now)
            if job is None:
                return None
            found = await _touched(work.tx, job, size)
            if not found:
                await work.tx.run(
                    "UPDATE replan SET finished_at = :now WHERE version = :version", now=work.now, version=job.version
                )
                log.info("re-planned", version=job.version)
                return 1
            free = set(await work.lock_free(found))
            done = next((at for at, case_id in enumerate(found) if case_id not in free), len(found))
            ready = found[:done]
            if not ready:
                return 0
            stuck = await parked.cases(work.tx, ready)  # what is parked derives its case again when it is retried
            inputs = [Input(case_id, Replan(case_id)) for case_id in ready if case_id not in stuck]
            try:
                if inputs:
                    await work.apply(inputs)
            except Undecidable as poison:  # nothing was written yet
                if len(inputs) > 1:
                    raise
                await parked.write(work.tx, [parked.of_replan(each.case_id, str(poison)) for each in inputs], work.now)
                log.error("parked", service="sla", case_id=str(ready[0]), topic=parked.REPLAN, error=str(poison))
            await work.tx.run(
                "UPDATE replan SET after = :after, seen = seen + :seen, moved_at = :now WHERE version = :version",
                after=ready[-1],
                seen=len(ready),
                now=work.now,
                version=job.version,
            )
        return len(ready)


async def _current(tx: Tx, now: datetime) -> Job | None:
    """The job to work on, locked; None where there is none or another replica has it. Notices a new edit."""
    version = await resources.version(tx)
    rows = await tx.rows(
        "SELECT version, calendars, after, seen, finished_at FROM replan ORDER BY version DESC LIMIT 1"
        " FOR UPDATE SKIP LOCKED"
    )
    if rows and rows[0].version >= version:
        row = rows[0]
        calendars = None if row.calendars is None else tuple(row.calendars)
        return None if row.finished_at else Job(row.version, calendars, row.after)
    if not rows and await tx.scalar("SELECT count(*) FROM replan"):
        return None
    return await _noticed(tx, version, now)


async def _noticed(tx: Tx, version: int, now: datetime) -> Job:
    """A job for everything that changed since the last one that was finished."""
    configured = {
        f"{row.kind}/{row.name}": row.version
        for row in await tx.rows("SELECT kind, name, version FROM resource ORDER BY kind, name")
    } | {"libraries": LIBRARIES}
    before = await tx.scalar(
        "SELECT CAST(configured AS text) FROM replan WHERE finished_at IS NOT NULL ORDER BY version DESC LIMIT 1"
    )
    calendars = _calendars(from_json(before) if before else {}, configured)
    job = Job(version, calendars, UUID(int=0))
    await tx.run(
        "INSERT INTO replan (version, configured, calendars, after, cases, seen, started_at, moved_at)"
        " VALUES (:version, CAST(:configured AS jsonb), CAST(:calendars AS text[]), :after, :cases, 0, :now, :now)"
        " ON CONFLICT (version) DO NOTHING",
        version=version,
        configured=to_json(configured),
        calendars=None if calendars is None else list(calendars),
        after=job.after,
        cases=await _count(tx, job),
        now=now,
    )
    return job


def _calendars(before: Configured, now: Configured) -> tuple[str, ...] | None:
    """Which calendars differ, where nothing else does; None where a policy does: it may match any case."""
    changed = {name for name in before.keys() | now.keys() if before.get(name) != now.get(name)}
    names = sorted(name.removeprefix("calendar/") for name in changed if name.startswith("calendar/"))
    return tuple(names) if changed and len(names) == len(changed) else None


async def _touched(tx: Tx, job: Job, limit: int) -> list[UUID]:
    """The next cases that the edit touches, in order of id."""
    rows = await tx.rows(
        f"SELECT case_id FROM ({_TOUCHED[job.calendars is None]}) t ORDER BY case_id LIMIT :limit",
        **_scope(job),
        after=job.after,
        limit=limit,
    )
    return [row.case_id for row in rows]


async def _count(tx: Tx, job: Job) -> int:
    if job.calendars is None:
        return int(await tx.scalar("SELECT count(*) FROM case_facts WHERE owed > 0"))
    return int(
        await tx.scalar(
            "SELECT count(DISTINCT case_id) FROM clock WHERE calendar = ANY(CAST(:calendars AS text[]))"
            " AND ended_at IS NULL",
            **_scope(job),
        )
    )


def _scope(job: Job) -> dict[str, Any]:
    return {"version": job.version} if job.calendars is None else {"calendars": list(job.calendars)}


_TOUCHED = {
    True: "SELECT case_id FROM case_facts WHERE owed > 0 AND case_id > :after AND planned_with < :version"
    " ORDER BY case_id LIMIT :limit",
    False: "SELECT DISTINCT c.case_id FROM unnest(CAST(:calendars AS text[])) AS n (name) CROSS JOIN LATERAL"
    " (SELECT DISTINCT case_id FROM clock WHERE calendar = n.name AND ended_at IS NULL AND case_id > :after"
    " ORDER BY case_id LIMIT :limit) c",
}


@dataclass(frozen=True, slots=True)
class Progress:
    """One re-plan as people see it."""

    version: int
    calendars: Sequence[str] | None
    cases: int  # there were when it began
    seen: int
    started_at: datetime
    moved_at: datetime
    finished_at: datetime | None
    superseded: bool  # by the edit after it, which began again


async def progress(tx: Tx, before: int | None, limit: int) -> list[Progress]:
    """Re-plans, newest first."""
    rows = await tx.rows(
        "SELECT version, calendars, cases, seen, started_at, moved_at, finished_at,"
        " finished_at IS NULL AND version < (SELECT max(version) FROM replan) AS superseded FROM replan"
        " WHERE CAST(:before AS bigint) IS NULL OR version < :before ORDER BY version DESC LIMIT :limit",
        before=before,
        limit=limit,
    )
    return [Progress(**row._mapping) for row in rows]
