"""What vendors send, by the examples of their own documentation: each file of tests/data/webhooks names its page."""

import asyncio
import json
from datetime import timedelta
from typing import Any

from prometheus_client import REGISTRY

from tests.unit.intake.conftest import CARD, Intake
from tests.unit.intake.senders import PAYLOADS, Sender, payload


async def happened(intake: Intake, case_id: str) -> list[tuple[str, Any, str]]:
    found = (await intake.get(f"/v1/cases/{case_id}"))["activities"]
    return [(each["kind"], each["actor"], each["text"]) for each in found]


async def test_a_zendesk_ticket_lives_as_a_case(intake: Intake) -> None:
    zendesk = await Sender.of(intake, "zendesk", url="https://acme.zendesk.com/agent/tickets/{thread}")
    contact = await zendesk.contact(payload("zendesk-ticket-created"))
    assert (contact["subject"], contact["body"]) == (
        "Cannot login to mobile app",
        "Customer is experiencing login issues with the mobile app",
    )
    assert (contact["source"], contact["thread"], contact["channel"]) == ("zendesk", "5158", "api")
    assert contact["url"] == "https://acme.zendesk.com/agent/tickets/5158"
    assert (contact["occurred_at"], contact["tags"]) == ("2025-01-08T10:12:07Z", ["mobile", "login"])
    assert contact["customer"]["id"] == "zendesk-8447388090494"
    for name in ("priority-changed", "tags-changed", "comment-added", "status-changed"):
        assert (await zendesk.taken(payload(f"zendesk-{name}")))["outcome"] == "accepted", name
    case = await intake.get(f"/v1/cases/{contact['case_id']}")
    assert case["status"] == "solved"
    assert [each["kind"] for each in case["activities"]] == [
        *("priority_changed", "tags_changed", "agent_replied", "status_changed"),
    ]
    priority, tags, reply, status = case["activities"]
    assert (priority["priority"], tags["tags"], status["status"]) == ("urgent", ["mobile", "vip"], "solved")
    assert (reply["public"], reply["actor"], reply["text"]) == (
        *(True, "Support Agent"),
        "We are investigating this issue and will update you shortly.",
    )


async def test_a_zendesk_customers_comment_is_a_contact_of_the_same_case(intake: Intake) -> None:
    zendesk = await Sender.of(intake, "zendesk")
    first = await zendesk.contact(payload("zendesk-ticket-created"))
    comment = payload("zendesk-comment-added")
    comment["event"]["comment"] |= {
        "body": "Any news?",
        "author": {"id": 8447388090494, "is_staff": False, "name": "A"},
    }
    second = await zendesk.contact(comment)
    assert (second["case_id"], second["body"], second["opened_case"]) == (first["case_id"], "Any news?", False)


async def test_a_zendesk_ticket_told_as_created_and_as_its_first_comment_is_one_contact(intake: Intake) -> None:
    zendesk = await Sender.of(intake, "zendesk")
    created, comment = payload("zendesk-ticket-created"), payload("zendesk-comment-added")
    comment["time"] = created["time"]
    comment["event"]["comment"] |= {"body": created["detail"]["description"]}
    comment["event"]["comment"]["author"] |= {"is_staff": False}
    await zendesk.taken(comment)
    assert (await zendesk.taken(created))["outcome"] == "duplicate"
    comment["event"]["comment"]["author"] |= {"is_staff": True}  # of a ticket that an agent opened: no reply
    assert (await zendesk.taken(comment))["outcome"] == "ignored"
    assert (await intake.count("contact"), await intake.count("activity")) == (1, 0)


async def test_a_private_comment_in_zendesk_is_a_note(intake: Intake) -> None:
    zendesk = await Sender.of(intake, "zendesk")
    contact = await zendesk.contact(payload("zendesk-ticket-created"))
    comment = payload("zendesk-comment-added")
    comment["event"]["comment"]["is_public"] = False
    await zendesk.taken(comment)
    [[kind, _, _]] = await happened(intake, contact["case_id"])
    assert kind == "note_added"
    assert await intake.status(contact["case_id"]) == "new"


TICKET = {
    "id": "88121", "subject": "Payout missing", "url": "https://acme.zendesk.com/agent/tickets/88121", "via": "Mail",
    "status": "Pending", "priority": "Urgent", "tags": "payouts vip",
    "requester": {"id": "7", "email": "A@B.example", "phone": "", "name": "A"},
}  # fmt: skip


async def test_what_a_zendesk_trigger_is_set_up_to_send(intake: Intake) -> None:
    zendesk = await Sender.of(intake, "zendesk")
    contact = await zendesk.contact({"event": "contact", "ticket": TICKET, "comment": "Where is it?"})
    assert (contact["channel"], contact["customer"]["email"], contact["tags"]) == (
        *("email", "a@b.example"),
        ["payouts", "vip"],
    )
    assert contact["url"] == TICKET["url"]
    for kind in ("agent_replied", "note_added", "status_changed", "priority_changed", "tags_changed"):
        await zendesk.taken({"event": kind, "ticket": TICKET, "comment": "x", "actor": "ana"})
    rated = {"event": "satisfaction_rated", "ticket": TICKET, "rating": "Good, I'm satisfied"}
    await zendesk.taken(rated)
    assert (await zendesk.taken(rated))["outcome"] == "duplicate"
    case = await intake.get(f"/v1/cases/{contact['case_id']}")
    assert {each["kind"] for each in case["activities"]} == {
        *("agent_replied", "note_added", "status_changed", "priority_changed", "tags_changed", "satisfaction_rated"),
    }
    assert case["status"] == "pending"


async def test_an_intercom_conversation_lives_as_a_case(intake: Intake) -> None:
    intercom = await Sender.of(intake, "intercom")
    contact = await intercom.contact(payload("intercom-user-created"))
    assert (contact["channel"], contact["body"], contact["thread"]) == ("chat", "I need help!", "18994700881")
    assert contact["customer"] == {
        "id": "9e3b3310-7810-4417-be3d-ab96d7976eac", "email": "a@b.example", "name": "A",
        "phone": None, "tier": None, "country": None,
    }  # fmt: skip
    assert contact["url"] == "https://app.intercom.io/a/apps/hp8y2l1x/conversations/18994700881"
    reply = await intercom.contact(payload("intercom-user-replied"))
    assert (reply["case_id"], reply["body"]) == (contact["case_id"], "Any news?")
    statuses = []
    for name in ("admin-replied", "admin-noted", "admin-snoozed", "admin-closed"):
        await intercom.taken(payload(f"intercom-{name}"))
        statuses.append(await intake.status(contact["case_id"]))
    assert statuses == ["open", "open", "pending", "solved"]
    assert await happened(intake, contact["case_id"]) == [
        ("agent_replied", "Ana", "We look into it."),
        ("note_added", "Ana", "this is a note"),
        ("status_changed", "Ana", ""),
        ("status_changed", "Ana", ""),
    ]


async def test_an_intercom_conversation_of_todays_api(intake: Intake) -> None:
    intercom = await Sender.of(intake, "intercom", url="https://app.intercom.com/a/inbox/x/conversation/{thread}")
    contact = await intercom.contact(payload("intercom-user-created-2"))
    assert (contact["channel"], contact["subject"], contact["body"]) == ("email", "Refund", "Where is it?")
    assert (contact["customer"]["id"], contact["customer"]["email"]) == ("f3b87a2e09d514c6c2e79b9a", "a@b.example")
    assert (contact["tags"], contact["url"][-15:]) == (["Test tag"], "403918330000000")
    await intercom.taken(payload("intercom-rating-added"))
    [rating] = (await intake.get(f"/v1/cases/{contact['case_id']}"))["activities"]
    assert (rating["kind"], rating["score"], rating["scale"], rating["text"]) == ("satisfaction_rated", 5, 5, "Quick!")


async def test_what_an_intercom_robot_says_is_automated_and_words_at_closing_are_a_reply(intake: Intake) -> None:
    intercom = await Sender.of(intake, "intercom")
    contact = await intercom.contact(payload("intercom-user-created"))
    said = payload("intercom-admin-replied")
    said["data"]["item"]["conversation_parts"]["conversation_parts"][0]["author"] = {"type": "bot", "id": "1"}
    await intercom.taken(said)
    assert await intake.status(contact["case_id"]) == "new"
    closed = payload("intercom-admin-closed")
    closed["data"]["item"]["conversation_parts"]["conversation_parts"][0]["body"] = "<p>Done.</p>"
    await intercom.taken(closed)
    kinds = [(kind, text) for kind, _, text in await happened(intake, contact["case_id"])]
    assert sorted(kinds) == [
        *(("agent_replied", "Done."), ("agent_replied", "We look into it."), ("status_changed", "")),
    ]


async def test_a_call_to_twilio_is_a_contact_when_it_is_over(intake: Intake) -> None:
    twilio = await Sender.of(intake, "twilio")
    assert (await twilio.taken(payload("twilio-call-ringing")))["outcome"] == "ignored"
    early = await twilio.taken(payload("twilio-recording"))  # callbacks come in any order
    assert early["activities"][0]["waiting"] is True
    contact = await twilio.contact(payload("twilio-call-completed"))
    assert (contact["channel"], contact["subject"]) == ("phone", "Call from +14017122661 (42 s)")
    assert (contact["customer"]["phone"], contact["customer"]["country"]) == ("+14017122661", "US")
    assert contact["occurred_at"] == "2026-11-22T07:03:00Z"
    assert contact["attributes"]["call_seconds"] == 42
    await twilio.taken(payload("twilio-leg-completed"))
    await twilio.taken(payload("twilio-transcription"))
    found = await happened(intake, contact["case_id"])
    assert [kind for kind, _, _ in found] == ["note_added", "agent_replied", "note_added"]
    assert "https://api.twilio.com" in found[0][2]
    assert "call me back" in found[2][2]
    assert await intake.status(contact["case_id"]) == "open"


async def test_a_missed_call_to_twilio_is_a_contact_and_a_withheld_number_is_no_customer(intake: Intake) -> None:
    twilio = await Sender.of(intake, "twilio")
    contact = await twilio.contact(payload("twilio-call-no-answer") | {"From": "+266696687"})
    assert contact["subject"] == "Missed call from an unknown number (under 1 s)"
    assert contact["customer"]["phone"] is None
    assert contact["attributes"]["call_outcome"] == "missed"


async def test_a_repeated_delivery_changes_nothing_though_its_envelope_differs(intake: Intake) -> None:
    senders = {kind: await Sender.of(intake, kind) for kind in ("zendesk", "intercom", "twilio")}
    accepted = 0
    for name in sorted(path.stem for path in PAYLOADS.glob("*.json")):
        said, sender = payload(name), senders[name.partition("-")[0]]
        first = await sender.taken(said)
        accepted += len(first["contacts"]) + len(first["activities"])
        intake.clock.advance(timedelta(minutes=1))
        if "delivery_attempts" in said:
            said |= {"delivery_attempts": 2}
        again = await sender.taken(said)
        assert again["outcome"] == ("ignored" if first["outcome"] == "ignored" else "duplicate"), name
    counts = [await intake.count(table) for table in ("contact", "activity", "waiting_activity", "quarantine")]
    assert (sum(counts), counts[3]) == (accepted, 0)


async def test_vendors_events_in_any_order_and_at_once_give_the_same_case(
    replicas: tuple[Intake, Intake],
) -> None:
    one, other = replicas
    zendesk = await Sender.of(one, "zendesk")
    names = ("status-changed", "comment-added", "tags-changed", "ticket-created", "priority-changed")
    answers = await asyncio.gather(
        *(zendesk.send(payload(f"zendesk-{name}"), client=each.client) for name in names for each in (one, other, one))
    )
    assert [answer.status_code for answer in answers] == [202] * 15
    assert (await one.count("contact"), await one.count("activity"), await one.count("waiting_activity")) == (1, 4, 0)
    [case] = (await one.get("/v1/cases"))["items"]
    assert case["status"] == "solved"


UNKNOWN: list[tuple[str, dict[str, Any]]] = [
    ("zendesk", payload("zendesk-custom-status-changed")),
    ("zendesk", {"type": "zen:event-type:user.created", "detail": {}}),
    ("zendesk", {"type": "zen:event-type:ticket.merged"}),
    ("zendesk", {}),
    ("zendesk", {"event": "something else", "ticket": {}}),
    ("intercom", payload("intercom-ping")),
    ("intercom", {"topic": "user.created"}),
    ("twilio", {"MessageSid": "SM1", "Body": "a text message"}),
    ("twilio", payload("twilio-leg-completed") | {"ParentCallSid": ""}),
    ("standard", {"type": "invoice.paid", "data": {}}),
]


async def test_an_unknown_event_is_ignored_and_counted(intake: Intake) -> None:
    senders = {kind: await Sender.of(intake, kind) for kind, _ in UNKNOWN}
    for kind, body in UNKNOWN:
        before = ignored(kind)
        assert (await senders[kind].taken(body))["outcome"] == "ignored"
        assert ignored(kind) == before + 1
    assert await intake.count("quarantine") == 0


def ignored(source: str) -> float:
    labels = {"source": source, "outcome": "ignored"}
    return REGISTRY.get_sample_value("tocsin_webhooks_total", labels) or 0.0


UNREADABLE: list[tuple[str, Any, str]] = [
    ("zendesk", {"type": "zen:event-type:ticket.created", "detail": []}, "id is missing"),
    ("zendesk", {"type": "zen:event-type:ticket.comment_added", "detail": {"id": 1}}, "is_staff"),
    ("zendesk", {"type": "zen:event-type:ticket.status_changed", "detail": {"id": 1}, "event": {}}, "current"),
    ("zendesk", {"event": "status_changed", "ticket": {"id": 1, "status": "?"}}, "needs status"),
    ("intercom", {"topic": "conversation.user.replied", "data": {"item": {"id": "1"}}}, "conversation_parts"),
    ("intercom", {"topic": "conversation.rating.added", "data": {"item": {"id": "1"}}}, "rating"),
    ("twilio", {"CallStatus": "completed", "Direction": "inbound"}, "CallSid"),
    ("twilio", {"CallStatus": "exploded", "CallSid": "CA1"}, "CallStatus"),
    ("standard", {"type": "contact", "data": {"occurred_at": "yesterday", "subject": "x"}}, "occurred_at"),
    ("standard", {"type": "activity", "data": {"kind": "note_added"}}, "case_id"),
    ("phone", {"id": "1", "outcome": "missed"}, "started_at"),
    (
        "phone",
        {"id": "1", "outcome": "missed", "direction": "outbound", "started_at": "2026-11-23T11:00:00Z"},
        "thread",
    ),
    ("chat", {"id": "1", "messages": []}, "messages"),
    ("web", [], "no JSON object"),
]


async def test_a_known_event_that_cannot_be_read_is_kept_and_never_lost(intake: Intake) -> None:
    senders = {kind: await Sender.of(intake, kind) for kind, *_ in UNREADABLE}
    for kind, body, told in UNREADABLE:
        answer = await senders[kind].taken(body)
        assert answer["outcome"] == "quarantined", kind
        assert told in answer["detail"]
        held = await intake.get(f"/v1/quarantine/{answer['quarantine_id']}")
        assert (held["source"], held["state"], held["size"] > 0) == (kind, "open", True)
        assert json.loads(held["raw"]) == body


async def test_what_is_quarantined_of_a_webhook_has_no_card_number(intake: Intake) -> None:
    zendesk = await Sender.of(intake, "zendesk")
    escaped = CARD.replace("4", "\\u0034").encode()
    for body in (
        b'{"type": "zen:event-type:ticket.created", "detail": {"description": "%s"}}' % CARD.encode(),
        b'{"type": "zen:event-type:ticket.created", "detail": {"description": "%s"}}' % escaped,
        b'{"type": "zen:event-type:ticket.created", "description": "%s"' % escaped,
        b"%s no JSON" % CARD.encode(),
    ):
        assert (await zendesk.taken(body))["outcome"] == "quarantined"
    stored = await intake.everything_stored()
    assert "4111 1111 1111 1111" not in stored
    assert "u0034111" not in stored
    assert await intake.count("quarantine") == 4


async def test_what_is_quarantined_of_a_webhook_goes_with_its_customer(intake: Intake) -> None:
    zendesk, twilio = await Sender.of(intake, "zendesk"), await Sender.of(intake, "twilio")
    unread = {"event": "status_changed", "ticket": TICKET | {"status": "?"}}
    await zendesk.taken(unread)
    await twilio.taken({"CallStatus": "exploded", "CallSid": "CA1", "From": "+14017122661"})
    for name in ("a@b.example", "+14017122661"):
        erased = await intake.client.delete(f"/v1/customers/{name}")
        assert (erased.status_code, erased.json()["quarantined"]) == (200, 1), erased.text
    assert "a@b.example" not in (await intake.everything_stored()).lower()
