"""Markup to text, canonical identities, the JSON of the API, and the registry of channels."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from services.intake import channels
from services.intake.channels import markup
from services.intake.channels.adapter import Received, Rejected
from services.intake.model import Contact
from services.intake.model.identity import canonical, canonical_email, canonical_phone, customer

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>One</p><p>Two</p>", "One\n\nTwo"),
        ("One<br>Two<div>Three</div>Four", "One\nTwo\nThree\nFour"),
        ("<html><head><title>t</title><style>p{}</style></head><body>x<script>alert(1)</script>y</body>", "xy"),
        ("5 &lt; 6 &amp;&nbsp;7 &euro;", "5 < 6 & 7 €"),
        ("a<!-- hidden <b> -->b<!-- never ends", "ab"),
        ("<table><tr><td>Card</td><td>4242</td></tr><tr><td>Exp</td></tr></table>", "Card 4242\nExp"),
        ("<ul><li>a<li>b</ul>", "a\nb"),
        ("a < b and c > d", "a < b and c > d"),
        ("<p\nclass='x'>One\n two</p", "One two"),
        ("<head><body>lost head</body>", "lost head"),
        ("<a href='https://x.example'>link</a>", "link"),
        ("&#99999999999999999999;&#" + "9" * 5000 + ";", "\ufffd\ufffd"),
        ("plain", "plain"),
        ("", ""),
    ],
)
def test_markup_reads_as_a_person_sees_it(html: str, text: str) -> None:
    assert markup.to_text(html) == text


@given(st.text(alphabet="<>!-/ab&#;x0\"' \n", max_size=200))
def test_any_markup_gives_text(html: str) -> None:
    assert "<!--" not in markup.to_text(html) or "&" in html


@pytest.mark.parametrize("hostile", ["<", "<!--", "<script>", "<a ", "<!", "&", "<p>", "<head>", "<title>"])
def test_hostile_markup_is_read_in_bounded_time(hostile: str) -> None:
    started = time.monotonic()
    markup.to_text(hostile * (500_000 // len(hostile)))
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("given_", "canonical_"),
    [
        (" Ann@A.Example ", "ann@a.example"),
        ("<ann@a.example>", "ann@a.example"),
        ("ann@BÜCHER.example", "ann@bücher.example"),
        ("ann@xn--bcher-kva.example", "ann@bücher.example"),
        ("ann@desk.local", "ann@desk.local"),
        ("ann@localhost", "ann@localhost"),
        ("ann", None),
        ("ann@", None),
        ("@a.example", None),
        ("ann@a..example", None),
        ("ann b@a.example", None),
        ("x" * 400 + "@a.example", None),
    ],
)
def test_one_spelling_for_one_mailbox(given_: str, canonical_: str | None) -> None:
    assert canonical_email(given_) == canonical_


def test_phone_numbers_are_read_as_dialled_in_the_customers_country() -> None:
    assert canonical_phone("+353 1 234 5678", None) == "+35312345678"
    assert canonical_phone("(01) 234-5678", "IE") == "+35312345678"
    assert canonical_phone("01 234 5678", None) is None
    assert customer(phone="01 234 5678", country="ie").phone == "+35312345678"


def test_what_cannot_be_read_is_kept_as_given() -> None:
    kept = customer(phone="ask at the desk", email="not an address", country="IE")
    assert (kept.phone, kept.email) == ("ask at the desk", "not an address")


def test_a_customer_is_found_in_any_spelling() -> None:
    assert canonical("Ann@A.Example") == ("Ann@A.Example", "ann@a.example")
    assert canonical("+353 1 234 5678") == ("+353 1 234 5678", "+35312345678")


def read(document: object) -> Contact | Rejected:
    return channels.read("api", json.dumps(document).encode(), Received(NOON))


def accepted(document: object) -> Contact:
    outcome = read(document)
    assert isinstance(outcome, Contact), outcome
    return outcome


def test_the_json_of_the_documentation() -> None:
    contact = accepted(
        {
            "channel": "email",
            "source": "zendesk-eu",
            "external_id": "88121-c7",
            "thread": "88121",
            "url": "https://acme.zendesk.com/agent/tickets/88121",
            "occurred_at": "2026-11-22T07:03:00+01:00",
            "customer": {
                "id": "cus_1",
                "email": "a@b.example",
                "phone": "+353 1 234 5678",
                "name": "A",
                "tier": "enterprise",
                "country": "IE",
            },
            "subject": "Payout missing",
            "body": "…",
            "language": "en",
            "reason": "payout_delay",
            "tags": ["payouts", "payouts"],
            "attributes": {"product": "payouts"},
        }
    )
    assert contact.occurred_at == datetime(2026, 11, 22, 6, 3, tzinfo=UTC)
    assert contact.tags == ("payouts",)
    assert contact.customer.phone == "+35312345678"
    assert contact.redactions == {}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({}, "empty"),
        ({"subject": " "}, "empty"),
        ({"customer": {}}, "empty"),
        ({"subjct": "x"}, "subjct"),
        ({"subject": "x", "customer": {"nmae": "x"}}, "customer.nmae"),
        ({"subject": "x" * 1001}, "1000"),
        ({"subject": "x", "body": "x" * 100_001}, "100000"),
        ({"subject": "x", "tags": ["t"] * 51}, "50"),
        ({"subject": "x", "tags": ["t" * 101]}, "100"),
        ({"subject": "x", "attributes": {str(n): n for n in range(51)}}, "50"),
        ({"subject": "x", "attributes": {"a": [[[[[1]]]]]}}, "nested"),
        ({"subject": "x", "attributes": {"a": "x" * 20_000}}, "16384"),
        ({"subject": "x", "attributes": {"a" * 101: 1}}, "100 characters"),
        ({"subject": "x", "attributes": {"a": 2**64}}, "64 bits"),
        ({"subject": "x\x00"}, "NUL"),
        ({"subject": "x", "attributes": {"a": {"b": "\x00"}}}, "NUL"),
        ({"subject": "x", "channel": "fax"}, "channel"),
        ({"subject": "x", "occurred_at": "yesterday"}, "occurred_at"),
        ({"subject": "x", "occurred_at": "2026-11-22T07:03:00"}, "timezone"),
        ({"subject": "x", "occurred_at": 1732259000}, "RFC 3339"),
        ({"subject": "x", "occurred_at": "1970-01-01T00:00:00Z"}, "1990"),
        ({"subject": "x", "occurred_at": "0001-01-01T00:00:00+14:00"}, "1990"),
        ({"subject": "x", "occurred_at": "2099-01-01T00:00:00Z"}, "future"),
        ({"subject": "x", "url": "javascript:alert(1)"}, "https://"),
        ({"subject": "x", "customer": {"country": "Ireland"}}, "country"),
        ({"subject": "x", "language": "<script>"}, "language"),
        ([], "object"),
        ("x", "object"),
    ],
)
def test_what_is_wrong_is_told(wrong: object, told: str) -> None:
    outcome = read(wrong)
    assert isinstance(outcome, Rejected)
    assert outcome.reason == "invalid"
    assert told in outcome.detail


def test_half_a_surrogate_pair_is_refused() -> None:
    assert isinstance(channels.read("api", b'{"subject": "\\ud800"}', Received(NOON)), Rejected)


def test_a_clock_that_is_a_little_ahead_is_forgiven() -> None:
    contact = accepted({"subject": "x", "occurred_at": (NOON + timedelta(minutes=5)).isoformat()})
    assert (contact.occurred_at, contact.stated_at) == (NOON, "2026-11-23T12:05:00+00:00")


def test_the_same_words_at_another_time_of_arrival_are_the_same_contact() -> None:
    document = b'{"subject": "x", "attributes": {"a": 1, "b": 2}}'
    one = channels.read("api", document, Received(NOON))
    two = channels.read("api", b'{"attributes": {"b": 2, "a": 1}, "subject": "x"}', Received(NOON + timedelta(days=1)))
    assert isinstance(one, Contact)
    assert isinstance(two, Contact)
    assert one.fingerprint == two.fingerprint
    assert one.fingerprint != accepted({"subject": "y", "attributes": {"a": 1, "b": 2}}).fingerprint


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=12,
)
fields = st.sampled_from(["subject", "body", "customer", "tags", "attributes", "occurred_at", "url", "language", "x"])


@given(st.one_of(json_values, st.dictionaries(fields, json_values, max_size=5)))
def test_any_json_gives_a_contact_or_says_what_is_wrong(document: JsonValue) -> None:
    outcome = read(document)
    if isinstance(outcome, Rejected):
        assert outcome.detail
    else:
        assert outcome.model_dump_json().encode()


@given(st.binary(max_size=100))
def test_any_bytes_give_a_contact_or_say_what_is_wrong(raw: bytes) -> None:
    outcome = channels.read("api", raw, Received(NOON))
    assert isinstance(outcome, Contact) or outcome.detail


def test_every_adapter_has_one_file_and_one_line() -> None:
    here = Path(channels.__file__).parent
    registry = (here / "__init__.py").read_text()
    for name, adapter in channels.ADAPTERS.items():
        assert (here / f"{name}.py").is_file()
        assert adapter.__module__ == f"services.intake.channels.{name}"
        assert registry.count(f'"{name}":') == 1
