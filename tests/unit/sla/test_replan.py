"""After an edit: the clocks that it touches, all of them, each once, whatever happens in between."""

import dataclasses
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from services.sla.store import replan
from services.sla.store.replan import Replanning
from shared import points
from shared.contracts.envelope import EventData
from tests.unit.sla.conftest import Sla
from tests.unit.sla.stories import DUBLIN, Story, m, policy, target

SATURDAY = {**DUBLIN, "weekly": {**DUBLIN["weekly"], "tue": [["09:00", "10:00"]]}}
CASES = [UUID(int=number) for number in range(1, 8)]


def of(data: EventData, case_id: UUID) -> EventData:
    return data.model_copy(update={"case_id": case_id})


async def opened(sla: Sla, *case_ids: UUID, team: str = "frontline") -> None:
    for case_id in case_ids:
        story = Story()
        story.contact(0)
        story.assigned(team, at=0.01)
        told = [
            dataclasses.replace(
                e, id=UUID(int=case_id.int << 8 | n), data=e.data.model_copy(update={"case_id": case_id})
            )
            for n, e in enumerate(story.events)
        ]
        await sla.take(told)


async def configured(sla: Sla) -> None:
    """Cases of the team `office` count in Dublin's hours, the rest around the clock."""
    await sla.put("/v1/calendars/dublin", DUBLIN)
    hours = target("first_reply", "PT2H", calendar="dublin")
    await sla.put("/v1/policies/office", policy(hours, when="case.team == 'office'", position=1))
    await sla.replan()


async def due(sla: Sla) -> Sequence[Any]:
    return await sla.rows("SELECT case_id, due_at FROM clock WHERE metric = 'first_reply' ORDER BY case_id")


async def rescheduled(sla: Sla) -> list[UUID]:
    rows = await sla.rows("SELECT case_id, CAST(headers AS text) AS headers FROM outbox ORDER BY id")
    return [row.case_id for row in rows if "clock.rescheduled" in row.headers]


async def test_an_edit_of_a_calendar_looks_only_at_cases_that_count_in_it(sla: Sla) -> None:
    await configured(sla)
    await opened(sla, *CASES[:3], team="office")
    await opened(sla, *CASES[3:])
    await sla.put("/v1/calendars/dublin", SATURDAY, status=200)
    assert await sla.replan() == 3
    assert sorted(await rescheduled(sla)) == CASES[:3]
    newest = (await sla.get("/v1/replans"))["items"][0]
    assert (newest["state"], newest["calendars"], newest["cases"], newest["done"]) == ("done", ["dublin"], 3, 3)


async def test_an_edit_of_a_policy_looks_at_every_case_with_an_open_clock(sla: Sla) -> None:
    await configured(sla)
    await opened(sla, *CASES)
    await sla.put("/v1/policies/sooner", policy(target("first_reply", "PT30M")))
    assert await sla.replan() == len(CASES)
    assert {row.due_at for row in await due(sla)} == {m(30)}


async def test_a_replan_goes_on_where_it_stood_and_tells_each_clock_once(
    sla: Sla, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit fails in the middle, another loop takes over: nothing is left out, nothing is told twice."""
    monkeypatch.setattr(replan, "LARGEST", 2)
    await configured(sla)
    await opened(sla, *CASES, team="office")
    await sla.put("/v1/calendars/dublin", SATURDAY, status=200)
    first = Replanning(sla.runtime)
    first._size = 2
    assert await first.step() == 0.0
    listed = (await sla.get("/v1/replans"))["items"][0]
    assert (listed["state"], listed["done"]) == ("running", 2)

    async def fail(point: str) -> None:
        if point == "db.commit":
            raise ConnectionError("the power went")

    monkeypatch.setattr(points, "reach", fail)
    with pytest.raises(ConnectionError):
        await first.step()
    monkeypatch.undo()
    assert await sla.replan() == len(CASES) - 2
    assert sorted(await rescheduled(sla)) == CASES


async def test_a_later_edit_begins_again_and_covers_the_earlier_one(sla: Sla) -> None:
    await configured(sla)
    await opened(sla, *CASES[:3], team="office")
    await opened(sla, *CASES[3:])
    await sla.put("/v1/calendars/dublin", SATURDAY, status=200)
    loop = Replanning(sla.runtime)
    loop._size = 1
    await loop.step()
    await sla.put("/v1/calendars/paris", {**DUBLIN, "time_zone": "Europe/Paris", "holidays": {"country": "FR"}})
    assert await sla.replan() == 3
    states = [each["state"] for each in (await sla.get("/v1/replans"))["items"]]
    assert states[:2] == ["done", "superseded"]
    assert sorted(await rescheduled(sla)) == CASES[:3]


async def test_a_clock_that_comes_due_before_its_case_is_planned_again_is_planned_first(sla: Sla) -> None:
    """Nothing fires by a promise that an edit has taken back."""
    await opened(sla, CASES[0])
    sla.clock.set(m(230))
    await sla.put("/v1/policies/longer", policy(target("first_reply", "PT8H")))
    sla.clock.set(m(241))
    await sla.tick()
    told = await sla.rows("SELECT CAST(headers AS text) AS headers FROM outbox ORDER BY id")
    assert not [row for row in told if "clock.breached" in row.headers]
    assert [row.due_at for row in await due(sla)] == [m(480)]
    sla.clock.set(m(481))
    await sla.tick()
    assert [row.state for row in await sla.rows("SELECT state FROM clock WHERE metric = 'first_reply'")] == ["breached"]


async def test_pages_of_replans_go_on_where_the_last_ended(sla: Sla) -> None:
    for minutes in (10, 20, 30):
        await sla.put(f"/v1/policies/p{minutes}", policy(target("first_reply", f"PT{minutes}M"), position=minutes))
        await sla.replan()
    page = await sla.get("/v1/replans", limit=2)
    rest = await sla.get("/v1/replans", limit=50, cursor=page["next"])
    versions = [each["version"] for each in [*page["items"], *rest["items"]]]
    assert versions == sorted(versions, reverse=True) and len(set(versions)) == len(versions)
    assert rest["next"] is None
    await sla.get("/v1/replans", status=422, cursor="WyJ4Il0")


async def test_a_timer_of_a_case_that_no_edit_touches_needs_no_plan(sla: Sla) -> None:
    await configured(sla)
    await opened(sla, CASES[0])
    await sla.put("/v1/calendars/dublin", SATURDAY, status=200)
    loop = Replanning(sla.runtime)
    await loop.step()
    planned = await sla.rows("SELECT planned_with FROM case_facts")
    sla.clock.advance(timedelta(hours=5))
    assert await sla.tick() > 0
    assert await sla.rows("SELECT planned_with FROM case_facts") == planned
