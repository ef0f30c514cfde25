"""Inbox, outbox, timers and parking, on a real Postgres and its log, with a toy service."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from shared import parked, points, watch
from shared.audit import Actor
from shared.batch import Undecidable, Work
from shared.clock import ManualClock
from shared.contracts import catalogue
from shared.contracts.contacts import CaseActivity, CustomerErased
from shared.contracts.envelope import Event
from shared.contracts.words import ActivityKind
from shared.log import Log, LogUnavailable, Positions, Record, partition_of
from shared.log.postgres import PostgresLog
from shared.runtime import Runtime
from shared.ticker import Ticker
from shared.worker import REST_S, Worker
from tests.contract.platform.toy import Toy, activity, seen, until_read
from tests.sim.wiring import FarLog, SimConsumer, Wire

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ANA = Actor("ana", "cli")
CASES = [UUID(int=n) for n in range(1, 40)]


@pytest.fixture
async def worker(runtime: Runtime[Toy]) -> AsyncIterator[Worker]:
    made = Worker(runtime)
    yield made
    await made.stop()


def record(runtime: Runtime[Toy], event: Event) -> Record:
    headers, body = catalogue.encode(event)
    partition = partition_of(event.case_id, runtime.log.partitions)
    return Record("contacts", partition, str(event.case_id), headers, body)


async def post(runtime: Runtime[Toy], *told: tuple[UUID, str]) -> None:
    events = [activity(runtime.ids, case, actor, runtime.clock.now()) for case, actor in told]
    await runtime.log.append([record(runtime, event) for event in events])


async def count(runtime: Runtime[Toy], table: str) -> int:
    async with runtime.db.transaction() as tx:
        return int(await tx.scalar(f"SELECT count(*) FROM {table}"))


async def test_the_same_event_again_has_no_second_effect(runtime: Runtime[Toy], worker: Worker) -> None:
    event = activity(runtime.ids, CASES[0], "once", NOW)
    await runtime.log.append([record(runtime, event)] * 3)
    await until_read(worker.step, 3)
    await runtime.log.append([record(runtime, event)])
    await until_read(worker.step, 1)
    assert await seen(runtime, CASES[0]) == ["once"]
    assert await count(runtime, "outbox") == 1


@pytest.mark.parametrize("point", ["db.begin", "db.statement", "db.commit", "db.committed"])
async def test_a_failure_anywhere_is_repeated_without_loss_or_double(
    runtime: Runtime[Toy], worker: Worker, point: str
) -> None:
    await post(runtime, *((case, "told") for case in CASES))
    failures = iter([True] * 3)

    async def fail(name: str) -> None:
        if name == point and next(failures, False):
            raise ConnectionError("lost")

    read, failed = 0, 0
    with points.install(fail):
        while read < len(CASES):
            try:
                read += await worker.step()
            except (ConnectionError, LogUnavailable):
                failed += 1
    assert failed == 3
    assert [await seen(runtime, case) for case in CASES] == [["told"]] * len(CASES)
    assert await count(runtime, "outbox") == len(CASES)


async def test_small_batches_are_followed_by_a_rest_and_full_ones_by_none(
    runtime: Runtime[Toy], worker: Worker
) -> None:
    await post(runtime, *((case, "told") for case in CASES[:3]))
    await until_read(worker.step, 3)
    assert 0 < worker.rest <= REST_S
    assert await worker.step() == 0
    assert worker.rest == 0
    runtime.settings = runtime.settings.model_copy(update={"batch_size": 3})
    await post(runtime, *((case, "told") for case in CASES[:3]))
    while await worker.step() < 3:
        pass
    assert worker.rest == 0


def passing_over(runtime: Runtime[Toy]) -> Worker:
    """A worker of a toy that is not concerned with activities."""
    card = replace(runtime.service.card, passes_over=(CaseActivity,))
    runtime.service = replace(runtime.service, card=card)
    return Worker(runtime)


async def test_what_is_passed_over_changes_nothing_and_is_taken_once_a_little_later(runtime: Runtime[Toy]) -> None:
    worker = passing_over(runtime)
    event = activity(runtime.ids, CASES[0], "told", NOW)
    await runtime.log.append([record(runtime, event)] * 2)
    await until_read(worker.step, 2)
    assert await count(runtime, "inbox") == 0, "it waits for others"
    assert await worker.step() == 0
    assert (await count(runtime, "inbox"), await count(runtime, "case_lock")) == (1, 0)
    await worker.stop()
    assert await seen(runtime, CASES[0]) == []


async def test_what_is_passed_over_is_read_again_after_a_failure_and_after_a_kill(
    runtime: Runtime[Toy], clock: ManualClock
) -> None:
    killed = passing_over(runtime)
    await post(runtime, *((case, "told") for case in CASES))
    await until_read(killed.step, len(CASES))
    clock.advance(timedelta(seconds=10))  # its partitions are free
    worker = passing_over(runtime)
    failures = iter([True, True])

    async def fail(name: str) -> None:
        if name == "db.commit" and next(failures, False):
            raise ConnectionError("lost")

    with points.install(fail):
        for _ in range(4):
            with contextlib.suppress(ConnectionError, LogUnavailable):
                await worker.step()
    assert await count(runtime, "inbox") == len(CASES)
    await killed.stop()
    await worker.stop()


async def test_what_nobody_waits_for_is_decided_a_moment_later_in_its_order(
    runtime: Runtime[Toy], clock: ManualClock
) -> None:
    card = replace(runtime.service.card, unhurried=(CaseActivity,))
    runtime.service = replace(runtime.service, card=card)
    worker = Worker(runtime)
    await post(runtime, (CASES[0], "first"))
    await until_read(worker.step, 1)
    assert await seen(runtime, CASES[0]) == []
    clock.advance(timedelta(seconds=1))
    await post(runtime, (CASES[0], "second"))
    await until_read(worker.step, 1)
    assert await seen(runtime, CASES[0]) == ["first", "second"]
    await worker.stop()


async def test_what_is_passed_over_keeps_no_timer_waiting(
    runtime: Runtime[Toy], worker: Worker, clock: ManualClock
) -> None:
    await post(runtime, (CASES[0], "timer 5"))
    await until_read(worker.step, 1)
    await worker.stop()
    reader = passing_over(runtime)
    clock.advance(timedelta(seconds=6))
    await post(runtime, (CASES[0], "of no concern"))
    ticker = Ticker(runtime)
    assert await ticker.step() > 0, "nobody knows yet what was said"
    await until_read(reader.step, 1)
    await ticker.step()
    await ticker.step()
    assert await seen(runtime, CASES[0]) == ["timer 5", "fired"]
    await reader.stop()


async def test_what_cannot_be_begun_parks_nothing_and_is_decided_all_the_same(
    runtime: Runtime[Toy], worker: Worker
) -> None:
    begun: list[dict[UUID, Toy]] = []

    async def begin(work: Work[Toy], states: Mapping[UUID, Toy]) -> None:
        begun.append(dict(states))
        raise ValueError("a bug of whoever begins it")

    runtime.begin = begin
    await post(runtime, (CASES[0], "a"), (CASES[1], "b"), (CASES[0], "c"))
    await until_read(worker.step, 3)
    assert set().union(*begun) == {CASES[0], CASES[1]}
    assert await seen(runtime, CASES[0]) == ["a", "c"]
    assert await seen(runtime, CASES[1]) == ["b"]
    assert await count(runtime, "parked") == 0


async def test_poison_parks_its_case_and_holds_up_no_other(runtime: Runtime[Toy], worker: Worker) -> None:
    stuck, other = CASES[0], CASES[1]
    await post(runtime, (stuck, "first"), (stuck, "poison"), (other, "a"), (stuck, "after"), (other, "b"))
    await until_read(worker.step, 5)
    await post(runtime, (stuck, "later"), (other, "c"))
    await until_read(worker.step, 2)
    assert await seen(runtime, stuck) == ["first"]
    assert await seen(runtime, other) == ["a", "b", "c"]
    async with runtime.db.transaction() as tx:
        waiting = await parked.listing(tx)
    assert ["cannot be decided" in each["error"] for each in waiting] == [True, False, False]

    with pytest.raises(Undecidable):
        await parked.retry(runtime, stuck, ANA)
    assert await count(runtime, "parked") == 3  # all or nothing
    await parked.drop(runtime, waiting[0]["id"], "sent by mistake", ANA)
    assert await parked.retry(runtime, stuck, ANA) == 2
    assert await seen(runtime, stuck) == ["first", "after", "later"]
    assert await count(runtime, "parked") == 0
    assert await count(runtime, "parked_dropped") == 1


async def test_what_the_database_refuses_is_parked_too(runtime: Runtime[Toy], worker: Worker) -> None:
    await post(runtime, (CASES[0], r"a\0b"), (CASES[1], "fine"))
    await until_read(worker.step, 2)
    assert await count(runtime, "parked") == 1
    assert await seen(runtime, CASES[1]) == ["fine"]


async def test_unreadable_bytes_are_parked_as_they_are(runtime: Runtime[Toy], worker: Worker) -> None:
    good = record(runtime, activity(runtime.ids, CASES[0], "fine", NOW))
    broken = Record("contacts", good.partition, good.key, good.headers, b"\xff{")
    stranger = Record("contacts", 0, "not a case", [("x", b"\xff")], b"")
    await runtime.log.append([broken, good, stranger])
    await until_read(worker.step, 3)
    async with runtime.db.transaction() as tx:
        rows = await tx.rows("SELECT body FROM parked ORDER BY id")
    assert sorted(bytes(row.body) for row in rows) == sorted([b"\xff{", good.body, b""])


class Stale(FarLog):
    """A log whose end is further than anybody has read."""

    def __init__(self, log: Log, ends: Positions | None) -> None:
        assert isinstance(log, PostgresLog)
        super().__init__(Wire(), log)
        self._ends = ends

    async def end_positions(self, topics: Sequence[str]) -> Positions:
        if self._ends is None:
            raise LogUnavailable("away")
        return self._ends


async def test_a_silent_consumer_joins_again_and_one_that_seemed_so_while_it_joined_is_kept(
    runtime: Runtime[Toy], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To join again and again would keep the whole group from coming to rest."""
    joined = []

    class Joining(FarLog):
        def consumer(self, group: str, topics: Sequence[str]) -> SimConsumer:
            joined.append(group)
            worker.rebuild()
            return super().consumer(group, topics)

    assert isinstance(runtime.log, PostgresLog)
    runtime.log = Joining(Wire(), runtime.log)
    worker = Worker(runtime)
    await post(runtime, (CASES[0], "hello"))
    await until_read(worker.step, 1)
    await worker.step()
    assert len(joined) == 1
    monkeypatch.setattr(watch, "SILENT_S", 0)
    looking = watch.Watch(runtime, worker)
    await post(runtime, (CASES[0], "unread"))
    await looking.step()
    await looking.step()
    await until_read(worker.step, 1)
    assert len(joined) == 2
    await worker.stop()


async def test_a_timer_fires_once_when_it_is_due_and_never_before(
    runtime: Runtime[Toy], worker: Worker, clock: ManualClock
) -> None:
    await post(runtime, (CASES[0], "timer 5"))
    await until_read(worker.step, 1)
    ticker = Ticker(runtime)
    clock.advance(timedelta(seconds=4.9))
    assert await ticker.step() > 0
    clock.advance(timedelta(seconds=0.1))
    assert await asyncio.gather(ticker.step(), Ticker(runtime).step()) != [0, 0]  # two replicas at once
    await ticker.step()
    assert await seen(runtime, CASES[0]) == ["timer 5", "fired"]


async def test_a_cancelled_timer_does_not_fire(runtime: Runtime[Toy], worker: Worker, clock: ManualClock) -> None:
    await post(runtime, (CASES[0], "timer 5"), (CASES[1], "timer 5"), (CASES[0], "cancel"))
    await until_read(worker.step, 3)
    clock.advance(timedelta(seconds=6))
    await Ticker(runtime).step()
    assert await seen(runtime, CASES[0]) == ["timer 5", "cancel"]
    assert await seen(runtime, CASES[1]) == ["timer 5", "fired"]


async def test_nothing_fires_while_its_reply_waits_in_the_log(
    runtime: Runtime[Toy], worker: Worker, clock: ManualClock
) -> None:
    """The service was down; the event that cancels the timer is in the log, and the timer is due."""
    await post(runtime, (CASES[0], "timer 5"))
    await until_read(worker.step, 1)
    clock.advance(timedelta(seconds=60))
    await post(runtime, (CASES[0], "cancel"))
    ticker = Ticker(runtime)
    for _ in range(3):
        await ticker.step()
    assert await seen(runtime, CASES[0]) == ["timer 5"]
    await until_read(worker.step, 1)
    await ticker.step()
    assert await seen(runtime, CASES[0]) == ["timer 5", "cancel"]


async def test_a_timer_waits_for_what_is_said_of_its_own_case_and_for_nothing_else(
    runtime: Runtime[Toy], worker: Worker, clock: ManualClock
) -> None:
    await post(runtime, (CASES[0], "timer 5"), (CASES[1], "timer 5"))
    await until_read(worker.step, 2)
    clock.advance(timedelta(seconds=6))
    others = [runtime.ids.new() for _ in range(40)]
    await post(runtime, (CASES[0], "cancel"), *((case, "waits") for case in others))
    await Ticker(runtime).step()
    assert await seen(runtime, CASES[0]) == ["timer 5"]
    assert await seen(runtime, CASES[1]) == ["timer 5", "fired"]
    await until_read(worker.step, 41)
    await Ticker(runtime).step()
    assert await seen(runtime, CASES[0]) == ["timer 5", "cancel"]


@pytest.mark.parametrize("away", [True, False])
async def test_knowledge_that_stays_away_is_waited_for_only_so_long(
    runtime: Runtime[Toy], worker: Worker, clock: ManualClock, away: bool
) -> None:
    await post(runtime, (CASES[0], "timer 5"))
    await until_read(worker.step, 1)
    ends = None if away else {("contacts", p): 99 for p in range(4)}
    runtime.log = Stale(runtime.log, ends)
    ticker = Ticker(runtime)
    clock.advance(timedelta(seconds=14))
    await ticker.step()
    assert await seen(runtime, CASES[0]) == ["timer 5"]
    clock.advance(timedelta(seconds=1))
    await ticker.step()
    assert await seen(runtime, CASES[0]) == ["timer 5", "fired lagging"]


async def test_after_a_start_the_grace_counts_from_the_start(
    runtime: Runtime[Toy], worker: Worker, clock: ManualClock
) -> None:
    await post(runtime, (CASES[0], "timer 5"))
    await until_read(worker.step, 1)
    clock.advance(timedelta(hours=1))  # down for an hour
    runtime.log = Stale(runtime.log, None)
    ticker = Ticker(runtime)
    await ticker.step()
    assert await seen(runtime, CASES[0]) == ["timer 5"]
    clock.advance(timedelta(seconds=10))
    await ticker.step()
    assert await seen(runtime, CASES[0]) == ["timer 5", "fired lagging"]


async def test_an_erasure_waits_for_nothing_that_is_parked_and_blanks_it(runtime: Runtime[Toy], worker: Worker) -> None:
    stuck, other = CASES[0], CASES[1]
    words = [
        CaseActivity(
            case_id=case,
            occurred_at=NOW,
            activity_id=runtime.ids.new(),
            kind=ActivityKind.AGENT_REPLIED,
            received_at=NOW,
            actor=actor,
            excerpt=f"secret words of {actor}",
        )
        for case, actor in ((stuck, "poison"), (stuck, "after"), (other, "poison"))
    ]
    events = [*words, CustomerErased(case_id=stuck, occurred_at=NOW, customer_id="")]
    stamped = [Event(runtime.ids.new(), "intake", "contacts", n, NOW, data) for n, data in enumerate(events, start=1)]
    await runtime.log.append([record(runtime, event) for event in stamped])
    await until_read(worker.step, 4)
    assert await seen(runtime, stuck) == ["customer.erased"]
    async with runtime.db.transaction() as tx:
        rows = await tx.rows("SELECT case_id, convert_from(body, 'UTF8') AS body, error FROM parked ORDER BY id")
    assert {row.case_id for row in rows} == {stuck, other}
    assert {row.case_id for row in rows if "secret" in row.body} == {other}
    assert next(row.error for row in rows if row.case_id == stuck) == "ZeroDivisionError"
    with pytest.raises(Undecidable):  # what is parked is still an event, in its place
        await parked.retry(runtime, stuck, ANA)
