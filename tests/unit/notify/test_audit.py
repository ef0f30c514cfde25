"""What people do from a message is audited as what they do by the API: who, by what way, from where."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import pytest
from pydantic import SecretStr

from shared import audit
from tests.stand_ins.slack import Slack
from tests.stand_ins.smtp import Mail
from tests.unit.notify.given import breached
from tests.unit.notify.running import Running
from tests.unit.notify.test_acting import answered, link, press, reply


@pytest.fixture
async def notify(embedded: str, slack: Slack, mail: Mail) -> AsyncIterator[Running]:
    running = await Running.start(embedded, slack, mail, mail_key=SecretStr("a key that signs mail"))
    steps = [{"notify": [{"person": "li"}, {"destination": "desk"}]}]
    await running.ok("PUT", "/v1/escalation-policies/payments", {"teams": ["payments"], "steps": steps})
    await running.tell(breached())
    await running.pump()
    yield running
    await running.stop()


async def acts(notify: Running) -> list[audit.Entry]:
    """Upon pages and deliveries, oldest first."""
    async with notify.runtime.db.transaction() as tx:
        found = await audit.listing(tx, "notify", audit.Search(), 100, None)
    return [each for each in reversed(found) if each.kind in ("page", "delivery")]


async def test_a_press_on_a_link_is_audited_with_the_address_that_pressed(notify: Running, mail: Mail) -> None:
    page = await notify.page()
    await press(notify, link(mail), "act=acknowledge")
    await press(notify, link(mail), "act=acknowledge")  # does nothing, so it is no act
    [entry] = await acts(notify)
    assert (entry.act, entry.subject) == ("acknowledged", page["id"])
    assert (entry.actor.by, entry.actor.via, entry.actor.key) == ("li", "link", None)
    assert entry.actor.address == "127.0.0.1"
    assert entry.actor.request_id is not None


async def test_a_reply_is_audited_as_the_persons_by_the_key_that_brought_it(notify: Running, mail: Mail) -> None:
    assert (await answered(notify, reply(mail, "resolve"))).is_success
    [entry] = await acts(notify)
    assert (entry.act, entry.actor.by, entry.actor.via, entry.actor.key) == ("resolved", "li", "email", "bo")


async def test_a_press_in_slack_is_audited_as_the_persons(notify: Running) -> None:
    page = await notify.page()
    action = {"action_id": "acknowledge", "value": page["id"]}
    said: dict[str, Any] = {"user": {"id": "U0STRANGER", "name": "stranger"}, "actions": [action]}
    body, at = urlencode({"payload": json.dumps(said)}), str(int(notify.clock.now().timestamp()))
    mac = hmac.new(b"signing", f"v0:{at}:{body}".encode(), hashlib.sha256).hexdigest()
    headers = {"X-Slack-Request-Timestamp": at, "X-Slack-Signature": f"v0={mac}", "Authorization": ""}
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    assert (await notify.client.post("/v1/slack/interactions", content=body, headers=headers)).status_code == 200
    [entry] = await acts(notify)
    assert (entry.act, entry.actor.by, entry.actor.via) == ("acknowledged", "stranger", "slack")


async def test_an_act_that_does_nothing_is_none(notify: Running) -> None:
    [sent] = [each for each in await notify.deliveries() if each["target"] == "person:li"]
    refused = await notify.client.post(f"/v1/deliveries/{sent['id']}/retry")
    assert refused.status_code == 409  # it was sent: nothing to do, so it is no act
    assert await acts(notify) == []
