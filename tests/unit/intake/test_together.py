"""Requests that are committed together are answered as if each had come alone."""

import asyncio
import itertools
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from services.intake.api import record
from shared.points import install
from tests.unit.intake.conftest import JSON, Intake

MAIL = "From: ana@shop.example\nTo: help@desk.example\nMessage-ID: <{id}@shop.example>\nSubject: {subject}\n\nHello."


async def together(intake: Intake, *requests: httpx.Request, transactions: int = 1) -> list[httpx.Response]:
    """All at once; asserts that they were committed in so many transactions."""
    await intake.get("/v1/cases")  # so that the key is known, and nobody has to wait for it
    commits: list[str] = []

    async def count(point: str) -> None:
        if point == "db.commit":
            commits.append(point)

    with install(count):
        answers = await asyncio.gather(*(intake.client.send(request) for request in requests))
    assert len(commits) == transactions, [answer.text for answer in answers]
    return list(answers)


def contact(intake: Intake, key: str | None = None, **fields: Any) -> httpx.Request:
    headers = {"Idempotency-Key": key} if key else {}
    return intake.client.build_request("POST", "/v1/contacts", json={"subject": "Payout"} | fields, headers=headers)


def activity(intake: Intake, **fields: Any) -> httpx.Request:
    return intake.client.build_request("POST", "/v1/activities", json={"kind": "note_added"} | fields)


def mail(intake: Intake, id: str, subject: str) -> httpx.Request:
    return intake.client.build_request("POST", "/v1/contacts/email", content=MAIL.format(id=id, subject=subject))


async def test_many_at_once_share_a_few_transactions_and_each_gets_its_own_case(intake: Intake) -> None:
    answers = await together(intake, *(contact(intake, subject=str(n)) for n in range(50)))
    bodies = [answer.json() for answer in answers]
    assert {answer.status_code for answer in answers} == {202}
    assert len({body["case_id"] for body in bodies}) == len({body["case_number"] for body in bodies}) == 50
    for number, body in enumerate(bodies):
        assert (await intake.get(f"/v1/contacts/{body['contact_id']}"))["subject"] == str(number)


async def test_one_thread_twice_is_one_case(intake: Intake) -> None:
    answers = await together(intake, *(contact(intake, source="desk", thread="t", body=str(n)) for n in range(2)))
    assert len({answer.json()["case_id"] for answer in answers}) == 1
    assert sorted(answer.json()["opened_case"] for answer in answers) == [False, True]


async def test_the_same_contact_twice_is_one_and_other_words_are_refused(intake: Intake) -> None:
    same = {"source": "desk", "external_id": "1"}
    first, again, other = await together(
        intake, contact(intake, **same), contact(intake, **same), contact(intake, **same, body="other")
    )
    assert again.json() == first.json() | {"duplicate": True}
    assert (other.status_code, other.json()["contact_id"]) == (409, first.json()["contact_id"])
    assert await intake.count("contact") == 1


async def test_who_is_refused_ties_the_thread_to_nothing(intake: Intake) -> None:
    """Its external id came before with other words; the thread that only it names is nobody's yet."""
    await intake.contact(source="desk", external_id="1", thread="first", body="one")
    refused, joins = await together(
        intake,
        contact(intake, source="desk", external_id="1", thread="second", body="other words"),
        contact(intake, source="desk", external_id="2", thread="first", body="two"),
    )
    assert (refused.status_code, joins.status_code) == (409, 202)
    assert not joins.json()["opened_case"]
    later = await intake.contact(source="desk", external_id="3", thread="second", body="three")
    again = await intake.contact(source="desk", external_id="4", thread="second", body="four")
    assert later["opened_case"]
    assert again["case_id"] == later["case_id"]
    assert await intake.count("claim WHERE kind = 'thread'") == 2


async def test_a_refused_contact_takes_no_thread_from_one_beside_it(intake: Intake) -> None:
    await intake.contact(source="desk", external_id="1", body="one")
    answers = await together(
        intake,
        contact(intake, source="desk", external_id="1", thread="t", body="other words"),
        contact(intake, source="desk", external_id="2", thread="t", body="two"),
    )
    assert [answer.status_code for answer in answers] == [409, 202]
    joined = await intake.contact(source="desk", external_id="3", thread="t", body="three")
    assert joined["case_id"] == answers[1].json()["case_id"]


async def test_one_idempotency_key_twice_is_one_and_another_body_is_refused(intake: Intake) -> None:
    first, again, other = await together(
        intake,
        contact(intake, key="k"),
        contact(intake, key='"k"'),
        contact(intake, key="k", body="other"),
        transactions=3,
    )
    assert again.json() == first.json() | {"duplicate": True}
    assert (other.status_code, other.json()["type"].rsplit("/")[-1]) == (422, "idempotency-key-reused")
    assert first.headers["Idempotency-Expires"] == again.headers["Idempotency-Expires"]
    assert await intake.count("contact") == 1


async def test_who_is_refused_keeps_the_key_free(intake: Intake) -> None:
    await intake.contact(source="desk", external_id="1")
    refused, _ = await together(
        intake, contact(intake, key="k", source="desk", external_id="1", body="other"), contact(intake)
    )
    assert refused.status_code == 409
    assert (await intake.contact(key="k", body="mended"))["opened_case"] is True


async def test_poison_among_many_fails_alone(intake: Intake) -> None:
    def decide(file: Any, command: Any, now: Any) -> Any:
        if command.contact.subject == "poison":
            raise ArithmeticError("a rule that fails")
        return original(file, command, now)

    original = intake.runtime.service.decide
    object.__setattr__(intake.runtime.service, "decide", decide)
    requests = [contact(intake, subject=subject) for subject in ("a", "poison", "b", "c")]
    with capture_logs():
        answers = await together(intake, *requests, transactions=3)
    assert [answer.status_code for answer in answers] == [202, 500, 202, 202]
    assert await intake.count("contact") == 3


async def test_one_message_id_with_other_words_is_quarantined_not_lost(intake: Intake) -> None:
    answers = await together(intake, mail(intake, "1", "one"), mail(intake, "1", "other"), mail(intake, "2", "two"))
    assert [answer.json().get("reason") for answer in answers] == [None, "message_id_reused", None]
    assert (await intake.count("contact"), await intake.count("quarantine")) == (2, 1)


async def test_activities_meet_too(intake: Intake) -> None:
    case_id = (await intake.contact(source="desk", thread="t"))["case_id"]
    answers = await together(
        intake,
        activity(intake, case_id=case_id, external_id="1"),
        activity(intake, source="desk", thread="t", text="by thread"),
        activity(intake, case_id=case_id, external_id="1"),
        activity(intake, case_id=case_id, external_id="1", text="other"),
        activity(intake, source="desk", thread="later"),
    )
    assert [answer.status_code for answer in answers] == [202, 202, 202, 409, 202]
    assert [answer.json().get("duplicate") for answer in answers] == [False, False, True, None, False]
    assert answers[4].json()["waiting"] is True
    assert await intake.count("activity") == 2


async def test_the_same_activity_that_may_not_wait_is_refused_each_time(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "WAITING_OF_THREAD", 0)
    same = {"source": "desk", "thread": "none", "external_id": "1"}
    answers = await together(intake, activity(intake, **same), activity(intake, **same))
    assert [answer.status_code for answer in answers] == [429, 429]


_RUNS = itertools.count()
_CONTACTS = st.fixed_dictionaries(
    {"body": st.sampled_from(["x", "y"])},
    optional={
        "external_id": st.sampled_from(["a", "b"]),
        "thread": st.sampled_from(["t", "u"]),
        "key": st.sampled_from(["k", "l"]),
    },
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_CONTACTS, min_size=2, max_size=8))
async def test_a_group_answers_what_single_commits_would(intake: Intake, contacts: list[dict[str, str]]) -> None:
    run = next(_RUNS)

    def requests(how: str) -> list[httpx.Request]:
        made = []
        for each in contacts:
            key = f"{how} {run} {each['key']}" if "key" in each else None
            rest = {name: value for name, value in each.items() if name != "key"}
            made.append(contact(intake, key=key, source=f"{how} {run}", **rest))
        return made

    single = [await intake.client.send(request) for request in requests("single")]
    # Who is refused leaves its key to the next one; which of two at once is next, nobody says.
    assume(not any(each.status_code == 409 and "key" in given for each, given in zip(single, contacts, strict=True)))
    keys = [each["key"] for each in contacts if "key" in each]
    group = await together(intake, *requests("group"), transactions=max([1, *map(keys.count, keys)]))
    assert _told(group) == _told(single)


def _told(answers: list[httpx.Response]) -> list[JSON]:
    """With ids and numbers by order of their first appearance."""
    seen: dict[str, int] = {}
    told = []
    for answer in answers:
        body = answer.json()
        ids = {name: seen.setdefault(body[name], len(seen)) for name in ("contact_id", "case_id") if name in body}
        rest = {name: body.get(name) for name in ("opened_case", "duplicate", "type")}
        told.append({"status": answer.status_code, **ids, **rest})
    return told
