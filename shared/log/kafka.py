"""The log in Kafka: distributed mode. Any exception of the client becomes one of the three of ``shared.log``."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import aiokafka.record.default_records as record_format
import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import MessageSizeTooLargeError, for_code

from shared import points
from shared.contracts.catalogue import TOPICS
from shared.log import LogMisconfigured, LogUnavailable, Positions, Record
from shared.log.kafka_access import Closing, KafkaConfig, Kept, connected, reachable
from shared.log.kafka_consumer import KafkaConsumer

__all__ = ["KafkaConfig", "KafkaLog"]

BATCH_BYTES = 256 * 1024
LINGER_MS = 5
PAUSE_S = 0.2  # between tries at start
TOPIC_EXISTS = 36  # the protocol's code
DAY_MS = 86_400_000

log = structlog.get_logger()


class KafkaLog:
    """One producer, and one client each to ask for ends and for groups; made anew after any error."""

    def __init__(self, config: KafkaConfig, topics: Iterable[str] = tuple(TOPICS)) -> None:
        self.partitions = config.partitions
        self._config = config
        self._topics = sorted(topics)
        self._closing = Closing()
        self._producer = Kept(self._make_producer, self._closing)
        self._ends = Kept(lambda: AIOKafkaConsumer(**config.connection()), self._closing)
        self._groups = Kept(self._make_admin, self._closing)
        self._coordinators: dict[str, int] = {}

    async def start(self) -> None:
        if "aiokafka.record._crecords" not in record_format.DefaultRecordBatch.__module__:
            raise LogMisconfigured(
                "aiokafka's compiled record parser is not loaded, and the other is fifty times slower:"
                " install aiokafka from a wheel, and unset AIOKAFKA_NO_EXTENSIONS"
            )
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._config.start_timeout_s
        while True:
            try:
                await self._make_topics()
                return
            except LogUnavailable as error:
                if loop.time() > give_up:
                    raise LogUnavailable(f"Kafka at {self._config.bootstrap_servers}: {error}") from error
                log.warning("waiting for Kafka", servers=self._config.bootstrap_servers, error=str(error))
                await asyncio.sleep(PAUSE_S)

    async def stop(self) -> None:
        for kept in (self._producer, self._ends, self._groups):
            kept.drop()
        await self._closing.finish(self._config.stop_timeout_s)

    async def append(self, records: Sequence[Record]) -> None:
        if not records:
            return
        await points.reach("log.append")
        try:
            async with reachable("append to Kafka", self._config.append_timeout_s):
                await self._send(await self._producer.get(), records)
        except Exception:  # whatever it is goes on to the caller, and this producer with its sequence numbers goes
            # A batch that failed unsent has used up one: it can be out of step with the broker for good.
            self._producer.drop()
            raise
        await points.reach("log.appended")

    def consumer(self, group: str, topics: Sequence[str]) -> KafkaConsumer:
        return KafkaConsumer(self._config, self._closing, group, topics)

    async def end_positions(self, topics: Sequence[str]) -> Positions:
        try:
            async with reachable("ask Kafka for ends", self._config.answer_timeout_s):
                found = await (await self._ends.get()).end_offsets(self._all_partitions(topics))
        except LogUnavailable:
            self._ends.drop()
            raise
        return {(self._plain(each.topic), each.partition): position for each, position in found.items()}

    async def unread(self, since: Positions, until: Positions, keys: Collection[str]) -> Collection[str]:
        """Nobody can look into Kafka without reading it."""
        return keys

    async def committed(self, group: str, topics: Sequence[str]) -> Positions:
        name, wanted = self._config.topic_prefix + group, self._all_partitions(topics)
        try:
            async with reachable(f"ask Kafka about group {group}", self._config.answer_timeout_s):
                groups = await self._groups.get()
                if name not in self._coordinators:
                    self._coordinators[name] = await groups.find_coordinator(name)
                found = await groups.list_consumer_group_offsets(name, self._coordinators[name], wanted)
            if missing := set(wanted) - found.keys():
                raise LogUnavailable(f"Kafka did not answer about {len(missing)} partitions of group {group}")
        except LogUnavailable:
            self._groups.drop()
            self._coordinators.clear()
            raise
        return {(self._plain(each.topic), each.partition): max(0, at.offset) for each, at in found.items()}

    async def trim(self, before: datetime) -> int:
        """Kafka does that, by each topic's ``retention.ms``."""
        return 0

    def _make_producer(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            **self._config.connection(),
            acks="all",
            enable_idempotence=True,
            max_batch_size=BATCH_BYTES,
            linger_ms=LINGER_MS,
        )

    def _make_admin(self) -> AIOKafkaAdminClient:
        return AIOKafkaAdminClient(**self._config.connection())

    async def _send(self, producer: AIOKafkaProducer, records: Sequence[Record]) -> None:
        prefix = self._config.topic_prefix
        sent = []
        try:
            for each in records:
                sent.append(
                    await producer.send(
                        prefix + each.topic,
                        value=each.body,
                        key=each.key.encode(),
                        partition=each.partition,
                        headers=each.headers,
                    )
                )
            await asyncio.gather(*sent)
        except MessageSizeTooLargeError as error:
            raise LogMisconfigured(f"an event is larger than Kafka takes; raise message.max.bytes: {error}") from error
        finally:
            for future in sent:
                future.cancel()  # of those that nobody waits for any more; does not stop the sending

    async def _make_topics(self) -> None:
        """Raises ``LogUnavailable`` while they are being made."""
        async with reachable("make topics in Kafka", self._config.request_timeout_s):
            admin = await connected(self._make_admin(), self._closing)
            try:
                found = {
                    each["topic"]: each for each in await admin.describe_topics()
                }  # of all: naming one can make it
                names = [self._config.topic_prefix + topic for topic in self._topics]
                if missing := [name for name in names if name not in found]:
                    await self._create(admin, missing)
                for name in names:
                    self._check(found[name])
                await self._warn_of_retention(admin, names)
            finally:
                self._closing.begin(admin)

    async def _create(self, admin: AIOKafkaAdminClient, names: Sequence[str]) -> None:
        config = self._config
        settings = {
            "cleanup.policy": "delete",
            "retention.ms": str(config.retention_days * DAY_MS),
            "min.insync.replicas": str(max(1, config.replication - 1)),
        }
        answer = await admin.create_topics(
            [NewTopic(name, config.partitions, config.replication, topic_configs=settings) for name in names]
        )
        for name, code, *text in answer.topic_errors:
            if code not in (0, TOPIC_EXISTS):
                raise LogUnavailable(f"Kafka did not make topic {name}: {for_code(code).__name__} {text}")
        raise LogUnavailable(f"topics {', '.join(names)} are being made")

    def _check(self, topic: Mapping[str, Any]) -> None:
        if topic["error_code"] or any(each["leader"] < 0 for each in topic["partitions"]):
            raise LogUnavailable(f"topic {topic['topic']} has a partition without a leader")
        if (count := len(topic["partitions"])) != self.partitions:
            raise LogMisconfigured(
                f"topic {topic['topic']} has {count} partitions, and the settings say {self.partitions}. The number"
                f" never changes: set TOCSIN_KAFKA_PARTITIONS={count}, or choose another TOCSIN_KAFKA_TOPIC_PREFIX"
            )

    async def _warn_of_retention(self, admin: AIOKafkaAdminClient, names: Sequence[str]) -> None:
        wanted = str(self._config.retention_days * DAY_MS)
        asked = [ConfigResource(ConfigResourceType.TOPIC, name, configs={"retention.ms": None}) for name in names]
        for answer in await admin.describe_configs(asked):
            for _code, _text, _kind, topic, entries in answer.resources:
                for key, value, *_ in entries:
                    if value != wanted:
                        log.warning("topic is kept for another time than TOCSIN_LOG_DAYS", topic=topic, **{key: value})

    def _all_partitions(self, topics: Sequence[str]) -> list[TopicPartition]:
        prefix = self._config.topic_prefix
        return [TopicPartition(prefix + topic, number) for topic in topics for number in range(self.partitions)]

    def _plain(self, topic: str) -> str:
        return topic.removeprefix(self._config.topic_prefix)
