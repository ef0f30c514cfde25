"""Whatever reads what strangers write: any input gives a value or the error that is meant for it, and nothing else."""

import contextlib
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.intake import channels
from services.intake.channels import HOOKS
from services.intake.channels.adapter import Received
from services.intake.channels.hook import Delivery
from services.intake.model.sources import SourceSpec
from services.notify.calendars.reading import events
from services.notify.calendars.repetitions import Unreadable
from services.notify.message import replies
from services.notify.senders import links
from services.routing.rules.facts import ENVIRONMENT
from shared.conditions import ConditionError
from shared.contracts import duration
from shared.contracts.numbers import parse_case_number
from shared.errors import Problem
from shared.http import decode_cursor, expected_version
from tests.e2e.client import Client
from tests.e2e.stack import SIGNING_SECRET

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SINCE, UNTIL = datetime(2026, 9, 1, tzinfo=UTC), datetime(2027, 9, 1, tzinfo=UTC)
PAGE = UUID(int=7)
OVER_HTTP = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
QUICK = settings(max_examples=200)

anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)

LINES = st.sampled_from(
    [
        "BEGIN:VCALENDAR", "END:VCALENDAR", "BEGIN:VEVENT", "END:VEVENT", "BEGIN:VTIMEZONE", "END:VTIMEZONE", "UID:1",
        "DTSTART:20261101T090000Z", "DTSTART;VALUE=DATE:20261101", "DTSTART;TZID=Europe/Dublin:20261101T090000",
        "DTSTART;TZID=../../etc:20261101T090000", "DTSTART:00000000T000000Z", "DTSTART:99991231T235959Z",
        "DTEND:20261101T170000Z", "DURATION:P1D", "DURATION:-P1D", "DURATION:P99999999D", "SUMMARY:ana",
        "RRULE:FREQ=DAILY", "RRULE:FREQ=SECONDLY;INTERVAL=0", "RRULE:FREQ=YEARLY;BYDAY=53MO;COUNT=-1",
        "RRULE:FREQ=WEEKLY;UNTIL=99999999", "EXDATE:20261102T090000Z", "RDATE:x", "RECURRENCE-ID:20261101T090000Z",
        "ATTENDEE;CN=:mailto:ana@example.com", " folded", "\tfolded", "X-Y;A=\"b;c\":d", ":", "BEGIN:", "\x00",
    ]
)  # fmt: skip


@QUICK
@given(st.text(max_size=200) | st.lists(LINES | st.text(max_size=30), max_size=25).map("\r\n".join))
def test_any_calendar_is_read_or_unreadable(text: str) -> None:
    with contextlib.suppress(Unreadable):
        assert all(each.end >= each.start for each in events(text, SINCE, UNTIL))


HEADERS = st.sampled_from(["From", "To", "Subject", "In-Reply-To", "References", "Content-Type", "Auto-Submitted"])
VALUES = st.text(max_size=40) | st.sampled_from(
    [
        "<a@b.example>", '"Ana" <ana@example.com>', "=?utf-8?q?=FF?=", "=?x-unknown?b?AAAA?=", "text/html; charset=x",
        "multipart/mixed; boundary=b", "multipart/alternative", "message/rfc822", "a" * 2_000, "<" * 50, "\x00",
    ]
)  # fmt: skip
BODIES = st.lists(st.sampled_from(["--b", "--b--", "", "resolve", "snooze 30m", "> quoted"]) | st.text(max_size=30))


@QUICK
@given(st.lists(st.tuples(HEADERS, VALUES), max_size=6), BODIES, st.binary(max_size=30))
def test_any_reply_is_read_and_asks_for_something(heads: list[tuple[str, str]], body: list[str], tail: bytes) -> None:
    text = "".join(f"{name}: {value}\n" for name, value in heads) + "\n" + "\n".join(body)
    found = replies.read(text.encode("utf-8", "replace") + tail)
    assert replies.asked(found.first_line) is not None


@QUICK
@given(st.sampled_from(sorted(HOOKS)), st.binary(max_size=200) | anything.map(lambda value: json.dumps(value).encode()))
def test_any_webhook_is_taken_ignored_or_rejected(kind: str, body: bytes) -> None:
    for content_type in ("application/json", "application/x-www-form-urlencoded", "text/plain"):
        delivery = Delivery("https://tocsin.example/v1/hooks/x", {"content-type": content_type}, body)
        assert channels.read_hook(HOOKS[kind], delivery, Received(NOW, "x"), SourceSpec(kind=kind)) is not None


@QUICK
@given(st.sampled_from(sorted(HOOKS)), st.dictionaries(st.text(max_size=20), st.text(max_size=40)), st.binary())
def test_no_signature_made_up_is_taken(kind: str, headers: dict[str, str], body: bytes) -> None:
    delivery = Delivery("https://tocsin.example/v1/hooks/x", headers, body)
    assert HOOKS[kind].verify(["whsec_" + "A" * 44], delivery, NOW)
    assert HOOKS[kind].verify([], delivery, NOW)


WORDS = st.sampled_from(
    [
        "contact", ".customer", ".tier", "==", "'x'", "in", "[", "]", "(", ")", "&&", "||", "!", ".map(x,", "x)",
        ".matches('(a+)+$')", "1", "1u", "1e999", "-", "?", ":", "{", "}", "\\u0000", "r'", '"""', "b'\\xff'", "size(",
    ]
)  # fmt: skip


@QUICK
@given(st.text(max_size=60) | st.lists(WORDS, max_size=20).map(" ".join))
def test_any_condition_compiles_or_says_why_not(source: str) -> None:
    with contextlib.suppress(ConditionError):
        assert ENVIRONMENT.compile(source) is not None


@QUICK
@given(st.text(max_size=120))
def test_small_things_from_strangers_are_read_or_refused(text: str) -> None:
    with contextlib.suppress(Problem):
        decode_cursor(text, 2)
    with contextlib.suppress(Problem):
        expected_version(text)
    with contextlib.suppress(ValueError):
        assert duration.parse(text) is not None
    parse_case_number(text)
    with pytest.raises(links.BadLink):
        links.verify("a key", PAGE, text, NOW)


@OVER_HTTP
@given(
    st.one_of(
        anything,
        st.fixed_dictionaries(
            {"actions": st.lists(anything, max_size=3)}, optional={"user": anything, "team": anything}
        ),
        st.fixed_dictionaries(
            {
                "actions": st.lists(
                    st.fixed_dictionaries(
                        {"action_id": st.sampled_from(["acknowledge", "snooze", "hand_over"])},
                        optional={"value": anything, "selected_option": anything, "block_id": anything},
                    ),
                    max_size=3,
                )
            },
            optional={"response_url": st.text(max_size=20) | st.just("http://169.254.169.254/")},
        ),
    )
)
def test_any_press_that_slack_signs_is_answered(tocsin: Client, payload: Any) -> None:
    body = urlencode({"payload": json.dumps(payload)})
    at = str(int(time.time()))
    mac = hmac.new(SIGNING_SECRET.encode(), f"v0:{at}:{body}".encode(), hashlib.sha256).hexdigest()
    headers = {"x-slack-request-timestamp": at, "x-slack-signature": f"v0={mac}"}
    headers["content-type"] = "application/x-www-form-urlencoded"
    answer = tocsin.send("POST", "/v1/slack/interactions", content=body, headers=headers)
    assert answer.status_code in (200, 404, 422), answer.text


@OVER_HTTP
@given(st.lists(st.binary(max_size=40) | anything.map(lambda value: json.dumps(value).encode()), max_size=6))
def test_any_lines_are_answered_one_by_one(tocsin: Client, lines: list[bytes]) -> None:
    body = b"\n".join(lines)
    for path in ("/v1/contacts/batch", "/v1/activities/batch"):
        answer = tocsin.send("POST", path, content=body, headers={"content-type": "application/x-ndjson"})
        assert answer.status_code == 200, answer.text
        said = [json.loads(line) for line in answer.content.split(b"\n") if line]
        assert len(said) == len([line for line in body.split(b"\n") if line.strip()])
        assert all(each["status"] < 500 for each in said)


@OVER_HTTP
@given(
    st.dictionaries(
        st.sampled_from(["traceparent", "x-request-id", "x-forwarded-for", "accept", "if-match", "content-type"]),
        st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=80).map(str.strip),
    )
)
def test_any_headers_are_taken_or_refused(tocsin: Client, headers: dict[str, str]) -> None:
    answer = tocsin.send("POST", "/v1/contacts", json={"subject": "headers"}, headers=headers)
    assert answer.status_code < 500, answer.text
