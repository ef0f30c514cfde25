"""What is decided is what stands in the database: whole, in any batches, and it balances."""

import dataclasses
from datetime import datetime, timedelta

import pytest

from services.sla.calendar import LIBRARIES
from services.sla.decide import decide, history
from services.sla.model import Case, Clock
from services.sla.store.replan import Replanning
from shared.contracts.decision import Decision, Replan
from shared.contracts.envelope import Event
from tests.unit.sla.conftest import Sla, first_start
from tests.unit.sla.stories import CASE, DUBLIN, OTHER, Desk, Story, m, policy, target

EVERYTHING = policy(
    target("first_reply", "PT1H", warn_at=[0.5, 0.9]),
    target("next_reply", "PT1H"),
    target("resolution", "PT8H", calendar="dublin", pause_on=["pending", "on_hold"]),
    target("pickup", "PT15M"),
)


def eventful() -> list[Event]:
    """A bit of everything: a hand-off and back, pauses, a reopening, priority, an erasure, a late reply."""
    story = Story()
    story.contact(
        0, tags=("payouts",), attributes={"product": "x", "n": [1, {"deep": None}]}, url="https://d.example/1"
    )
    story.assigned("a", at=0.5)
    story.handed_off("b", 5)
    story.status("pending", 10)
    story.handed_off("a", 12)
    story.acknowledged(13)
    story.contact(20)
    story.priority("urgent", 25)
    story.reply(80, known=90)
    story.contact(100)
    story.status("solved", 110)
    story.absorbed(111, since=50)
    story.contact(120)
    story.erased(130)
    return story.events


def clocks(case: Case) -> list[Clock]:
    return [dataclasses.replace(clock, version=0, announced=False) for clock in case.clocks]


async def configured(sla: Sla) -> None:
    await sla.put("/v1/calendars/dublin", DUBLIN)
    await sla.put("/v1/policies/all", EVERYTHING)


async def test_what_was_decided_is_what_is_loaded(sla: Sla) -> None:
    await configured(sla)
    desk = Desk((await sla.loaded()).configuration)
    for event in eventful():
        sla.clock.set(event.recorded_at)
        desk.play([event], now=sla.clock.now())
        await sla.take([event])
        loaded = await sla.loaded()
        for field in dataclasses.fields(Case):
            assert getattr(loaded, field.name) == getattr(desk.case, field.name), field.name


async def test_a_folded_case_is_loaded_whole(sla: Sla, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MAX_FACTS", 6)
    await configured(sla)
    sla.clock.set(m(200))
    desk = Desk((await sla.loaded()).configuration).play(eventful(), now=m(200))
    await sla.take(eventful(), batch=3)
    loaded = await sla.loaded()
    assert loaded.folded is not None
    assert loaded == desk.case


async def test_timers_fire_and_what_they_announced_is_kept(sla: Sla) -> None:
    await configured(sla)
    story = Story()
    story.contact(0)
    story.assigned(at=0.01)
    await sla.take(story.events)
    sla.clock.set(m(61))
    assert await sla.tick() > 0
    first = next(clock for clock in (await sla.loaded()).clocks if clock.metric == "first_reply")
    assert (first.state, first.breached_at, first.firing.breach_fired_at) == ("breached", m(60), m(61))
    assert await sla.tick() == 0
    story.reply(70)
    await sla.take(story.events[-1:])
    first = next(clock for clock in (await sla.loaded()).clocks if clock.metric == "first_reply")
    assert (first.state, first.breached_at, first.met_at) == ("met", m(60), m(70))
    left = await sla.rows("SELECT subject FROM timer WHERE subject = :id", id=first.id)
    assert left == []


@pytest.mark.parametrize("batch", [1, 2, 5, 500])
@pytest.mark.parametrize("order", ["as told", "assignments first", "pages first", "backwards"])
async def test_any_interleaving_in_any_batches_gives_the_same_rows(sla: Sla, batch: int, order: str) -> None:
    await configured(sla)
    sla.clock.set(m(200))
    told = eventful()[:-1]
    rank = {
        "assignments first": ["assignments", "pages", "contacts"],
        "pages first": ["pages", "contacts", "assignments"],
    }
    events = sorted(told, key=lambda e: rank[order].index(e.topic)) if order in rank else told
    if order == "backwards":
        events = told[::-1]
    expected = Desk((await sla.loaded()).configuration).play(told, now=sla.clock.now())
    await sla.take([*events, *events[:4]], batch)
    assert clocks(await sla.loaded()) == clocks(expected.case)


async def test_a_clock_that_was_none_leaves_no_row_and_no_timer(sla: Sla) -> None:
    await sla.put("/v1/policies/calm", policy(target("pickup", "PT15M"), when="case.priority == 'normal'"))
    story = Story()
    story.contact(0)
    story.assigned(at=0.5)
    await sla.take(story.events)
    pickup = next(clock for clock in (await sla.loaded()).clocks if clock.metric == "pickup")
    await sla.take([story.priority("urgent", 0, known=1)])  # so it was urgent when it was assigned
    assert await sla.rows("SELECT id FROM clock WHERE metric = 'pickup'") == []
    assert await sla.rows("SELECT subject FROM timer WHERE subject = :id", id=pickup.id) == []
    assert (await sla.loaded()).gone[pickup.id].version == 2


async def test_the_ledger_balances_and_shows_a_missing_row(sla: Sla) -> None:
    await configured(sla)
    sla.clock.set(m(200))
    await sla.take(eventful())
    await sla.tick()
    lines = await sla.lines()
    own = ("cases: known to sla→unassigned clock", "clocks: started→ended")
    assert [lines[hop].difference for hop in own] == [0, 0]
    assert lines["cases: intake→sla"].terms == {"done": 1}
    announced = await sla.rows("SELECT id FROM clock WHERE announced")
    assert lines["clocks→pages"].terms == {"in": len(announced)}
    assert len(announced) > 0
    await sla.run("DELETE FROM clock WHERE metric = 'unassigned'")
    assert (await sla.lines())[own[0]].difference == 1


async def test_a_first_start_is_made_once_and_an_admins_word_stays(sla: Sla) -> None:
    before = await sla.rows("SELECT * FROM resource_version ORDER BY kind, name, version")
    assert [(row.kind, row.name) for row in before] == [("calendar", "24x7"), ("policy", "default")]
    await first_start(sla.runtime, sla.clock.now())
    assert await sla.rows("SELECT * FROM resource_version ORDER BY kind, name, version") == before
    answer = await sla.client.delete("/v1/policies/default")
    assert answer.status_code == 204
    await first_start(sla.runtime, sla.clock.now())
    assert await sla.rows("SELECT name FROM resource WHERE kind = 'policy'") == []


async def test_other_time_zone_data_move_the_configuration_so_that_open_clocks_are_planned_again(sla: Sla) -> None:
    version = (await sla.rows("SELECT version FROM configuration"))[0].version
    await first_start(sla.runtime, sla.clock.now())
    assert (await sla.rows("SELECT version FROM configuration"))[0].version == version
    await sla.run("UPDATE libraries SET versions = 'tzdata 1999.1, holidays 0.1'")
    await first_start(sla.runtime, sla.clock.now())
    assert (await sla.rows("SELECT version FROM configuration"))[0].version == version + 1
    assert (await sla.rows("SELECT versions FROM libraries"))[0].versions == LIBRARIES


class TestReplan:
    async def opened(self, sla: Sla) -> None:
        story = Story()
        story.contact(0)
        story.assigned(at=0.01)
        await sla.take(story.events)

    async def test_an_edit_reaches_an_idle_case(self, sla: Sla) -> None:
        await self.opened(sla)
        sla.clock.set(m(10))
        await sla.put("/v1/policies/sooner", policy(target("first_reply", "PT30M")))
        assert await sla.replan() == 1
        first = next(clock for clock in (await sla.loaded()).clocks if clock.metric == "first_reply")
        assert (first.due_at, first.terms.policy) == (m(30), "sooner")
        assert await sla.replan() == 0
        sla.clock.set(m(30))
        await sla.tick()
        assert [row.step for row in await sla.rows("SELECT step FROM timer WHERE subject = :id", id=first.id)] == []

    async def test_an_edit_reaches_a_case_of_which_nothing_was_promised(self, sla: Sla) -> None:
        await self.opened(sla)
        story = Story(sequences={"contacts": 1})
        story.reply(1)
        await sla.take(story.events)
        assert all(clock.ended for clock in (await sla.loaded()).clocks), "a solution is owed, and no policy says when"
        sla.clock.set(m(10))
        await sla.put("/v1/policies/solve", policy(target("resolution", "PT2H")))
        assert await sla.replan() == 1
        promised = next(clock for clock in (await sla.loaded()).clocks if clock.metric == "resolution")
        assert (promised.due_at, promised.ended) == (m(120), False)
        assert await sla.rows("SELECT 1 FROM timer WHERE subject = :id", id=promised.id)

    async def test_cases_of_which_nothing_is_owed_are_left_alone(self, sla: Sla) -> None:
        await self.opened(sla)
        story = Story(sequences={"contacts": 1})
        story.reply(1)
        story.status("solved", 2)
        await sla.take(story.events)
        await sla.put("/v1/policies/sooner", policy(target("first_reply", "PT30M")))
        assert await sla.replan() == 0

    async def test_a_case_that_somebody_holds_is_planned_later(self, sla: Sla) -> None:
        await self.opened(sla)
        await sla.put("/v1/policies/sooner", policy(target("first_reply", "PT30M")))
        async with sla.db.transaction() as tx:
            await tx.rows("SELECT * FROM case_lock WHERE case_id = :id FOR UPDATE", id=CASE)
            assert 0 < await Replanning(sla.runtime).step() < 1
        assert await sla.replan() == 1

    async def test_a_case_that_cannot_be_derived_is_parked_and_holds_up_no_other(self, sla: Sla) -> None:
        await self.opened(sla)
        story = Story()
        story.contact(0)
        story.assigned(at=0.01)
        for event in story.events:
            await sla.take([dataclasses.replace(event, data=event.data.model_copy(update={"case_id": OTHER}))])
        await sla.put("/v1/policies/sooner", policy(target("first_reply", "PT30M")))

        def failing(case: Case, message: Replan, now: datetime) -> Decision[Case]:
            if case.case_id == OTHER:
                raise OverflowError("date value out of range")
            return decide(case, message, now)

        sla.runtime.service = dataclasses.replace(sla.runtime.service, decide=failing)
        await sla.replan()
        rows = await sla.rows("SELECT case_id, policy FROM clock WHERE metric = 'first_reply' ORDER BY case_id")
        assert [(row.case_id, row.policy) for row in rows] == [(CASE, "sooner"), (OTHER, "default")]
        parked = await sla.rows("SELECT case_id, topic, error FROM parked")
        assert [(row.case_id, row.topic) for row in parked] == [(OTHER, "replan")]
        assert "date value out of range" in parked[0].error


async def test_a_timer_does_not_write_the_facts_again(sla: Sla) -> None:
    await configured(sla)
    story = Story()
    story.contact(0)
    story.assigned(at=0.01)
    await sla.take(story.events)
    before = (await sla.rows("SELECT xmin FROM case_facts"))[0].xmin
    sla.clock.advance(timedelta(minutes=61))
    await sla.tick()
    assert (await sla.rows("SELECT xmin FROM case_facts"))[0].xmin == before
