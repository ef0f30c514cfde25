"""Webhooks are trusted by their signature alone; sources are configured, and their secrets never shown."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.intake import channels
from services.intake.channels import signatures
from services.intake.channels.adapter import Received
from services.intake.channels.hook import Delivery, Draft, Hook, Ignored
from services.intake.channels.shape import contact, keepable, whose
from services.intake.model.posted import NewContact
from services.intake.model.sources import SourceSpec
from shared import http
from shared.contracts.words import Channel
from tests.unit.intake.conftest import CARD, NOON, Intake
from tests.unit.intake.senders import (
    FORM,
    KEY,
    PAYLOADS,
    PLAIN,
    WHSEC,
    Sender,
    intercom_headers,
    payload,
    standard_headers,
    twilio_headers,
    zendesk_headers,
)

HELLO = {"type": "contact", "data": {"subject": "Payout missing"}}
URL = "https://mycompany.com/myapp.php?foo=1&bar=2"


def test_the_signature_of_twilios_own_documentation() -> None:
    """From its helper library: http://twilio-php-atbaker.readthedocs.io/en/latest/usage/validation.html"""
    body = b"CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212"
    headers = {"x-twilio-signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8="}
    assert signatures.twilio(["12345"], Delivery(URL, headers, body), NOON) is None
    assert signatures.twilio(["12345"], Delivery(URL, headers, body + b"&x=1"), NOON) is not None
    assert signatures.twilio(["other"], Delivery(URL, headers, body), NOON) is not None


def test_the_signature_of_the_standards_own_documentation() -> None:
    """https://github.com/standard-webhooks/standard-webhooks/blob/main/libraries/python/tests/test_webhooks.py"""
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    delivery = Delivery("", headers, b'{"test": 2432232314}')
    secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
    assert signatures.standard(secrets, delivery, datetime.fromtimestamp(1614265330, UTC)) is None


def test_a_port_that_goes_without_saying_may_be_said() -> None:
    for url in ("https://a.example/v1/hooks/x", "https://a.example:443/v1/hooks/x"):
        for called in ("https://a.example/v1/hooks/x", "https://a.example:443/v1/hooks/x"):
            headers = {name.lower(): value for name, value in twilio_headers(called, {"A": "1"}).items()}
            assert signatures.twilio([PLAIN], Delivery(url, headers, b"A=1"), NOON) is None


SIGNED = {
    "standard": lambda body, at: standard_headers(body, at),
    "zendesk": lambda body, at: zendesk_headers(body, at),
    "intercom": lambda body, at: intercom_headers(body),
}


@pytest.mark.parametrize("kind", SIGNED)
def test_a_signature_fits_one_body_one_secret_and_its_time(kind: str) -> None:
    hook, body = channels.HOOKS[kind], b'{"a": "\xc3\xa9"}'
    secret = WHSEC if kind == "standard" else PLAIN
    headers = {name.lower(): value for name, value in SIGNED[kind](body, NOON).items()}
    delivery = Delivery("", headers, body)
    assert hook.verify([secret], delivery, NOON) is None
    assert hook.verify(["whsec_" + "b" * 44, secret], delivery, NOON) is None  # while secrets change
    assert hook.verify(["whsec_" + "b" * 44], delivery, NOON) is not None
    assert hook.verify([], delivery, NOON) is not None
    assert hook.verify([secret], replace(delivery, body=body + b" "), NOON) is not None
    for name in headers:
        told = hook.verify([secret], replace(delivery, headers={k: v for k, v in headers.items() if k != name}), NOON)
        assert told is not None
        assert name in told
        assert hook.verify([secret], replace(delivery, headers=headers | {name: "x"}), NOON) is not None
    if kind != "intercom":  # which signs no time
        near, far = signatures.TOLERANCE, signatures.TOLERANCE + timedelta(seconds=1)
        for away in (near, -near):
            assert hook.verify([secret], delivery, NOON + away) is None
        for away in (far, -far):
            assert "away from" in str(hook.verify([secret], delivery, NOON + away))


@given(st.dictionaries(st.sampled_from(
    ["webhook-id", "webhook-timestamp", "webhook-signature", "x-hub-signature", "x-twilio-signature",
     "x-zendesk-webhook-signature", "x-zendesk-webhook-signature-timestamp"]),
    st.text() | st.just("v1,") | st.just("9" * 500) | st.just("0001-01-01T00:00:00+23:59")), st.binary())  # fmt: skip
def test_any_headers_are_judged_and_none_passes(headers: dict[str, str], body: bytes) -> None:
    for kind, hook in channels.HOOKS.items():
        secret = PLAIN if kind in ("zendesk", "intercom", "twilio") else WHSEC
        assert isinstance(hook.verify([secret], Delivery(URL, headers, body), NOON), str)


async def test_what_is_not_signed_or_signed_wrong_is_refused_and_told_what_to_do(intake: Intake) -> None:
    await Sender.of(intake, "standard")
    body = json.dumps(HELLO).encode()
    good = standard_headers(body, NOON)
    old = standard_headers(body, NOON - timedelta(minutes=6))
    for headers in ({}, standard_headers(body, NOON, key=b"x" * 32), old, good | {"webhook-id": "msg_2"}):
        answer = await intake.client.post("/v1/hooks/standard", content=body, headers=headers)  # an API key is no help
        assert answer.status_code == 401
        assert "ign" in answer.json()["detail"]
    assert await intake.count("contact") == 0
    answer = await intake.client.post("/v1/hooks/standard", content=body, headers=good | {"Authorization": ""})
    assert answer.status_code == 202
    assert (await intake.client.post("/v1/hooks/nobody", content=body, headers=good)).status_code == 404


async def test_a_source_that_sends_too_much_is_told_to_wait_before_its_signature_is_looked_at(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    flooded, other = await Sender.of(intake, "zendesk"), await Sender.of(intake, "standard")
    with monkeypatch.context() as patched:
        patched.setattr(http._Rate, "take", lambda _rate, whose: whose != ("hooks", "zendesk"))
        patched.setattr(signatures, "_any_equal", lambda *_: pytest.fail("a signature was looked at"))
        answer = await flooded.send(HELLO)
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
    assert (await other.send(HELLO)).status_code == 202


async def test_too_much_to_nowhere_is_told_to_wait_too(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http._Rate, "take", lambda _rate, whose: whose != "hooks")
    assert (await intake.client.post("/v1/hooks/nowhere", json={})).status_code == 429


async def test_a_body_that_is_too_large_is_refused_unread(intake: Intake) -> None:
    zendesk = await Sender.of(intake, "zendesk")
    answer = await zendesk.send(b"x" * (intake.runtime.settings.body_limit + 1))
    assert answer.status_code == 413


async def test_the_address_that_twilio_calls_is_the_public_one(intake: Intake) -> None:
    twilio = await Sender.of(intake, "twilio")
    called = payload("twilio-call-completed")
    assert (await twilio.taken(called))["outcome"] == "accepted"
    inner = twilio_headers("http://intake/v1/hooks/twilio", called)  # as a gateway passes it on
    answer = await intake.client.post("/v1/hooks/twilio", data=called, headers=inner)
    assert answer.status_code == 401
    assert f"{intake.runtime.settings.url}/v1/hooks/twilio" in answer.json()["detail"]


async def test_the_id_of_a_webhook_makes_it_one_contact(intake: Intake) -> None:
    sender = await Sender.of(intake, "standard")
    first = await sender.taken(HELLO, "msg_1")
    again = await sender.taken(HELLO, "msg_1")
    assert (first["outcome"], again["outcome"]) == ("accepted", "duplicate")
    assert again["contacts"][0]["contact_id"] == first["contacts"][0]["contact_id"]
    assert (await sender.taken(HELLO, "msg_2"))["outcome"] == "accepted"
    assert await intake.count("contact") == 2


async def test_a_generic_webhook_brings_contacts_and_activities_and_more_than_we_know(intake: Intake) -> None:
    sender = await Sender.of(intake, "standard")
    more = {"subject": "x", "thread": "t", "nonsense": 1, "customer": {"id": "7", "shoe_size": 43}}
    [opened] = (await sender.taken({"type": "contact.created", "data": more}, "m1"))["contacts"]
    replied = {"kind": "agent_replied", "thread": "t", "text": "Hi", "nonsense": [1]}
    [reply] = (await sender.taken({"type": "activity", "data": replied}, "m2"))["activities"]
    assert reply["case_id"] == opened["case_id"]
    stored = await intake.get(f"/v1/contacts/{opened['contact_id']}")
    assert (stored["source"], stored["external_id"], stored["customer"]["id"]) == ("standard", "m1", "7")


async def test_a_secret_is_replaced_without_losing_a_webhook(intake: Intake) -> None:
    sender = await Sender.of(intake, "standard")
    new = "whsec_" + "c" * 44
    both = {"kind": "standard", "secrets": [new, WHSEC]}
    assert (await intake.client.put("/v1/sources/standard", json=both)).status_code == 200
    assert (await sender.send(HELLO)).status_code == 202
    await intake.client.put("/v1/sources/standard", json={"kind": "standard", "secrets": [new]})
    assert (await sender.send(HELLO)).status_code == 401


async def test_a_secret_is_never_shown_and_stays_where_it_is_left_out(intake: Intake) -> None:
    sender = await Sender.of(intake, "zendesk", tags=["vip"], country="ie")
    put = await intake.client.put("/v1/sources/zendesk", json={"kind": "zendesk", "secrets": [PLAIN], "tags": ["vip"]})
    read = await intake.client.get("/v1/sources/zendesk")
    listed = await intake.client.get("/v1/sources")
    assert [each for each in (put, read, listed) if PLAIN in each.text or "secret" in each.text] == []
    again = await intake.client.put("/v1/sources/zendesk", json=read.json() | {"label": "Zendesk EU"})
    assert (again.status_code, again.json()["label"]) == (200, "Zendesk EU")
    assert (await sender.send(payload("zendesk-ticket-created"))).status_code == 202
    assert (await intake.client.delete("/v1/sources/zendesk")).status_code == 204
    assert (await sender.send(payload("zendesk-ticket-created"))).status_code == 404


async def test_a_source_that_cannot_work_is_refused_and_says_why(intake: Intake) -> None:
    good = {"kind": "standard", "secrets": [WHSEC]}
    for wrong, told in [
        ({"kind": "fax"}, "none of phone"),
        ({"secrets": []}, "openssl"),
        ({"secrets": ["whsec_short"]}, "openssl"),
        ({"secrets": [WHSEC] * 6}, "secrets"),
        ({"kind": "twilio", "secrets": ["x"]}, "fewer than 8"),
        ({"url": "ftp://x"}, "https://"),
        ({"url": "https://x/{subject}"}, "{thread}"),
        ({"url": "https://x/{thread"}, "stands alone"),
        ({"url": "https://x/{thread!r:>9999}"}, "{thread}"),
        ({"country": "Ireland"}, "country"),
        ({"fields": {"shoe": "x"}}, "none of"),
        ({"nonsense": 1}, "nonsense"),
    ]:
        answer = await intake.client.put("/v1/sources/x", json=good | wrong)
        assert answer.status_code == 422, wrong
        assert told in answer.text
    await intake.client.put("/v1/sources/x", json=good)
    answer = await intake.client.put("/v1/sources/x", json={"kind": "zendesk"})  # another kind has another secret
    assert "secrets" in answer.json()["detail"]


async def test_what_a_source_says_holds_for_all_its_contacts(intake: Intake) -> None:
    sender = await Sender.of(
        intake, "standard", url="https://desk.example/{thread}/{external_id}", country="IE", tags=["eu"],
        attributes={"brand": "acme", "plan": "free"},
    )  # fmt: skip
    said = {"thread": "t", "customer": {"phone": "(01) 234-5678"}, "tags": ["vip"], "attributes": {"plan": "pro"}}
    contact = await sender.contact({"type": "contact", "data": said})
    assert contact["customer"] | {"name": None} == {
        "id": None, "email": None, "phone": "+35312345678", "name": None, "tier": None, "country": "IE",
    }  # fmt: skip
    assert (contact["tags"], contact["attributes"]) == (["vip", "eu"], {"brand": "acme", "plan": "pro"})
    assert contact["url"] == "https://desk.example/t/msg_1"


async def test_adding_an_adapter_is_one_object_and_one_line(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(delivery: Delivery, received: Received, source: SourceSpec) -> tuple[Draft, ...] | Ignored:
        said = delivery.body.decode()
        return (contact(received, channel=Channel.CHAT, external_id=said, thread=said, subject=said),)

    pigeon = Hook(Channel.CHAT, signatures.intercom, signatures.any_secret, read)
    monkeypatch.setitem(channels.HOOKS, "pigeon", pigeon)

    await intake.client.put("/v1/sources/loft", json={"kind": "pigeon", "secrets": [PLAIN], "tags": ["air"]})
    answer = await intake.client.post("/v1/hooks/loft", content=b"coo", headers=intercom_headers(b"coo"))
    assert answer.status_code == 202, answer.text
    stored = await intake.get(f"/v1/contacts/{answer.json()['contacts'][0]['contact_id']}")
    assert (stored["subject"], stored["channel"], stored["source"], stored["tags"]) == ("coo", "chat", "loft", ["air"])


async def test_a_webhook_never_stores_a_card_number(intake: Intake) -> None:
    zendesk, intercom = await Sender.of(intake, "zendesk"), await Sender.of(intake, "intercom")
    ticket, said = payload("zendesk-ticket-created"), payload("intercom-admin-replied")
    ticket["detail"] |= {"description": f"My card is {CARD}", "subject": CARD, "tags": [CARD.replace(" ", "")]}
    said["data"]["item"]["conversation_parts"]["conversation_parts"][0]["body"] = f"<p>{'x' * 99_990} {CARD}</p>"
    stored = await zendesk.contact(ticket)
    assert (stored["subject"], stored["redactions"]) == ("4111 11** **** 1111", {"card": 3})
    await intercom.taken(said)
    everything = await intake.everything_stored()
    assert CARD not in everything
    assert CARD.replace(" ", "") not in everything
    assert "4111 1111" not in everything


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
JSON_VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
)
BODIES = {name: path for path in sorted(PAYLOADS.glob("*.json")) for name in [path.stem]}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for name, each in inner for place in places(each, (*path, name)))]


@st.composite
def spoilt(draw: st.DrawFn) -> tuple[str, bytes]:
    """A vendor's documented payload with any JSON anywhere in it."""
    name = draw(st.sampled_from(sorted(BODIES)))
    body: Any = payload(name)
    *path, last = draw(st.sampled_from(places(body)[1:]))
    inner = body
    for step in path:
        inner = inner[step]
    inner[last] = draw(JSON_VALUES)
    return name.partition("-")[0], json.dumps(body).encode()


def judged(kind: str, body: bytes, content_type: str = "application/json") -> None:
    """Read, completed and redacted without an exception, and what came of it fits the models."""
    received, source = Received(NOON, "x"), SourceSpec(kind=kind, country="IE", url="https://x/{thread}")
    headers = {"content-type": content_type, "webhook-id": "m"}
    outcome = channels.read_hook(channels.HOOKS[kind], Delivery(URL, headers, body), received, source)
    assert isinstance(whose(body), str | None)
    assert isinstance(keepable(body), bytes | None)
    for draft in outcome if isinstance(outcome, tuple) else ():
        if isinstance(draft, NewContact):
            made = channels.completed(draft, "x", source, received)
            made.model_dump_json()
            json.dumps(made.attributes, allow_nan=False).encode()
            assert "\x00" not in made.subject + made.body
        else:
            assert "\x00" not in draft.text
            draft.text.encode()


@given(spoilt())
@settings(max_examples=150)
def test_any_json_in_a_vendors_payload_is_read_or_named(found: tuple[str, bytes]) -> None:
    judged(*found)


@given(st.sampled_from(sorted(channels.HOOKS)), st.binary() | JSON_VALUES.map(lambda v: json.dumps(v).encode()))
@settings(max_examples=150)
def test_any_body_is_read_or_named(kind: str, body: bytes) -> None:
    judged(kind, body)
    judged(kind, body, FORM)


@given(st.dictionaries(st.text(max_size=20), JSON_VALUES, max_size=8))
@settings(max_examples=50)
def test_any_form_becomes_a_contact_or_is_named(fields: dict[str, Any]) -> None:
    judged("web", json.dumps({"fields": fields}).encode())
    judged("web", json.dumps(fields).encode())


HOSTILE = [
    b"", b"\x00", b"[" * 50_000, b'{"a":' * 20_000, b"1e999", b"NaN", b'"\\ud800"', b'{"ticket": "x"}',
    b'{"type": "contact", "data": {"attributes": {"a": 1e999}}}', b'{"fields": {"\\ud800": "\\u0000"}}',
    b"a=b&" * 2_000, b"CallStatus=completed&CallSid=" + b"x" * 5_000, b"\xff\xfe", b'{"a": 1' + b"0" * 10_000 + b"}",
]  # fmt: skip


async def test_hostile_bodies_that_are_well_signed_are_never_an_error_of_ours(intake: Intake) -> None:
    senders = [await Sender.of(intake, kind) for kind in channels.HOOKS]
    for number, body in enumerate(HOSTILE):
        for sender in senders:
            if sender.kind == "twilio":
                continue  # its bodies are signed by field
            answer = await sender.send(body, f"msg_{number}")
            assert answer.status_code in (202, 401), (sender.kind, body[:30], answer.text)


@given(st.data())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_signed_body_through_the_whole_path_is_taken(intake: Intake, data: st.DataObject) -> None:
    kind, body = data.draw(spoilt())
    if kind == "twilio":
        return
    answer = await (await Sender.of(intake, kind)).send(body)
    assert answer.status_code == 202, (kind, body, answer.text)


def test_the_examples_of_the_documents_are_valid() -> None:
    for hook in channels.HOOKS.values():
        if hook.posted:
            [example] = hook.posted.model_config["json_schema_extra"]["examples"]  # type: ignore[index,call-overload]
            assert hook.posted.model_validate(example).drafts(Received(NOON), SourceSpec(kind="standard"))


def test_the_key_of_these_tests_is_one_of_the_standard() -> None:
    assert (len(KEY), signatures.standard_secret(WHSEC)) == (32, None)
