"""Messages wait here, written in the transaction of the state they tell about. ``relay.py`` publishes them."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from shared.contracts import catalogue
from shared.contracts.envelope import Outgoing
from shared.db import Tx, from_json, to_json
from shared.log import partition_of
from shared.pace import gently

BUCKETS = 8  # units of ownership among relays; a case is always in the same one
EVENT_LIMIT = 900_000  # bytes, under the broker's 1 MiB: refused here, where the cause is still known


class EventTooLarge(ValueError):
    """An event that the broker would refuse."""


async def forget(tx: Tx, topic: str, case_ids: Sequence[UUID]) -> None:
    """Blank identity and text in what waits to be published about the cases."""
    rows = await tx.rows(
        "SELECT id, headers, body FROM outbox WHERE case_id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE",
        ids=list(case_ids),
    )
    if rows:
        await tx.run(
            "UPDATE outbox o SET body = n.body FROM unnest(CAST(:ids AS bigint[]), CAST(:bodies AS bytea[]))"
            " AS n (id, body) WHERE o.id = n.id",
            ids=[row.id for row in rows],
            bodies=[catalogue.forgotten(topic, from_json(row.headers), row.body) for row in rows],
        )


def row(event: Outgoing) -> tuple[int, UUID, str, bytes]:
    """Bucket, case, headers and body of an event."""
    case_id, body = event.data.case_id, event.data.to_json()
    if len(body) > EVENT_LIMIT:
        raise EventTooLarge(f"{event.data.TYPE} has {len(body)} bytes; the limit is {EVENT_LIMIT}")
    return partition_of(case_id, BUCKETS), case_id, to_json(catalogue.headers(event)), body


async def write(tx: Tx, events: Sequence[Outgoing], now: datetime) -> None:
    """Append events in order; one statement."""
    rows = [(*row(event), now) async for event in gently(events)]
    await tx.copy("outbox", ("bucket", "case_id", "headers", "body", "written_at"), rows)
