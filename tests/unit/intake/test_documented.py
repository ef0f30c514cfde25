"""Each vendor's own documented examples, as printed: every file in tests/data/webhooks/documented names its page.

What no vendor prints whole: Zendesk's other ticket events (their pages list the properties; ``test_vendors`` has one of
each), Intercom's notification of a conversation (it prints the notification, the conversation and its parts apart; they
are put together here), and Twilio's callbacks (it prints tables of parameters; ``test_vendors`` has one of each).
"""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from services.intake.channels import signatures
from services.intake.channels.hook import Delivery
from tests.unit.intake.conftest import NOON, Intake
from tests.unit.intake.senders import PAYLOADS, Sender, payload

DOCUMENTED = sorted(path.stem for path in (PAYLOADS / "documented").glob("*.json"))
# https://www.twilio.com/docs/usage/webhooks/voice-webhooks and …/voice/api/recording#recordingstatuscallback
CALL = (
    *("CallSid", "AccountSid", "From", "To", "CallStatus", "ApiVersion", "Direction", "ForwardedFrom", "CallerName"),
    *("ParentCallSid", "FromCity", "FromState", "FromZip", "FromCountry", "ToCity", "ToState", "ToZip", "ToCountry"),
    *("CallDuration", "Duration", "SipResponseCode", "RecordingUrl", "RecordingSid", "RecordingDuration"),
    *("Timestamp", "CallbackSource", "SequenceNumber"),
)
RECORDING = (
    *("RecordingSource", "RecordingTrack", "RecordingSid", "RecordingUrl", "RecordingStatus", "RecordingChannels"),
    *("ErrorCode", "CallSid", "RecordingStartTime", "AccountSid", "RecordingDuration"),
)


def printed(name: str) -> Any:
    return payload(f"documented/{name}")


def notified(topic: str, item: dict[str, Any]) -> dict[str, Any]:
    """Intercom's notification around what it is about."""
    notification = printed("intercom-notification")
    return {**notification, "topic": topic, "data": {"item": item}}


def with_part(part: dict[str, Any]) -> dict[str, Any]:
    return printed("intercom-conversation-2.0") | {
        "conversation_parts": {"type": "conversation_part.list", "conversation_parts": [part], "total_count": 1}
    }


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_example_says_where_it_is_printed(name: str) -> None:
    found = json.loads((PAYLOADS / "documented" / f"{name}.json").read_text())
    assert found["source"].startswith("https://")
    assert found["note"]


def test_the_worked_example_of_twilios_security_page() -> None:
    """https://www.twilio.com/docs/usage/security#validating-requests"""
    body = b"CallSid=CA1234567890ABCDE&Caller=%2B14158675310&Digits=1234&From=%2B14158675310&To=%2B18005551212"
    url = "https://example.com/myapp.php?foo=1&bar=2"
    headers = {"x-twilio-signature": "L/OH5YylLD5NRKLltdqwSvS0BnU="}
    assert signatures.twilio(["12345"], Delivery(url, headers, body), NOON) is None
    assert signatures.twilio(["12345"], Delivery(url + "&baz=3", headers, body), NOON) is not None


def test_the_formula_of_zendesks_verifying_page() -> None:
    """https://developer.zendesk.com/documentation/webhooks/verifying/

    It prints its test secret and the formula, base64(HMACSHA256(TIMESTAMP + BODY)), and no signature: this one is
    openssl's. An earlier page, …/event-connectors/webhooks/verifying/, prints one over BODY, then TIMESTAMP:
    Zendesk has turned the two around since, so it must fit no more.
    """
    signature, stated = "x-zendesk-webhook-signature", "x-zendesk-webhook-signature-timestamp"
    secret, at = "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==", datetime(2021, 3, 25, 5, 9, 27, tzinfo=UTC)
    headers = {signature: "S/RDdU2ERmj7LHDDoWJ2onPYH+t7/f2+LTM4dL7UiLM=", stated: "2021-03-25T05:09:27Z"}
    body = b'{"event":"ticket.updated","id":123}'
    assert signatures.zendesk([secret], Delivery("", headers, body), at) is None
    assert signatures.zendesk([secret], Delivery("", headers, body + b" "), at) is not None
    old, old_at = "HRkRd4BeOAoUkfZr-mhauJT64rvBASlJRoIyPsd3zeA=", datetime(2021, 7, 25, 10, 0, tzinfo=UTC)
    headers = {signature: "tRDSF7URY8BLCDlaBcQ7FHu051Zk+aAB0NKMP53teMw=", stated: "2021-07-25T10:00:00Z"}
    assert signatures.zendesk([old], Delivery("", headers, b'{"say": "hello"}'), old_at) is not None


async def test_zendesks_ticket_created(intake: Intake) -> None:
    zendesk = await Sender.of(intake, "zendesk")
    contact = await zendesk.contact(printed("zendesk-ticket-created"))
    assert (contact["subject"], contact["body"]) == ("ticketinfo_2294a6e9ece2", "ticket_info_desc_2294a6e9ece2")
    assert (contact["thread"], contact["tags"], contact["channel"]) == ("5158", ["ticket-info-test-tag"], "api")
    assert (contact["occurred_at"], contact["customer"]["id"]) == ("2025-01-08T10:12:07Z", "zendesk-8447388090494")


async def test_intercoms_notification_of_a_company_is_ignored(intake: Intake) -> None:
    intercom = await Sender.of(intake, "intercom")
    assert (await intercom.taken(printed("intercom-notification")))["outcome"] == "ignored"


async def test_intercoms_conversation_its_customers_reply_and_its_admins(intake: Intake) -> None:
    intercom = await Sender.of(intake, "intercom")
    opened = await intercom.contact(notified("conversation.user.created", printed("intercom-conversation-2.0")))
    assert (opened["channel"], opened["body"], opened["thread"]) == ("chat", "Hi", "1911149811")
    assert (opened["occurred_at"], opened["opened_case"]) == ("2018-10-18T21:13:18Z", True)
    assert opened["customer"]["id"] == "intercom-5bc8f7ae2d96695c18a"  # Intercom's own: no other system has it
    replied = notified("conversation.user.replied", with_part(printed("intercom-part-of-a-user")))
    reply = await intercom.contact(replied)
    assert (reply["case_id"], reply["body"]) == (opened["case_id"], "Hi Jane, it's all great thanks!")
    answer = notified("conversation.admin.replied", with_part(printed("intercom-part-of-an-admin")))
    assert (await intercom.taken(answer))["outcome"] == "accepted"
    [said] = (await intake.get(f"/v1/cases/{opened['case_id']}"))["activities"]
    assert (said["kind"], said["actor"], said["text"]) == ("agent_replied", "Operator", "Okay!")
    assert (said["public"], said["automated"]) == (True, False)


async def test_intercoms_conversation_of_the_first_api_and_its_robot(intake: Intake) -> None:
    intercom = await Sender.of(intake, "intercom")
    item = printed("intercom-conversation-1.1")
    opened = await intercom.contact(notified("conversation.user.created", item))
    assert (opened["body"], opened["customer"]["id"]) == ("Hi", "intercom-5bc8f7421ffae2d96695c18a")
    await intercom.taken(notified("conversation.admin.replied", item))
    [said] = (await intake.get(f"/v1/cases/{opened['case_id']}"))["activities"]
    assert (said["automated"], said["text"]) == (True, "Test_App typically replies in a few hours.")
    assert await intake.status(opened["case_id"]) == "new"


async def test_intercoms_plain_text_of_todays_api_keeps_its_lines(intake: Intake) -> None:
    """https://developers.intercom.com/docs/references/2.15/rest-api/api.intercom.io/models/conversation_part"""
    intercom = await Sender.of(intake, "intercom")
    part = printed("intercom-part-of-a-user") | {"body": "Thanks!\n\n1 < 2 && 2 > 1\nJane"}
    contact = await intercom.contact(notified("conversation.user.replied", with_part(part)))
    assert contact["body"] == "Thanks!\n\n1 < 2 && 2 > 1\nJane"


async def test_twilios_callbacks_with_every_parameter_of_its_tables(intake: Intake) -> None:
    twilio = await Sender.of(intake, "twilio")
    call = dict.fromkeys(CALL, "x") | payload("twilio-call-completed") | {"ParentCallSid": "", "ForwardedFrom": ""}
    recording = dict.fromkeys(RECORDING, "0") | payload("twilio-recording") | {"CallSid": call["CallSid"]}
    contact = await twilio.contact(call)
    assert (contact["subject"], contact["attributes"]["call_seconds"]) == ("Call from +14017122661 (42 s)", 42)
    assert (await twilio.taken(recording))["outcome"] == "accepted"
    [note] = (await intake.get(f"/v1/cases/{contact['case_id']}"))["activities"]
    assert (note["kind"], note["text"]) == ("note_added", f"Recording: {recording['RecordingUrl']}")
