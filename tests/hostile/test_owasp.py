"""The OWASP API Security Top 10 of 2023, one by one, on a running Tocsin. SECURITY.md says what each means here."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest

from shared.auth import SCOPES, Keys
from shared.clock import SystemClock
from shared.db import Database
from shared.egress import Egress, Refused
from shared.ids import Ids
from tests.e2e import scene
from tests.e2e.client import Client, until
from tests.e2e.openapi import Operation, operations
from tests.e2e.stack import Stack
from tests.hostile.test_audit import ONLY_READ

ANYBODY = {"GET /livez", "GET /readyz", "GET /asyncapi.json"}
BY_SIGNATURE = {  # their own proof: a vendor's signature, Slack's, a signed link, a feed's address
    "POST /v1/hooks/{source}", "POST /v1/slack/interactions", "GET /v1/pages/{page_id}/action",
    "POST /v1/pages/{page_id}/action", "GET /v1/digests/{digest_id}/action",
    "POST /v1/digests/{digest_id}/action", "GET /v1/schedules/{name}.ics", "GET /v1/people/{name}.ics",
}  # fmt: skip
FOR_WRITERS = {"GET /v1/feeds"}  # shows addresses that need no key
ADMINS_ALONE = {"DELETE /v1/customers/{id}"}


@pytest.fixture(scope="module")
def all_operations(stack: Stack) -> list[Operation]:
    return list(operations(stack.documents()))


@pytest.fixture(scope="module")
def scoped(stack: Stack) -> dict[str, Client]:
    """A client for each scope."""
    return {scope: stack.client(key) for scope, key in asyncio.run(_keys(stack.database_url)).items()}


async def _keys(url: str) -> dict[str, str]:
    clock, database = SystemClock(), Database(url, "auth", pool_size=1)
    keys = Keys(database, clock, Ids(clock))
    made = {scope: await keys.create(f"only {scope}", [scope]) for scope in SCOPES}
    await database.close()
    return made


def needs(operation: Operation) -> str | None:
    """The scope that the document names."""
    required = [scope for each in operation.security for scopes in each.values() for scope in scopes]
    return required[0] if required else None


# API1, API5: what a key may touch is its scope; there are no objects of one key that another may not see.
def test_api1_and_api5_every_route_names_its_scope_and_reading_never_writes(all_operations: list[Operation]) -> None:
    assert {each.name for each in all_operations if needs(each) is None} == ANYBODY | BY_SIGNATURE
    for each in all_operations:
        if each.name in ANYBODY | BY_SIGNATURE:
            continue
        if each.name in ADMINS_ALONE:
            assert needs(each) == "admin"
        elif each.name in FOR_WRITERS:
            assert needs(each) == "config:write"
        elif each.method == "GET" or each.name in ONLY_READ:
            assert needs(each) == "read", each.name
        else:
            assert needs(each) in {"contacts:write", "cases:write", "config:write", "pages:write"}, each.name


def test_api1_and_api5_no_scope_does_the_work_of_another(
    all_operations: list[Operation], scoped: dict[str, Client]
) -> None:
    for each in all_operations:
        if (needed := needs(each)) is None:
            continue
        for scope in set(SCOPES) - {needed, "admin"}:
            answer = scoped[scope].send_to(each.base, each.method, each.filled())
            assert answer.status_code == 403, f"{each.name} with {scope} gave {answer.status_code}: {answer.text[:200]}"
            assert needed in answer.json()["detail"]


# API2
async def test_api2_only_hashes_of_keys_are_kept(stack: Stack, scoped: dict[str, Client]) -> None:
    database = await asyncpg.connect(stack.database_url.replace("postgresql+asyncpg", "postgresql"))
    try:
        stored = str(await database.fetch("SELECT * FROM auth.api_key"))
        shared = await database.fetch("SELECT value FROM auth.shared_secret")
    finally:
        await database.close()
    assert [scope for scope, client in scoped.items() if client.key in stored] == []
    assert stack.key not in stored
    assert all(row["value"].startswith("sealed:") for row in shared)


def test_api2_a_key_is_taken_from_the_header_alone(tocsin: Client) -> None:
    with httpx.Client(base_url=tocsin.routes.first) as bare:
        assert bare.get("/v1/cases", params={"access_token": tocsin.key}).status_code == 422
        for headers in ({"Cookie": f"Authorization={tocsin.key}"}, {"Authorization": f"Basic {tocsin.key}"}):
            assert bare.get("/v1/cases", headers=headers).status_code == 401


def test_api2_guessing_keys_is_slow_and_disturbs_nobody_who_has_one(tocsin: Client) -> None:
    with httpx.Client(base_url=tocsin.routes.first) as bare, ThreadPoolExecutor(16) as many:
        guesses = [{"Authorization": f"Bearer guess-{n}"} for n in range(400)]
        answers = list(many.map(lambda guess: bare.get("/v1/cases", headers=guess), guesses))
    assert {each.status_code for each in answers} == {401, 429}
    refused = next(each for each in answers if each.status_code == 429)
    assert refused.headers["retry-after"] == "1"
    assert tocsin.send("GET", "/v1/cases").status_code == 200


# API3
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/contacts", {"subject": "x", "case_id": "01890000-0000-7000-8000-000000000000"}),
        ("/v1/contacts", {"subject": "x", "received_at": "2020-01-01T00:00:00Z"}),
        ("/v1/contacts", {"subject": "x", "history": True}),
        ("/v1/contacts", {"subject": "x", "customer": {"email": "a@b.example", "verified": True}}),
        ("/v1/rulesets", {"fallback": {"team": "frontline"}, "state": "active"}),
        ("/v1/silences", {"scope": {}, "reason": "x", "until": "2099-01-01T00:00:00Z", "author": "somebody"}),
    ],
)
def test_api3_no_field_is_set_that_the_document_does_not_offer(
    tocsin: Client, path: str, body: dict[str, object]
) -> None:
    assert tocsin.send("POST", path, json=body).status_code == 422


def test_api3_secrets_are_never_shown_again(tocsin: Client) -> None:
    for path in ("/v1/sources", "/v1/destinations"):
        listed = tocsin.get(path)["items"]
        assert listed
        for each in (*listed, *(tocsin.get(f"{path}/{item['name']}") for item in listed)):
            assert not {"secret", "secrets"} & each.keys()
            assert "whsec_" not in str(each)


# API4
def test_api4_every_list_is_bounded_and_every_body_too(all_operations: list[Operation], tocsin: Client) -> None:
    for each in all_operations:
        limits = [p for p in each.named("query") if p["name"] == "limit"]
        assert all(limit["schema"]["maximum"] <= 500 for limit in limits), each.name
        if each.content and each.name not in BY_SIGNATURE:
            assert announced(tocsin, each, 64 * 1_048_576 + 1) == 413, each.name


def announced(tocsin: Client, operation: Operation, size: int) -> int:
    """The status for a body that is only announced."""
    connection = HTTPConnection(urlsplit(operation.base).netloc, timeout=10)
    connection.putrequest(operation.method, operation.filled())
    connection.putheader("Authorization", f"Bearer {tocsin.key}")
    connection.putheader("Content-Length", str(size))
    connection.endheaders()
    status = connection.getresponse().status
    connection.close()
    return status


# API6: the flows that cost people their sleep have budgets: one sender's mails, one open page a case, lanes, the desk.
def test_api6_one_sender_cannot_open_pages_without_end(tocsin: Client) -> None:
    mail = "From: flood@shop.example\r\nMessage-ID: <{}@shop.example>\r\nSubject: again\r\n\r\nagain"
    for number in range(62):
        tocsin.call("POST", "/v1/contacts/email", 202, content=mail.format(number).encode())
    customer = until(lambda: tocsin.get("/v1/customers/flood@shop.example"), 10, "the sender is known")
    kept = [tocsin.get(f"/v1/cases/{case['id']}")["contacts"] for case in customer["cases"]]
    assert any(contact.get("automated") for contacts in kept for contact in contacts)


# API7: redirects, names that move, and addresses written in every way.
class Lure(BaseHTTPRequestHandler):
    """A server outside that leads inside."""

    def do_GET(self) -> None:
        self.send_response(302)
        self.send_header("Location", "http://169.254.169.254/latest/meta-data/")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def lure() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Lure)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "written",
    [
        "127.0.0.1", "0177.0.0.1", "0x7f.0.0.1", "2130706433", "0x7f000001", "017700000001", "127.1", "0", "localhost.",
        "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]",
        "①②⑦.⓪.⓪.①", "127。0。0。1", "localhost", "LOCALHOST",
    ],
)  # fmt: skip
async def test_api7_no_way_of_writing_an_address_leads_inside(written: str, lure: int) -> None:
    async with Egress().client(httpx.Timeout(5), 1) as client:
        with pytest.raises((httpx.ConnectError, httpx.InvalidURL)):
            await client.get(f"http://{written}:{lure}/")


async def test_api7_a_redirect_is_not_followed_and_where_it_is_each_step_is_judged(lure: int) -> None:
    async with Egress("127.0.0.1").client(httpx.Timeout(5), 1) as client:
        assert (await client.get(f"http://127.0.0.1:{lure}/")).status_code == 302
        with pytest.raises(Refused, match=r"169[.]254"):
            await client.get(f"http://127.0.0.1:{lure}/", follow_redirects=True)


async def test_api7_a_name_that_moves_inside_after_it_was_checked_is_refused(
    lure: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the first answer is outside, every later one inside. What is checked is what is connected to."""
    asked: list[str] = []

    def answers(host: str, port: int, *_: object, **__: object) -> list[tuple[object, ...]]:
        asked.append(host)
        address = "203.0.113.1" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", answers)
    async with Egress("203.0.113.0/24").client(httpx.Timeout(0.5), 1) as client:
        with pytest.raises(httpx.HTTPError) as first:
            await client.get(f"http://moves.example:{lure}/")
        assert not isinstance(first.value, Refused)  # nobody is there: connected to 203.0.113.1, asked once
        assert asked == ["moves.example"]
        with pytest.raises(Refused):
            await client.get(f"http://moves.example:{lure}/")


def test_api7_what_is_configured_to_lead_inside_is_refused_at_once(tocsin: Client) -> None:
    secret = "whsec_" + "A" * 44
    for url in ("http://169.254.169.254/", "http://[::ffff:10.0.0.1]/", "http://localhost:8080/", "file:///etc/passwd"):
        answer = tocsin.send("PUT", "/v1/destinations/in", json={"kind": "webhook", "url": url, "secret": secret})
        assert answer.status_code == 422, url
        layer = {"calendar": {"url": url}, "start": "2026-11-02T09:00:00"}
        assert tocsin.send("PUT", "/v1/schedules/in", json={"layers": [layer]}).status_code == 422, url


# API8
def test_api8_answers_carry_no_more_than_they_must(tocsin: Client, all_operations: list[Operation]) -> None:
    for path in ("/v1/cases", "/v1/nothing", "/livez", "/docs", "/metrics"):
        answer = tocsin.send("GET", path, headers={"Origin": "https://evil.example"})
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers and "x-powered-by" not in answer.headers
        assert not [name for name in answer.headers if name.startswith("access-control-")]
    for method in ("TRACE", "CONNECT", "PROPFIND"):
        assert tocsin.send(method, "/v1/cases").status_code in (400, 405)
    assert tocsin.send("GET", "/redoc").status_code == 404


def test_api8_what_is_kept_on_disk_is_for_its_owner(stack: Stack) -> None:
    for name in ("secret-key", "admin-key"):
        path = Path(stack.folder) / "data" / name
        assert not path.exists() or path.stat().st_mode & 0o077 == 0


# API9: tests/unit/deploy/test_routes.py holds the gateway's table to the documents.
def test_api9_what_answers_is_documented(tocsin: Client, all_operations: list[Operation]) -> None:
    assert {each.path for each in all_operations if not each.path.startswith("/v1/")} == {
        "/livez", "/readyz", "/metrics", "/asyncapi.json",
    }  # fmt: skip
    for hidden in ("/v2/cases", "/v1/", "/v1/keys", "/v1/internal", "/debug", "/admin", "/.env", "/.git/config"):
        assert tocsin.send("GET", hidden).status_code == 404


# API10
def test_api10_what_vendors_send_is_nothing_without_their_signature(tocsin: Client) -> None:
    before = tocsin.get("/v1/ledger")
    for headers in ({}, {"webhook-id": "1", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"}):
        answer = tocsin.send("POST", "/v1/hooks/desk", json=scene.question(), headers=headers)
        assert answer.status_code == 401
    signed = {"x-slack-request-timestamp": "1", "x-slack-signature": "v0=00"}
    assert tocsin.send("POST", "/v1/slack/interactions", data={"payload": "{}"}, headers=signed).status_code == 401
    assert len(before["lines"]) == len(tocsin.get("/v1/ledger")["lines"])
