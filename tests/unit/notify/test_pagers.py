"""Pagers and webhooks as destinations: what they are told of a page, and what happens when they are gone."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from services.notify.senders import opsgenie, pagerduty
from tests.stand_ins.slack import Slack
from tests.stand_ins.smtp import Mail
from tests.unit.notify.given import DUE, SUMMARY, breached, met, minutes, warned
from tests.unit.notify.running import Running
from tests.unit.notify.test_message import message, standing, to

KEY = "0123456789abcdef0123456789abcdef"


class Provider:
    """Takes anything, keeps it, and answers with ``status``."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.status, self.url = 202, ""

    async def take(self, request: web.Request) -> web.Response:
        self.told.append((request.path_qs, dict(request.headers), await request.json()))
        return web.json_response({"result": "x"}, status=self.status)


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    found, app = Provider(), web.Application()
    app.router.add_post("/{path:.*}", found.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v2"
    yield found
    await runner.cleanup()


@pytest.fixture
async def notify(embedded: str, slack: Slack, mail: Mail) -> AsyncIterator[Running]:
    running = await Running.start(embedded, slack, mail, egress_allow="127.0.0.0/8")
    yield running
    await running.stop()


async def told_by(notify: Running, spec: dict[str, Any]) -> None:
    await notify.ok("PUT", "/v1/destinations/pager", spec)
    steps = [{"on": on, "notify": [{"destination": "pager"}]} for on in ("warned", "breached")]
    steps.append({"after": "PT1M", "notify": [{"destination": "payments-slack"}]})
    await notify.ok("PUT", "/v1/escalation-policies/payments", {"teams": ["payments"], "steps": steps})


async def live(notify: Running) -> str:
    """A page that warns, breaks, is acknowledged and resolves; its id."""
    await notify.tell(warned(minutes(-1)))
    await notify.pump()
    await notify.tell(breached())
    await notify.pump()
    page: str = (await notify.page())["id"]
    await notify.ok("POST", f"/v1/pages/{page}/acknowledge", {"by": "ana"})
    await notify.until(minutes(1))
    await notify.tell(met(minutes(1)))
    await notify.pump()
    return page


async def test_pagerduty_has_one_incident_that_is_triggered_acknowledged_and_resolved(
    notify: Running, provider: Provider
) -> None:
    await told_by(notify, {"kind": "pagerduty", "url": provider.url, "secret": KEY})
    page = await live(notify)
    events = [event for _, _, event in provider.told]
    assert [each["event_action"] for each in events] == ["trigger", "trigger", "acknowledge", "resolve"]
    assert {each["dedup_key"] for each in events} == {page}
    assert {each["routing_key"] for each in events} == {KEY}
    assert [each["payload"]["severity"] for each in events[:2]] == ["warning", "critical"]
    assert events[1]["payload"]["summary"] == "C-4812 first reply under 1 s late: Payout missing (enterprise)"
    assert events[1]["client_url"] == SUMMARY.url
    shown = await notify.ok("GET", "/v1/destinations/pager")
    assert "secret" not in shown
    assert KEY not in json.dumps(shown)


async def test_opsgenie_has_one_alert_that_is_made_acknowledged_and_closed(notify: Running, provider: Provider) -> None:
    await told_by(notify, {"kind": "opsgenie", "url": f"{provider.url}/alerts", "secret": "a-key-of-an-integration"})
    page = await live(notify)
    assert [path for path, _, _ in provider.told] == [
        "/v2/alerts",
        "/v2/alerts",
        f"/v2/alerts/{page}/acknowledge?identifierType=alias",
        f"/v2/alerts/{page}/close?identifierType=alias",
    ]
    assert {headers["Authorization"] for _, headers, _ in provider.told} == {"GenieKey a-key-of-an-integration"}
    assert provider.told[1][2]["alias"] == page
    assert provider.told[1][2]["priority"] == "P1"
    assert "Acknowledged by Ana" in provider.told[2][2]["note"]


async def test_a_webhook_is_told_of_the_call_the_acknowledgement_and_the_end(
    notify: Running, provider: Provider
) -> None:
    await told_by(notify, {"kind": "webhook", "url": provider.url, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})
    page = await live(notify)
    events = [event for _, _, event in provider.told]
    kinds = [each["type"] for each in events]
    assert kinds == ["page.call", "page.call", "page.acknowledged", "page.resolved"]
    assert {each["data"]["page_id"] for each in events} == {page}
    assert events[2]["data"]["acknowledged_by"] == "ana"
    assert len({headers["webhook-id"] for _, headers, _ in provider.told}) == 4


async def test_a_webhook_that_answers_gone_is_switched_off_visibly_until_it_is_written_again(
    notify: Running, provider: Provider, slack: Slack
) -> None:
    spec = {"kind": "webhook", "url": provider.url, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
    await told_by(notify, spec)
    provider.status = 410
    await notify.tell(warned(minutes(-1)))
    await notify.pump()
    await notify.tell(breached())
    await notify.pump()
    assert len(provider.told) == 1, "nothing more is sent there"
    assert [post.channel for post in slack.posts] == ["#payments-alerts"], "the next step ran at once"
    texts = [each["text"] for each in (await notify.ok("GET", "/v1/problems"))["items"] if each["name"] == "pager"]
    assert len(texts) == 1
    assert "switched off: the webhook answered 410" in texts[0]
    await notify.ok("PUT", "/v1/destinations/pager", spec)
    problems = (await notify.ok("GET", "/v1/problems"))["items"]
    assert not [each for each in problems if each["name"] == "pager"]


async def test_a_pager_without_its_key_is_refused_when_it_is_written(notify: Running) -> None:
    for kind in ("pagerduty", "opsgenie"):
        answer = await notify.client.put("/v1/destinations/pager", json={"kind": kind})
        assert answer.status_code == 422
        assert "integration" in answer.text
    spec = {"kind": "webhook", "url": "https://example.com", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
    await notify.ok("PUT", "/v1/destinations/pager", spec)
    answer = await notify.client.put("/v1/destinations/pager", json={"kind": "pagerduty"})
    assert answer.status_code == 422, "a webhook's secret is no integration key"


@settings(max_examples=40)
@given(st.text(max_size=2000), st.text(max_size=2000))
def test_whatever_customers_write_stays_within_the_pagers_limits(subject: str, words: str) -> None:
    summary = SUMMARY.model_copy(update={"subject": subject, "excerpt": words})
    found = message(standing(to("payments-slack"), breached(DUE, summary=summary)), "destination:payments-slack")
    event = pagerduty.event(found, KEY)
    assert event is not None
    assert 1 <= len(event["payload"]["summary"]) <= pagerduty.MAX_SUMMARY
    alert = opsgenie.alert(found)
    assert 1 <= len(alert["message"]) <= opsgenie.MAX_MESSAGE
    assert len(alert["description"]) <= opsgenie.MAX_DESCRIPTION
