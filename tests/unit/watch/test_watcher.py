"""The watcher against a Tocsin that is a stand-in: what it asks for, what it takes, and what it leaves behind."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import ClientSession, web
from pydantic import SecretStr
from standardwebhooks import Webhook

from services.watch.judgement import Hop
from services.watch.settings import WatchSettings
from services.watch.watcher import Watcher
from shared.clock import SystemClock
from tests.e2e.programs import free_port


@dataclass
class FakeTocsin:
    """It pages at once, unless ``pages`` is false; ``broken`` paths answer 500. Also the people, and the switch."""

    port: int = field(default_factory=free_port)
    pages: bool = True
    accepts: bool = True
    forgets: bool = False
    broken: str = "nothing"
    put: dict[str, Any] = field(default_factory=dict)
    contacts: dict[str, str] = field(default_factory=dict)  # external id → case id
    activities: list[dict[str, Any]] = field(default_factory=list)
    people: list[dict[str, Any]] = field(default_factory=list)
    pings: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def answer(self, request: web.Request) -> web.Response:
        path = request.path
        if path == "/ping":
            self.pings += 1
        elif path == "/people":
            self.people.append(await request.json())
        elif self.broken in path:
            return web.json_response({"detail": "broken"}, status=500)
        elif request.method == "PUT":
            self.put[path] = await request.json()
        elif path == "/v1/contacts":
            return await self.contact(await request.json())
        elif path == "/v1/activities":
            return self.activity(await request.json())
        elif path.endswith("/assignment"):
            return web.json_response({"detail": "not yet"}, status=404)
        elif request.method == "GET" and path not in self.put:
            return web.json_response({"items": []}, status=200 if path.endswith(("s", "clocks")) else 404)
        return web.json_response({})

    async def contact(self, body: dict[str, Any]) -> web.Response:
        case_id = self.contacts.setdefault(body["external_id"], f"case-{len(self.contacts)}")
        if not self.accepts:  # and yet it was: the answer is lost
            return web.json_response({"detail": "away"}, status=503)
        if self.pages:
            await self.page(case_id)
        return web.json_response({"case_id": case_id}, status=202)

    def activity(self, body: dict[str, Any]) -> web.Response:
        for known in self.activities:
            if known["external_id"] == body["external_id"] and known != body:
                return web.json_response({"detail": "the same external_id with another body"}, status=409)
        self.activities.append(body)
        if self.forgets:  # it was taken, and the answer is lost
            return web.json_response({"detail": "away"}, status=503)
        return web.json_response({}, status=202)

    async def page(self, case_id: str, secret: str | None = None, kind: str = "page.call") -> int:
        destination = self.put["/v1/destinations/tocsin-watch"]
        body, at = json.dumps({"type": kind, "data": {"case_id": case_id}}), SystemClock().now()
        signed = Webhook(secret or destination["secret"]).sign("id", at, body)
        headers = {"webhook-id": "id", "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signed}
        async with ClientSession() as http, http.post(destination["url"], data=body, headers=headers) as answer:
            return answer.status


@pytest.fixture
async def tocsin() -> AsyncIterator[FakeTocsin]:
    found, app = FakeTocsin(), web.Application()
    app.router.add_route("*", "/{path:.*}", found.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", found.port).start()
    yield found
    await runner.cleanup()


@pytest.fixture
async def watcher(tocsin: FakeTocsin, tmp_path: Path) -> AsyncIterator[Watcher]:
    made = Watcher(settings(tocsin, tmp_path))
    async with made._serving():
        yield made
    await made.close()


def settings(tocsin: FakeTocsin, folder: Path) -> WatchSettings:
    return WatchSettings(
        server=tocsin.url, key=SecretStr("key"), port=free_port(), state=folder / "watch.json", every_s=1, within_s=0.3,
        failures=2, ping_url=f"{tocsin.url}/ping", webhook_url=SecretStr(f"{tocsin.url}/people"),
    )  # fmt: skip


async def test_a_round_that_works_pings_tells_nobody_and_closes_its_case(tocsin: FakeTocsin, watcher: Watcher) -> None:
    assert (await watcher.round()).age is not None
    assert (tocsin.pings, tocsin.people) == (1, [])
    assert [(each["kind"], each.get("status")) for each in tocsin.activities] == [
        ("agent_replied", None), ("status_changed", "closed"),
    ]  # fmt: skip
    assert tocsin.put["/v1/escalation-policies/tocsin-watch"]["teams"] == ["tocsin-watch"]
    assert len(tocsin.put) == 4
    tocsin.put["/v1/teams/tocsin-watch"] = "as somebody changed it"
    await watcher.round()
    assert tocsin.put["/v1/teams/tocsin-watch"] == "as somebody changed it"


async def test_two_rounds_without_a_page_call_people_and_ping_nobody(tocsin: FakeTocsin, watcher: Watcher) -> None:
    tocsin.pages = False
    assert [(await watcher.round()).hop for _ in range(2)] == [Hop.ROUTED, Hop.ROUTED]
    assert tocsin.pings == 0
    assert [(each["state"], each["hop"]) for each in tocsin.people] == [("failing", "routed")]
    assert len(tocsin.activities) == 4, "those cases are closed too"
    tocsin.pages = True
    await watcher.round()
    assert [each["state"] for each in tocsin.people] == ["failing", "ok"]
    assert tocsin.pings == 1


async def test_a_part_that_is_only_looked_after_may_be_away_once_all_is_set_up(
    tocsin: FakeTocsin, watcher: Watcher
) -> None:
    tocsin.broken = "/v1/teams"
    assert (await watcher.round()).hop == Hop.ACCEPTED, "nothing is set up yet"
    tocsin.broken = "nothing"
    assert (await watcher.round()).age is not None
    tocsin.broken = "/v1/teams"
    assert (await watcher.round()).age is not None


async def test_what_was_left_by_a_watcher_before_is_found_and_closed_once(
    tocsin: FakeTocsin, watcher: Watcher, tmp_path: Path
) -> None:
    await watcher.set_up()
    tocsin.accepts = False
    assert (await watcher.round()).hop == Hop.ACCEPTED
    assert tocsin.activities == []
    tocsin.accepts = True
    after = Watcher(settings(tocsin, tmp_path))
    async with after._serving():
        assert (await after.round()).age is not None
    await after.close()
    assert len(tocsin.contacts) == 2, "the contact that may have been accepted was posted again under its name"
    assert [each["case_id"] for each in tocsin.activities] == ["case-0"] * 2 + ["case-1"] * 2


async def test_a_case_whose_answer_was_taken_without_a_word_is_closed_all_the_same(
    tocsin: FakeTocsin, watcher: Watcher
) -> None:
    tocsin.forgets = True
    await watcher.round()
    assert len(watcher._memory.left) == 1
    tocsin.forgets = False
    await watcher.round()
    assert watcher._memory.left == ()
    assert sorted(each["kind"] for each in tocsin.activities) == ["agent_replied"] * 2 + ["status_changed"] * 2


async def test_only_calls_that_notify_signed_count(tocsin: FakeTocsin, watcher: Watcher) -> None:
    await watcher.set_up()
    tocsin.pages = False
    assert await tocsin.page("case-0", "whsec_" + "b3RoZXI=" * 4) == 401
    assert await tocsin.page("case-0", kind="page.resolved") == 200
    assert (await watcher.round()).age is None
    async with httpx.AsyncClient() as http:
        metrics = await http.get(f"http://127.0.0.1:{watcher._settings.port}/metrics")
    assert "tocsin_watch_up 0.0" in metrics.text
