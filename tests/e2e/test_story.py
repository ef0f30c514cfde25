"""The main job, from outside: a contact that gets no answer in time becomes a page to a person, and ends well."""

import hashlib
import hmac
import json
import re
from collections.abc import Callable
from html import unescape
from urllib.parse import urlencode

import httpx
import pytest

from services.notify.decide.storms import WINDOW
from shared.contracts import duration
from tests.e2e import scene
from tests.e2e.client import JSON, Client, until
from tests.e2e.sinks import Sent
from tests.e2e.stack import SIGNING_SECRET, Stack

SOON_S = 20.0
LATEST_S = 5.0  # how late a message may be here; the figure itself is printed


def told(messages: list[Sent], number: str) -> list[Sent]:
    return [each for each in messages if each.case_number == number]


def buttons(message: Sent) -> list[JSON]:
    return [e for block in message.raw["blocks"] for e in block.get("elements", []) if e.get("type") == "button"]


def press(tocsin: Client, message: Sent, secret: str = SIGNING_SECRET) -> httpx.Response:
    """What Slack posts when somebody presses Acknowledge."""
    button = next(each for each in buttons(message) if each["text"]["text"] == "Acknowledge")
    payload = {
        "type": "block_actions", "user": {"id": scene.SLACK_USER, "username": "li"}, "channel": {"id": "C1"},
        "message": {"ts": "1.2"}, "actions": [{"type": "button", "block_id": "b", "action_ts": "1.2", **button}],
    }  # fmt: skip
    body, stamp = urlencode({"payload": json.dumps(payload)}), str(int(scene.now().timestamp()))
    digest = hmac.new(secret.encode(), f"v0:{stamp}:{body}".encode(), hashlib.sha256).hexdigest()
    headers = {
        "X-Slack-Request-Timestamp": stamp,
        "X-Slack-Signature": f"v0={digest}",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    return tocsin.send("POST", "/v1/slack/interactions", content=body, headers=headers)


def follow(mail: Sent) -> str:
    """The link of a mail at which a person acknowledges, opened as a mail scanner does: it changes nothing."""
    links = re.findall(r"https?://127\.0\.0\.1:\d+/\S+", mail.raw["plain"])
    assert links, mail.raw["plain"]
    return links[0].rstrip(".>)")


def submit(link: str) -> httpx.Response:
    """Press the button of the page behind a link, without any key of the API."""
    html = httpx.get(link).text
    form = re.search(r"<form[^>]*method=\"post\"[^>]*>.*?</form>", html, re.S | re.I)
    assert form, html
    action = re.search(r"action=\"([^\"]*)\"", form[0])
    fields = dict(re.findall(r"<input[^>]*name=\"([^\"]+)\"[^>]*value=\"([^\"]*)\"", form[0]))
    target = httpx.URL(link).join(unescape(action[1]) if action and action[1] else link)
    return httpx.post(target, data={name: unescape(value) for name, value in fields.items()})


@pytest.fixture
def cases(stack: Stack, tocsin: Client) -> dict[str, JSON]:
    """Four contacts that nobody answers in time, by how their pages will be acknowledged."""
    mails = [mail.at for mail in stack.sinks.mail() if mail.to == scene.MAIL]
    rested = max(mails, default=scene.now() - WINDOW) + WINDOW  # else a mail of ours joins other tests' in a digest
    until(lambda: scene.now() >= rested, SOON_S, "the mails of other tests are long ago")
    ways = zip(scene.TEAMS, ("slack", "mail", "api", "nobody"), strict=True)
    return {way: tocsin.post("/v1/contacts", scene.payout_missing(team)) for team, way in ways}


def test_a_broken_promise_is_told_until_somebody_acknowledges_and_a_late_reply_ends_it(
    stack: Stack, tocsin: Client, cases: dict[str, JSON], measured: Callable[[str], None]
) -> None:
    numbers = {way: case["case_number"] for way, case in cases.items()}
    first = {}
    for (way, case), team in zip(cases.items(), scene.TEAMS, strict=True):
        clock = scene.clock_started(tocsin, case["case_id"])
        assert scene.at(clock["due_at"]) - scene.at(clock["started_at"]) == scene.PROMISE
        first[way] = until(lambda n=numbers[way]: told(stack.sinks.slack(), n), SOON_S, f"Slack is told of {way}")[0]
        tells_everything(first[way], numbers[way], team)
        measured(f"{stack.name}: Slack told {never_early(first[way], clock):.0f} ms after the deadline")

    assert press(tocsin, first["slack"], secret="another").status_code in (401, 403)
    assert scene.the_page(tocsin, cases["slack"]["case_id"])["state"] == "open"
    assert press(tocsin, first["slack"]).status_code == 200
    mails = {
        way: until(
            lambda n=numbers[way]: told(stack.sinks.mail(), n), SOON_S, f"the person on call is mailed of {way}"
        )[0]
        for way in ("mail", "api", "nobody")
    }
    for way, mail in mails.items():
        assert mail.to == scene.MAIL
        due_at = scene.at(scene.the_clock(tocsin, cases[way]["case_id"])["due_at"])
        assert mail.at - due_at >= scene.MAIL_AFTER, "never early"
    acknowledge_by_mail(tocsin, mails["mail"], cases["mail"]["case_id"])
    page = scene.the_page(tocsin, cases["api"]["case_id"])
    tocsin.post(f"/v1/pages/{page['id']}/acknowledge", {"by": "ana"})

    until(
        lambda: len(told(stack.sinks.slack(), numbers["nobody"])) > 1, SOON_S, "the steps repeat where nobody took it"
    )
    for way in ("slack", "mail", "api"):
        assert scene.the_page(tocsin, cases[way]["case_id"])["state"] == "acknowledged"
        assert len(told(stack.sinks.slack(), numbers[way])) == 1, "acknowledged, so Slack is not told again"
    assert not told(stack.sinks.mail(), numbers["slack"]), "acknowledged before its second step"

    for way, case in cases.items():
        tocsin.post("/v1/activities", scene.replied(case["case_id"]))
        until(lambda c=case: scene.the_page(tocsin, c["case_id"])["state"] == "resolved", SOON_S, f"{way} is resolved")
        clock = scene.the_clock(tocsin, case["case_id"])
        assert clock["state"] == "met"
        assert clock["breached_at"] == clock["due_at"]
        assert scene.at(clock["met_at"]) > scene.at(clock["due_at"])
    assert len(told(stack.sinks.mail(), numbers["mail"])) == 1
    assert len(told(stack.sinks.mail(), numbers["api"])) == 1


def tells_everything(message: Sent, number: str, team: str) -> None:
    assert message.to == scene.channel(team)
    assert number in message.text
    assert "first reply" in message.text.lower(), "the promise"
    assert re.search(r"(under 1|\d+) s late", message.text), "by how much it is broken"
    assert scene.rule(team) in message.text, "why it was routed here"
    assert "Acknowledge" in [each["text"]["text"] for each in buttons(message)]


def never_early(message: Sent, clock: JSON) -> float:
    """How many milliseconds after the deadline a message came."""
    late = (message.at - scene.at(clock["due_at"])).total_seconds()
    assert 0 <= late < LATEST_S
    return late * 1000


def acknowledge_by_mail(tocsin: Client, mail: Sent, case_id: str) -> None:
    link = follow(mail)
    for _ in range(3):
        shown = httpx.get(link)
        assert shown.status_code == 200
        assert "acknowledge" in shown.text.lower()
    assert httpx.head(link).status_code < 500
    assert scene.the_page(tocsin, case_id)["state"] == "open", "opening a link acknowledges nothing"
    assert httpx.get(link[:-6] + "AAAAAA").status_code in (401, 403, 404)
    assert submit(link).status_code in (200, 303)
    page = scene.the_page(tocsin, case_id)
    assert (page["state"], page["acknowledged_by"]) == ("acknowledged", "ana")


def test_every_decision_says_why(tocsin: Client) -> None:
    posted = tocsin.post("/v1/contacts", scene.payout_missing(subject="Why here?"))
    case_id = posted["case_id"]
    clock = scene.clock_started(tocsin, case_id)
    assignment = tocsin.get(f"/v1/cases/{case_id}/assignment")
    assert (assignment["team"], assignment["priority"], assignment["rule"]) == (
        "payments",
        "urgent",
        scene.rule("payments"),
    )
    assert "vip" in assignment["tags"]
    for because in (assignment["because"], clock["because"]):
        assert len(because["text"]) > 10
        assert isinstance(because["facts"], dict)
    assert duration.parse("PT5S") == scene.PROMISE
    derivation = tocsin.get(f"/v1/clocks/{clock['id']}/derivation")
    assert derivation
    tocsin.post("/v1/activities", scene.replied(case_id))
    until(lambda: scene.the_clock(tocsin, case_id)["state"] == "met", SOON_S, "the reply meets the promise")
    assert scene.the_clock(tocsin, case_id)["breached_at"] is None
    assert scene.page(tocsin, case_id) is None
