"""Which events this service has taken: the half of exactly-once that is ours."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from shared.db import Tx
from shared.log import Positions


async def claim(tx: Tx, events: Sequence[tuple[UUID, str]], read: Positions, now: datetime) -> set[UUID]:
    """Claim (event id, topic) pairs in sorted order; gives the ids that are new. One statement.

    A pair that another transaction is claiming waits for its end. ``read``: how far the service has read with these,
    noted in the transaction of the effects: what the ticker trusts.
    """
    ordered, positions = sorted(dict(events).items()), sorted(read.items())
    found = await tx.records(
        "WITH noted AS (INSERT INTO progress (topic, partition, position) SELECT topic, partition, position FROM"
        " unnest(CAST(:read AS text[]), CAST(:partitions AS int[]), CAST(:positions AS bigint[]))"
        " AS n (topic, partition, position)"
        " ON CONFLICT (topic, partition) DO UPDATE SET position = greatest(progress.position, excluded.position))"
        " INSERT INTO inbox (event_id, topic, claimed_at) SELECT event_id, topic, :now FROM"
        " unnest(CAST(:ids AS uuid[]), CAST(:topics AS text[])) AS n (event_id, topic)"
        " ON CONFLICT DO NOTHING RETURNING event_id",
        ids=[event_id for event_id, _ in ordered],
        topics=[topic for _, topic in ordered],
        now=now,
        read=[topic for (topic, _), _ in positions],
        partitions=[partition for (_, partition), _ in positions],
        positions=[position for _, position in positions],
    )
    return {event_id for (event_id,) in found}


async def progress(tx: Tx) -> dict[tuple[str, int], int]:
    """How far this service has read: the next position of each partition."""
    found = await tx.records("SELECT topic, partition, position FROM progress ORDER BY topic, partition")
    return {(topic, partition): position for topic, partition, position in found}
