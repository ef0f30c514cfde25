"""Calls, chats and forms: posted with an API key, or sent as signed webhooks, they are the same."""

from typing import Any
from urllib.parse import urlencode

import pytest

from tests.unit.intake.conftest import Intake
from tests.unit.intake.senders import FORM, Sender, standard_headers

CALL = {
    "id": "call-1", "source": "pbx", "outcome": "answered", "started_at": "2026-11-23T11:00:00Z",
    "answered_at": "2026-11-23T11:00:20Z", "duration": "PT3M20S", "from": "+353 1 234 5678", "to": "+353 1 800 0000",
    "agent": "ana", "transcript": "Where is my payout?", "notes": "Promised to look.",
    "recording_url": "https://pbx.example/1",
}  # fmt: skip


async def case_of(intake: Intake, answer: dict[str, Any]) -> dict[str, Any]:
    return await intake.get(f"/v1/cases/{answer['contacts'][0]['case_id']}")


async def test_an_answered_call_is_a_contact_that_was_replied_to_at_once(intake: Intake) -> None:
    answer = await intake.post("/v1/contacts/phone", CALL)
    case = await case_of(intake, answer)
    [contact], [reply] = case["contacts"], case["activities"]
    assert (contact["channel"], contact["subject"]) == ("phone", "Call from +353 1 234 5678 (3 min 20 s)")
    assert contact["body"] == "Where is my payout?\n\nPromised to look."
    assert contact["customer"]["phone"] == "+35312345678"
    assert contact["attributes"] == {
        "call_outcome": "answered", "call_to": "+353 1 800 0000", "call_seconds": 200,
        "call_recording": "https://pbx.example/1",
    }  # fmt: skip
    assert (reply["kind"], reply["public"], reply["actor"]) == ("agent_replied", True, "ana")
    assert reply["occurred_at"] == "2026-11-23T11:00:20Z"
    assert case["status"] == "open"
    assert (await intake.post("/v1/contacts/phone", CALL))["outcome"] == "duplicate"
    problem = await intake.post("/v1/contacts/phone", CALL | {"transcript": "Something else"}, 409)
    assert "came before with other content" in problem["detail"]


@pytest.mark.parametrize("outcome", ["missed", "voicemail", "busy", "failed"])
async def test_a_call_that_nobody_answered_is_a_contact_that_waits(intake: Intake, outcome: str) -> None:
    answer = await intake.post("/v1/contacts/phone", CALL | {"outcome": outcome})
    case = await case_of(intake, answer)
    assert (case["status"], case["activities"], case["contacts_total"]) == ("new", [], 1)
    assert case["subject"] != "Call from +353 1 234 5678 (3 min 20 s)"


async def test_an_outbound_call_is_a_reply_where_it_was_answered_and_a_note_where_not(intake: Intake) -> None:
    case = await intake.contact(source="pbx", thread="t")
    out = {key: CALL[key] for key in ("source", "outcome", "started_at", "to", "agent")} | {"direction": "outbound"}
    early = out | {"started_at": "2026-11-23T10:00:00Z"}
    await intake.post("/v1/contacts/phone", early | {"id": "1", "outcome": "missed", "thread": "t"})
    assert await intake.status(case["case_id"]) == "new"
    await intake.post("/v1/contacts/phone", out | {"id": "2", "case_id": case["case_id"], "notes": "Told her."})
    attempt, reply = (await intake.get(f"/v1/cases/{case['case_id']}"))["activities"]
    assert (attempt["kind"], attempt["text"]) == ("note_added", "Called +353 1 800 0000: no answer.")
    assert (reply["kind"], reply["public"], reply["text"]) == ("agent_replied", True, "Told her.")
    assert await intake.status(case["case_id"]) == "open"
    assert "give its thread" in str(await intake.post("/v1/contacts/phone", out | {"id": "3"}, 422))
    unknown = "00000000-0000-0000-0000-000000000001"
    await intake.post("/v1/contacts/phone", out | {"id": "4", "case_id": unknown}, 404)


def said(number: int, by: str, text: str, **more: Any) -> dict[str, Any]:
    return {"id": str(number), "from": by, "at": f"2026-11-23T11:00:{number:02d}Z", "text": text, **more}


CHAT = {
    "id": "chat-1", "source": "chat", "customer": {"email": "a@b.example"},
    "messages": [
        said(1, "bot", "Hello, how can I help?"),
        said(2, "customer", "Hi", name="A"),
        said(3, "customer", "My payout is missing"),
        said(4, "agent", "I look into it.", name="ana"),
        said(5, "customer", "Thanks"),
    ],
}  # fmt: skip


async def test_a_chat_is_one_contact_and_everything_after_its_opening_an_activity(intake: Intake) -> None:
    case = await case_of(intake, await intake.post("/v1/contacts/chat", CHAT))
    [contact] = case["contacts"]
    assert (contact["channel"], contact["subject"], contact["body"]) == ("chat", "Hi", "Hi\nMy payout is missing")
    assert (contact["customer"]["email"], contact["customer"]["name"]) == ("a@b.example", "A")
    assert [(each["kind"], each["automated"], each["text"]) for each in case["activities"]] == [
        ("agent_replied", True, "Hello, how can I help?"),
        ("customer_replied", False, "My payout is missing"),
        ("agent_replied", False, "I look into it."),
        ("customer_replied", False, "Thanks"),
    ]


async def test_a_transcript_that_grows_adds_only_what_is_new(intake: Intake) -> None:
    whole: list[dict[str, Any]] = [*CHAT["messages"], said(6, "note", "She is a VIP"), said(7, "customer", "Hello?")]
    for upto in (2, 3, 3, 5, 7, 7):
        await intake.post("/v1/contacts/chat", CHAT | {"messages": whole[:upto], "subject": "Payout"})
    assert (await intake.count("contact"), await intake.count("activity")) == (1, 6)


async def test_what_is_new_in_a_chat_may_be_sent_alone_and_joins_its_case(intake: Intake) -> None:
    opened = await intake.post("/v1/contacts/chat", CHAT)
    for message in (said(6, "customer", "Hello?"), said(7, "agent", "Found it."), said(8, "customer", "Thanks!")):
        answer = await intake.post("/v1/contacts/chat", CHAT | {"messages": [message]})
        assert {each["case_id"] for each in (*answer["contacts"], *answer["activities"])} == {
            opened["contacts"][0]["case_id"]
        }
    assert (await intake.count("contact"), await intake.count("activity")) == (3, 5)


async def test_messages_without_ids_are_known_by_time_sender_and_words(intake: Intake) -> None:
    bare = [{key: each[key] for key in ("from", "at", "text")} for each in CHAT["messages"]]
    for upto in (4, 5, 5):
        await intake.post("/v1/contacts/chat", CHAT | {"messages": bare[:upto]})
    assert (await intake.count("contact"), await intake.count("activity")) == (1, 4)


SUBMITTED = {
    "id": "s1", "source": "site", "form": "contact-us", "url": "https://www.example.com/contact",
    "fields": {
        "Your name": "A", "E-mail": "A@B.example", "Subject": "Payout missing", "Message": "Since Friday.",
        "Order number": 10442, "Newsletter": False, "Products": ["cards", "payouts"], "Empty": "",
    },
}  # fmt: skip


async def test_the_fields_of_a_form_become_contact_and_attributes(intake: Intake) -> None:
    [contact] = (await case_of(intake, await intake.post("/v1/contacts/web", SUBMITTED)))["contacts"]
    assert (contact["channel"], contact["subject"], contact["body"]) == ("web", "Payout missing", "Since Friday.")
    assert (contact["customer"]["email"], contact["customer"]["name"]) == ("a@b.example", "A")
    assert contact["attributes"] == {
        "Order number": 10442, "Newsletter": False, "Products": "cards, payouts", "form": "contact-us",
        "form_url": "https://www.example.com/contact",
    }  # fmt: skip
    assert (await intake.post("/v1/contacts/web", SUBMITTED))["outcome"] == "duplicate"


async def test_a_source_says_what_a_forms_fields_are(intake: Intake) -> None:
    await Sender.of(intake, "web", fields={"body": "field_12", "email": "field_3"}, tags=["form"])
    fields = {"field_12": "Hello", "field_3": "a@b.example", "message": "not this", "name": "A"}
    answer = await intake.post("/v1/contacts/web", {"source": "web", "fields": fields})
    [contact] = (await case_of(intake, answer))["contacts"]
    assert (contact["body"], contact["customer"]["email"]) == ("Hello", "a@b.example")
    assert (contact["attributes"], contact["tags"]) == ({"message": "not this"}, ["form"])


async def test_what_does_not_fit_in_attributes_is_in_the_body(intake: Intake) -> None:
    fields = {f"field {n}": "x" * 1_000 for n in range(60)} | {"message": "Hello", "long": "y" * 3_000}
    answer = await intake.post("/v1/contacts/web", {"fields": fields})
    [contact] = (await case_of(intake, answer))["contacts"]
    kept, body = contact["attributes"], contact["body"]
    assert len(kept) == 16
    assert [name for name in fields if name not in kept and name != "message" and f"{name}: " not in body] == []


async def test_a_page_may_post_its_form_as_it_is(intake: Intake) -> None:
    sender = await Sender.of(intake, "web")
    flat = await sender.contact({"email": "a@b.example", "message": "Hello", "plan": "pro"})
    assert (flat["body"], flat["attributes"]) == ("Hello", {"plan": "pro"})
    body = urlencode([("e-mail", "a@b.example"), ("message", "Héllo"), ("of", "1"), ("of", "2")]).encode()
    headers = standard_headers(body, intake.clock.now(), "msg_form") | {"Content-Type": FORM, "Authorization": ""}
    answer = await intake.client.post("/v1/hooks/web", content=body, headers=headers)
    form = await intake.get(f"/v1/contacts/{answer.json()['contacts'][0]['contact_id']}")
    assert (form["body"], form["attributes"], form["external_id"]) == ("Héllo", {"of": "1, 2"}, "msg_form")


async def test_a_document_is_the_same_as_a_webhook_and_by_api_key(intake: Intake) -> None:
    for kind, document in (("phone", CALL), ("chat", CHAT), ("web", SUBMITTED)):
        sender = await Sender.of(intake, kind)
        hooked = await sender.taken(document | {"more": "than we know"})
        posted = await intake.post(f"/v1/contacts/{kind}", document | {"source": kind})
        assert (hooked["outcome"], posted["outcome"]) == ("accepted", "duplicate")


async def test_a_document_with_a_wrong_field_is_refused(intake: Intake) -> None:
    for kind, document in (("phone", CALL), ("chat", CHAT), ("web", SUBMITTED)):
        assert "nonsense" in str(await intake.post(f"/v1/contacts/{kind}", document | {"nonsense": 1}, 422))
        await intake.post(f"/v1/contacts/{kind}", document, 401, headers={"Authorization": ""})
    assert await intake.count("contact") == 0
