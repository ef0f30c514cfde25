"""The relay: outbox → log, in order, then delete. At-least-once; the inbox on the other side makes it once.

There is no cursor over ids: a transaction that commits late has a lower id than one already published, and each row
is deleted by its own id.
"""

from collections.abc import Sequence
from typing import Any

from shared import telemetry
from shared.db import from_json
from shared.leases import Leases
from shared.log import Record, partition_of
from shared.outbox import BUCKETS
from shared.runtime import Runtime


def _name(bucket: int) -> str:
    return f"outbox-{bucket}"


NAMES = [_name(bucket) for bucket in range(BUCKETS)]


class Relay:
    """Publishes the outbox of one service. Replicas share its buckets by leases."""

    def __init__(self, runtime: Runtime[Any], leases: Leases) -> None:
        self._runtime = runtime
        self._leases = leases
        self._card = runtime.service.card

    async def step(self) -> int:
        """Publish one batch; gives how many. After any exception the same rows are published again."""
        epochs = await self._leases.renew(self._runtime.clock.now())
        if not epochs:
            return 0
        async with self._runtime.db.reading() as tx:
            rows = await tx.records(
                "SELECT id, bucket, case_id, CAST(headers AS text) AS headers, body FROM outbox"
                " WHERE bucket = ANY(CAST(:held AS smallint[])) ORDER BY id LIMIT :limit",
                held=[bucket for bucket in range(BUCKETS) if _name(bucket) in epochs],
                limit=self._runtime.settings.batch_size,
            )
        if not rows:
            return 0
        await self._runtime.log.append([self._record(row) for row in rows])
        async with self._runtime.db.transaction() as tx:
            # Rows of a bucket that another relay took over meanwhile are left to it: it publishes them again.
            ours = await self._leases.check(tx, epochs)
            await tx.run(
                "DELETE FROM outbox WHERE id = ANY(CAST(:ids AS bigint[]))",
                ids=[id for id, bucket, *_ in rows if _name(bucket) in ours],
            )
        telemetry.EVENTS_PUBLISHED.labels(self._card.name).inc(len(rows))
        return len(rows)

    async def stop(self) -> None:
        """Publish what is left, then let others have the buckets."""
        while await self.step():
            pass
        await self._leases.release()

    def _record(self, row: Sequence[Any]) -> Record:
        _, _, case_id, written, body = row
        headers = [(name, value.encode()) for name, value in from_json(written)]
        return Record(
            self._card.publishes, partition_of(case_id, self._runtime.log.partitions), str(case_id), headers, body
        )
