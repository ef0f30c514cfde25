"""Events that cannot be decided wait here, with everything later of their case, in order, until a person says.

Nothing is dropped without a reason, and no case holds up another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from shared import announcing, audit
from shared.audit import Act, Actor
from shared.batch import Input
from shared.contracts import catalogue
from shared.contracts.decision import Fired, Replan
from shared.db import Tx, from_json, to_json
from shared.errors import not_found
from shared.log import Received
from shared.runtime import Runtime

TIMER, REPLAN = "timer", "replan"  # topics of what did not come from the log
LIST_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Parked:
    """One parked event: where it stood on the wire, its bytes, and what was wrong."""

    case_id: UUID
    topic: str
    partition: int
    position: int
    event_id: UUID | None
    headers: catalogue.Headers
    body: bytes
    error: str


def of_record(record: Received, event_id: UUID, case_id: UUID, error: str) -> Parked:
    return Parked(
        case_id, record.topic, record.partition, record.position, event_id, record.headers, record.body, error[:2000]
    )


def of_timer(fired: Fired, error: str) -> Parked:
    body = to_json(
        {"subject": str(fired.subject), "step": fired.step, "due_at": fired.due_at, "version": fired.version}
    )
    return Parked(fired.case_id, TIMER, 0, 0, None, [], body.encode(), error[:2000])


def of_replan(case_id: UUID, error: str) -> Parked:
    return Parked(case_id, REPLAN, 0, 0, None, [], b"", error[:2000])


async def cases(tx: Tx, case_ids: Sequence[UUID]) -> set[UUID]:
    """Which of the locked cases have something parked."""
    found = await tx.records(
        "SELECT DISTINCT case_id FROM parked WHERE case_id = ANY(CAST(:ids AS uuid[]))", ids=list(case_ids)
    )
    return {case_id for (case_id,) in found}


async def write(tx: Tx, parked: Sequence[Parked], now: datetime) -> None:
    """Park in the order given."""
    await announcing.moved(tx, sorted({each.case_id for each in parked}))
    await tx.run(
        "INSERT INTO parked (case_id, topic, partition, position, event_id, headers, body, error, parked_at)"
        " SELECT case_id, topic, partition, position, event_id, CAST(headers AS jsonb), body, error, :now FROM"
        " unnest(CAST(:cases AS uuid[]), CAST(:topics AS text[]), CAST(:partitions AS int[]),"
        " CAST(:positions AS bigint[]), CAST(:events AS uuid[]), CAST(:headers AS text[]), CAST(:bodies AS bytea[]),"
        " CAST(:errors AS text[])) WITH ORDINALITY AS n (case_id, topic, partition, position, event_id, headers, body,"
        " error, place) ORDER BY place",
        cases=[each.case_id for each in parked],
        topics=[each.topic for each in parked],
        partitions=[each.partition for each in parked],
        positions=[each.position for each in parked],
        events=[each.event_id for each in parked],
        headers=[to_json([[name, value.decode(errors="replace")] for name, value in each.headers]) for each in parked],
        bodies=[each.body for each in parked],
        errors=[each.error.replace("\x00", "") for each in parked],
        now=now,
    )


async def forget(tx: Tx, case_ids: Sequence[UUID]) -> None:
    """Blank identity and text in what is parked of the cases, and in what was said of it."""
    rows = await tx.rows(
        "SELECT id, topic, headers, body FROM parked WHERE case_id = ANY(CAST(:ids AS uuid[]))"
        " AND topic <> ALL(CAST(:own AS text[])) ORDER BY id FOR UPDATE",
        ids=list(case_ids),
        own=[TIMER, REPLAN],
    )
    await tx.run(
        "UPDATE parked p SET body = n.body FROM unnest(CAST(:ids AS bigint[]), CAST(:bodies AS bytea[]))"
        " AS n (id, body) WHERE p.id = n.id",
        ids=[row.id for row in rows],
        bodies=[catalogue.forgotten(row.topic, from_json(row.headers), row.body) for row in rows],
    )
    for table in ("parked", "parked_dropped"):
        await tx.run(
            f"UPDATE {table} SET error = split_part(error, ':', 1) WHERE case_id = ANY(CAST(:ids AS uuid[]))",
            ids=list(case_ids),
        )


async def listing(tx: Tx, limit: int = LIST_LIMIT) -> list[Mapping[str, Any]]:
    """What is parked, oldest first."""
    found = await tx.rows(
        "SELECT id, case_id, topic, partition, position, event_id, error, parked_at FROM parked ORDER BY id LIMIT :n",
        n=limit,
    )
    return [dict(row._mapping) for row in found]


async def retry(runtime: Runtime[Any], case_id: UUID, by: Actor) -> int:
    """Decide about everything parked of a case, in order; all of it or nothing. Gives how many.

    Raises what deciding raises: the case stays parked as it was.
    """
    async with runtime.unit() as work:
        await work.lock([case_id])
        rows = await work.tx.rows(
            "SELECT id, topic, headers, body FROM parked WHERE case_id = :case_id ORDER BY id", case_id=case_id
        )
        if not rows:
            raise not_found("parked event of case", case_id)
        inputs = [Input(case_id, _body(case_id, row)) for row in rows]
        await work.apply(inputs)
        await work.tx.run("DELETE FROM parked WHERE id = ANY(CAST(:ids AS bigint[]))", ids=[row.id for row in rows])
        act = Act("retried", "parked case", str(case_id), facts={"events": len(rows)})
        await audit.write(work.tx, by, act, work.now)
    return len(inputs)


def _body(case_id: UUID, row: Any) -> Any:
    if row.topic == REPLAN:
        return Replan(case_id)
    if row.topic == TIMER:
        timer = from_json(row.body)
        due_at = datetime.fromisoformat(timer["due_at"])
        return Fired(case_id, UUID(timer["subject"]), timer["step"], due_at, timer["version"])
    headers = [(name, value.encode()) for name, value in from_json(row.headers)]
    return catalogue.decode(row.topic, headers, row.body)


async def drop(runtime: Runtime[Any], parked_id: int, reason: str, by: Actor) -> None:
    """Give up one parked event, for a reason that is kept."""
    async with runtime.db.transaction() as tx:
        dropped = await tx.run(
            "WITH gone AS (DELETE FROM parked WHERE id = :id RETURNING id, case_id, topic, event_id, error)"
            " INSERT INTO parked_dropped (id, case_id, topic, event_id, error, reason, dropped_at)"
            " SELECT id, case_id, topic, event_id, error, :reason, :now FROM gone",
            id=parked_id,
            reason=reason,
            now=runtime.clock.now(),
        )
        if not dropped:
            raise not_found("parked event", parked_id)
        await audit.write(tx, by, Act("dropped", "parked event", str(parked_id), reason), runtime.clock.now())
