"""Reading Kafka as a member of a group."""

import asyncio
from collections.abc import Sequence

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalStateError

from shared import points
from shared.log import LogUnavailable, OwnershipLost, Positions, Received
from shared.log.kafka_access import Closing, KafkaConfig, connected, reachable

FETCH_BYTES = 16_000_000  # of one fetch, all partitions
PARTITION_FETCH_BYTES = 1_048_576
# How long the broker holds a fetch that finds nothing. aiokafka sends one without the partitions that were not emptied
# within 0.1 s, and asks for these again only after it: what comes there meanwhile waits so long.
FETCH_WAIT_MS = 100
# aiokafka asks for nothing while it holds something: what it held came just after the last poll, and all that came
# since is with the broker still, which gives it within this.
REFILL_S = 0.01
HEARTBEATS_PER_SESSION = 3
METADATA_AGE_MS = 10_000
REFUSED_COMMITS = 3  # in a row: the member is out of the group and does not know it

log = structlog.get_logger()


class KafkaConsumer:
    """``start`` after ``stop`` gives a fresh member, at the committed positions."""

    def __init__(self, config: KafkaConfig, closing: Closing, group: str, topics: Sequence[str]) -> None:
        self._config = config
        self._closing = closing
        self._group = group
        self._topics = sorted(topics)
        self._member: AIOKafkaConsumer | None = None
        self._turn = 0
        self._crowded = False  # the last poll left something in the buffers
        self._refused = 0

    async def start(self) -> None:
        config = self._config
        member = AIOKafkaConsumer(
            *(config.topic_prefix + topic for topic in self._topics),
            **config.connection(),
            group_id=config.topic_prefix + self._group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            # By range, equal partition numbers of all topics go to the same member.
            partition_assignment_strategy=(RangePartitionAssignor,),
            session_timeout_ms=int(config.session_timeout_s * 1000),
            heartbeat_interval_ms=int(config.session_timeout_s * 1000 / HEARTBEATS_PER_SESSION),
            # Members rejoin by themselves, whatever is done with what they read: one that does not within a session
            # holds the others up. Not longer than a request may take, or they would give up just before it is dropped.
            rebalance_timeout_ms=int(config.session_timeout_s * 1000),
            # A leader that finds no topics, as while the broker starts, gives nobody anything until it asks again.
            metadata_max_age_ms=METADATA_AGE_MS,
            max_poll_interval_ms=int(config.max_poll_interval_s * 1000),
            fetch_max_bytes=FETCH_BYTES,
            max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
            fetch_max_wait_ms=FETCH_WAIT_MS,
        )
        async with reachable(f"join group {self._group}", config.start_timeout_s):
            self._member = await connected(member, self._closing)
        self._refused = 0

    async def stop(self) -> None:
        member, self._member = self._member, None
        if member is not None:
            await asyncio.wait({self._closing.begin(member)}, timeout=self._config.stop_timeout_s)

    async def poll(self, limit: int, timeout_s: float) -> Sequence[Received]:
        await points.reach("log.poll")
        if self._refused >= REFUSED_COMMITS:
            log.warning("commits are refused: joining the group again", group=self._group)
            await self.stop()
            await self.start()
        if self._member is None:
            raise LogUnavailable(f"the consumer of group {self._group} is not started")
        found: list[ConsumerRecord] = []
        try:
            async with reachable(f"read as group {self._group}", timeout_s + self._config.answer_timeout_s):
                await self._read(self._member, found, limit, timeout_s)
        except LogUnavailable as unavailable:
            # What is in ``found`` has moved the position: it must be handed over now. The error comes again.
            if not found and not isinstance(unavailable.__cause__, TimeoutError):
                raise
        return [self._received(each) for each in found]

    async def _read(self, member: AIOKafkaConsumer, found: list[ConsumerRecord], limit: int, timeout_s: float) -> None:
        """All that is buffered; where that was more than the limit, equal parts of each partition's buffer."""

        async def take(*partitions: TopicPartition, most: int, wait_s: float = 0) -> None:
            got = await member.getmany(*partitions, timeout_ms=int(wait_s * 1000), max_records=most)
            found.extend(record for records in got.values() for record in records)

        if self._crowded:
            assigned = sorted(member.assignment())
            self._turn += 1
            start = self._turn % len(assigned) if assigned else 0
            part = max(1, limit // max(1, len(assigned)))
            for partition in (assigned[start:] + assigned[:start])[:limit]:
                if len(found) < limit:
                    await take(partition, most=min(part, limit - len(found)))
        if len(found) < limit:
            await take(most=limit - len(found))
        if len(found) < limit:
            await take(most=limit - len(found), wait_s=REFILL_S if found else timeout_s)
        self._crowded = len(found) >= limit

    async def seek(self, positions: Positions) -> None:
        for each, position in self._ours(positions).items():
            try:
                assert self._member
                self._member.seek(each, position)
            except IllegalStateError:
                continue  # lost since we looked; its new owner starts where the group committed

    async def commit(self, positions: Positions) -> None:
        await points.reach("log.commit")
        ours = self._ours(positions)
        try:
            async with reachable(f"commit for group {self._group}", self._config.request_timeout_s):
                if self._member is not None and ours:
                    await self._member.commit(ours)
        except LogUnavailable as error:
            if not isinstance(error.__cause__, CommitFailedError | IllegalStateError):
                raise
            self._refused += 1
            raise OwnershipLost(f"group {self._group} was rebalanced: {error}") from error
        self._refused = 0
        await points.reach("log.committed")
        if len(ours) < len(positions):
            raise OwnershipLost(f"group {self._group}: some partitions are another member's now")

    def _ours(self, positions: Positions) -> dict[TopicPartition, int]:
        assigned = self._member.assignment() if self._member is not None else frozenset()
        wanted = {
            TopicPartition(self._config.topic_prefix + topic, number): position
            for (topic, number), position in positions.items()
        }
        return {each: position for each, position in wanted.items() if each in assigned}

    def _received(self, record: ConsumerRecord) -> Received:
        return Received(
            topic=record.topic.removeprefix(self._config.topic_prefix),
            partition=record.partition,
            position=record.offset,
            key=(record.key or b"").decode(errors="replace"),
            headers=list(record.headers),
            body=record.value or b"",
        )
