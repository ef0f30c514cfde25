"""Storms: the first call as itself, the rest in digests that name every case, nobody lost."""

import asyncio
import json
import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from services.notify.decide.storms import (
    ALONE,
    CLOSES_AFTER,
    MAIL_EVERY,
    MAX_CASES,
    MAX_CLAIMED,
    OPEN_FOR,
    REDRAW_EVERY,
    WINDOW,
    Digest,
    Past,
    Plan,
    Waiting,
    plan,
)
from services.notify.senders.loop import LOOK_BACK_EVERY
from shared.contracts.clocks import ClockEvent, ClockMet
from shared.contracts.identity import derived
from tests.stand_ins.slack import Slack
from tests.stand_ins.smtp import Mail
from tests.unit.notify.given import DUE, SUMMARY, breached, clock_event
from tests.unit.notify.running import Running

CHANNEL, MAILBOX = "slack:#payments-alerts", "email:desk@example.com"
PAYMENTS = "payments|breached|first_reply"


def waiting(count: int, lane: str = CHANNEL, tried: UUID | None = None, since: int = 0) -> list[Waiting]:
    numbers, way = range(since, since + count), lane.partition(":")[0]
    return [
        Waiting(derived(lane, n), derived("case", n), lane, PAYMENTS, int(tried is not None), tried, way, "person:x")
        for n in numbers
    ]


def digest(lane: str = CHANNEL, **more: Any) -> Digest:
    way = lane.partition(":")[0]
    return replace(Digest(UUID(int=9), lane, PAYMENTS, way, "destination:x", DUE, 10, "C1/1.0"), **more)


NOTHING = Past()


def planned(group: list[Waiting], past: Past = NOTHING, free: int = 1, now: datetime = DUE) -> Plan:
    lane = group[0].lane
    tried = {past.digest.id: past.digest} if past.digest is not None else {}
    return plan(group, {(lane, PAYMENTS): past}, tried, {lane: free}, now)


def test_the_first_of_a_storm_goes_out_as_itself() -> None:
    [bundle] = planned(waiting(40)).bundles
    assert bundle.digest is None
    assert bundle.members == tuple(waiting(1))


def test_what_follows_it_within_the_window_is_one_digest() -> None:
    [bundle] = planned(waiting(40), Past(1)).bundles
    assert bundle.digest is not None
    assert len(bundle.members) == 40


def test_a_few_calls_go_out_each_by_itself() -> None:
    bundles = planned(waiting(ALONE - 1), Past(1), 5).bundles
    assert [bundle.digest for bundle in bundles] == [None] * (ALONE - 1)


def test_what_comes_later_joins_the_digest_in_slack_and_waits_for_the_next_in_mail() -> None:
    [bundle] = planned(waiting(2), Past(0, digest())).bundles
    assert bundle.digest == digest()
    mail = planned(waiting(2, MAILBOX), Past(0, digest(MAILBOX)))
    assert mail.bundles == ()
    assert [hold.until for hold in mail.holds] == [DUE + MAIL_EVERY] * 2


def test_the_first_digest_mail_of_a_storm_gathers_for_a_moment_then_all_of_it_leaves() -> None:
    mail = planned(waiting(200, MAILBOX), free=8)
    assert [(bundle.digest, len(bundle.members)) for bundle in mail.bundles] == [(None, 1)]
    assert {hold.until for hold in mail.holds} == {DUE + WINDOW}
    [gathering] = mail.opened
    later = planned(waiting(199, MAILBOX, since=1), Past(0, gathering), 8, DUE + WINDOW)
    assert [len(bundle.members) for bundle in later.bundles] == [MAX_CASES, MAX_CASES, 39]
    assert later.holds == ()


def test_a_digest_whose_answer_was_lost_is_tried_again_with_the_same_cases_and_others_wait() -> None:
    lost = digest(receipt=None, lost=1, members=3)
    for group in (
        [*waiting(3, tried=lost.id), *waiting(1, since=3)],
        [*waiting(1, since=3), *waiting(3, tried=lost.id)],
    ):
        again = planned(group, Past(1, lost))
        bundles = [(bundle.digest, len(bundle.members)) for bundle in again.bundles]
        assert bundles == [(lost, 3)]


def test_what_waited_long_for_its_lane_is_one_digest_at_once() -> None:
    for lane in (CHANNEL, MAILBOX):
        group = [replace(each, created_at=DUE - WINDOW) for each in waiting(20, lane)]
        [bundle] = planned(group).bundles
        assert bundle.digest is not None
        assert len(bundle.members) == 20


def test_a_digest_that_nobody_is_left_to_try_holds_nobody_back() -> None:
    [bundle] = planned(waiting(5), Past(1, digest(receipt=None, lost=1, members=0))).bundles
    assert bundle.digest is not None
    assert bundle.digest.id != digest().id, "its key may have arrived with other cases"


def test_what_goes_out_as_itself_comes_before_digests_and_a_claim_draws_so_many_cases_at_most() -> None:
    lanes = [f"slack:#{number}" for number in range(9)]
    group = [each for lane in lanes for each in waiting(MAX_CASES, lane)]
    past = {(lane, PAYMENTS): Past(int(lane != lanes[-1])) for lane in lanes}
    bundles = plan(group, past, {}, dict.fromkeys(lanes, 1), DUE).bundles
    assert bundles[0].digest is None
    assert sum(len(bundle.members) for bundle in bundles) == MAX_CLAIMED + 1


pasts = st.builds(
    Past,
    st.integers(0, 5),
    st.none()
    | st.builds(
        digest,
        members=st.integers(0, MAX_CASES),
        receipt=st.none() | st.just("C1/1.0"),
        opened_at=st.sampled_from([DUE, DUE - WINDOW, DUE - OPEN_FOR, DUE - MAIL_EVERY]),
        closed=st.booleans(),
        lost=st.integers(0, 1),
        claimed_until=st.sampled_from([None, DUE, DUE + WINDOW]),
    ),
)


@given(st.integers(1, 300), st.integers(0, 5), st.sampled_from([CHANNEL, MAILBOX]), pasts, st.integers(0, 8))
def test_nobody_leaves_twice_no_digest_overflows_and_no_lane_sends_more_than_it_may(
    count: int, again: int, lane: str, known: Past, free: int
) -> None:
    if known.digest is not None:
        known = replace(known, digest=replace(known.digest, lane=lane, way=lane.partition(":")[0]))
    tried = waiting(again, lane, known.digest.id) if known.digest is not None else []
    found = planned([*tried, *waiting(count, lane, since=again)], known, free)
    leaving = [each.delivery_id for each in found.concerned]
    assert len(leaving) == len(set(leaving))
    assert len(found.bundles) <= free
    assert all(hold.until > DUE for hold in found.holds)
    for bundle in found.bundles:
        assert bundle.members
        assert bundle.weight <= MAX_CASES
    if free and known.digest is None and not known.alone:
        assert found.bundles[0].digest is None, "the first is never hidden in a digest"
    if free and known.digest is None:
        assert found.bundles or found.holds, "something becomes of what waits"


def case(number: int, team: str = "payments") -> ClockEvent:
    summary = SUMMARY.model_copy(update={"team": team, "number": f"C-{number}"})
    return breached(case_id=derived("case", number), clock_id=derived(number), summary=summary)


def named(body: dict[str, Any]) -> list[str]:
    return re.findall(r"C-\d+", json.dumps(body["blocks"]))


async def test_250_cases_at_once_are_one_message_and_then_digests_that_name_every_one(
    notify: Running, slack: Slack
) -> None:
    """Case 29."""
    await notify.tell(*(case(n) for n in range(250)))
    await notify.pump()
    assert len(slack.posts) == 1
    assert "Payout missing" in json.dumps(slack.posts[0].body)
    await notify.until(DUE + timedelta(seconds=10))
    assert slack.refused == []
    assert len(slack.posts) == 5, "80 a message"
    assert {number for post in slack.posts for number in named(post.body)} == {f"C-{n}" for n in range(250)}
    sent = await notify.deliveries("?state=sent&limit=500")
    assert len(sent) == 250
    assert set((await notify.balance()).values()) == {0}
    assert len({each["digest_id"] for each in sent}) == 5


async def test_what_comes_later_joins_the_digest_in_place_and_what_recovers_is_struck_out(
    notify: Running, slack: Slack
) -> None:
    await notify.tell(*(case(n) for n in range(6)))
    await notify.until(DUE + timedelta(seconds=5))
    assert len(slack.posts) == 2
    await notify.tell(case(6), case(7))
    await notify.until(DUE + timedelta(seconds=10))
    assert len(slack.posts) == 2, "no new message"
    [*_, update] = slack.updates
    assert {"C-6", "C-7"} <= set(named(update.body))
    over = clock_event(ClockMet, DUE + timedelta(seconds=10), case_id=derived("case", 3), clock_id=derived(3))
    await notify.tell(over)
    await notify.until(DUE + timedelta(seconds=10) + 2 * REDRAW_EVERY)
    struck = re.findall(r"~[^~]*(C-\d+)[^~]*~", json.dumps(slack.updates[-1].body["blocks"]))
    assert struck == ["C-3"]


async def test_taking_a_case_of_a_digest_changes_the_digest_and_makes_no_message_of_its_own(
    notify: Running, slack: Slack
) -> None:
    await notify.tell(*(case(n) for n in range(6)))
    await notify.until(DUE + timedelta(seconds=5))
    calls = len(await notify.deliveries("?limit=500"))
    for page in (await notify.ok("GET", "/v1/pages"))["items"]:
        if page["case_number"] == "C-3":
            await notify.ok("POST", f"/v1/pages/{page['id']}/acknowledge", {"by": "ana"})
    await notify.until(DUE + timedelta(seconds=10) + REDRAW_EVERY)
    assert "(taken by Ana)" in json.dumps(slack.updates[-1].body["blocks"])
    assert len(await notify.deliveries("?limit=500")) == calls
    assert len(slack.posts) == 2


async def test_a_mailbox_in_a_storm_gets_the_first_a_digest_and_the_next_digest_later(
    notify: Running, mail: Mail
) -> None:
    await notify.tell(*(case(n, "fraud") for n in range(50)))
    await notify.pump()
    assert len(mail.inbox) == 1, "the first at once; the others gather"
    await notify.until(DUE + WINDOW)
    assert len(mail.inbox) == 2
    await notify.tell(*(case(n, "fraud") for n in range(50, 60)))
    await notify.until(DUE + WINDOW + timedelta(seconds=5))
    held = await notify.deliveries("?state=held")
    assert {each["reason"] for each in held} == {
        "It comes with the next digest: a mail about the others left just before it"
    }
    assert len(mail.inbox) == 2
    await notify.until(DUE + MAIL_EVERY + timedelta(seconds=1), timedelta(seconds=20))
    assert len(mail.inbox) == 3
    numbers = {number for each in mail.inbox for number in re.findall(r"C-\d+", each["plain"])}
    assert numbers == {f"C-{n}" for n in range(60)}


async def test_250_cases_of_a_mailbox_are_five_mails_that_name_every_one(notify: Running, mail: Mail) -> None:
    await notify.tell(*(case(n, "fraud") for n in range(250)))
    await notify.until(DUE + WINDOW + timedelta(seconds=1))
    assert len(mail.inbox) == 5, "80 a mail"
    numbers = {number for each in mail.inbox for number in re.findall(r"C-\d+", each["plain"])}
    assert numbers == {f"C-{n}" for n in range(250)}


async def test_a_digest_mail_that_failed_is_sent_again_whole(notify: Running, mail: Mail) -> None:
    await notify.tell(*(case(n, "fraud") for n in range(20)))
    await notify.pump()
    mail.mode = "drop_after"
    await notify.until(DUE + WINDOW)
    mail.mode = "ok"
    await notify.until(DUE + WINDOW + timedelta(seconds=30))
    others = mail.inbox[1:]
    assert len(others) > 1
    keys = {each["headers"]["message-id"] for each in others}
    assert len(keys) == 1, "the same mail again"
    assert {len(set(re.findall(r"C-\d+", each["plain"]))) for each in others} == {19}


async def test_a_destination_may_do_without_digests(notify: Running, mail: Mail) -> None:
    spec = {"kind": "email", "to": ["desk@example.com"], "digest": False}
    await notify.ok("PUT", "/v1/destinations/desk", spec)
    await notify.tell(*(case(n, "fraud") for n in range(12)))
    await notify.until(DUE + timedelta(seconds=1))
    assert len(mail.inbox) == 12


async def test_a_digest_whose_answer_was_lost_is_found_in_slack_and_not_sent_again(
    notify: Running, slack: Slack
) -> None:
    await notify.tell(*(case(n) for n in range(8)))
    await notify.pump()
    slack.behave("drop_after", times=1)
    notify.clock.advance(timedelta(seconds=1))
    await notify.pump()
    await notify.until(DUE + timedelta(seconds=30))
    assert len(slack.posts) == 2
    assert {each["state"] for each in await notify.deliveries()} == {"sent"}


async def test_three_replicas_in_a_storm_send_each_case_once(
    notify: Running, embedded: str, slack: Slack, mail: Mail
) -> None:
    """Case 43."""
    others = [await Running.join(embedded, slack, mail, notify.clock.now()) for _ in range(2)]
    await notify.tell(*(case(n) for n in range(100)))
    for _ in range(6):
        await asyncio.gather(*(each.pump() for each in (notify, *others)))
        for each in (notify, *others):
            each.clock.advance(timedelta(seconds=1))
    rows = [number for post in slack.posts for number in set(named(post.body))]
    assert sorted(rows) == sorted({f"C-{n}" for n in range(100)})
    for each in others:
        await each.stop()


async def test_a_digest_can_be_read_with_every_case_that_it_names(notify: Running, slack: Slack) -> None:
    await notify.tell(*(case(n) for n in range(10)))
    await notify.until(DUE + timedelta(seconds=3))
    [one] = (await notify.ok("GET", "/v1/digests"))["items"]
    assert (one["state"], one["cases"], one["over"], one["about"]) == ("open", 9, 0, "payments")
    over = clock_event(ClockMet, DUE + timedelta(seconds=3), case_id=derived("case", 3), clock_id=derived(3))
    await notify.tell(over)
    whole = await notify.ok("GET", f"/v1/digests/{one['id']}")
    assert whole["over"] == 1
    assert {each["case_number"] for each in whole["named"]} == set(named(slack.posts[-1].body))
    assert {each["page_state"] for each in whole["named"]} == {"open", "resolved"}
    assert (await notify.client.get(f"/v1/digests/{UUID(int=1)}")).status_code == 404


async def test_the_link_of_a_digest_mail_shows_its_cases_and_takes_them_all_only_when_pressed(
    notify: Running, mail: Mail
) -> None:
    """Case 27."""
    await notify.tell(*(case(n, "fraud") for n in range(12)))
    await notify.until(DUE + WINDOW)
    link = re.search(r"Acknowledge all 11, so that nobody else is paged:\n(\S+)", mail.inbox[-1]["plain"])
    assert link, mail.inbox[-1]["plain"]
    path = link[1].removeprefix("https://tocsin.example")
    shown = await notify.client.get(path)
    assert "Acknowledge all 11" in shown.text
    assert "Payout missing" not in shown.text, "none of the customers' words"
    assert len(set(re.findall(r"C-\d+", shown.text))) == 11
    states = {page["state"] for page in (await notify.ok("GET", "/v1/pages?limit=50"))["items"]}
    assert states == {"open"}, "opening it does nothing"
    pressed = await notify.client.post(path)
    assert "You acknowledged 11 of them." in pressed.text
    pages = (await notify.ok("GET", "/v1/pages?limit=50"))["items"]
    assert sorted(page["state"] for page in pages) == ["acknowledged"] * 11 + ["open"]
    again = await notify.client.post(path)
    assert "nothing left" in again.text
    assert (await notify.client.post(path.replace("token=", "token=x"))).status_code == 403


async def test_a_reply_to_a_digest_mail_acknowledges_all_that_it_names(embedded: str, slack: Slack, mail: Mail) -> None:
    running = await Running.start(embedded, slack, mail, mail_key=SecretStr("a key that signs mail"))
    await running.tell(*(case(n, "fraud") for n in range(5)))
    await running.until(DUE + WINDOW)
    answered = mail.inbox[-1]["headers"]["message-id"].strip()
    reply = f"From: desk@example.com\r\nIn-Reply-To: {answered}\r\nSubject: Re\r\n\r\nOn it\r\n"
    headers = {"Content-Type": "message/rfc822"}
    told = (await running.client.post("/v1/pages/email", content=reply, headers=headers)).json()
    assert "So for 3 more." in told["done"]
    pages = (await running.ok("GET", "/v1/pages?limit=50"))["items"]
    assert sorted(page["state"] for page in pages) == ["acknowledged"] * 4 + ["open"]
    await running.stop()


async def test_a_digest_says_when_all_that_it_names_is_over(notify: Running, slack: Slack) -> None:
    await notify.tell(*(case(n) for n in range(6)))
    await notify.until(DUE + timedelta(seconds=3))
    at = DUE + timedelta(seconds=3)
    await notify.tell(*(clock_event(ClockMet, at, case_id=derived("case", n), clock_id=derived(n)) for n in range(6)))
    await notify.until(at + 2 * REDRAW_EVERY)
    assert slack.updates[-1].body["text"].startswith("All 5 cases are over in payments")


def answered(numbers: range, at: datetime) -> list[ClockEvent]:
    return [clock_event(ClockMet, at, case_id=derived("case", n), clock_id=derived(n)) for n in numbers]


async def test_one_mail_closes_a_storm_when_all_its_cases_are_over(notify: Running, mail: Mail) -> None:
    await notify.tell(*(case(n, "fraud") for n in range(120)))
    await notify.until(DUE + WINDOW)
    _first, *told = mail.inbox
    assert len(told) == 2, "80 a mail"
    await notify.tell(*answered(range(120), notify.clock.now()))
    await notify.until(DUE + MAIL_EVERY + LOOK_BACK_EVERY + WINDOW, timedelta(seconds=5))
    [closing] = mail.inbox[3:]
    assert closing["plain"].startswith("All 119 cases are over in fraud: nothing is left to answer")
    named = set(re.findall(r"C-\d+", closing["plain"]))
    assert named == set(re.findall(r"C-\d+", told[0]["plain"] + told[1]["plain"]))
    assert closing["headers"]["in-reply-to"] in {each["headers"]["message-id"] for each in told}
    assert closing["headers"]["subject"] == told[0]["headers"]["subject"]
    assert "acknowledge" not in closing["plain"].lower()
    await notify.until(DUE + 2 * CLOSES_AFTER, timedelta(minutes=10))
    assert len(mail.inbox) == 4, "once"


async def test_a_mail_says_which_cases_of_a_storm_wait_still_after_an_hour(notify: Running, mail: Mail) -> None:
    await notify.tell(*(case(n, "fraud") for n in range(10)))
    await notify.until(DUE + WINDOW)
    await notify.tell(*answered(range(7), notify.clock.now()))
    await notify.until(DUE + CLOSES_AFTER - timedelta(minutes=2), timedelta(minutes=1))
    before = len(mail.inbox)
    mail.mode = "drop_after"  # its answer is lost: the same mail again
    await notify.until(DUE + CLOSES_AFTER + timedelta(minutes=1), timedelta(seconds=20))
    mail.mode = "ok"
    await notify.until(DUE + CLOSES_AFTER + timedelta(minutes=5), timedelta(seconds=20))
    closings = [each for each in mail.inbox[before:] if "still open" in each["plain"]]
    assert len(closings) > 1
    assert len({each["headers"]["message-id"] for each in closings}) == 1
    lines = closings[-1]["plain"].splitlines()
    gathered = next(each for each in mail.inbox if each["headers"].get("x-tocsin-deliveries"))
    cases = re.findall(r"C-\d+", gathered["plain"])
    open_, over = [c for c in cases if int(c[2:]) >= 7], [c for c in cases if int(c[2:]) < 7]
    assert lines[0] == f"{len(over)} of {len(cases)} cases are over in fraud, {len(open_)} still open"
    rows = [line for line in lines if line.startswith("C-")]
    assert [row.split(":")[0] for row in rows if "(over)" not in row] == open_
    assert [row.split(":")[0] for row in rows[len(open_) :]] == over


async def test_what_goes_to_the_catch_all_in_a_storm_is_digested_too(embedded: str, slack: Slack, mail: Mail) -> None:
    running = await Running.start(embedded, slack, mail, catch_all="payments-slack")
    unmet = {"when": "case.priority == 'low'", "notify": [{"destination": "desk"}]}
    policy = {"teams": ["fraud"], "steps": [unmet]}
    await running.ok("PUT", "/v1/escalation-policies/fraud", policy)
    await running.tell(*(case(n, "fraud") for n in range(30)))
    await running.until(DUE + timedelta(seconds=4))
    assert len(slack.posts) == 2
    assert {number for post in slack.posts for number in named(post.body)} == {f"C-{n}" for n in range(30)}
    await running.stop()


async def test_a_person_may_be_told_less_often_and_the_first_page_is_never_held(notify: Running, mail: Mail) -> None:
    li = {"email": "li@example.com", "limit": {"per_second": 0.02, "burst": 1}}
    await notify.ok("PUT", "/v1/people/li", li)
    await notify.ok(
        "PUT", "/v1/escalation-policies/fraud", {"teams": ["fraud"], "steps": [{"notify": [{"person": "li"}]}]}
    )
    await notify.tell(*(case(n, "fraud") for n in range(30)))
    await notify.pump()
    assert len(mail.inbox) == 1
    await notify.until(DUE + timedelta(seconds=45), timedelta(seconds=5))
    assert len(mail.inbox) == 1, "the limit holds"
    held = await notify.deliveries("?state=held&limit=100")
    assert len(held) == 29
    assert all(each["reason"] and each["until"] for each in held)
    await notify.until(DUE + timedelta(seconds=60), timedelta(seconds=5))
    assert len(mail.inbox) == 2
    assert len(set(re.findall(r"C-\d+", mail.inbox[1]["plain"]))) == 29
