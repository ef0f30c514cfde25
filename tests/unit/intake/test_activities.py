"""Activities: on the right case, once, in the order they happened; one that comes too early waits."""

from datetime import timedelta

import pytest

from services.intake.api import record
from tests.unit.intake.conftest import NOON, Intake


async def test_by_case_and_by_thread(intake: Intake) -> None:
    case = await intake.contact(source="desk", thread="t")
    by_case = await intake.activity("picked_up", case_id=case["case_id"])
    by_thread = await intake.activity("agent_replied", source="desk", thread="t", actor="ana", text="Hello")
    assert by_case["case_id"] == by_thread["case_id"] == case["case_id"]
    told = [event for event in await intake.published() if event["type"] == "case.activity.v1"]
    assert [(event["kind"], event["public"]) for event in told] == [("picked_up", False), ("agent_replied", True)]
    assert (told[1]["actor"], told[1]["excerpt"]) == ("ana", "Hello")
    assert await intake.status(case["case_id"]) == "open"


async def test_the_same_activity_again_is_one_and_other_words_are_a_conflict(intake: Intake) -> None:
    await intake.contact(source="desk", thread="t")
    first = await intake.activity("agent_replied", source="desk", thread="t", external_id="1", text="a")
    intake.clock.advance(timedelta(minutes=1))
    again = await intake.activity("agent_replied", source="desk", thread="t", external_id="1", text="a")
    assert again == first | {"duplicate": True}
    await intake.activity("agent_replied", 409, source="desk", thread="t", external_id="1", text="b")
    assert await intake.count("activity") == 1


async def test_an_external_id_without_source_is_the_cases_own(intake: Intake) -> None:
    one, two = await intake.contact(), await intake.contact()
    for case in (one, two):
        answer = await intake.activity("note_added", case_id=case["case_id"], external_id="1")
        assert answer["duplicate"] is False


async def test_an_idempotency_key_holds_for_activities(intake: Intake) -> None:
    case = await intake.contact()
    body = {"kind": "note_added", "case_id": case["case_id"], "text": "x"}
    first = await intake.post("/v1/activities", body, headers={"Idempotency-Key": "k"})
    again = await intake.post("/v1/activities", body, headers={"Idempotency-Key": "k"})
    assert again == first | {"duplicate": True}
    await intake.post("/v1/activities", body | {"text": "y"}, 422, headers={"Idempotency-Key": "k"})


async def test_one_before_its_contact_waits_and_is_told_after_it(intake: Intake) -> None:
    early = await intake.activity("agent_replied", source="desk", thread="t", external_id="1")
    assert (early["case_id"], early["waiting"]) == (None, True)
    assert await intake.published() == []
    [waiting] = (await intake.get("/v1/activities/unmatched"))["items"]
    assert (waiting["id"], waiting["thread"]) == (early["activity_id"], "t")
    again = await intake.activity("agent_replied", source="desk", thread="t", external_id="1")
    assert (again["duplicate"], again["waiting"]) == (True, True)

    case = await intake.contact(source="desk", thread="t")
    assert [event["type"] for event in await intake.published()] == ["contact.received.v1", "case.activity.v1"]
    assert (await intake.get("/v1/activities/unmatched"))["items"] == []
    again = await intake.activity("agent_replied", source="desk", thread="t", external_id="1")
    assert (again["case_id"], again["duplicate"]) == (case["case_id"], True)
    assert await intake.difference("activities: accepted → case") == 0


async def test_what_waits_is_bounded_and_what_is_refused_can_be_sent_again(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "WAITING_OF_THREAD", 2)
    for n in range(2):
        await intake.activity("note_added", source="desk", thread="t", external_id=str(n))
    problem = await intake.activity("note_added", 429, source="desk", thread="t", external_id="2")
    assert "Post the contact" in problem["detail"]
    [line] = await intake.batch(
        [{"kind": "note_added", "source": "desk", "thread": "t", "external_id": "2"}], "/v1/activities/batch"
    )
    assert line["status"] == 429
    case = await intake.contact(source="desk", thread="t")
    again = await intake.activity("note_added", source="desk", thread="t", external_id="2")
    assert (again["case_id"], again["duplicate"]) == (case["case_id"], False)
    assert await intake.count("activity") == 3


async def test_a_late_activity_does_not_undo_what_happened_after_it(intake: Intake) -> None:
    case = await intake.contact(source="desk", thread="t", occurred_at=(NOON - timedelta(hours=3)).isoformat())
    await intake.activity(
        "status_changed", status="solved", case_id=case["case_id"], occurred_at=(NOON - timedelta(hours=1)).isoformat()
    )
    await intake.activity(
        "status_changed", status="open", case_id=case["case_id"], occurred_at=(NOON - timedelta(hours=2)).isoformat()
    )
    assert await intake.status(case["case_id"]) == "solved"
    await intake.contact(source="desk", thread="t")
    assert await intake.status(case["case_id"]) == "open"


async def test_an_activity_of_a_merged_case_happens_where_the_case_went(intake: Intake) -> None:
    source = await intake.contact(source="desk", thread="t")
    target = await intake.contact()
    await intake.post(f"/v1/cases/{source['case_number']}/merge", {"into": target["case_number"]}, 200)
    by_case = await intake.activity("picked_up", case_id=source["case_id"])
    by_thread = await intake.activity("note_added", source="desk", thread="t")
    assert by_case["case_id"] == by_thread["case_id"] == target["case_id"]


@pytest.mark.parametrize(
    ("activity", "told"),
    [
        ({"kind": "note_added"}, "case_id"),
        ({"kind": "dance", "thread": "t"}, "kind"),
        ({"kind": "status_changed", "thread": "t"}, "needs status"),
        ({"kind": "note_added", "thread": "t", "status": "open"}, "has no status"),
        ({"kind": "satisfaction_rated", "thread": "t", "score": 4}, "needs scale"),
        ({"kind": "satisfaction_rated", "thread": "t", "score": 6, "scale": 5}, "more than its scale"),
        ({"kind": "tags_changed", "thread": "t"}, "needs tags"),
        ({"kind": "note_added", "thread": "t", "occurred_at": "2099-01-01T00:00:00Z"}, "future"),
        ({"kind": "note_added", "thread": "t\x00"}, "NUL"),
    ],
)
async def test_a_wrong_activity_says_what_to_do(intake: Intake, activity: dict[str, object], told: str) -> None:
    problem = await intake.post("/v1/activities", activity, 422)
    assert told in str(problem)
    assert await intake.count("waiting_activity") == 0


async def test_an_unknown_case_is_not_found_and_locks_nothing(intake: Intake) -> None:
    await intake.activity("picked_up", 404, case_id="00000000-0000-0000-0000-000000000001")
    assert await intake.count("case_lock") == 0
