"""A timer that fires reads a few columns of its clock's row, and says and writes what deriving the whole case would."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.sla.decide import decide
from services.sla.model import Clock
from services.sla.store.firing import announcer
from shared import timers
from shared.announcing import Telling, look
from shared.batch import Change
from shared.contracts import catalogue
from shared.contracts.decision import Fired, Replan, SetTimer
from shared.contracts.envelope import EventData, Outgoing
from shared.db import Tx, from_json
from tests.unit.sla.conftest import Sla
from tests.unit.sla.stories import CASE, Desk, m
from tests.unit.sla.test_any_order import CONFIGURATION, LATER, Plan, histories


def first_due(desk: Desk, until: float) -> SetTimer | None:
    due = [each for each in desk.timers.values() if each.due_at <= m(until)]
    return min(due, key=lambda t: (t.due_at, t.step), default=None)


def fire_all(desk: Desk, until: float, lagging: bool) -> None:
    while timer := first_due(desk, until):
        fire(desk, timer, lagging, until)


def fire(desk: Desk, timer: SetTimer, lagging: bool, at: float) -> None:
    fired = Fired(CASE, timer.subject, timer.step, timer.due_at, timer.version, lagging)
    now = max(desk.now, m(at))
    whole = decide(desk.case, fired, now)
    assert whole.state == replace(desk.case, clocks=whole.state.clocks), "a timer changes nothing but clocks"
    again = decide(whole.state, Replan(CASE), now)
    assert again.events == () and again.timers == (), "what was written is what follows from the facts"
    assert again.state == whole.state
    desk.fire(timer, now, lagging)


@settings(max_examples=250)
@given(histories, st.lists(st.integers(0, 600), max_size=6), st.booleans())
def test_what_a_timer_writes_is_what_follows_from_the_facts(plan: Plan, fire_at: list[int], lagging: bool) -> None:
    desk, moments = Desk(CONFIGURATION), sorted(fire_at)
    for event in sorted(plan.events(), key=lambda e: (e.recorded_at, e.topic, e.sequence)):
        while moments and m(moments[0]) <= event.recorded_at:
            fire_all(desk, moments.pop(0), lagging)
        desk.play([event])
    fire_all(desk, (LATER - m(0)).total_seconds() / 60, lagging)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=histories, fire_at=st.lists(st.integers(0, 600), min_size=1, max_size=4), lagging=st.booleans())
async def test_the_columns_of_a_row_say_and_change_the_same_as_the_whole_case(
    sla: Sla, plan: Plan, fire_at: list[int], lagging: bool
) -> None:
    desk, moments = Desk(CONFIGURATION), sorted(fire_at)
    for event in sorted(plan.events(), key=lambda e: (e.recorded_at, e.topic, e.sequence)):
        while moments and m(moments[0]) <= event.recorded_at:
            await fire_from_rows(sla, desk, moments.pop(0), lagging)
        desk.play([event])
    await fire_from_rows(sla, desk, (LATER - m(0)).total_seconds() / 60, lagging)


async def fire_from_rows(sla: Sla, desk: Desk, until: float, lagging: bool) -> None:
    """All that is due; each time both ways."""
    if first_due(desk, until) is None:
        return
    async with sla.db.transaction() as tx:
        await tx.run("TRUNCATE case_facts, clock, timer, case_lock")
        await tx.run("UPDATE configuration SET version = :planned_with", planned_with=desk.case.planned_with)
        await tx.run("INSERT INTO case_lock VALUES (:case, 7)", case=CASE)
        before = replace(desk.case, clocks=(), facts=(), words=None, opening=None)
        await sla.runtime.service.store.save(tx, [Change(CASE, before, desk.case, ())], desk.now)
        await timers.write(tx, [(CASE, each) for each in desk.timers.values()], 8)
    while timer := first_due(desk, until):
        fired = Fired(CASE, timer.subject, timer.step, timer.due_at, timer.version, lagging)
        now = max(desk.now, m(until))
        decision = desk.fire(timer, now, lagging)
        async with sla.db.transaction() as tx:
            assert await announced(sla, tx, fired, now) == [read(each) for each in decision.events]
            assert await stands(sla, tx) == {clock.id: clock for clock in desk.case.clocks}
            found = await tx.rows("SELECT subject, step, due_at, version FROM timer")
            assert {SetTimer(*row) for row in found} == set(desk.timers.values())


async def announced(sla: Sla, tx: Tx, fired: Fired, now: datetime) -> list[EventData]:
    """What is told of the columns of its row."""
    [seen] = await look(tx, timers.GIVEN, announcer, **timers.given([fired]))
    ids, card = sla.runtime.ids, sla.runtime.service.card
    telling = Telling(announcer, 8, lambda event, sequence: card.stamp(ids.new(), event, sequence, now))
    assert telling.add(seen, now)
    assert await telling.write(tx, now) == [seen]
    found = await tx.rows("DELETE FROM outbox RETURNING CAST(headers AS text), body")
    assert await tx.scalar("SELECT sequence FROM case_lock") == seen.sequence + 1
    return [
        catalogue.decode("clocks", [(name, value.encode()) for name, value in from_json(row.headers)], row.body).data
        for row in found
    ]


def read(data: EventData) -> EventData:
    """What a consumer makes of it."""
    written = Outgoing(CASE, "sla", "clocks", 1, m(0), data)
    return catalogue.decode("clocks", *catalogue.encode(written)).data


async def stands(sla: Sla, tx: Tx) -> dict[UUID, Clock]:
    loaded = await sla.runtime.service.store.load(tx, [CASE], m(0))
    return {clock.id: clock for clock in loaded[CASE].clocks}
