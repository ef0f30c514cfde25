"""Bad input on every route of every service: a problem that says what to do, and nothing half written."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.e2e import scene, tables
from tests.e2e.client import JSON, Client, until
from tests.e2e.openapi import UNKNOWN_ID, Operation, operations
from tests.e2e.programs import Program, python
from tests.e2e.stack import Stack

ANYBODY = {"/livez", "/readyz", "/asyncapi.json"}  # no key needed
SIGNED = {
    "POST /v1/slack/interactions",
    "POST /v1/hooks/{source}",
    "GET /v1/pages/{page_id}/action",
    "POST /v1/pages/{page_id}/action",
    "GET /v1/digests/{digest_id}/action",
    "POST /v1/digests/{digest_id}/action",
}  # they prove themselves otherwise
ANY_ID = {"DELETE /v1/customers/{id}"}  # an id that nobody has is erased already
LINES = ("POST /v1/contacts/batch", "POST /v1/activities/batch")  # each line has its own fate
FREE = {"attributes", "fields"}  # fields in which an upstream says what it likes
BODY_LIMIT = 1_048_576
SETTLED_WITHIN_S = 60.0

GARBAGE_PATHS = ["%00", "%F0%9F%92%A5", "..%2F..%2Fetc", "x" * 3000, "-1", "%ED%A0%80", "' OR 1=1 --"]
GARBAGE_VALUES = ["\x00", "-1", "9" * 400, "💥", "x" * 5000, ""]
GARBAGE_CURSORS = ["x", "bnVsbA", "WzEsMl0", "====", "💥"]
FORGED_CURSORS = ["WyJ4Il0", "WyJhIiwiYiJd", "WyJcdTAwMDAiLCJcdTAwMDAiXQ"]  # as ours look: harmless, if they pass
GARBAGE_BODIES = [
    b"", b"nonsense", b"{", b"[]", b'"text"', b"123", b"null", b"\xff\xfe{}", b"[" * 50_000, b'{"a":' * 50_000,
    b'{"a":' * 900 + b"1" + b"}" * 900, b'{"nonsense": 1}', b'{"nonsense": NaN}', b'{"a\x00": 1}',
]  # fmt: skip

NOTHING = (b"", b"null")  # as good as the defaults, where there are some
SAID_BY_THE_PATH = {"POST /v1/rulesets/rollback"}  # so that nothing as its body is a whole request

LATER = "2099-01-01T00:00:00Z"
VALID: dict[str, JSON] = {
    "POST /v1/contacts": scene.question(source="bad", thread="bad"),
    "POST /v1/contacts/phone": {
        "id": "bad", "source": "bad", "direction": "outbound", "outcome": "answered", "case_id": UNKNOWN_ID,
        "started_at": "2026-11-22T07:03:00Z",
    },
    "POST /v1/contacts/chat": {
        "id": "bad", "source": "bad",
        "messages": [{"id": "1", "from": "customer", "at": "2026-11-22T07:03:00Z", "text": "bad"}],
    },
    "POST /v1/contacts/web": {"id": "bad", "source": "bad", "fields": {"message": "bad"}},
    "PUT /v1/sources/{name}": {"kind": "standard", "secrets": ["whsec_" + "A" * 44]},
    "POST /v1/activities": scene.replied(UNKNOWN_ID),
    "POST /v1/cases/{id}/merge": {"into": UNKNOWN_ID, "by": "ana"},
    "POST /v1/customers/{id}/merge": {"into": UNKNOWN_ID, "by": "ana"},
    "POST /v1/quarantine/{id}/drop": {"reason": "spam"},
    "PUT /v1/volumes/{date}": {"active_customers": 1, "transactions": 2},
    "PUT /v1/teams/{name}": {"label": "Bad", "time_zone": "UTC", "members": ["ana"]},
    "POST /v1/rulesets": {"rules": [], "fallback": {"team": "frontline"}, "note": "bad"},
    "POST /v1/rulesets/{version}/activate": {"expected_active": 1},
    "POST /v1/rulesets/{version}/retire": {"reason": "bad"},
    "POST /v1/rulesets/{version}/shadow": {"reason": "bad"},
    "POST /v1/rulesets/{version}/shadow/stop": {"reason": "bad"},
    "POST /v1/rulesets/{version}/canary": {"share": 0.2, "reason": "bad"},
    "POST /v1/rulesets/{version}/canary/abort": {"reason": "bad"},
    "POST /v1/rulesets/{version}/canary/promote": {"reason": "bad"},
    "POST /v1/rulesets/rollback": {"expected_active": 2147483000, "reason": "bad"},
    "POST /v1/rulesets/{version}/evaluate": {"channel": "email", "subject": "x", "customer": {"tier": "x"}},
    "POST /v1/rulesets/{version}/backtest": {"against": 1, "limit": 10},
    "POST /v1/rulesets/evaluate": {"ruleset": {"fallback": {"team": "frontline"}}, "channel": "email"},
    "POST /v1/rulesets/test": {"ruleset": {"fallback": {"team": "frontline"}}},
    "POST /v1/rulesets/backtest": {"ruleset": {"fallback": {"team": "frontline"}}, "limit": 10},
    "POST /v1/cases/{case_id}/assignment": {"team": "frontline", "reason": "because"},
    "PUT /v1/cases/{case_id}/linked-issues": {"url": "https://git.example/1", "status": "open"},
    "PUT /v1/members/{person}/availability": {"away": True, "reason": "bad"},
    "PUT /v1/calendars/{name}": {"time_zone": "Europe/Dublin", "weekly": {"mon": [["09:00", "17:00"]]}},
    "PUT /v1/policies/{name}": {
        "position": 77, "when": "true", "targets": [{"metric": "first_reply", "within": "PT4H"}],
    },
    "POST /v1/policies/preview": {"case": {"team": "frontline"}, "contact": {"channel": "email"}, "at": LATER},
    "PUT /v1/people/{name}": {"email": "x@y.example", "time_zone": "UTC"},
    "PUT /v1/destinations/{name}": {"kind": "slack", "channel": "#bad"},
    "PUT /v1/schedules/{name}": {"time_zone": "UTC", "layers": []},
    "PUT /v1/escalation-policies/{name}": {"teams": [], "steps": [{"notify": [{"destination": "console"}]}]},
    "PUT /v1/templates/{name}": {"slack": {"headline": "{{ number }}"}},
    "POST /v1/templates/preview": {
        "template": {"slack": {"headline": "{{ number }}"}}, "channel": "slack", "case": UNKNOWN_ID,
    },
    "POST /v1/silences": {"scope": {"team": "bad"}, "reason": "bad", "until": LATER},
    "POST /v1/pages/{page_id}/acknowledge": {"by": "ana"},
    "POST /v1/pages/{page_id}/resolve": {"by": "ana"},
    "POST /v1/pages/{page_id}/take-over": {"by": "ana", "reason": "bad"},
    "POST /v1/pages/{page_id}/snooze": {"by": "ana", "until": LATER},
    "POST /v1/pages/{page_id}/hand-over": {"by": "ana", "team": "frontline", "reason": "bad"},
    "POST /v1/schedules/{name}/overrides": {"person": "ana", "from": LATER, "until": "2099-01-02T00:00:00Z"},
    "POST /v1/schedules/{name}/swaps": {"shifts": [
        {"person": "ana", "from": LATER, "until": "2099-01-02T00:00:00Z"},
        {"person": "li", "from": "2099-02-01T00:00:00Z", "until": "2099-02-02T00:00:00Z"},
    ]},
    "POST /v1/feeds": {"schedule": "bad"},
}  # fmt: skip


@pytest.fixture(scope="module")
def all_operations(stack: Stack) -> list[Operation]:
    return list(operations(stack.documents()))


@pytest.fixture(scope="module")
def weak_key(stack: Stack) -> str:
    """A key that may do nothing but read."""
    command = python("-m", "services.cli", "keys", "create", "weak", "--scope", "read")
    program = Program("keys", command, stack.folder, stack.cli_environment())
    program.start()
    assert program.wait(30)
    return program.log.read_text().strip().splitlines()[-1]


@pytest.fixture
def _nothing_written(stack: Stack) -> Iterator[None]:
    """The same rows in every table before and after."""
    before = _settled(stack)
    yield
    assert _settled(stack) == before


def _settled(stack: Stack) -> dict[str, int]:
    """Row counts once they stand still: what earlier tests began may still be on its way."""
    seen: list[dict[str, int]] = []

    def stands() -> dict[str, int] | None:
        seen.append(tables.counts(stack.database_url))
        return seen[-1] if len(seen) > 3 and seen[-1] == seen[-2] == seen[-3] == seen[-4] else None

    return until(stands, SETTLED_WITHIN_S, "the tables stand still")


def refused(answer: httpx.Response, what: str, *statuses: int) -> None:
    """A problem that a person can act on."""
    told = f"{what} gave {answer.status_code}: {answer.text[:300]}"
    assert 400 <= answer.status_code < 500, told
    assert not statuses or answer.status_code in statuses, told
    assert answer.headers["content-type"].startswith("application/problem+json"), told
    problem = answer.json()
    assert problem["status"] == answer.status_code, told
    assert len(problem["detail"]) > 10, told
    assert problem["title"], told
    assert problem["type"].startswith("https://"), told


def never_an_error_of_ours(answer: httpx.Response, what: str) -> None:
    assert answer.status_code < 500, f"{what} gave {answer.status_code}: {answer.text[:300]}"
    if answer.status_code >= 400:
        refused(answer, what)


def at(tocsin: Client, operation: Operation, path: str | None = None, **how: Any) -> httpx.Response:
    return tocsin.send_to(operation.base, operation.method, path if path is not None else operation.filled(), **how)


def body_of(operation: Operation) -> JSON:
    """How to send a valid body, where the operation takes one."""
    return {"json": VALID[operation.name]} if operation.name in VALID else {}


def with_keys(operations_: list[Operation]) -> list[Operation]:
    return [each for each in operations_ if each.path not in ANYBODY and each.name not in SIGNED]


def test_every_operation_that_takes_json_is_covered(all_operations: list[Operation]) -> None:
    taking = {each.name for each in all_operations if each.takes_json}
    taking -= SIGNED
    assert taking <= VALID.keys(), f"give a valid body for {taking - VALID.keys()}"


@pytest.mark.usefixtures("_nothing_written")
def test_without_a_good_key_nothing_is_done(tocsin: Client, all_operations: list[Operation], weak_key: str) -> None:
    for each in with_keys(all_operations):
        for value in ("", "Bearer", "Bearer wrong", "Basic YTpi", "Bearer " + "x" * 5000):
            answer = at(tocsin, each, headers={"Authorization": value}, **body_of(each))
            refused(answer, f"{each.name} with {value[:20]!r}", 401)
        if each.method != "GET":
            answer = at(tocsin, each, headers={"Authorization": f"Bearer {weak_key}"}, **body_of(each))
            assert answer.status_code != 401
            if not each.path.endswith(("/evaluate", "/backtest", "/preview", "/lint", "/test")):  # these only read
                refused(answer, f"{each.name} with a key that may only read", 403)


@pytest.mark.usefixtures("_nothing_written")
def test_garbage_in_paths_and_queries_is_refused(tocsin: Client, all_operations: list[Operation]) -> None:
    for each in with_keys(all_operations):
        for parameter in each.named("path"):
            if each.name not in ANY_ID:
                for value in GARBAGE_PATHS:
                    answer = at(tocsin, each, each.filled(**{parameter["name"]: value}), **body_of(each))
                    refused(answer, f"{each.name} with {parameter['name']}={value[:20]}")
        for parameter in each.named("query"):
            listed = GARBAGE_VALUES
            if parameter["name"] == "cursor":
                listed = GARBAGE_CURSORS
                for forged in FORGED_CURSORS:
                    never_an_error_of_ours(at(tocsin, each, params={"cursor": forged}), f"{each.name} {forged}")
            for value in listed:
                if each.method != "GET" and parameter["schema"].get("type") == "string":
                    continue
                answer = at(tocsin, each, params={parameter["name"]: value}, **body_of(each))
                what = f"{each.name} with {parameter['name']}={value[:20]!r}"
                (refused if parameter["name"] in ("cursor", "limit") else never_an_error_of_ours)(answer, what)
        if each.method == "GET":
            refused(at(tocsin, each, params={"nonsense": "1"}), f"{each.name} with an unknown parameter")


@pytest.mark.usefixtures("_nothing_written")
def test_what_is_unknown_is_not_found(tocsin: Client, all_operations: list[Operation]) -> None:
    for each in with_keys(all_operations):
        if each.named("path") and each.method != "PUT" and each.name not in ANY_ID:
            refused(at(tocsin, each, **body_of(each)), f"{each.name} of something unknown", 404, 409, 422)
    for base in {each.base for each in all_operations}:
        for method in ("GET", "POST", "DELETE", "PATCH"):
            refused(tocsin.send_to(base, method, "/v1/nothing-is-here"), f"{method} of an unknown path", 404)
        refused(tocsin.send_to(base, "PATCH", "/livez"), "a method that the path does not have", 405)


@pytest.mark.usefixtures("_nothing_written")
def test_bodies_that_are_none_are_refused(tocsin: Client, all_operations: list[Operation]) -> None:
    for each in (each for each in all_operations if each.name in VALID):
        for body in GARBAGE_BODIES:
            if body in NOTHING and each.name in SAID_BY_THE_PATH:
                continue
            answer = at(tocsin, each, content=body, headers={"Content-Type": "application/json"})
            refused(answer, f"{each.name} with {body[:20]!r}", *((400, 422) if body not in NOTHING else ()))
        good = json.dumps(VALID[each.name]).encode()
        refused(at(tocsin, each, content=good, headers={"Content-Type": "text/plain"}), f"{each.name} as text")
        huge = good[:-1] + b" " * BODY_LIMIT + b"}"
        answer = at(tocsin, each, content=huge, headers={"Content-Type": "application/json"})
        refused(answer, f"{each.name} with more than the limit", 413)
        chunks = (huge[start : start + 65_536] for start in range(0, len(huge), 65_536))
        answer = at(tocsin, each, content=chunks, headers={"Content-Type": "application/json"})
        refused(answer, f"{each.name} with more than the limit, in chunks", 413)


@pytest.mark.usefixtures("_nothing_written")
def test_a_body_with_one_bad_value_is_refused_whole(tocsin: Client, all_operations: list[Operation]) -> None:
    for each in (each for each in all_operations if each.name in VALID):
        for what, body in spoilt(VALID[each.name]):
            answer = at(tocsin, each, content=body, headers={"Content-Type": "application/json"})
            refused(answer, f"{each.name} with {what}", 400, 422)


def spoilt(valid: JSON) -> Iterator[tuple[str, bytes]]:
    """A valid body with one thing wrong, in every way and place."""
    yield "an unknown field", json.dumps({**valid, "nonsense": 1}).encode()
    for name, value in valid.items():
        if name in FREE:
            continue
        yield f"an object as {name}", json.dumps({**valid, name: {"nonsense": [1]}}).encode()
        yield f"a huge number as {name}", json.dumps({**valid, name: 10**400}).encode()
        yield f"Infinity as {name}", json.dumps({**valid, name: float("inf")}).encode()
        yield f"a NUL in {name}", json.dumps({**valid, name: "a\x00b"}).encode()
        yield f"half a surrogate pair in {name}", json.dumps({**valid, name: "\ud800"}).encode()
        yield f"no end of {name}", json.dumps({**valid, name: "x" * 200_000}).encode()
        if isinstance(value, list):
            yield f"too many {name}", json.dumps({**valid, name: ["x"] * 5_000}).encode()


@pytest.mark.usefixtures("_nothing_written")
def test_garbage_in_headers_is_refused(tocsin: Client, all_operations: list[Operation]) -> None:
    for each in (each for each in all_operations if each.name in VALID):
        names = {parameter["name"].lower() for parameter in each.named("header")}
        if "if-match" in names:
            for value in ("nonsense", '"99"', '"-1"', '"' + "9" * 400 + '"'):
                refused(
                    at(tocsin, each, headers={"If-Match": value}, **body_of(each)), f"{each.name} If-Match", 412, 404
                )
        if "idempotency-key" in names:
            for value in ("", '""', "x" * 300):
                answer = at(tocsin, each, headers={"Idempotency-Key": value}, **body_of(each))
                refused(answer, f"{each.name} Idempotency-Key {value[:5]!r}", 422)


@pytest.mark.usefixtures("_nothing_written")
def test_bad_lines_of_a_batch_are_refused_one_by_one(tocsin: Client) -> None:
    lines = [b"nonsense", b"[]", b"{}", b"\xff", b"[" * 50_000, b'{"nonsense": 1}', b'{"subject": "a\\u0000b"}']
    for name in LINES:
        path = name.partition(" ")[2]
        answer = tocsin.send("POST", path, content=b"\n".join(lines), headers={"Content-Type": "application/x-ndjson"})
        assert answer.status_code < 500
        fates = [json.loads(line) for line in answer.text.splitlines()]
        assert [400 <= fate["status"] < 500 for fate in fates] == [True] * len(lines), fates
        assert all(fate["detail"] for fate in fates)


def test_one_nul_byte_among_fifty_concurrent_contacts_fails_that_one_alone(tocsin: Client) -> None:
    def post(number: int) -> httpx.Response:
        return tocsin.send("POST", "/v1/contacts", json=scene.question(body="a\x00b" if number == 17 else f"{number}"))

    with ThreadPoolExecutor(50) as many:
        answers = list(many.map(post, range(50)))
    assert sorted(answer.status_code for answer in answers) == [202] * 49 + [422]
    refused(answers[17], "the one with a NUL", 422)
    for answer in answers[:17] + answers[18:]:
        tocsin.get(f"/v1/contacts/{answer.json()['contact_id']}")


def test_mail_that_cannot_be_read_is_kept_or_refused_and_breaks_nothing(tocsin: Client) -> None:
    mails = [
        *(b"", b"\x00", b"nonsense", b"\xff" * 1000, b"\r\n" * 10_000),
        b"From: a@b.example\r\n\r\n" + b"\x00" * 1000,
        b"Subject: " + b"x" * 1_000_000 + b"\r\n\r\nbody",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + b"--x\r\n" * 10_000,
    ]
    for mail in mails:
        answer = tocsin.send("POST", "/v1/contacts/email", content=mail, headers={"Content-Type": "message/rfc822"})
        never_an_error_of_ours(answer, f"a mail of {len(mail)} bytes")
