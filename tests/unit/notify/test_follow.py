"""Messages that were sent stay true: what becomes of a page is shown where it was told."""

import hashlib
import hmac
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slack_sdk.models.blocks import Block

from services.notify.message import Message, build
from services.notify.message.digest import MAX_ROWS, digests
from services.notify.model import CaseState, Purpose
from services.notify.model.commands import Acknowledge, HandOver, Outcome, Recorded, Resolve, Snooze
from services.notify.senders import Parcel, blocks, slack
from services.notify.senders.slack import SlackSpec
from shared.contracts.clocks import ClockWithdrawn
from shared.contracts.identity import derived
from shared.contracts.words import DeliveryState, Metric
from tests.stand_ins.blocks import complaints
from tests.stand_ins.slack import Slack
from tests.unit.notify.given import CASE, DUE, SUMMARY, World, breached, clock_event, configuration, met, minutes
from tests.unit.notify.running import Running

CHANNEL = "destination:payments-slack"


def told() -> World:
    """The channel knows of the breach."""
    return World(state=CaseState(CASE, configuration())).tell(breached()).until(minutes(2))


def updated(world: World) -> Message:
    waiting = next(d for d in world.waiting() if d.purpose == Purpose.UPDATE)
    world.claim(waiting)
    return build(world.state, world.state.deliveries[waiting.id], world.now)


def followed(world: World) -> list[tuple[str, str]]:
    return [(delivery.purpose, delivery.target) for _, delivery in world.followed]


def test_an_acknowledgement_changes_what_was_told_and_is_told_in_the_thread() -> None:
    world = told()
    world.do(Acknowledge(world.page.id, "ana"))
    world.until(minutes(4))
    assert followed(world) == [("update", CHANNEL), ("history", CHANNEL)]
    assert {d.follows for _, d in world.followed} == {"r"}, "the message that the channel got"
    [line] = world.followed[1][1].lines
    assert (line.at, line.text) == (minutes(2), "Ana acknowledged the page: its steps stop.")


def test_an_acknowledged_message_says_who_has_it_and_offers_no_second_acknowledgement() -> None:
    world = told()
    world.do(Acknowledge(world.page.id, "ana"))
    found = updated(world)
    assert dict(found.fields)["Acknowledged"].startswith("by Ana 02:05")
    assert "Next" not in dict(found.fields)
    assert not found.can_acknowledge
    assert found.live


def test_a_snoozed_message_says_when_it_pages_again() -> None:
    world = told()
    world.do(Snooze(world.page.id, "ana", minutes(32)))
    assert dict(updated(world).fields)["Snoozed"] == "by Ana 02:05; pages again 02:35 without a reply."


def test_a_message_whose_case_was_answered_says_how_late_and_has_no_buttons_left() -> None:
    world = told().tell(met(minutes(17)))
    found = updated(world)
    assert found.headline == "First reply given 17 min late: Payout missing"
    assert dict(found.fields)["Resolved"].startswith("02:20: ")
    assert [each["text"]["text"] for each in blocks.draw(found)[-1]["elements"]] == ["Open"]


def test_several_changes_before_slack_is_reached_are_one_update_to_the_latest_and_one_post() -> None:
    world = told()
    world.do(Acknowledge(world.page.id, "ana"))
    world.do(HandOver(world.page.id, "ana", "fraud", "theirs"))
    world.do(Resolve(world.page.id, "bo"))
    world.until(minutes(4))
    assert followed(world) == [("update", CHANNEL), ("history", CHANNEL)]
    assert len(world.followed[1][1].lines) == 3


def test_a_change_while_an_update_is_on_its_way_makes_another_one() -> None:
    world = told()
    world.do(Acknowledge(world.page.id, "ana"))
    [update] = [d for d in world.waiting() if d.purpose == Purpose.UPDATE]
    world.claim(update)
    world.do(Resolve(world.page.id, "bo"))
    assert len([d for d in world.waiting() if d.purpose == Purpose.UPDATE]) == 2


def test_a_call_that_arrives_after_somebody_took_the_page_is_brought_up_to_date() -> None:
    world = World(state=CaseState(CASE, configuration())).tell(breached())
    [call] = world.waiting()
    token = world.claim(call)
    world.do(Acknowledge(world.page.id, "ana"))
    assert world.waiting() == []
    world.do(Recorded(call.id, token, Outcome("sent", "ok", receipt="C/1")))
    assert [(d.purpose, d.follows) for d in world.waiting()] == [(Purpose.UPDATE, "C/1")]


def test_a_call_that_arrives_while_an_update_is_on_its_way_makes_another_and_leaves_that_alone() -> None:
    world = told().tell(breached(minutes(3), metric=Metric.RESOLUTION))
    [call] = world.waiting()
    token = world.claim(call)
    world.do(Acknowledge(world.page.id, "ana"))
    [update] = [d for d in world.waiting() if d.purpose == Purpose.UPDATE]
    world.claim(update)
    on_its_way = world.state.deliveries[update.id]
    world.do(Recorded(call.id, token, Outcome("sent", "ok", receipt="C/2")))
    assert world.state.deliveries[update.id] == on_its_way
    assert len([d for d in world.waiting() if d.purpose == Purpose.UPDATE]) == 2


def test_an_update_that_cannot_be_made_calls_nobody_else_and_troubles_no_page() -> None:
    world = told()
    world.do(Acknowledge(world.page.id, "ana"))
    before = world.page.troubles
    for each in list(world.waiting()):
        world.now = max(world.now, each.next_at)
        assert world.fail(each, Outcome("refused", "message_not_found")).state == DeliveryState.FAILED
    assert world.waiting() == []
    assert world.page.troubles == before
    assert "page.failed" not in world.types()


def test_nothing_follows_where_nothing_was_told_or_by_mail() -> None:
    world = World(
        state=CaseState(CASE, configuration({"p": {"teams": ["payments"], "steps": [{"notify": [{"person": "li"}]}]}}))
    )
    world.tell(breached()).until(minutes(1))
    world.do(Acknowledge(world.page.id, "li"))
    assert world.waiting() == []


def draws(message: Message) -> dict[str, Any]:
    return slack.content(Parcel(message.delivery_id, message, SlackSpec(kind="slack", channel="#x"), None, DUE))


def accepted(content: dict[str, Any]) -> None:
    """By the stand-in's rules, and by the models of Slack's own library."""
    assert complaints(content) == []
    for block in Block.parse_all(content["blocks"]):
        block.validate_json()


def many(number: int, subject: str = "Payout missing", url: str | None = SUMMARY.url) -> list[Message]:
    found = []
    for n in range(number):
        summary = SUMMARY.model_copy(update={"number": f"C-{4000 + n}", "subject": subject, "url": url})
        case = derived("case", n)
        world = World(state=CaseState(case, configuration())).tell(breached(case_id=case, summary=summary))
        [call] = world.waiting()
        found.append(build(world.state, call, minutes(5)))
    return found


def test_slacks_own_models_take_a_digest_of_250_cases_and_every_case_is_named() -> None:
    messages = many(250)
    [digest] = digests([*messages[:200], *(replace(each, live=False) for each in messages[200:])], "payments")
    content = draws(digest)
    accepted(content)
    text = "\n".join(each["text"]["text"] for each in content["blocks"] if each["type"] == "section")
    assert all(f"|C-{4000 + n}>" in text for n in range(250))
    assert text.count("~<") == 50, "those that are over are struck out"
    pages = ",".join(each["value"] for each in content["blocks"][-1]["elements"]).split(",")
    assert set(pages) == {str(each.page_id) for each in messages}
    assert digest.headline == "200 cases need an answer in payments"


def test_a_digest_beyond_one_message_goes_on_in_the_next() -> None:
    found = digests([many(1)[0]] * (MAX_ROWS + 1), "payments")
    assert [len(each.rows) for each in found] == [MAX_ROWS, 1]
    assert found[1].headline == "1 case needs an answer in payments (2 of 2)"


@settings(max_examples=60)
@given(st.text(max_size=300), st.text(max_size=300), st.integers(1, 5))
def test_whatever_customers_and_upstreams_write_a_digest_is_taken(subject: str, url: str, number: int) -> None:
    [one] = many(1, subject, f"https://x.example/{url}")
    content = draws(digests([one] * number, "payments")[0])
    accepted({**content, "blocks": content["blocks"][:-1]})
    for block in content["blocks"]:
        if block["type"] == "section":
            for line in block["text"]["text"].splitlines():
                assert line.count("<") == line.count(">") <= 1
                assert "<!" not in line
                assert "<@" not in line


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "https://x.example/|<!channel>", "https://x.example/ a", "ftp://x"]
)
def test_an_address_that_hides_something_is_no_button(url: str) -> None:
    [one] = many(1, url=url)
    assert one.case_url is None


# With Slack


async def press(notify: Running, slack: Slack, page_id: str, **action: Any) -> int:
    user = {"id": "U1", "name": "ana.w"}
    url = slack.url.replace("/api/", "/respond")
    pressed = {"block_id": f"page:{page_id}", **action}
    body = urlencode({"payload": json.dumps({"user": user, "actions": [pressed], "response_url": url})}).encode()
    stamp = str(int(notify.clock.now().timestamp()))
    signed = hmac.new(b"signing", b"v0:" + stamp.encode() + b":" + body, hashlib.sha256).hexdigest()
    headers = {
        "X-Slack-Signature": f"v0={signed}",
        "X-Slack-Request-Timestamp": stamp,
        "Content-Type": "application/x-www-form-urlencoded",
    }
    return (await notify.client.post("/v1/slack/interactions", content=body, headers=headers)).status_code


async def test_a_page_lives_in_slack_from_breach_to_answer(embedded: str, slack: Slack, mail: Any) -> None:
    notify = await Running.start(embedded, slack, mail, egress_allow="127.0.0.0/8")
    await notify.tell(breached())
    await notify.until(minutes(1))
    [post] = slack.posts
    page = (await notify.page())["id"]
    assert await press(notify, slack, page, action_id="snooze", selected_option={"value": "PT30M"}) == 200
    await notify.until(minutes(1) + timedelta(seconds=5))
    [message] = slack.standing("#payments-alerts")
    assert "*Snoozed* by Ana 02:04; pages again 02:34 without a reply." in json.dumps(message["blocks"])
    assert [each.body["text"] for each in slack.replies] == [
        "02:04 Ana acknowledged the page: its steps stop.\n02:04 Ana snoozed the page."
    ]
    assert slack.replies[0].body["thread_ts"] == message["ts"]
    await notify.until(minutes(32), timedelta(seconds=20))
    assert [each.channel for each in slack.posts] == ["#payments-alerts"] * 2, "the page called again"
    assert slack.posts[1].body["thread_ts"] == message["ts"], "in the thread"
    assert slack.posts[1].delivery_id != post.delivery_id
    await notify.tell(met(minutes(32)))
    await notify.until(minutes(32) + timedelta(seconds=10))
    assert slack.standing("#payments-alerts")[0]["text"].startswith("C-4812 first reply given 32 min late")
    assert await press(notify, slack, page, action_id="acknowledge", value=page) == 200
    assert [each["text"] for each in slack.whispers] == ["C-4812: The page is over."]
    assert slack.whispers[0]["response_type"] == "ephemeral"
    assert slack.refused == []
    assert await notify.balance() == {"pages→deliveries": 0, "sends→answers": 0}
    states = {(each["purpose"], each["state"]) for each in await notify.deliveries()}
    assert {("update", "sent"), ("history", "sent"), ("call", "sent")} <= states
    await notify.stop()


async def test_hand_over_from_slack_asks_routing_and_says_so_in_the_message(notify: Running, slack: Slack) -> None:
    await notify.tell(breached())
    await notify.until(minutes(1))
    page = (await notify.page())["id"]
    assert await press(notify, slack, page, action_id="hand_over", selected_option={"value": "fraud"}) == 200
    await notify.until(minutes(1) + timedelta(seconds=3))
    assert "*Hand-over* to team fraud was asked for." in json.dumps(slack.standing("#payments-alerts")[0]["blocks"])
    history = (await notify.page())["history"]
    assert [(line["by"], line["via"]) for line in history if line["kind"] == "handover_asked"] == [("ana", "slack")]


async def test_a_press_from_an_address_that_is_not_slacks_is_not_answered(notify: Running, slack: Slack) -> None:
    await notify.tell(breached())
    page = (await notify.page())["id"]
    for value in ("nonsense", "PT99D"):
        assert await press(notify, slack, page, action_id="snooze", selected_option={"value": value}) == 200
    assert (await notify.page())["state"] == "open"
    assert await press(notify, slack, "none", action_id="snooze", selected_option={"value": "PT30M"}) == 422


async def test_a_withdrawn_call_is_corrected_aloud_in_its_thread(notify: Running, slack: Slack) -> None:
    await notify.tell(breached())
    await notify.until(minutes(1))
    await notify.tell(clock_event(ClockWithdrawn, minutes(1)))
    await notify.until(minutes(1) + timedelta(seconds=5))
    assert slack.posts[1].body["thread_ts"] == slack.standing("#payments-alerts")[0]["ts"]
    assert "in time after all" in slack.standing("#payments-alerts")[0]["text"]


async def test_a_post_in_a_thread_whose_answer_was_lost_is_found_there_and_not_sent_again(
    notify: Running, slack: Slack
) -> None:
    await notify.tell(breached())
    await notify.until(minutes(1))
    page = (await notify.page())["id"]
    await notify.ok("POST", f"/v1/pages/{page}/acknowledge", {"by": "ana"})
    await notify.pump()
    slack.behave("drop_after", times=1)
    await notify.until(minutes(2))
    assert [each.body["text"] for each in slack.replies] == ["02:04 Ana acknowledged the page: its steps stop."]
    [history] = [each for each in await notify.deliveries() if each["purpose"] == "history"]
    assert (history["state"], history["lost"]) == ("sent", 1)
