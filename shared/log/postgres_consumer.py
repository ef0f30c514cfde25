"""Reading the log in Postgres: who reads which partition, and from where."""

import asyncio
from collections.abc import Mapping, Sequence, Set
from typing import Any

from shared import points
from shared.clock import Clock
from shared.db import Database, Tx
from shared.leases import Leases
from shared.log import OwnershipLost, Positions, Received, TopicPartition
from shared.log.fairness import fair
from shared.log.postgres_access import available, transaction, unpack

READ_BYTES = 16_000_000  # bodies of one poll, but for one record that is larger alone
IDLE_FIRST_S, IDLE_LONGEST_S = 0.01, 0.1  # between looks for what other processes append


class PostgresConsumer:
    """A member of a group. Each partition number is a lease; a commit checks its epoch in the same transaction."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        listening: "set[PostgresConsumer]",
        group: str,
        topics: Sequence[str],
        partitions: int,
        lease_s: float,
    ) -> None:
        self._db = db
        self._clock = clock
        self._listening = listening
        self._group = group
        self._topics = sorted(topics)
        self._partitions = partitions
        self._lease_s = lease_s
        self._leases = self._fresh_leases()
        self._epochs: dict[int, int] = {}
        self._positions: dict[TopicPartition, int] = {}
        self._appended = asyncio.Event()
        self._idle_s = IDLE_FIRST_S
        self._turn = 0

    def _fresh_leases(self) -> Leases:
        return Leases(self._db, [self._name(number) for number in range(self._partitions)], self._lease_s)

    async def start(self) -> None:
        self._leases = self._fresh_leases()
        self._epochs, self._positions = {}, {}
        async with transaction(self._db) as tx:
            # A group that is known holds back ``trim`` before its first commit too.
            await tx.run(
                "INSERT INTO progress (consumer, topic, partition, position)"
                " SELECT :group, topic, partition, 0 FROM head WHERE topic = ANY(CAST(:topics AS text[]))"
                " ORDER BY topic, partition ON CONFLICT DO NOTHING",
                group=self._group,
                topics=self._topics,
            )
        self._listening.add(self)

    async def stop(self) -> None:
        self._listening.discard(self)
        self._epochs, self._positions = {}, {}
        async with available():
            await self._leases.release()

    def notice(self, topics: Set[str]) -> None:
        """Something was appended in this process: look at once."""
        if not topics.isdisjoint(self._topics):
            self._appended.set()

    async def poll(self, limit: int, timeout_s: float) -> Sequence[Received]:
        await points.reach("log.poll")
        loop = asyncio.get_running_loop()
        give_up = loop.time() + timeout_s
        while True:
            self._appended.clear()
            records = await self._read(limit)
            left = give_up - loop.time()
            if records:
                self._idle_s = IDLE_FIRST_S
                return records
            if left <= 0:
                return []
            try:
                async with asyncio.timeout(min(self._idle_s, left)):
                    await self._appended.wait()
            except TimeoutError:
                self._idle_s = min(self._idle_s * 2, IDLE_LONGEST_S)

    async def seek(self, positions: Positions) -> None:
        for each in positions.keys() & self._positions.keys():
            self._positions[each] = positions[each]

    async def commit(self, positions: Positions) -> None:
        await points.reach("log.commit")
        epochs = {self._name(number): self._epochs[number] for _, number in positions if number in self._epochs}
        async with transaction(self._db) as tx:
            held = await self._leases.check(tx, epochs)
            ours = sorted(each for each in positions if self._name(each[1]) in held)
            await tx.run(
                "INSERT INTO progress (consumer, topic, partition, position) SELECT :group, p.* FROM"
                " unnest(CAST(:topics AS text[]), CAST(:partitions AS int[]), CAST(:positions AS bigint[])) AS p"
                " ON CONFLICT (consumer, topic, partition) DO UPDATE SET position = EXCLUDED.position",
                group=self._group,
                topics=[topic for topic, _ in ours],
                partitions=[partition for _, partition in ours],
                positions=[positions[each] for each in ours],
            )
        await points.reach("log.committed")
        if lost := sorted({number for _, number in positions if self._name(number) not in held}):
            raise OwnershipLost(f"group {self._group}: partitions {lost} are another consumer's now")

    async def _read(self, limit: int) -> list[Received]:
        async with available():
            await self._follow(await self._leases.renew(self._clock.now()))
        if not self._epochs:
            return []
        async with available(), self._db.reading() as tx:
            heads = await tx.records(
                "SELECT topic, partition, first_position, next_position FROM head"
                " WHERE topic = ANY(CAST(:topics AS text[])) AND partition = ANY(CAST(:partitions AS int[]))"
                " ORDER BY topic, partition",
                topics=self._topics,
                partitions=sorted(self._epochs),
            )
            starts = {(topic, number): max(self._positions[topic, number], first) for topic, number, first, _ in heads}
            waiting = {(topic, number): following - starts[topic, number] for topic, number, _, following in heads}
            self._turn += 1
            turns = fair(waiting, limit, self._turn)
            rows = await self._fetch(tx, starts, turns) if turns else []
        records = [Received(row[0], row[1], row[2], row[3], unpack(row[4]), row[5]) for row in rows]
        for each in records:
            self._positions[each.topic, each.partition] = each.position + 1
        return records

    async def _fetch(self, tx: Tx, starts: Positions, counts: Mapping[TopicPartition, int]) -> Sequence[Any]:
        return await tx.records(
            "SELECT topic, partition, position, key, headers, body FROM ("
            " SELECT p.turn, r.*, sum(octet_length(r.body)) OVER (ORDER BY p.turn, r.position) - octet_length(r.body)"
            " AS before FROM unnest(CAST(:topics AS text[]), CAST(:partitions AS int[]), CAST(:starts AS bigint[]),"
            " CAST(:counts AS bigint[])) WITH ORDINALITY AS p (topic, partition, start, count, turn)"
            " CROSS JOIN LATERAL (SELECT * FROM record r WHERE r.topic = p.topic AND r.partition = p.partition"
            " AND r.position >= p.start ORDER BY r.position LIMIT p.count) r) found"
            " WHERE before < :bytes ORDER BY turn, position",
            topics=[topic for topic, _ in counts],
            partitions=[partition for _, partition in counts],
            starts=[starts[each] for each in counts],
            counts=list(counts.values()),
            bytes=READ_BYTES,
        )

    async def _follow(self, held: Mapping[str, int]) -> None:
        """Forget the partitions that we lost; read on where the group is on those that are new to us."""
        epochs = {self._number(name): epoch for name, epoch in held.items()}
        new = sorted(number for number, epoch in epochs.items() if self._epochs.get(number) != epoch)
        kept = {each: position for each, position in self._positions.items() if each[1] in epochs}
        if new:
            async with self._db.transaction() as tx:
                rows = await tx.rows(
                    "SELECT topic, partition, position FROM progress WHERE consumer = :group"
                    " AND topic = ANY(CAST(:topics AS text[])) AND partition = ANY(CAST(:partitions AS int[]))"
                    " ORDER BY topic, partition",
                    group=self._group,
                    topics=self._topics,
                    partitions=new,
                )
            kept |= {(row.topic, row.partition): row.position for row in rows}
        self._epochs, self._positions = epochs, kept

    def _name(self, number: int) -> str:
        return f"{self._group}/{number:04d}"

    def _number(self, name: str) -> int:
        return int(name.rpartition("/")[2])
