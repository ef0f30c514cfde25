"""The log in Postgres: the embedded default, and enough for a team on one database.

Its schema is ``log``, which ``start`` makes (no Alembic history: the tables are few, and only this file reads them).
An append takes its positions from the ``head`` row of a partition, locked until commit, so that positions are dense
and become visible in order: a reader can never pass one whose transaction commits late.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from datetime import datetime

from shared import leases, points
from shared.clock import Clock
from shared.contracts.catalogue import TOPICS
from shared.db import Database, Tx
from shared.log import LogMisconfigured, Positions, Record, TopicPartition
from shared.log.postgres_access import available, pack, transaction
from shared.log.postgres_consumer import PostgresConsumer

ANSWER_S = 2.0  # how long ``end_positions`` and ``committed`` may take
TRIM_BATCH = 5_000
LEASE_S = 5.0
SCHEMA_LOCK = 0x746F6373696E  # advisory: "tocsin"
SCHEMA_VERSION = 1
SCHEMA = (
    "CREATE SCHEMA IF NOT EXISTS log",
    "CREATE TABLE IF NOT EXISTS log.version (number int PRIMARY KEY)",
    """CREATE TABLE IF NOT EXISTS log.head (
        topic text, partition int, first_position bigint NOT NULL DEFAULT 0, next_position bigint NOT NULL DEFAULT 0,
        PRIMARY KEY (topic, partition)) WITH (fillfactor = 50)""",
    """CREATE TABLE IF NOT EXISTS log.record (
        topic text, partition int, position bigint, key text NOT NULL, headers bytea NOT NULL, body bytea NOT NULL,
        at timestamptz NOT NULL, PRIMARY KEY (topic, partition, position))""",
    """CREATE TABLE IF NOT EXISTS log.progress (
        consumer text, topic text, partition int, position bigint NOT NULL,
        PRIMARY KEY (consumer, topic, partition)) WITH (fillfactor = 50)""",
    """CREATE TABLE IF NOT EXISTS log.lease (
        name text PRIMARY KEY, owner text NOT NULL, epoch bigint NOT NULL, until timestamptz NOT NULL)
        WITH (fillfactor = 50)""",
    f"INSERT INTO log.version SELECT {SCHEMA_VERSION} WHERE NOT EXISTS (SELECT FROM log.version)",
)


class PostgresLog:
    """``db`` is a ``Database`` of the schema ``log``, which ``stop`` closes.

    ``alone``: no other process uses this log, so that a restart need not wait for the leases of the run before.
    """

    heads, records = "log.head", "log.record"

    def __init__(
        self,
        db: Database,
        clock: Clock,
        partitions: int,
        topics: Iterable[str] = tuple(TOPICS),
        lease_s: float = LEASE_S,
        alone: bool = False,
    ) -> None:
        self.partitions = partitions
        self._db = db
        self._clock = clock
        self._topics = sorted(topics)
        self._lease_s = lease_s
        self._alone = alone
        self._consumers: set[PostgresConsumer] = set()

    async def start(self) -> None:
        async with transaction(self._db) as tx:
            await tx.rows("SELECT pg_advisory_xact_lock(:key)", key=SCHEMA_LOCK)
            for statement in SCHEMA:
                await tx.run(statement)
            version = await tx.scalar("SELECT number FROM version")
            if version != SCHEMA_VERSION:
                raise LogMisconfigured(
                    f"the schema log is of version {version}, and this Tocsin knows {SCHEMA_VERSION}: run the newer one"
                )
            await tx.run(
                "INSERT INTO head (topic, partition)"
                " SELECT topic, partition FROM unnest(CAST(:topics AS text[])) AS topic,"
                " generate_series(0, :partitions - 1) AS partition"
                " WHERE NOT EXISTS (SELECT FROM head h WHERE h.topic = topic.topic)",
                topics=self._topics,
                partitions=self.partitions,
            )
            counts = await tx.rows(
                "SELECT topic, count(*) AS partitions FROM head WHERE topic = ANY(CAST(:topics AS text[]))"
                " GROUP BY topic ORDER BY topic",
                topics=self._topics,
            )
            for row in counts:
                if row.partitions != self.partitions:
                    raise LogMisconfigured(
                        f"topic {row.topic} has {row.partitions} partitions, and the settings say {self.partitions}."
                        f" The number never changes: set TOCSIN_KAFKA_PARTITIONS={row.partitions}"
                    )
            if self._alone:
                await leases.end_all(tx)

    async def stop(self) -> None:
        await self._db.close()

    async def append(self, records: Sequence[Record]) -> None:
        if not records:
            return
        await points.reach("log.append")
        async with transaction(self._db) as tx:
            positions = await self._take_positions(tx, records)
            await tx.run(
                "INSERT INTO record (topic, partition, position, key, headers, body, at) SELECT r.*, :now FROM"
                " unnest(CAST(:topics AS text[]), CAST(:partitions AS int[]), CAST(:positions AS bigint[]),"
                " CAST(:keys AS text[]), CAST(:headers AS bytea[]), CAST(:bodies AS bytea[])) AS r",
                topics=[each.topic for each in records],
                partitions=[each.partition for each in records],
                positions=positions,
                keys=[each.key for each in records],
                headers=[pack(each.headers) for each in records],
                bodies=[each.body for each in records],
                now=self._clock.now(),
            )
        await points.reach("log.appended")
        self.announce({each.topic for each in records})

    def announce(self, topics: Set[str]) -> None:
        for consumer in self._consumers:
            consumer.notice(topics)

    async def adopt(self, tx: Tx, topic: str, partitions: Mapping[int, int]) -> None:
        [(taken, written)] = await tx.records(
            "WITH taken AS (DELETE FROM outbox o USING unnest(CAST(:ids AS bigint[]), CAST(:partitions AS int[]))"
            " AS n (id, partition) WHERE o.id = n.id AND o.id = ANY(CAST(:ids AS bigint[]))"
            " RETURNING o.id, n.partition, o.case_id, o.headers, o.body),"
            " asked AS (SELECT partition, count(*) AS count FROM taken GROUP BY partition),"
            " locked AS (SELECT h.partition, a.count FROM log.head h JOIN asked a ON h.partition = a.partition"
            " WHERE h.topic = :topic ORDER BY h.partition FOR UPDATE OF h),"
            " moved AS (UPDATE log.head h SET next_position = h.next_position + l.count FROM locked l"
            " WHERE h.topic = :topic AND h.partition = l.partition"
            " RETURNING h.partition, h.next_position - l.count AS start),"
            " written AS (INSERT INTO log.record (topic, partition, position, key, headers, body, at)"
            " SELECT :topic, partition, m.start - 1 + row_number() OVER (PARTITION BY partition ORDER BY t.id),"
            " CAST(t.case_id AS text), convert_to(CAST(t.headers AS text), 'UTF8'), t.body, :now"
            " FROM taken t JOIN moved m USING (partition) ORDER BY t.id RETURNING 1)"
            " SELECT (SELECT count(*) FROM taken), (SELECT count(*) FROM written)",
            ids=list(partitions),
            partitions=list(partitions.values()),
            topic=topic,
            now=self._clock.now(),
        )
        if taken != written:
            raise LogMisconfigured(f"the log lacks some of the {self.partitions} partitions of topic {topic}")

    async def _take_positions(self, tx: Tx, records: Sequence[Record]) -> list[int]:
        """A position for each record, in the order given; the partitions stay locked, in order, until commit."""
        counts: dict[TopicPartition, int] = {}
        for each in records:
            counts[each.topic, each.partition] = counts.get((each.topic, each.partition), 0) + 1
        rows = await tx.rows(
            "WITH asked AS (SELECT * FROM"
            " unnest(CAST(:topics AS text[]), CAST(:partitions AS int[]), CAST(:counts AS bigint[]))"
            " AS a (topic, partition, count)),"
            " locked AS (SELECT h.topic, h.partition, a.count FROM head h JOIN asked a USING (topic, partition)"
            " ORDER BY h.topic, h.partition FOR UPDATE OF h)"
            " UPDATE head h SET next_position = h.next_position + l.count FROM locked l"
            " WHERE h.topic = l.topic AND h.partition = l.partition"
            " RETURNING h.topic, h.partition, h.next_position - l.count AS start",
            topics=[topic for topic, _ in counts],
            partitions=[partition for _, partition in counts],
            counts=list(counts.values()),
        )
        following = {(row.topic, row.partition): int(row.start) for row in rows}
        if unknown := counts.keys() - following.keys():
            raise LogMisconfigured(f"no such topics or partitions in the log: {sorted(unknown)}")
        positions = []
        for each in records:
            positions.append(following[each.topic, each.partition])
            following[each.topic, each.partition] += 1
        return positions

    def consumer(self, group: str, topics: Sequence[str]) -> PostgresConsumer:
        return PostgresConsumer(self._db, self._clock, self._consumers, group, topics, self.partitions, self._lease_s)

    async def end_positions(self, topics: Sequence[str]) -> Positions:
        async with available(ANSWER_S), self._db.reading() as tx:
            rows = await tx.records(
                "SELECT topic, partition, next_position FROM head WHERE topic = ANY(CAST(:topics AS text[]))"
                " ORDER BY topic, partition",
                topics=list(topics),
            )
        return {(topic, partition): position for topic, partition, position in rows}

    async def unread(self, since: Positions, until: Positions, keys: Collection[str]) -> Collection[str]:
        behind = [(*each, since[each], end) for each, end in until.items() if since[each] < end]
        if not behind or not keys:
            return ()
        topics, partitions, starts, ends = zip(*behind, strict=True)
        async with available(ANSWER_S), self._db.reading() as tx:
            rows = await tx.records(
                "SELECT DISTINCT r.key FROM unnest(CAST(:topics AS text[]), CAST(:partitions AS int[]),"
                " CAST(:starts AS bigint[]), CAST(:ends AS bigint[])) AS p (topic, partition, start, until)"
                " CROSS JOIN LATERAL (SELECT key FROM record WHERE topic = p.topic AND partition = p.partition"
                " AND position >= p.start AND position < p.until AND key = ANY(CAST(:keys AS text[]))) r",
                topics=topics,
                partitions=partitions,
                starts=starts,
                ends=ends,
                keys=list(keys),
            )
        return {key for (key,) in rows}

    async def committed(self, group: str, topics: Sequence[str]) -> Positions:
        async with transaction(self._db, ANSWER_S) as tx:
            rows = await tx.rows(
                "SELECT h.topic, h.partition, coalesce(p.position, 0) AS position FROM head h"
                " LEFT JOIN progress p ON p.consumer = :group AND p.topic = h.topic AND p.partition = h.partition"
                " WHERE h.topic = ANY(CAST(:topics AS text[])) ORDER BY h.topic, h.partition",
                group=group,
                topics=list(topics),
            )
        return {(row.topic, row.partition): row.position for row in rows}

    async def trim(self, before: datetime) -> int:
        trimmed = 0
        while forgotten := await self._trim_some(before):
            trimmed += forgotten
        return trimmed

    async def _trim_some(self, before: datetime) -> int:
        async with transaction(self._db) as tx:
            rows = await tx.rows(
                "WITH slowest AS (SELECT h.topic, h.partition, coalesce(min(p.position), h.next_position) AS position"
                " FROM head h LEFT JOIN progress p USING (topic, partition) GROUP BY h.topic, h.partition),"
                " old AS (SELECT r.topic, r.partition, r.position FROM slowest s CROSS JOIN LATERAL"
                " (SELECT * FROM record r WHERE r.topic = s.topic AND r.partition = s.partition"
                " ORDER BY r.position LIMIT :batch) r WHERE r.at < :before AND r.position < s.position)"
                " DELETE FROM record r USING old WHERE r.topic = old.topic AND r.partition = old.partition"
                " AND r.position = old.position RETURNING r.topic, r.partition, r.position",
                before=before,
                batch=TRIM_BATCH,
            )
            first: dict[TopicPartition, int] = {}
            for row in rows:
                first[row.topic, row.partition] = max(first.get((row.topic, row.partition), 0), row.position + 1)
            if first:
                ordered = sorted(first)
                await tx.run(
                    "WITH moved AS (SELECT h.topic, h.partition, m.position FROM head h JOIN unnest("
                    " CAST(:topics AS text[]), CAST(:partitions AS int[]), CAST(:positions AS bigint[]))"
                    " AS m (topic, partition, position) USING (topic, partition)"
                    " ORDER BY h.topic, h.partition FOR UPDATE OF h)"
                    " UPDATE head h SET first_position = greatest(h.first_position, m.position) FROM moved m"
                    " WHERE h.topic = m.topic AND h.partition = m.partition",
                    topics=[topic for topic, _ in ordered],
                    partitions=[partition for _, partition in ordered],
                    positions=[first[each] for each in ordered],
                )
        return len(rows)
