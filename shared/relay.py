"""The relay: outbox → log, in order, then delete. At-least-once; the inbox on the other side makes it once.

Where the log is in the database of the outbox, the rows move there within it, and once.

There is no cursor over ids: a transaction that commits late has a lower id than one already published, and each row
is deleted by its own id.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from shared import pace, points, telemetry
from shared.db import from_json
from shared.leases import Leases
from shared.log import Neighbour, Record, partition_of
from shared.outbox import BUCKETS
from shared.runtime import Runtime

PATIENCE = 200  # times ``pace.GIVE_WAY_S``


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
        await pace.give_way(PATIENCE)  # what fires now is told a little later
        log = self._runtime.log
        published = await (self._move(log, epochs) if isinstance(log, Neighbour) else self._send(epochs))
        if published:
            telemetry.EVENTS_PUBLISHED.labels(self._card.name).inc(published)
        return published

    async def _move(self, log: Neighbour, epochs: Mapping[str, int]) -> int:
        """Within one database it is one transaction: nothing is published twice."""
        rows = await self._waiting(epochs, "id, bucket, case_id")
        if not rows:
            return 0
        await points.reach("log.append")
        async with self._runtime.db.transaction() as tx:
            ours = await self._leases.check(tx, epochs)
            partitions = {id: self._partition(case_id) for id, bucket, case_id in rows if _name(bucket) in ours}
            await log.adopt(tx, self._card.publishes, partitions)
        log.announce({self._card.publishes})
        await points.reach("log.appended")
        return len(rows)

    async def _send(self, epochs: Mapping[str, int]) -> int:
        rows = await self._waiting(epochs, "id, bucket, case_id, CAST(headers AS text), body")
        if not rows:
            return 0
        await self._runtime.log.append([self._record(*rest) for _, _, *rest in rows])
        async with self._runtime.db.reading() as tx:  # one statement, which is a transaction
            await points.reach("db.commit")
            # Rows of a bucket that another relay took over meanwhile are left to it: it publishes them again.
            await self._leases.fenced(
                tx,
                epochs,
                "DELETE FROM outbox WHERE id = ANY(CAST(:ids AS bigint[])) AND bucket IN"
                " (SELECT b.number FROM unnest(CAST(:buckets AS text[]), CAST(:numbers AS smallint[]))"
                " AS b (name, number) JOIN ours USING (name))",
                ids=[id for id, *_ in rows],
                buckets=NAMES,
                numbers=list(range(BUCKETS)),
            )
            await points.reach("db.committed")
        return len(rows)

    async def _waiting(self, epochs: Mapping[str, int], columns: str) -> Sequence[Sequence[Any]]:
        async with self._runtime.db.reading() as tx:
            return await tx.records(
                f"SELECT {columns} FROM outbox WHERE bucket = ANY(CAST(:held AS smallint[])) ORDER BY id LIMIT :limit",
                held=[bucket for bucket in range(BUCKETS) if _name(bucket) in epochs],
                limit=self._runtime.settings.batch_size,
            )

    async def stop(self) -> None:
        """Publish what is left, then let others have the buckets."""
        while await self.step():
            pass
        await self._leases.release()

    def _record(self, case_id: UUID, written: str, body: bytes) -> Record:
        headers = [(name, value.encode("latin-1")) for name, value in from_json(written)]
        return Record(self._card.publishes, self._partition(case_id), str(case_id), headers, body)

    def _partition(self, case_id: UUID) -> int:
        return partition_of(case_id, self._runtime.log.partitions)
