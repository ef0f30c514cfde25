"""Activities and their contact in any order, any number of times, at any replica: each once, on the right case."""

import asyncio
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest

from services.intake.api import record
from services.intake.api.record import WAITS_FOR, expire
from tests.unit.intake.conftest import NOON, Intake

Replicas = tuple[Intake, Intake]


def activity(number: int, thread: str = "t", **more: Any) -> dict[str, Any]:
    at = (NOON - timedelta(minutes=10 - number)).isoformat()
    said = {"kind": "note_added", "source": "desk", "thread": thread, "external_id": f"{thread}-{number}"}
    return said | {"occurred_at": at, "text": str(number)} | more


async def test_any_order_of_arrival_gives_the_same_case(intake: Intake) -> None:
    steps = [
        {"kind": "status_changed", "status": "pending"},
        {"kind": "agent_replied"},
        {"kind": "status_changed", "status": "solved"},
    ]
    for number, order in enumerate(permutations(range(4))):
        thread = f"order-{number}"
        for step in order:
            if step == 3:
                await intake.contact(source="desk", thread=thread, occurred_at=(NOON - timedelta(hours=1)).isoformat())
            else:
                await intake.post("/v1/activities", activity(step, thread, **steps[step]))
    cases = (await intake.get("/v1/cases", limit="100"))["items"]
    assert {case["status"] for case in cases} == {"solved"}
    assert (len(cases), await intake.count("activity"), await intake.count("waiting_activity")) == (24, 72, 0)


async def test_one_activity_at_both_replicas_at_once_is_one(replicas: Replicas) -> None:
    await replicas[0].contact(source="desk", thread="t")
    for number in range(5):
        answers = await asyncio.gather(*(each.post("/v1/activities", activity(number)) for each in replicas * 3))
        assert [answer["duplicate"] for answer in answers].count(False) == 1
        assert len({answer["activity_id"] for answer in answers}) == 1
    assert await replicas[0].count("activity") == 5


async def test_a_contact_and_its_activities_at_once_at_both_replicas_meet(replicas: Replicas) -> None:
    one, other = replicas
    for number in range(10):
        thread = f"meet-{number}"
        said = [each.post("/v1/activities", activity(n, thread)) for n in range(3) for each in replicas]
        await asyncio.gather(*said[:3], one.contact(source="desk", thread=thread), *said[3:])
    assert await other.count("waiting_activity") == 0
    assert (await one.count("case_file"), await one.count("activity")) == (10, 30)
    assert await one.difference("activities: accepted → case") == 0


async def test_batches_of_activities_in_opposite_order_do_not_block_each_other(replicas: Replicas) -> None:
    await replicas[0].batch([{"subject": "x", "source": "desk", "thread": f"{n}"} for n in range(0, 20, 2)])
    lines = [activity(n % 10, f"{n}") for n in range(20)]
    answers = await asyncio.gather(
        *(
            each.batch(order, "/v1/activities/batch")
            for each, order in zip(replicas * 2, (lines, lines[::-1]) * 2, strict=True)
        )
    )
    assert {line["status"] for answer in answers for line in answer} == {202}
    assert (await replicas[0].count("activity"), await replicas[0].count("waiting_activity")) == (10, 10)


async def test_an_activity_twice_in_one_batch_and_before_its_contact_is_one(intake: Intake) -> None:
    answers = await intake.batch([activity(1), activity(1), activity(2)], "/v1/activities/batch")
    assert [(answer["duplicate"], answer["waiting"]) for answer in answers] == [
        (False, True),
        (True, True),
        (False, True),
    ]
    await intake.contact(source="desk", thread="t")
    assert (await intake.count("activity"), await intake.count("waiting_activity")) == (2, 0)


async def test_what_waited_for_a_contact_that_follows_a_merged_case_is_on_the_case_it_went_to(intake: Intake) -> None:
    await intake.post("/v1/activities", activity(1))
    source = await intake.contact(source="desk", thread="t")
    target = await intake.contact(source="desk", thread="other")
    await intake.post(f"/v1/cases/{source['case_number']}/merge", {"into": target["case_number"]}, 200)
    later = await intake.post("/v1/activities", activity(2))
    again = await intake.post("/v1/activities", activity(1))
    assert (later["case_id"], again["duplicate"]) == (target["case_id"], True)
    case = await intake.get(f"/v1/cases/{target['case_id']}")
    assert [each["text"] for each in case["activities"]] == ["1", "2"]


async def test_one_that_no_contact_ever_came_for_is_given_up_and_may_come_again(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "WAITING_IN_ALL", 2)
    old = await intake.post("/v1/activities", activity(1))
    [listed] = (await intake.get("/v1/activities/unmatched"))["items"]
    assert (listed["id"], listed["waits_until"]) == (old["activity_id"], "2026-12-23T12:00:00Z")
    intake.clock.advance(WAITS_FOR)
    await intake.post("/v1/activities", activity(2))
    await intake.post("/v1/activities", activity(3), 429)
    assert await expire(intake.runtime) > 0
    assert await intake.count("waiting_activity") == 2
    intake.clock.advance(timedelta(seconds=1))
    await expire(intake.runtime)
    [listed] = (await intake.get("/v1/activities/unmatched"))["items"]
    assert listed["id"] != old["activity_id"]
    assert (await intake.post("/v1/activities", activity(1)))["duplicate"] is False
    assert await intake.difference("activities: accepted → case") == 0


async def test_giving_up_takes_any_number_and_leaves_what_is_younger(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "EXPIRED_AT_ONCE", 2)
    await intake.batch([activity(n) for n in range(5)], "/v1/activities/batch")
    intake.clock.advance(WAITS_FOR + timedelta(seconds=1))
    await intake.post("/v1/activities", activity(9))
    assert [await expire(intake.runtime) == 0.0 for _ in range(3)] == [True, True, False]
    assert await intake.count("waiting_activity") == 1
