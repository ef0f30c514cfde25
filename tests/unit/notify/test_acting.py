"""Acting from a mail: the page behind its link, and replies to it."""

import html.parser
import re
from collections.abc import AsyncIterator
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from services.notify.message import replies
from tests.stand_ins.slack import Slack
from tests.stand_ins.smtp import Mail
from tests.unit.notify.given import SUMMARY, breached, minutes
from tests.unit.notify.running import Running


@pytest.fixture
async def notify(embedded: str, slack: Slack, mail: Mail) -> AsyncIterator[Running]:
    running = await Running.start(embedded, slack, mail, mail_key=SecretStr("a key that signs mail"))
    steps = [{"notify": [{"person": "li"}, {"destination": "desk"}]}]
    await running.ok("PUT", "/v1/escalation-policies/payments", {"teams": ["payments"], "steps": steps})
    await running.tell(breached())
    await running.pump()
    yield running
    await running.stop()


def to_li(mail: Mail) -> dict[str, Any]:
    return next(each for each in mail.inbox if each["to"] == ["li@example.com"])


def link(mail: Mail) -> str:
    found = re.search(r"https://tocsin\.example(/v1/pages/\S+)", to_li(mail)["plain"])
    assert found
    return found[1]


async def press(notify: Running, url: str, body: str) -> str:
    headers = {"Authorization": "", "Content-Type": "application/x-www-form-urlencoded"}
    answer = await notify.client.post(url, content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.text


def reply(mail: Mail, text: str, sender: str = "Li <li@example.com>", **headers: str) -> EmailMessage:
    made, original = EmailMessage(), to_li(mail)["headers"]
    made["From"], made["To"] = sender, "tocsin@example.com"
    made["Subject"] = f"Re: {original['subject']}"
    made["In-Reply-To"] = original["message-id"].strip()
    made["References"] = f"{original['references'].strip()} {original['message-id'].strip()}"
    for name, value in headers.items():
        made[name.replace("_", "-")] = value
    made.set_content(text)
    return made


async def answered(notify: Running, said: EmailMessage) -> Any:
    headers = {"Content-Type": "message/rfc822"}
    return await notify.client.post("/v1/pages/email", content=said.as_bytes(), headers=headers)


async def test_a_mail_scanner_that_opens_every_link_acknowledges_nothing(notify: Running, mail: Mail) -> None:
    for method in ("GET", "HEAD", "OPTIONS"):
        await notify.client.request(method, link(mail), headers={"Authorization": ""})
    assert (await notify.page())["state"] == "open"


async def test_the_page_behind_the_link_says_what_is_late_in_the_readers_time_and_not_what_the_customer_wrote(
    notify: Running, mail: Mail
) -> None:
    notify.clock.set(minutes(5))
    shown = (await notify.client.get(link(mail))).text
    assert "<h1>First reply 5 min late</h1>" in shown
    assert "02:03 your time" in shown
    assert "Nobody has taken it yet" in shown
    for words in (SUMMARY.subject, SUMMARY.excerpt[:20], "<script"):
        assert words not in shown


async def test_the_buttons_acknowledge_snooze_hand_over_and_say_what_came_of_it(notify: Running, mail: Mail) -> None:
    shown = await press(notify, link(mail), "act=acknowledge")
    assert "<dt>Acknowledged</dt><dd>by Li 02:03" in shown
    assert "Nobody has taken it" not in shown
    shown = await press(notify, link(mail), "act=snooze&for=PT30M")
    assert "<dt>Snoozed</dt><dd>by Li 02:03; pages again 02:33" in shown
    shown = await press(notify, link(mail), "act=hand_over&team=fraud")
    assert "to team fraud was asked for" in shown
    shown = await press(notify, link(mail), "act=resolve")
    assert "<dt>Resolved</dt><dd>by Li 02:03" in shown
    assert "<button" not in shown
    assert "The page is over." in await press(notify, link(mail), "act=acknowledge")
    history = [(line["kind"], line["by"], line["via"]) for line in (await notify.page())["history"] if line["by"]]
    assert {(by, via) for _, by, via in history} == {("li", "link")}


@pytest.mark.parametrize("body", ["act=snooze&for=P9D", "act=delete", "act=hand_over", "\xff"])
async def test_a_form_that_is_not_ours_does_nothing(notify: Running, mail: Mail, body: str) -> None:
    answer = await notify.client.post(link(mail), content=body.encode("latin-1"))
    assert answer.status_code == 422
    assert (await notify.page())["state"] == "open"


class _Hrefs(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("href", "src")]


async def test_a_mail_loads_nothing_from_elsewhere(notify: Running, mail: Mail) -> None:
    found = _Hrefs()
    found.feed(to_li(mail)["html"])
    assert found.found == [f"https://tocsin.example{link(mail)}", SUMMARY.url]
    assert to_li(mail)["plain"].rstrip().endswith("This stops when the customer is answered.")


async def test_a_reply_acknowledges(notify: Running, mail: Mail) -> None:
    answer = await answered(notify, reply(mail, "On it.\n\n> C-4812: Payout missing"))
    assert answer.status_code == 200, answer.text
    assert answer.json()["done"] == "Li acknowledged the page: its steps stop."
    page = await notify.page()
    assert (page["state"], page["acknowledged_by"]) == ("acknowledged", "li")
    assert [line["via"] for line in page["history"] if line["kind"] == "acknowledged"] == ["email"]


async def test_the_first_line_of_a_reply_may_ask_for_more(notify: Running, mail: Mail) -> None:
    await answered(notify, reply(mail, "Snooze 30m\n"))
    assert (await notify.page())["snoozed_until"].startswith("2026-11-22T02:33")
    await answered(notify, reply(mail, "hand over to fraud please"))
    assert (await notify.page())["state"] == "acknowledged", "not what it asks for, so it acknowledges"
    await answered(notify, reply(mail, "Hand over to team fraud.\n"))
    assert "to team fraud: asked for by mail" in str((await notify.page())["history"])
    await answered(notify, reply(mail, "resolved"))
    assert (await notify.page())["state"] == "resolved"


@pytest.mark.parametrize(
    "headers",
    [
        {"Auto_Submitted": "auto-replied"},
        {"Return_Path": "<>"},
        {"Precedence": "bulk"},
        {"X_Autoreply": "yes"},
    ],
)
async def test_an_automatic_reply_never_acknowledges(notify: Running, mail: Mail, headers: dict[str, str]) -> None:
    answer = await answered(notify, reply(mail, "I am away until Monday.", **headers))
    assert answer.status_code == 200
    assert answer.json()["done"] is None
    assert (await notify.page())["state"] == "open"


async def test_a_reply_counts_only_from_who_was_told_and_only_to_a_mail_of_ours(notify: Running, mail: Mail) -> None:
    assert (await answered(notify, reply(mail, "ok", "eve@example.com"))).status_code == 403
    assert (await answered(notify, reply(mail, "ok", "ana@example.com"))).status_code == 403, "a person, but not told"
    strange = reply(mail, "ok")
    for name in ("In-Reply-To", "References"):
        value = strange[name]
        del strange[name]
        strange[name] = re.sub(r"\.[a-z2-7]{20}@", ".aaaaaaaaaaaaaaaaaaaa@", value)
    assert (await answered(notify, strange)).status_code == 422
    assert (await notify.client.post("/v1/pages/email", content=b"")).status_code == 422
    assert (await notify.page())["state"] == "open"
    assert (await answered(notify, reply(mail, "ok", "Desk <DESK@example.com>"))).status_code == 200, "a shared mailbox"


@given(st.binary(max_size=3000))
def test_whatever_arrives_is_read(raw: bytes) -> None:
    replies.asked(replies.read(raw).first_line)


def test_what_a_first_line_asks_for() -> None:
    assert replies.asked("snooze for 2 hours").snooze is not None
    assert replies.asked("Handover: fraud").team == "fraud"
    assert replies.asked("Resolve").resolve
    assert replies.asked("resolve it with the bank first") == replies.Asked()


def test_an_html_reply_and_one_that_only_quotes() -> None:
    made = EmailMessage()
    made.set_content("<div>snooze 1h</div><blockquote>hand over to x</blockquote>", subtype="html")
    assert replies.read(made.as_bytes()).first_line == "snooze 1h"
    made = EmailMessage()
    made.set_content("\nOn Sun, 22 Nov 2026, Tocsin wrote:\n> resolve\n")
    assert replies.read(made.as_bytes()).first_line == ""
