"""The same again is one: whoever repeats, however often, from however many clients at once."""

import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from tests.e2e import scene
from tests.e2e.client import JSON, Client

CLIENTS = 12


def unique(prefix: str) -> str:
    return f"{prefix}-{secrets.token_hex(6)}"


def at_once(tocsin: Client, body: JSON, headers: list[dict[str, str]]) -> list[httpx.Response]:
    with ThreadPoolExecutor(len(headers)) as many:
        return list(many.map(lambda h: tocsin.send("POST", "/v1/contacts", json=body, headers=h), headers))


def the_one(answers: list[httpx.Response]) -> JSON:
    """All were answered 202 with the same contact, and only the first made it."""
    assert {answer.status_code for answer in answers} == {202}, [answer.text for answer in answers]
    bodies = [answer.json() for answer in answers]
    assert len({(each["contact_id"], each["case_id"], each["case_number"]) for each in bodies}) == 1
    assert [each.get("duplicate", False) for each in bodies].count(False) == 1
    return bodies[0]


def contacts_of(tocsin: Client, case_id: str) -> list[JSON]:
    found: list[JSON] = tocsin.get(f"/v1/cases/{case_id}")["contacts"]
    return found


def test_a_contact_posted_by_many_clients_at_once_is_one_contact(tocsin: Client) -> None:
    body = scene.question(source="zendesk-eu", external_id=unique("ext"), thread=unique("thread"))
    posted = the_one(at_once(tocsin, body, [{}] * CLIENTS))
    assert len(contacts_of(tocsin, posted["case_id"])) == 1


def test_an_idempotency_key_means_the_same_with_and_without_quotes(tocsin: Client) -> None:
    key = unique("key")
    headers = [{"Idempotency-Key": value} for value in (key, f'"{key}"') * (CLIENTS // 2)]
    posted = the_one(at_once(tocsin, scene.question(body=key), headers))
    assert len(contacts_of(tocsin, posted["case_id"])) == 1


def test_an_idempotency_key_with_another_body_is_refused(tocsin: Client) -> None:
    headers = {"Idempotency-Key": unique("key")}
    tocsin.call("POST", "/v1/contacts", 202, json=scene.question(), headers=headers)
    problem = tocsin.call("POST", "/v1/contacts", 422, json=scene.question(subject="Another"), headers=headers)
    assert "Idempotency-Key" in problem["detail"]


def test_an_external_id_with_another_body_is_refused(tocsin: Client) -> None:
    name = {"source": "zendesk-eu", "external_id": unique("ext")}
    first = tocsin.post("/v1/contacts", scene.question(**name))
    problem = tocsin.call("POST", "/v1/contacts", 409, json=scene.question(subject="Another", **name))
    assert name["external_id"] in problem["detail"]
    assert len(contacts_of(tocsin, first["case_id"])) == 1


def test_first_contacts_of_one_thread_posted_at_once_open_one_case(tocsin: Client) -> None:
    source, thread = "zendesk-eu", unique("thread")

    def post(number: int) -> Any:
        return tocsin.post(
            "/v1/contacts", scene.question(source=source, thread=thread, external_id=f"{thread}-{number}")
        )

    with ThreadPoolExecutor(CLIENTS) as many:
        posted = list(many.map(post, range(CLIENTS)))
    assert len({each["case_id"] for each in posted}) == 1
    assert [each["opened_case"] for each in posted].count(True) == 1
    assert len(contacts_of(tocsin, posted[0]["case_id"])) == CLIENTS


def test_a_reply_recorded_twice_is_one_activity(tocsin: Client) -> None:
    case_id = tocsin.post("/v1/contacts", scene.question())["case_id"]
    reply = scene.replied(case_id, external_id=unique("reply"))
    with ThreadPoolExecutor(CLIENTS) as many:
        answers = list(many.map(lambda _: tocsin.post("/v1/activities", reply), range(CLIENTS)))
    assert len({each["activity_id"] for each in answers}) == 1
    assert len(tocsin.get(f"/v1/cases/{case_id}")["activities"]) == 1
