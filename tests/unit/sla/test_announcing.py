"""Timers are seen in one statement and written in another: what moved in between is not written."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any
from unittest import mock
from uuid import UUID

import pytest

from services.sla.store.firing import announcer
from shared import announcing, parked, timers
from shared.announcing import Seen, Telling
from shared.contracts import catalogue
from shared.contracts.contacts import CustomerErased
from shared.contracts.decision import Fired
from shared.contracts.envelope import Event
from shared.db import Database
from shared.log import Log, Record, partition_of
from shared.log.postgres import PostgresLog
from shared.ticker import Ticker
from shared.worker import Worker
from tests.unit.sla.conftest import Sla
from tests.unit.sla.stories import CASE, Story, m
from tests.unit.sla.test_storm import CASES, broken, opened

DUE = 241  # minutes: when all have run out


@pytest.fixture
async def log(sla: Sla, database_url: str) -> AsyncIterator[Log]:
    """A log in the database of the outbox, which holds nothing yet."""
    log = PostgresLog(Database(database_url, "log"), sla.clock, 8)
    await log.start()
    sla.runtime.log = log
    yield log
    await log.stop()


async def told(sla: Sla, seen: list[Seen]) -> list[Seen]:
    """Of these, what could be written."""
    ids, card, now = sla.runtime.ids, sla.runtime.service.card, sla.clock.now()
    telling = Telling(announcer, 8, lambda event, sequence: card.stamp(ids.new(), event, sequence, now))
    assert all(telling.add(each, now) for each in seen)
    async with sla.db.reading() as tx:
        return await telling.write(tx, now)


async def seen(sla: Sla, besides: Sequence[UUID] = ()) -> list[Seen]:
    due = timers.known(PostgresLog.heads, PostgresLog.records, 8, 2000)
    async with sla.db.reading() as tx:
        topics, now = ["contacts", "assignments", "pages"], sla.clock.now()
        return await announcing.look(tx, due, announcer, topics=topics, now=now, limit=500, besides=besides)


async def published(sla: Sla) -> None:
    story = Story()
    story.contact(0)
    story.reply(DUE)
    await sla.take(story.events[-1:])


async def parks(sla: Sla) -> None:
    async with sla.runtime.unit() as work:
        await work.lock([CASE])
        await parked.write(work.tx, [parked.of_replan(CASE, "unreadable")], work.now)


async def fired_by_another(sla: Sla) -> None:
    assert len(await told(sla, await seen(sla))) == 1


async def edited(sla: Sla) -> None:
    await sla.put("/v1/calendars/elsewhere", {"time_zone": "UTC", "weekly": {"mon": [["09:00", "17:00"]]}})


@pytest.mark.parametrize("moved", [published, parks, fired_by_another, edited])
async def test_what_moved_since_it_was_seen_is_not_written(
    sla: Sla, log: Log, moved: Callable[[Sla], Awaitable[None]]
) -> None:
    story = Story()
    story.contact(0)
    story.assigned("frontline", at=0.1)
    await sla.take(story.events)
    sla.clock.set(m(DUE))
    found = await seen(sla)
    assert len(found) == 1
    await moved(sla)
    before = await broken(sla)
    assert await told(sla, found) == []
    assert await broken(sla) == before


async def test_a_case_that_another_writes_about_is_left_and_the_others_are_not(sla: Sla, log: Log) -> None:
    await opened(sla)
    sla.clock.set(m(DUE))
    found = await seen(sla)
    async with sla.runtime.unit() as work:
        await work.lock(CASES[:2])
        assert {each.fired.case_id for each in await told(sla, found)} == set(CASES[2:])
    assert {each.fired.case_id for each in await told(sla, await seen(sla))} == set(CASES[:2])


async def test_words_that_were_erased_since_they_were_seen_are_not_said(sla: Sla, log: Log) -> None:
    story = Story()
    story.contact(0)
    story.assigned("frontline", at=0.1)
    await sla.take(story.events)
    sla.clock.set(m(DUE))
    found = await seen(sla)
    event = Event(
        sla.runtime.ids.new(), "intake", "contacts", 9, m(DUE),
        CustomerErased(case_id=CASE, occurred_at=m(DUE), customer_id="c"),
    )  # fmt: skip
    await log.append([_record(event)])
    worker = Worker(sla.runtime)
    while not await worker.step():
        pass
    await worker.stop()
    assert await told(sla, found) == []


def _record(event: Event) -> Record:
    return Record("contacts", partition_of(event.case_id, 8), str(event.case_id), *catalogue.encode(event))


async def test_the_quick_look_finds_what_the_thorough_one_does_and_waits_for_the_same(sla: Sla, log: Log) -> None:
    await opened(sla)
    sla.clock.set(m(DUE))
    replied = [
        Event(sla.runtime.ids.new(), "intake", "contacts", 9, m(DUE), CustomerErased(
            case_id=case_id, occurred_at=m(DUE), customer_id="c"))
        for case_id in CASES[:20]
    ]  # fmt: skip
    await log.append([_record(event) for event in replied])
    quick, thorough = await seen(sla), await Ticker(sla.runtime)._due(sla.clock.now())
    assert [each.fired for each in quick] == thorough
    assert {each.fired.case_id for each in quick} == set(CASES[20:])


async def test_a_late_warning_tells_of_no_breach_whose_reply_is_unread(sla: Sla, log: Log) -> None:
    """All was read when the warning came due. What passed until it is said must be known too."""
    target = {"metric": "first_reply", "within": "PT1H", "warn_at": [0.5]}
    await sla.put("/v1/policies/warned", {"position": 1, "when": "true", "targets": [target]})
    story = Story()
    story.contact(0)
    story.assigned("frontline", at=0.1)
    await sla.take(story.events)
    ticker = Ticker(sla.runtime)
    sla.clock.set(m(40))
    assert [each.step for each in await ticker._due(sla.clock.now())] == ["warn:0.5"]  # and then it stands still
    story.reply(50)
    await log.append([_record(story.events[-1])])
    sla.clock.set(m(60.1))
    for _ in range(3):
        await ticker.step()
    assert await broken(sla) == []
    worker = Worker(sla.runtime)
    while not await worker.step():
        pass
    await worker.stop()
    for _ in range(3):
        await ticker.step()
    [clock] = [each for each in (await sla.loaded()).clocks if each.metric == "first_reply"]
    assert (clock.state, clock.breached_at) == ("met", None)


async def test_a_look_leaves_out_cases_that_are_under_way(sla: Sla, log: Log) -> None:
    await opened(sla)
    sla.clock.set(m(DUE))
    under_way, now = CASES[:3], sla.clock.now()
    assert {each.fired.case_id for each in await seen(sla, under_way)} == {*CASES} - {*under_way}
    async with sla.db.reading() as tx:
        due = await timers.due(tx, now, 500, dict.fromkeys(range(8), now), under_way)
    assert {each.case_id for each in due} == {*CASES} - {*under_way}


async def test_rounds_that_follow_one_another_look_only_once(sla: Sla, log: Log) -> None:
    await opened(sla)
    sla.clock.set(m(DUE))
    ticker, calls = Ticker(sla.runtime), 0
    thorough = ticker._due

    async def counted(*args: Any) -> list[Fired]:
        nonlocal calls
        calls += 1
        return await thorough(*args)

    sla.runtime.settings = sla.runtime.settings.model_copy(update={"batch_size": 20})
    with mock.patch.object(ticker, "_due", counted):
        while await ticker.step() == 0.0:
            pass
    assert len(await broken(sla)) == len(CASES)
    assert calls <= 2, "at first, and when nothing was found any more"
