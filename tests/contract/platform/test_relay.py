"""The relay, on a real Postgres: in order, at least once; and once where the log is in the same database."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from uuid import UUID

import pytest

from shared import points
from shared.batch import Input
from shared.clock import ManualClock
from shared.contracts import catalogue
from shared.db import Database
from shared.leases import Leases
from shared.log import Log, LogMisconfigured, LogUnavailable, partition_of
from shared.log.postgres import PostgresLog
from shared.outbox import BUCKETS
from shared.relay import NAMES, Relay
from shared.runtime import Runtime
from tests.contract.platform.conftest import NOW
from tests.contract.platform.toy import Toy, activity
from tests.sim.wiring import FarLog, Wire

CASES = [UUID(int=n) for n in range(1, 4)]


async def count(runtime: Runtime[Toy], table: str) -> int:
    async with runtime.db.transaction() as tx:
        return int(await tx.scalar(f"SELECT count(*) FROM {table}"))


def further(runtime: Runtime[Toy]) -> PostgresLog:
    """The runtime's log, put where the relay's transaction does not reach, as Kafka is."""
    near = runtime.log
    assert isinstance(near, PostgresLog)
    runtime.log = FarLog(Wire(), near)
    return near


async def told_about(runtime: Runtime[Toy], cases: Sequence[UUID], times: int) -> None:
    for place in range(len(cases) * times):
        event = activity(runtime.ids, cases[place % len(cases)], str(place), NOW)
        await runtime.command([Input(event.case_id, event)])


async def published(log: Log, count: int) -> dict[UUID, list[int]]:
    """The sequence numbers in the log, by case, once there are so many."""
    consumer = log.consumer("reader", ["pages"])
    await consumer.start()
    numbers: dict[UUID, list[int]] = {}
    async with asyncio.timeout(20):
        while sum(map(len, numbers.values())) < count:
            for each in await consumer.poll(500, 0.1):
                event = catalogue.decode("pages", each.headers, each.body)
                assert (each.key, event.source) == (str(event.case_id), "toy")
                numbers.setdefault(event.case_id, []).append(event.sequence)
    assert await consumer.poll(500, 0.1) == []
    await consumer.stop()
    return numbers


async def losing(point: str, step: Callable[[], Awaitable[int]]) -> None:
    """A step whose connection breaks there."""

    async def fail(name: str) -> None:
        if name == point:
            raise ConnectionError("the answer was lost")

    with points.install(fail), pytest.raises((ConnectionError, LogUnavailable)):
        await step()


async def test_the_relay_publishes_in_order_and_only_then_deletes(runtime: Runtime[Toy]) -> None:
    await told_about(runtime, CASES, 10)
    log = further(runtime)
    relay = Relay(runtime, Leases(runtime.db, NAMES, 5))
    await losing("log.appended", relay.step)
    assert await count(runtime, "outbox") == 30
    assert await relay.step() == 30
    assert await count(runtime, "outbox") == 0
    # Appended twice, since the first answer was lost: at-least-once, each time in order.
    assert await published(log, 60) == {case: list(range(1, 11)) * 2 for case in CASES}


async def test_within_one_database_the_relay_publishes_once_whatever_breaks(runtime: Runtime[Toy]) -> None:
    await told_about(runtime, CASES, 10)
    relay = Relay(runtime, Leases(runtime.db, NAMES, 5))
    await relay.step()
    await told_about(runtime, CASES, 10)
    await losing("db.commit", relay.step)
    assert await count(runtime, "outbox") == 30
    await losing("log.appended", relay.step)  # committed, and nobody was told
    assert await count(runtime, "outbox") == 0
    assert await relay.step() == 0
    assert await published(runtime.log, 60) == {case: list(range(1, 21)) for case in CASES}


async def test_a_relay_whose_lease_was_taken_moves_nothing(runtime: Runtime[Toy]) -> None:
    await told_about(runtime, CASES[:1], 2)
    slow = Relay(runtime, Leases(runtime.db, NAMES, 5))
    quick = Relay(runtime, Leases(runtime.db, NAMES, 5))

    async def meanwhile(name: str) -> None:
        if name == "log.append" and not late.is_set():
            late.set()
            assert isinstance(runtime.clock, ManualClock)
            runtime.clock.advance(timedelta(seconds=20))
            while await count(runtime, "outbox"):
                await quick.step()

    late = asyncio.Event()
    with points.install(meanwhile):
        await slow.step()
    assert late.is_set()
    assert await published(runtime.log, 2) == {CASES[0]: [1, 2]}


async def test_what_was_published_after_the_lease_was_lost_is_left_to_the_new_owner(runtime: Runtime[Toy]) -> None:
    await told_about(runtime, CASES, 2)
    further(runtime)
    slow = Relay(runtime, Leases(runtime.db, NAMES, 5))
    quick = Leases(runtime.db, NAMES, 5)

    async def meanwhile(name: str) -> None:
        if name == "log.appended":
            assert isinstance(runtime.clock, ManualClock)
            runtime.clock.advance(timedelta(seconds=20))
            await quick.renew(runtime.clock.now())

    with points.install(meanwhile):
        await slow.step()
    lost = [case for case in CASES if NAMES[partition_of(case, BUCKETS)] in quick.held]
    assert lost
    assert await count(runtime, "outbox") == 2 * len(lost)


async def test_cases_that_two_are_the_first_to_know_are_locked_by_one_after_the_other(runtime: Runtime[Toy]) -> None:
    order: list[str] = []

    async def hold(name: str, cases: list[UUID]) -> None:
        async with runtime.unit() as work:
            await work.lock(cases)
            order.append(f"{name} began")
            await asyncio.sleep(0.05)
            order.append(f"{name} ended")

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(hold("one", CASES))
        group.create_task(hold("other", CASES[::-1]))
    first, second = order[0].split()[0], order[2].split()[0]
    assert order == [f"{who} {what}" for who in (first, second) for what in ("began", "ended")]
    await told_about(runtime, CASES, 1)
    assert await count(runtime, "outbox") == len(CASES)


async def test_a_topic_that_the_log_lacks_keeps_the_outbox(runtime: Runtime[Toy]) -> None:
    await told_about(runtime, CASES[:1], 2)
    log = PostgresLog(Database(runtime.db.url, "log"), runtime.clock, 4)
    async with runtime.db.transaction() as tx:
        ids = [row.id for row in await tx.rows("SELECT id FROM outbox ORDER BY id")]

    async def move() -> None:
        async with runtime.db.transaction() as tx:
            await log.adopt(tx, "nowhere", dict.fromkeys(ids, 0))

    with pytest.raises(LogMisconfigured):
        await move()
    assert await count(runtime, "outbox") == 2
    await log.stop()


async def test_a_transaction_that_commits_late_is_not_skipped(runtime: Runtime[Toy]) -> None:
    """Its rows have lower ids than rows published before it committed."""
    relay = Relay(runtime, Leases(runtime.db, NAMES, 5))
    late, early = activity(runtime.ids, CASES[0], "late", NOW), activity(runtime.ids, CASES[1], "early", NOW)
    async with runtime.unit() as work:
        await work.lock([CASES[0]])
        await work.apply([Input(CASES[0], late)])
        await runtime.command([Input(CASES[1], early)])
        assert await relay.step() == 1
    assert await relay.step() == 1
