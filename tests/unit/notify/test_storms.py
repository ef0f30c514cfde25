"""Storms: the first call as itself, the rest in digests that name every case, nobody lost."""

import asyncio
import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.notify.decide.storms import (
    ALONE,
    MAIL_EVERY,
    MAX_CASES,
    OPEN_FOR,
    REDRAW_EVERY,
    Digest,
    Past,
    Waiting,
    plan,
)
from shared.contracts.clocks import ClockEvent, ClockMet
from shared.contracts.identity import derived
from tests.stand_ins.slack import Slack
from tests.stand_ins.smtp import Mail
from tests.unit.notify.given import DUE, SUMMARY, breached, clock_event
from tests.unit.notify.running import Running

CHANNEL, MAILBOX = "slack:#payments-alerts", "email:desk@example.com"
PAYMENTS = "payments|breached|first_reply"


def waiting(count: int, lane: str = CHANNEL, digest: UUID | None = None) -> list[Waiting]:
    return [
        Waiting(derived(lane, n), derived("case", n), lane, PAYMENTS, int(digest is not None), digest)
        for n in range(count)
    ]


def digest(lane: str = CHANNEL, **more: Any) -> Digest:
    way = lane.partition(":")[0]
    return replace(Digest(UUID(int=9), lane, PAYMENTS, way, "destination:x", DUE, 10, "C1/1.0"), **more)


def test_the_first_of_a_storm_goes_out_as_itself() -> None:
    [bundle] = plan(waiting(40), {}, {CHANNEL: 1}, DUE).bundles
    assert not bundle.together
    assert bundle.members == tuple(waiting(1))


def test_what_follows_it_within_the_window_is_one_digest() -> None:
    [bundle] = plan(waiting(40), {(CHANNEL, PAYMENTS): Past(1)}, {CHANNEL: 1}, DUE).bundles
    assert bundle.together
    assert len(bundle.members) == 40


def test_a_few_calls_go_out_each_by_itself() -> None:
    bundles = plan(waiting(ALONE - 1), {(CHANNEL, PAYMENTS): Past(1)}, {CHANNEL: 5}, DUE).bundles
    assert [bundle.together for bundle in bundles] == [False] * (ALONE - 1)


def test_what_comes_later_joins_the_digest_in_slack_and_waits_for_the_next_in_mail() -> None:
    [bundle] = plan(waiting(2), {(CHANNEL, PAYMENTS): Past(0, digest())}, {CHANNEL: 1}, DUE).bundles
    assert bundle.digest == digest()
    mail = plan(waiting(2, MAILBOX), {(MAILBOX, PAYMENTS): Past(0, digest(MAILBOX))}, {MAILBOX: 1}, DUE)
    assert mail.bundles == ()
    assert [until for _, until in mail.later] == [DUE + MAIL_EVERY] * 2


def test_a_digest_whose_answer_was_lost_is_tried_again_with_the_same_cases() -> None:
    lost = digest(receipt=None, lost=1)
    group = [*waiting(3, digest=lost.id), *(replace(w, delivery_id=derived("new")) for w in waiting(1))]
    [bundle] = plan(group, {(CHANNEL, PAYMENTS): Past(1, lost)}, {CHANNEL: 1}, DUE).bundles
    assert (bundle.digest, len(bundle.members)) == (lost, 3)


pasts = st.builds(
    Past,
    st.integers(0, 5),
    st.none() | st.builds(
        digest,
        members=st.integers(0, MAX_CASES),
        receipt=st.none() | st.just("C1/1.0"),
        opened_at=st.sampled_from([DUE, DUE - OPEN_FOR, DUE - MAIL_EVERY]),
        closed=st.booleans(),
    ),
)  # fmt: skip


@given(st.integers(0, 300), st.sampled_from([CHANNEL, MAILBOX]), pasts, st.integers(0, 8))
def test_nobody_leaves_twice_no_digest_overflows_and_no_lane_sends_more_than_it_may(
    count: int, lane: str, past: Past, free: int
) -> None:
    known = (
        past
        if past.digest is None
        else replace(past, digest=replace(past.digest, lane=lane, way=lane.partition(":")[0]))
    )
    planned = plan(waiting(count, lane), {(lane, PAYMENTS): known}, {lane: free}, DUE)
    leaving = [w.delivery_id for b in planned.bundles for w in b.members] + [w.delivery_id for w, _ in planned.later]
    assert len(leaving) == len(set(leaving))
    assert len(planned.bundles) <= free
    for bundle in planned.bundles:
        assert bundle.members
        assert (
            len(bundle.members) + (bundle.digest.members if bundle.digest and bundle.digest.receipt else 0) <= MAX_CASES
        )
    if count and free and known.digest is None and not known.alone:
        assert not planned.bundles[0].together, "the first is never hidden in a digest"


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
    assert await notify.balance() == {"pages→deliveries": 0}
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


async def test_a_mailbox_in_a_storm_gets_the_first_a_digest_and_the_next_digest_later(
    notify: Running, mail: Mail
) -> None:
    await notify.tell(*(case(n, "fraud") for n in range(50)))
    await notify.pump()
    assert len(mail.inbox) == 2
    await notify.tell(*(case(n, "fraud") for n in range(50, 60)))
    await notify.until(DUE + timedelta(seconds=5))
    held = await notify.deliveries("?state=held")
    assert {each["reason"] for each in held} == {
        "It comes with the next digest: a mail about the others left just before it"
    }
    assert len(mail.inbox) == 2
    await notify.until(DUE + MAIL_EVERY + timedelta(seconds=1), timedelta(seconds=20))
    assert len(mail.inbox) == 3
    numbers = {number for each in mail.inbox for number in re.findall(r"C-\d+", each["plain"])}
    assert numbers == {f"C-{n}" for n in range(60)}


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
