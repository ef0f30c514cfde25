"""The contract of the log, on Postgres; and what only this one promises."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from shared import points
from shared.clock import DatabaseClock, ManualClock, SystemClock
from shared.db import Database
from shared.embedded import EmbeddedPostgres
from shared.log import OwnershipLost, postgres_consumer
from shared.log.postgres import PostgresLog
from tests.contract.suite import GROUP, TOPICS, Cluster, LogContract, following, numbers, read, records

LEASE_S = 1.0


class PostgresCluster(Cluster):
    def __init__(self, server: EmbeddedPostgres, url: str) -> None:
        super().__init__()
        self._server, self._url = server, url

    def make(self, partitions: int) -> PostgresLog:
        return PostgresLog(Database(self._url, "log"), DatabaseClock(), partitions, TOPICS, LEASE_S)

    async def crash(self) -> None:
        await asyncio.to_thread(self._server.kill)

    async def recover(self) -> None:
        await asyncio.to_thread(self._server.start)


@pytest.fixture
async def cluster(postgres: EmbeddedPostgres, database_url: str) -> AsyncIterator[PostgresCluster]:
    made = PostgresCluster(postgres, database_url)
    yield made
    await made.close()


class TestPostgresLog(LogContract):
    pass


async def test_an_append_that_commits_late_is_not_skipped(cluster):
    log = await cluster.log()
    late_may_commit, late_is_waiting = asyncio.Event(), asyncio.Event()

    async def hold_the_first(point: str) -> None:
        if point == "db.commit" and not late_is_waiting.is_set():
            late_is_waiting.set()
            await late_may_commit.wait()

    consumer = log.consumer(GROUP, TOPICS)
    await consumer.start()
    assert await consumer.poll(10, 0) == []
    with points.install(hold_the_first):
        async with asyncio.TaskGroup() as group:
            group.create_task(log.append(records([1], partition=0)))
            await late_is_waiting.wait()
            after = group.create_task(log.append(records([2, 3], partition=0)))
            await log.append(records([9], partition=1))
            assert numbers(await read(consumer, 1)) == [9], "another partition goes on"
            assert not after.done(), "the same partition waits its turn"
            late_may_commit.set()
    found = await read(consumer, 3)
    assert [(each.position, int(each.body)) for each in found] == [(0, 1), (1, 2), (2, 3)]
    await consumer.stop()


async def test_an_append_wakes_a_reader_of_the_same_process_at_once(cluster, monkeypatch):
    monkeypatch.setattr(postgres_consumer, "IDLE_FIRST_S", 60)
    monkeypatch.setattr(postgres_consumer, "IDLE_LONGEST_S", 60)
    log = await cluster.log()
    consumer = log.consumer(GROUP, TOPICS)
    await consumer.start()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        waiting = group.create_task(consumer.poll(10, 60))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await log.append(records([1]))
    assert numbers(waiting.result()) == [1]
    await consumer.stop()


async def test_a_pause_that_nobody_used_costs_nothing(database_url):
    """A laptop that slept, or one slow batch: the lease ended, but nobody took it."""
    clock = ManualClock(datetime(2026, 3, 1, tzinfo=UTC))
    log = PostgresLog(Database(database_url, "log"), clock, 2, TOPICS)
    await log.start()
    await log.append(records([0, 1], partition=0))
    consumer = log.consumer(GROUP, TOPICS)
    await consumer.start()
    found = await read(consumer, 2)
    clock.advance(timedelta(minutes=10))
    await consumer.commit(following(found))
    assert (await log.committed(GROUP, TOPICS))["contacts", 0] == 2
    await consumer.stop()
    await log.stop()


async def test_a_member_that_paused_longer_than_its_lease_is_fenced(database_url):
    clock = ManualClock(datetime(2026, 3, 1, tzinfo=UTC))
    logs = [PostgresLog(Database(database_url, "log"), clock, 2, TOPICS) for _ in range(2)]
    for log in logs:
        await log.start()
    await logs[0].append(records([0, 1], partition=0))
    paused, other = (log.consumer(GROUP, TOPICS) for log in logs)
    await paused.start()
    held = await read(paused, 2)
    clock.advance(timedelta(seconds=6))
    await other.start()
    assert numbers(await other.poll(10, 0)) == [0, 1]
    with pytest.raises(OwnershipLost):
        await paused.commit(following(held))
    assert (await logs[0].committed(GROUP, TOPICS))["contacts", 0] == 0
    for consumer in (paused, other):
        await consumer.stop()
    for log in logs:
        await log.stop()


async def test_one_that_is_alone_takes_over_at_once_what_a_killed_run_held(database_url):
    async def run(alone: bool) -> tuple[PostgresLog, object]:
        log = PostgresLog(Database(database_url, "log"), SystemClock(), 2, TOPICS, lease_s=600, alone=alone)
        await log.start()
        consumer = log.consumer(GROUP, TOPICS)
        await consumer.start()
        return log, consumer

    killed, consumer = await run(alone=True)
    await killed.append(records([0, 1], partition=0))
    await read(consumer, 2)
    await killed.stop()  # without the consumer's own stop: its leases stay
    log, again = await run(alone=True)
    assert numbers(await again.poll(10, 0)) == [0, 1]
    await again.stop()
    await log.stop()


async def test_trimming_forgets_what_is_old_and_read_by_all(database_url):
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    log = PostgresLog(Database(database_url, "log"), clock, 2, TOPICS)
    await log.start()
    quick, slow = log.consumer("quick", TOPICS), log.consumer("slow", TOPICS)
    await quick.start()
    await slow.start()
    await log.append(records(range(10), partition=0))
    clock.advance(timedelta(days=40))
    await log.append(records(range(10, 15), partition=0))
    await quick.commit(following(await read(quick, 15)))
    month_ago = clock.now() - timedelta(days=30)
    assert await log.trim(month_ago) == 0, "the slow group has read nothing"
    await slow.commit(following((await read(slow, 15))[:4]))
    assert await log.trim(month_ago) == 4
    await slow.commit({("contacts", 0): 15})
    assert await log.trim(month_ago) == 6, "what is younger stays"
    late = log.consumer("late", TOPICS)
    await late.start()
    assert [each.position for each in await late.poll(100, 0)] == [10, 11, 12, 13, 14]
    await log.append(records([15], partition=0))
    assert [each.position for each in await late.poll(100, 0)] == [15]
    for consumer in (quick, slow, late):
        await consumer.stop()
    await log.stop()


async def test_two_processes_may_start_on_an_empty_database_at_once(cluster):
    await asyncio.gather(*(cluster.log() for _ in range(4)))
