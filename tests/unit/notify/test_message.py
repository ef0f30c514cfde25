"""What a message says, word for word, on every channel; and what it never says."""

import html.parser
import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.notify.message import Message, build, cut
from services.notify.model import CaseState
from services.notify.model.commands import Acknowledge
from services.notify.model.specs import EmailSpec, SlackSpec
from services.notify.senders import Parcel, console, email, slack
from shared.contracts.clocks import CaseSummary, ClockEvent, ClockWithdrawn
from shared.contracts.words import Metric
from tests.stand_ins.blocks import complaints
from tests.unit.notify.given import CASE, DUE, SUMMARY, World, breached, clock_event, configuration, minutes, warned

LINK = "https://tocsin.example/act"


def message(world: World, target: str) -> Message:
    """The message that would leave now for this target."""
    waiting = next(d for d in world.waiting() if d.target == target)
    world.claim(waiting)
    return build(world.state, world.state.deliveries[waiting.id], world.now)


def standing(policies: dict[str, Any] | None = None, first: ClockEvent | None = None) -> World:
    return World(state=CaseState(CASE, configuration(policies))).tell(first or breached())


def to(destination: str) -> dict[str, Any]:
    step = {"notify": [{"destination": destination}]}
    return {"payments": {"teams": ["payments"], "steps": [{"on": "warned", **step}, step]}}


@pytest.fixture
def paged() -> Message:
    """The channel was told at the breach, five minutes ago; now the person on call is."""
    world = standing()
    world.until(minutes(4.9)).until(minutes(5), send=False)
    return message(world, "person:ana")


def parcel(what: Message) -> Parcel:
    return Parcel(what.delivery_id, what, SlackSpec(kind="slack", channel="#x"), LINK, minutes(5))


def test_the_lock_screen(paged: Message) -> None:
    assert paged.lock == "C-4812 first reply 5 min late: Payout missing (enterprise)"


def test_on_the_console(paged: Message) -> None:
    assert (
        console.draw(paged, LINK)
        == """
================================================================================
First reply 5 min late: Payout missing
C-4812 · A. (enterprise, IE) · urgent · payments

  | We expected our payout on Friday and nothing has come.

Due          03:03 your time: 15 min from 02:48, 24×7
Routed       by enterprise-payouts: tier is enterprise, tagged payouts
You          are on call until Mon 23 Nov 10:00; nobody acknowledged in
             #payments-alerts
Next         Li at 03:13
Acknowledge  https://tocsin.example/act
Open         https://acme.example/tickets/88121
================================================================================
"""
    )


def test_in_slack(paged: Message) -> None:
    content = slack.content(parcel(paged))
    drawn = [block.get("text") or block.get("elements") for block in content["blocks"]]
    assert content["text"] == paged.lock
    assert drawn[0]["text"] == "First reply 5 min late: Payout missing"
    assert drawn[1][0]["text"] == "C-4812 · A. (enterprise, IE) · urgent · payments"
    assert drawn[2]["text"] == "> We expected our payout on Friday and nothing has come."
    assert drawn[3]["text"].splitlines() == [
        "*Due* 03:03 your time: 15 min from 02:48, 24×7",
        "*Routed* by enterprise-payouts: tier is enterprise, tagged payouts",
        "*You* are on call until Mon 23 Nov 10:00; nobody acknowledged in #payments-alerts",
        "*Next* Li at 03:13",
    ]
    assert [(b.get("text") or b["placeholder"])["text"] for b in drawn[4]] == [
        "Acknowledge",
        "Open",
        "Snooze…",
        "Hand over…",
    ]
    assert [option["value"] for option in drawn[4][3]["options"]] == ["fraud"], "every team but its own"
    assert content["metadata"]["event_payload"] == {"delivery_id": str(paged.delivery_id)}
    assert complaints(content) == []


def test_in_a_mail(paged: Message) -> None:
    assert (
        email.plain(paged, LINK)
        == """First reply 5 min late: Payout missing

The first reply on C-4812 is 5 min late.

A. (enterprise, IE) is waiting; the case is urgent and with team payments.

They wrote: “We expected our payout on Friday and nothing has come.”

It was due at 03:03 your time: 15 min from 02:48, 24×7.

Why it is with this team: by enterprise-payouts: tier is enterprise, tagged payouts.

You are on call until Mon 23 Nov 10:00; nobody acknowledged in #payments-alerts.

Next: Li at 03:13.

Acknowledge, so that nobody else is paged:
https://tocsin.example/act

Answer the customer:
https://acme.example/tickets/88121

This stops when the customer is answered.
"""
    )


def test_a_mail_threads_by_page_and_is_known_as_automatic_and_as_itself(paged: Message) -> None:
    first = email.compose(parcel(paged), ("ana@example.com",), "tocsin@example.com", "tocsin.example")
    later = replace(paged, headline="First reply 25 min late: Payout missing", delivery_id=CASE)
    second = email.compose(replace(parcel(later), key=CASE), ("ana@example.com",), "t@example.com", "tocsin.example")
    assert first["Subject"] == second["Subject"] == "C-4812: Payout missing"
    assert first["References"] == second["References"]
    assert (
        first["Message-ID"].startswith(f"<c-4812.{paged.delivery_id}.") and first["Message-ID"] != second["Message-ID"]
    )
    assert first["Auto-Submitted"] == "auto-generated"
    assert {part.get_content_type() for part in first.walk()} >= {"text/plain", "text/html"}


def test_a_person_elsewhere_reads_their_own_time_and_the_calendars() -> None:
    world = standing({"payments": {"teams": ["payments"], "steps": [{"notify": [{"person": "ana"}]}]}})
    world.state = replace(world.state, clocks={}, page=None, deliveries={})
    world.tell(breached(metric=Metric.NEXT_REPLY, calendar="dublin", time_zone="Europe/Dublin", version=7))
    fields = dict(message(world, "person:ana").fields)
    assert fields["Due"] == "03:03 your time (02:03 Dublin): 15 min from 02:48, in dublin hours"
    assert fields["You"] == "are named in the escalation policy"


def test_a_channel_reads_the_time_of_its_schedule_rather_than_utc() -> None:
    world = standing()
    assert dict(message(world, "destination:payments-slack").fields)["Due"].startswith("02:03 Dublin: 15 min from")


def test_where_nobodys_zone_is_known_the_distance_is_said_and_not_utc_alone() -> None:
    world = standing(to("payments-slack")).until(minutes(2), send=False)
    found = message(world, "destination:payments-slack")
    assert dict(found.fields)["Due"] == "2 min ago (02:03 UTC): 15 min, 24×7"
    assert "It was due 2 min ago (02:03 UTC): 15 min, 24×7." in found.sentences


def test_a_deadline_on_another_day_names_the_day() -> None:
    world = standing(first=breached(due_at=DUE))
    world.now = minutes(60 * 30)
    world.until(world.now, send=False)
    found = message(world, "destination:payments-slack")
    assert dict(found.fields)["Due"].startswith("Sun 22 Nov 02:03 Dublin: 15 min from Sun 22 Nov 01:48")
    assert any(line.startswith("It was due on Sun 22 Nov 02:03") for line in found.sentences)


def test_a_warning_says_how_long_is_left() -> None:
    world = standing(first=warned(minutes(-6)))
    found = message(world, "destination:payments-slack")
    assert found.headline == "First reply due in 6 min: Payout missing"
    assert email.plain(found, None).splitlines()[2] == "The first reply on C-4812 is due in 6 min."
    assert "It is due at 02:03 Dublin" in email.plain(found, None)


def test_a_withdrawn_call_says_that_it_was_wrong_and_has_nothing_to_acknowledge() -> None:
    world = standing(to("payments-slack")).until(minutes(1))
    world.tell(clock_event(ClockWithdrawn, minutes(1)))
    found = message(world, "destination:payments-slack")
    assert found.headline == "First reply was in time after all: Payout missing"
    assert dict(found.fields)["Withdrawn"] == "the earlier message about C-4812 was wrong, nothing is owed"
    assert not found.can_acknowledge
    assert "The first reply on C-4812 was in time after all." in found.sentences


def test_news_of_an_acknowledged_page_names_who_has_it() -> None:
    world = standing(first=warned(minutes(-1))).until(minutes(-0.5))
    world.do(Acknowledge(world.page.id, "ana"))
    world.until(DUE).tell(breached())
    found = message(world, "destination:payments-slack")
    assert dict(found.fields)["Acknowledged"] == "by Ana 02:02; pages again 02:32 without a reply."
    assert not found.can_acknowledge


def test_other_promises_of_the_case_are_named() -> None:
    world = standing().until(minutes(2))
    world.tell(breached(minutes(2), metric=Metric.RESOLUTION, due_at=minutes(2))).until(minutes(3), send=False)
    assert dict(message(world, "destination:payments-slack").fields)["Also"] == "first reply 3 min late"


def test_the_catch_all_reads_why_it_was_asked() -> None:
    world = standing({"payments": {"teams": ["payments"], "steps": [{"notify": [{"person": "ghost"}]}]}})
    why = dict(message(world, "catch-all").fields)["Why"]
    assert why == "step 1 of payments: ghost has neither slack_user nor email"


def test_a_destination_can_keep_the_customers_words_out() -> None:
    world = standing(to("quiet-slack"))
    found = message(world, "destination:quiet-slack")
    everything = json.dumps(slack.content(parcel(found))) + email.plain(found, None) + console.draw(found, None)
    everything += json.dumps(found.facts)
    assert "Payout missing" not in everything
    assert "We expected" not in everything
    assert found.headline == "First reply under 1 s late"


HOSTILE = "<!channel> & <@U1> <https://evil.example|bank> </p><script>alert(1)</script> \u202egnp\r\nBcc: x@y.example"


class _Tags(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)


def hostile(subject: str, words: str, name: str) -> Message:
    summary = SUMMARY.model_copy(update={"subject": subject, "excerpt": words, "customer_name": name})
    return message(standing(to("payments-slack"), breached(summary=summary)), "destination:payments-slack")


def mrkdwn(content: dict[str, Any]) -> list[str]:
    texts = [content["text"]]
    for block in content["blocks"]:
        texts += (
            [block["text"]["text"]]
            if "text" in block
            else [e["text"] for e in block["elements"] if e["type"] == "mrkdwn"]
        )
    return texts


def test_the_customers_words_arrive_as_words() -> None:
    found = hostile(HOSTILE, HOSTILE, HOSTILE)
    content = slack.content(parcel(found))
    for text in mrkdwn(content):
        assert "<" not in text
        assert re.sub(r"&(amp|lt|gt);", "", text).count("&") == 0
    assert "&lt;!channel&gt;" in content["blocks"][2]["text"]["text"]
    tags = _Tags()
    tags.feed(email.html(found, LINK))
    assert "script" not in tags.tags
    mail = email.compose(parcel(found), ("a@example.com",), "t@example.com", "h.example")
    assert "\n" not in mail["Subject"]
    assert mail["Bcc"] is None
    assert "\u202e" not in console.draw(found, None)


@settings(max_examples=150)
@given(st.text(max_size=3000), st.text(max_size=3000), st.text(max_size=300))
def test_whatever_customers_write_every_channel_takes_it(subject: str, words: str, name: str) -> None:
    found = hostile(subject, words, name)
    content = slack.content(parcel(found))
    assert complaints(content) == []
    for text in mrkdwn(content):
        assert "<" not in text
        assert ">" not in text.removeprefix("> ")
    EmailSpec(kind="email", to=("a@example.com",))
    email.compose(parcel(found), ("a@example.com",), "t@example.com", "h.example").as_bytes()
    drawn = console.draw(found, None)
    assert all(len(line) <= console.WIDTH for line in drawn.splitlines())
    assert "\x1b" not in drawn


@given(st.text(alphabet="a&<>", max_size=400), st.integers(min_value=6, max_value=60))
def test_escaped_text_fits_and_cuts_no_entity(text: str, limit: int) -> None:
    written = slack.escape(text, limit)
    assert len(written) <= limit
    assert re.fullmatch(r"(a|&amp;|&lt;|&gt;)*…?", written)
    assert text == "" or written != "…" or limit < 8


@given(st.text(max_size=500), st.integers(min_value=1, max_value=100))
def test_words_are_cut_to_one_line(text: str, limit: int) -> None:
    found = cut(text, limit)
    assert len(found) <= limit
    assert "\n" not in found


def test_no_message_has_ids_or_iso_durations(paged: Message) -> None:
    words = "\n".join(
        [paged.lock, paged.headline, *paged.context, *(text for _, text in paged.fields), *paged.sentences]
    )
    assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}", words)
    assert not re.search(r"\bPT\d", words)
    assert "UTC" not in words


def test_late_is_counted_from_the_deadline_not_from_the_firing() -> None:
    world = standing(first=breached(fired_at=DUE + timedelta(seconds=40)))
    world.now = DUE + timedelta(seconds=41)
    world.until(DUE + timedelta(seconds=41), send=False)
    assert message(world, "destination:payments-slack").headline.startswith("First reply 41 s late")


def test_a_case_of_an_unknown_customer_has_a_message_too() -> None:
    world = standing(to("payments-slack"), breached(summary=CaseSummary(number="C-1", team="payments")))
    found = message(world, "destination:payments-slack")
    assert found.context == ("C-1", "a customer", "normal", "payments")
    assert complaints(slack.content(parcel(found))) == []
