"""What every log must do. Each implementation inherits ``LogContract``, and brings a ``Cluster`` to make and break."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

import pytest

from shared.log import Consumer, Log, LogMisconfigured, LogUnavailable, OwnershipLost, Positions, Received, Record

PARTITIONS = 4
TOPICS = ("contacts", "clocks")
GROUP = "readers"
PATIENCE_S = 45.0  # for what must happen at some time

T = TypeVar("T")


class Cluster(ABC):
    """One Kafka or one database, and logs on it as separate processes would have them."""

    def __init__(self) -> None:
        self._logs: list[Log] = []

    @abstractmethod
    def make(self, partitions: int) -> Log: ...

    @abstractmethod
    async def crash(self) -> None:
        """kill -9 what the log stands on."""

    @abstractmethod
    async def recover(self) -> None:
        """Start it again on the same data."""

    async def log(self, partitions: int = PARTITIONS) -> Log:
        made = self.make(partitions)
        self._logs.append(made)
        await made.start()
        return made

    async def close(self) -> None:
        for log in self._logs:
            await log.stop()


def records(numbers: Sequence[int], topic: str = "contacts", partition: int | None = None) -> list[Record]:
    """One record a number; the key is its last digit, and a key is always on one partition."""
    return [
        Record(topic, n % 10 % PARTITIONS if partition is None else partition, f"key-{n % 10}", [], str(n).encode())
        for n in numbers
    ]


def numbers(received: Sequence[Received]) -> list[int]:
    return [int(each.body) for each in received]


def following(received: Sequence[Received]) -> Positions:
    return {(each.topic, each.partition): each.position + 1 for each in received}


async def eventually(attempt: Callable[[], Awaitable[T]], patience_s: float = PATIENCE_S) -> T:
    """Repeat what the log says is unavailable."""
    async with asyncio.timeout(patience_s):
        while True:
            try:
                return await attempt()
            except LogUnavailable:
                await asyncio.sleep(0.1)


async def read(consumer: Consumer, count: int, patience_s: float = PATIENCE_S) -> list[Received]:
    """Poll until at least ``count`` records came."""
    found: list[Received] = []
    async with asyncio.timeout(patience_s):
        while len(found) < count:
            found += await consumer.poll(500, 0.2)
    return found


class LogContract:
    """Fixtures of the implementation: ``cluster``."""

    @pytest.fixture
    async def consumers(self) -> AsyncIterator[Callable[..., Awaitable[Consumer]]]:
        """Make consumers that are stopped at the end."""
        made: list[Consumer] = []

        async def make(log: Log, group: str = GROUP, topics: Sequence[str] = TOPICS) -> Consumer:
            consumer = log.consumer(group, topics)
            made.append(consumer)
            await consumer.start()
            return consumer

        yield make
        for consumer in made:
            await consumer.stop()

    async def test_what_comes_out_is_what_went_in(self, cluster, consumers):
        log = await cluster.log()
        sent = [
            Record("contacts", 1, "clé", [("ce_id", b"1"), ("raw", bytes(range(256))), ("ce_id", b"")], b"\0\xff{}"),
            Record("clocks", 2, "k", [], b""),
        ]
        await log.append(sent)
        found = await read(await consumers(log), 2)
        as_sent = [Record(each.topic, each.partition, each.key, each.headers, each.body) for each in found]
        assert sorted(as_sent, key=lambda each: each.topic) == sorted(sent, key=lambda each: each.topic)
        assert {each.position for each in found} == {0}

    async def test_each_key_is_in_order_and_positions_are_dense(self, cluster, consumers):
        log = await cluster.log()
        for start in range(0, 200, 50):
            await log.append(records(range(start, start + 50)))
        found = await read(await consumers(log), 200)
        for key in {each.key for each in found}:
            of_key = [each for each in found if each.key == key]
            assert numbers(of_key) == sorted(numbers(of_key))
        for partition in range(PARTITIONS):
            positions = [each.position for each in found if each.partition == partition]
            assert positions == list(range(len(positions)))

    async def test_appends_at_once_lose_nothing_and_leave_no_gap_while_one_reads(self, cluster, consumers):
        logs = [await cluster.log(), await cluster.log()]
        consumer = await consumers(logs[0])
        found: list[Received] = []

        async def write(writer: int) -> None:
            for batch in range(10):
                start = writer * 1000 + batch * 20
                await logs[writer % 2].append(records(range(start, start + 20)))

        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
            for writer in range(6):
                group.create_task(write(writer))
            while len(found) < 1200:
                found += await consumer.poll(70, 0.05)
        assert sorted(numbers(found)) == sorted(w * 1000 + n for w in range(6) for n in range(200))
        for partition in range(PARTITIONS):
            of_partition = [each for each in found if each.partition == partition]
            assert [each.position for each in of_partition] == list(range(len(of_partition)))
            for writer in range(6):
                own = [n for n in numbers(of_partition) if n // 1000 == writer]
                assert own == sorted(own)

    async def test_after_a_rollback_the_same_is_read_again(self, cluster, consumers):
        log = await cluster.log()
        await log.append(records(range(40)))
        consumer = await consumers(log)
        first = await read(consumer, 40)
        await consumer.seek({(each.topic, each.partition): 0 for each in first})
        assert sorted(numbers(await read(consumer, 40))) == list(range(40))

    async def test_a_rollback_of_part_repeats_that_part_alone(self, cluster, consumers):
        log = await cluster.log()
        await log.append(records(range(10), partition=1) + records(range(10, 20), partition=2))
        consumer = await consumers(log)
        await read(consumer, 20)
        await consumer.seek({("contacts", 1): 7})
        assert numbers(await read(consumer, 3)) == [7, 8, 9]
        assert await consumer.poll(500, 0.3) == []

    async def test_a_restart_goes_on_where_the_group_committed(self, cluster, consumers):
        log = await cluster.log()
        await log.append(records(range(100)))
        consumer = await consumers(log)
        done = (await read(consumer, 100))[:30]
        await consumer.commit(following(done))
        await consumer.stop()
        again = await consumers(await cluster.log())
        rest = await read(again, 70)
        assert sorted(numbers(rest) + numbers(done)) == list(range(100))

    async def test_a_consumer_can_be_started_afresh(self, cluster, consumers):
        log = await cluster.log()
        await log.append(records(range(10)))
        consumer = await consumers(log)
        await read(consumer, 10)
        await consumer.stop()
        await consumer.start()
        assert sorted(numbers(await read(consumer, 10))) == list(range(10))

    async def test_groups_do_not_disturb_each_other(self, cluster, consumers):
        log = await cluster.log()
        await log.append(records(range(20)))
        one, other = await consumers(log, "one"), await consumers(log, "other")
        await one.commit(following(await read(one, 20)))
        assert sorted(numbers(await read(other, 20))) == list(range(20))

    async def test_two_consumers_share_and_the_rest_takes_over(self, cluster, consumers):
        logs = [await cluster.log(), await cluster.log()]
        one, other = await consumers(logs[0]), await consumers(logs[1])
        seen: set[int] = set()
        sent = 0

        async def round_of(*members: Consumer) -> list[set[tuple[str, int]]]:
            """Send one record to each partition of each topic, and say who got what."""
            nonlocal sent
            batch = [Record(t, p, "k", [], str(sent + i).encode()) for i, (t, p) in enumerate(every_partition())]
            await logs[0].append(batch)
            expected = set(range(sent, sent + len(batch)))
            sent += len(batch)
            got: list[set[tuple[str, int]]] = [set() for _ in members]
            while not expected <= seen:
                for member, place in zip(members, got, strict=True):
                    found = await member.poll(100, 0.1)
                    place |= {(each.topic, each.partition) for each in found if int(each.body) in expected}
                    seen.update(numbers(found))
                    try:
                        await member.commit(following(found))
                    except OwnershipLost:
                        continue
            return got

        async with asyncio.timeout(PATIENCE_S):
            while True:
                ours, theirs = await round_of(one, other)
                if ours and theirs and not ours & theirs:
                    break
        for owned in (ours, theirs):
            assert {p for t, p in owned if t == TOPICS[0]} == {p for t, p in owned if t == TOPICS[1]}, "co-partitioned"
            assert len(owned) == len(TOPICS) * PARTITIONS / 2, "fairly"
        await one.stop()
        (all_of_it,) = await round_of(other)
        assert all_of_it == set(every_partition())

    async def test_a_consumer_that_lost_its_partitions_cannot_commit_and_nothing_is_lost(self, cluster, consumers):
        logs = [await cluster.log(), await cluster.log()]
        await logs[0].append(records(range(100)))
        silent, other = await consumers(logs[0]), await consumers(logs[1], "warm-up")
        held = await read(silent, 100)
        await other.stop()
        other = await consumers(logs[1])
        taken = await read(other, 1)  # the first one stays silent: its partitions go to the second
        with pytest.raises(OwnershipLost):
            await silent.commit(following(held))
        committed = await logs[0].committed(GROUP, TOPICS)
        for each in taken:
            assert committed[each.topic, each.partition] == 0, "the refused commit moved a partition of another"
        await silent.stop()
        async with asyncio.timeout(PATIENCE_S):
            while await logs[1].committed(GROUP, TOPICS) != await logs[1].end_positions(TOPICS):
                taken += await other.poll(500, 0.1)
                with_end = following(taken)
                try:
                    await other.commit(with_end)
                except OwnershipLost:
                    continue
        assert set(numbers(held)) | set(numbers(taken)) == set(range(100))

    async def test_a_big_batch_comes_through_and_a_poll_keeps_its_limit(self, cluster, consumers):
        log = await cluster.log()
        body = b"x" * 1400
        for _ in range(6):
            await log.append([Record("contacts", n % PARTITIONS, str(n), [("h", b"v")], body) for n in range(500)])
        await log.append([Record("clocks", 0, "large", [], b"y" * 900_000)])
        consumer = await consumers(log)
        found: list[Received] = []
        async with asyncio.timeout(PATIENCE_S):
            while len(found) < 3001:
                batch = await consumer.poll(170, 0.2)
                assert len(batch) <= 170
                found += batch
        assert len(found) == 3001
        assert sum(len(each.body) for each in found) == 3000 * 1400 + 900_000

    async def test_a_hot_partition_starves_no_other(self, cluster, consumers):
        log = await cluster.log()
        for start in range(0, 4000, 500):
            await log.append(records(range(start, start + 500), partition=0))
        await log.append(records(range(4000, 4010), partition=3))
        consumer = await consumers(log)
        first = [each for _ in range(4) for each in await consumer.poll(300, 2)]
        assert {each.partition for each in first} == {0, 3}
        assert len(first) < 4010, "there was more than these polls could read"

    async def test_ends_and_committed_positions_are_told(self, cluster, consumers):
        log = await cluster.log()
        nothing = dict.fromkeys(every_partition(), 0)
        assert await log.end_positions(TOPICS) == nothing
        assert await log.committed(GROUP, TOPICS) == nothing
        await log.append(records(range(8), partition=2))
        consumer = await consumers(log)
        found = await read(consumer, 8)
        await consumer.commit({("contacts", 2): found[4].position + 1})
        assert await log.end_positions(TOPICS) == nothing | {("contacts", 2): 8}
        assert await log.committed(GROUP, TOPICS) == nothing | {("contacts", 2): 5}

    async def test_whose_records_are_between_two_positions_is_told_and_never_too_few(self, cluster, consumers):
        log = await cluster.log()
        await log.append(records(range(20), partition=1))
        ends = {key: at for key, at in (await log.end_positions(TOPICS)).items() if key[1] == 1}
        start = dict.fromkeys(ends, 0) | {("contacts", 1): 15}
        found = set(await log.unread(start, ends, {"key-4", "key-5", "key-9"}))
        assert {"key-5", "key-9"} <= found <= {"key-4", "key-5", "key-9"}, "one that cannot look by key tells of all"
        assert set(await log.unread(ends, ends, {"key-5"})) <= {"key-5"}

    async def test_whoever_asks_for_ends_waits_for_no_poll_or_pause(self, cluster, consumers):
        log = await cluster.log()
        await log.end_positions(TOPICS)
        await log.committed(GROUP, TOPICS)
        async with asyncio.timeout(PATIENCE_S):
            for _ in range(250):
                await log.end_positions(TOPICS)
                await log.committed(GROUP, TOPICS)

    async def test_another_number_of_partitions_is_refused(self, cluster):
        await cluster.log(PARTITIONS)
        with pytest.raises(LogMisconfigured, match=f"{PARTITIONS} partitions, and the settings say {PARTITIONS + 1}"):
            await cluster.log(PARTITIONS + 1)

    async def test_a_topic_that_nobody_made_is_refused(self, cluster):
        log = await cluster.log()
        with pytest.raises((LogMisconfigured, LogUnavailable)):
            await log.append([Record("nowhere", 0, "k", [], b"")])
        await log.append(records([1]))
        assert (await log.end_positions(TOPICS))["contacts", 1] == 1

    async def test_while_it_is_away_every_call_says_so_in_time(self, cluster, consumers):
        log = await cluster.log()
        await log.append(records([1]))
        await log.committed(GROUP, TOPICS)
        await log.end_positions(TOPICS)
        await cluster.crash()
        for call in (
            lambda: log.end_positions(TOPICS),
            lambda: log.committed(GROUP, TOPICS),
        ):
            async with asyncio.timeout(4):
                with pytest.raises(LogUnavailable):
                    await call()
        async with asyncio.timeout(20):
            with pytest.raises(LogUnavailable):
                await log.append(records([2]))
        await cluster.recover()
        await eventually(lambda: log.append(records([3])))
        assert (await eventually(lambda: log.end_positions(TOPICS)))["contacts", 3] == 1
        await eventually(lambda: log.committed(GROUP, TOPICS))

    async def test_a_crash_in_the_middle_loses_nothing_that_was_appended(self, cluster, consumers):
        log = await cluster.log()
        consumer = await consumers(log)
        acknowledged: list[int] = []
        found: list[Received] = []
        stop, enough = asyncio.Event(), asyncio.Event()
        wanted = 10**9

        async def write() -> None:
            number = 0
            while not stop.is_set():
                batch = list(range(number, number + 10))
                await eventually(lambda batch=batch: log.append(records(batch)))
                acknowledged.extend(batch)
                number += 10
                if number > wanted:
                    enough.set()
                await asyncio.sleep(0.01)

        async def consume() -> None:
            """As the worker does: repeat on an error, and rebuild after some."""
            failures = 0
            while not stop.is_set() or not set(acknowledged) <= set(numbers(found)):
                try:
                    batch = await consumer.poll(100, 0.1)
                    found.extend(batch)
                    await consumer.commit(following(batch))
                    failures = 0
                except OwnershipLost:
                    continue
                except LogUnavailable:
                    failures += 1
                    await asyncio.sleep(0.1)
                    if failures % 20 == 0:
                        await eventually(consumer.stop)
                        await eventually(consumer.start)

        async with asyncio.timeout(PATIENCE_S * 2), asyncio.TaskGroup() as group:
            group.create_task(write())
            group.create_task(consume())
            await asyncio.sleep(0.5)
            await cluster.crash()
            await asyncio.sleep(0.5)
            await cluster.recover()
            wanted = len(acknowledged) + 100
            await enough.wait()
            stop.set()
        assert set(acknowledged) <= set(numbers(found))
        for key in {each.key for each in found}:
            firsts = list(dict.fromkeys(numbers([each for each in found if each.key == key])))
            assert firsts == sorted(firsts), "the first time each was read, it was in order"


def every_partition() -> list[tuple[str, int]]:
    return [(topic, partition) for topic in TOPICS for partition in range(PARTITIONS)]
