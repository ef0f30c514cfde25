"""The demo's Slack and mail server answer the real clients of each, and keep what came."""

import hashlib
import hmac
import json
from datetime import UTC, datetime
from email.message import EmailMessage
from urllib.parse import parse_qs

import aiohttp
import aiosmtplib
import pytest
from aiohttp import web
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from services.demo import slack as demo_slack
from services.demo.mailbox import mailbox
from services.demo.slack import slack_stand_in
from shared.clock import ManualClock

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
LABEL = {"type": "plain_text", "text": "Acknowledge"}
BUTTON = {"type": "button", "action_id": "acknowledge", "value": "page-1", "text": LABEL}
BLOCKS = [
    {"type": "section", "text": {"type": "mrkdwn", "text": "*C-12* is late"}},
    {"type": "actions", "block_id": "page", "elements": [BUTTON]},
]


async def test_a_message_posted_by_slacks_own_client_arrives_whole_and_can_be_edited_and_found() -> None:
    async with slack_stand_in(ManualClock(NOW)) as slack:
        client = AsyncWebClient(token=slack.token, base_url=slack.api_url)
        answer = await client.chat_postMessage(channel="#payments-alerts", text="C-12 is late", blocks=BLOCKS)
        [post] = slack.received.items
        assert (post.channel, post.payload["blocks"], post.arrived_at) == ("#payments-alerts", BLOCKS, NOW)
        channel = answer["channel"]
        assert channel.startswith("C")
        await client.chat_update(channel=channel, ts=answer["ts"], text="acknowledged by ana")
        assert [each.payload["text"] for each in slack.standing()] == ["acknowledged by ana"]
        assert [each.edited for each in slack.received.items] == [False, True]
        history = await client.conversations_history(channel=channel)
        assert [each["text"] for each in history["messages"]] == ["acknowledged by ana"]


async def test_slack_refuses_as_slack_does() -> None:
    async with slack_stand_in(ManualClock(NOW)) as slack:
        with pytest.raises(SlackApiError, match="invalid_auth"):
            await AsyncWebClient(token="xoxb-wrong", base_url=slack.api_url).chat_postMessage(channel="#a", text="x")
        client = AsyncWebClient(token=slack.token, base_url=slack.api_url)
        with pytest.raises(SlackApiError, match="message_not_found"):
            await client.chat_update(channel="C1", ts="1.1", text="x")
        with pytest.raises(SlackApiError, match="unknown_method"):
            await client.api_call("chat.unheardOf")


async def test_a_pressed_button_comes_back_signed_as_slack_signs_and_opening_the_page_presses_nothing() -> None:
    calls: list[tuple[dict[str, str], bytes]] = []

    async def interactions(request: web.Request) -> web.Response:
        calls.append((dict(request.headers), await request.read()))
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/slack/interactions", interactions)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with slack_stand_in(ManualClock(NOW)) as slack, aiohttp.ClientSession() as browser:
            slack.interactions_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1/slack/interactions"
            client = AsyncWebClient(token=slack.token, base_url=slack.api_url)
            ts = (await client.chat_postMessage(channel="#a", text="x", blocks=BLOCKS))["ts"]
            async with browser.get(slack.url) as page:
                assert "Acknowledge" in await page.text()
            assert calls == []
            async with browser.post(f"{slack.url}/press", data={"ts": ts, "action": "acknowledge"}) as after:
                assert after.status == 200
            async with browser.post(f"{slack.url}/press", data={"ts": ts, "action": "unknown"}) as after:
                assert after.status == 404
    finally:
        await runner.cleanup()
    [(headers, body)] = calls
    base = f"v0:{headers['X-Slack-Request-Timestamp']}:".encode() + body
    expected = hmac.new(slack.signing_secret.encode(), base, hashlib.sha256).hexdigest()
    assert headers["X-Slack-Signature"] == f"v0={expected}"
    payload = json.loads(parse_qs(body.decode())["payload"][0])
    assert payload["type"] == "block_actions"
    assert payload["actions"][0]["value"] == "page-1"
    assert payload["user"]["id"] == demo_slack.YOU


@pytest.mark.parametrize(
    ("text", "mentioned"),
    [("C-1 is late", True), ("*C-1*: Payout", True), ("C-1", True), ("C-12 is late", False), ("AC-1 is late", False)],
)
def test_a_message_is_about_the_case_it_names_and_no_other(text: str, mentioned: bool) -> None:
    assert demo_slack.Post("1.1", "#a", {"text": text}, NOW).mentions("C-1") is mentioned


async def test_a_mail_sent_by_a_real_client_arrives_as_written() -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "tocsin@acme.example", "ana@acme.example", "C-12: Auszahlung fehlt – ß"
    mail.set_content("Zeile\n.\n..zwei Punkte\nhttp://127.0.0.1:9/ack/abc.\n")
    mail.add_alternative("<p>Zeile</p>", subtype="html")
    async with mailbox(ManualClock(NOW)) as box:
        host, _, port = box.url.removeprefix("smtp://").partition(":")
        await aiosmtplib.send(mail, hostname=host, port=int(port), start_tls=False)
        found = await box.received.first(lambda each: "C-12" in str(each.message["Subject"]))
    assert found.recipients == ("ana@acme.example",)
    assert str(found.message["Subject"]) == "C-12: Auszahlung fehlt – ß"
    assert found.text.splitlines() == ["Zeile", ".", "..zwei Punkte", "http://127.0.0.1:9/ack/abc."]
    assert found.link("http://127.0.0.1:9") == "http://127.0.0.1:9/ack/abc"
    assert found.link("http://127.0.0.1:99") is None


async def test_two_mails_on_one_connection_are_two_mails() -> None:
    async with mailbox(ManualClock(NOW)) as box:
        host, _, port = box.url.removeprefix("smtp://").partition(":")
        async with aiosmtplib.SMTP(hostname=host, port=int(port), start_tls=False) as client:
            for number in (1, 2):
                mail = EmailMessage()
                mail["From"], mail["To"], mail["Subject"] = "a@x.example", f"b{number}@x.example", str(number)
                mail.set_content("x")
                await client.send_message(mail)
        assert [each.recipients for each in box.received.items] == [("b1@x.example",), ("b2@x.example",)]
