"""The contract of the log, on a real Kafka; and what only this one must handle."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

import pytest
from aiokafka import ConsumerRebalanceListener

from deploy.kafka.local import LocalKafka
from shared.log import LogUnavailable, OwnershipLost
from shared.log.kafka import KafkaConfig, KafkaLog
from tests.contract.suite import GROUP, TOPICS, Cluster, LogContract, eventually, following, numbers, read, records


class KafkaCluster(Cluster):
    def __init__(self, broker: LocalKafka) -> None:
        super().__init__()
        self.broker = broker
        self.config = KafkaConfig(
            bootstrap_servers=broker.bootstrap_servers,
            partitions=1,
            topic_prefix=f"test-{secrets.token_hex(4)}.",
            session_timeout_s=2,
            request_timeout_s=5,
            append_timeout_s=5,
        )

    def make(self, partitions: int) -> KafkaLog:
        return KafkaLog(replace(self.config, partitions=partitions), TOPICS)

    async def crash(self) -> None:
        await asyncio.to_thread(self.broker.kill)

    async def recover(self) -> None:
        await asyncio.to_thread(self.broker.start)


@pytest.fixture
async def cluster(kafka: LocalKafka) -> AsyncIterator[KafkaCluster]:
    made = KafkaCluster(kafka)
    yield made
    await made.close()


class TestKafkaLog(LogContract):
    pass


async def test_a_broker_that_answers_nothing_is_unavailable_and_then_goes_on(cluster):
    """Connections stay open here, unlike after a crash: only the time limits help."""
    log = await cluster.log()
    consumer = log.consumer(GROUP, TOPICS)
    await consumer.start()
    await log.append(records([1]))
    await log.end_positions(TOPICS)
    cluster.broker.pause()
    await asyncio.sleep(0.1)  # the signal reaches each of its threads
    try:
        async with asyncio.timeout(4):
            with pytest.raises(LogUnavailable):
                await log.end_positions(TOPICS)
        async with asyncio.timeout(20):
            with pytest.raises(LogUnavailable):
                await log.append(records([2]))
        async with asyncio.timeout(8):
            await consumer.stop()
    finally:
        cluster.broker.resume()
    await eventually(lambda: log.append(records([3])))
    await eventually(consumer.start)
    found = await read(consumer, 2)
    assert {1, 3} <= set(numbers(found))
    await consumer.stop()


async def test_a_member_that_was_silent_for_too_long_goes_on_by_itself(cluster):
    """Kafka's client then leaves the group without a word."""
    cluster.config = replace(cluster.config, max_poll_interval_s=2)
    log = await cluster.log()
    await log.append(records(range(10)))
    consumer = log.consumer(GROUP, TOPICS)
    await consumer.start()
    held = await read(consumer, 10)
    await asyncio.sleep(4)
    await log.append(records(range(10, 20)))
    found = set(numbers(held))
    async with asyncio.timeout(30):
        while await log.committed(GROUP, TOPICS) != await log.end_positions(TOPICS):
            with suppress(OwnershipLost):
                await consumer.commit(following(held))
            held = await consumer.poll(100, 0.2) or held
            found |= set(numbers(held))
    assert found == set(range(20))
    await consumer.stop()


async def test_a_member_that_lives_and_does_not_join_again_holds_nobody_up_for_long(cluster):
    """Its heartbeats go on, so only the time that all have for it ends that."""

    released = asyncio.Event()

    class Stuck(ConsumerRebalanceListener):
        async def on_partitions_revoked(self, revoked: object) -> None:
            await released.wait()

        def on_partitions_assigned(self, assigned: object) -> None: ...

    log = await cluster.log()
    stuck, other = (log.consumer(GROUP, TOPICS) for _ in range(2))
    await stuck.start()
    stuck._member._subscription._listener = Stuck()
    await other.start()  # it gives up after half a minute
    await log.append(records([1]))
    assert numbers(await read(other, 1)) == [1]
    released.set()
    await stuck.stop()
    await other.stop()


async def test_a_start_waits_for_a_broker_that_comes_later(cluster):
    await cluster.crash()
    async with asyncio.TaskGroup() as group:
        starting = group.create_task(cluster.log())
        await asyncio.sleep(1)
        assert not starting.done()
        await cluster.recover()
    await starting.result().append(records([1]))


async def test_a_start_gives_up_in_time_and_says_whom_it_asked():
    log = KafkaLog(KafkaConfig(bootstrap_servers="127.0.0.1:1", partitions=1, start_timeout_s=0.5), TOPICS)
    async with asyncio.timeout(10):
        with pytest.raises(LogUnavailable, match=r"127\.0\.0\.1:1"):
            await log.start()
    await log.stop()


def test_a_password_is_not_shown():
    config = KafkaConfig(bootstrap_servers="k:9092", partitions=1, sasl_password="hunter2")
    assert "hunter2" not in repr(config)
