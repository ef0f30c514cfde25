"""What a lane may do: its limits, its breaker, and which of its messages goes first."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notify.decide.lanes import (
    FIRST_PAUSE,
    HEAD_START,
    LONGEST_PAUSE,
    TRIP,
    Lane,
    Limits,
    answered,
    head_start,
    limits,
)
from services.notify.model import Purpose
from services.notify.model.commands import Outcome
from services.notify.model.specs import On
from shared.contracts.clocks import ClockEvent
from shared.contracts.identity import derived
from shared.contracts.words import Priority
from tests.stand_ins.slack import Slack
from tests.stand_ins.smtp import Mail
from tests.unit.notify.given import DUE, SUMMARY, breached, configuration, minutes
from tests.unit.notify.running import Running

SENT = Outcome("sent", "ok")
BROKEN = Outcome("later", "Slack answered 500")
LOST = Outcome("lost", "no answer within 10 s")
BUSY = Outcome("later", "Slack answered 429", retry_after=timedelta(seconds=30))
REFUSED = Outcome("refused", "channel_not_found")
LANE = "slack:#payments-alerts"


def test_a_slack_channel_takes_one_a_second_and_a_destination_may_say_otherwise() -> None:
    own = {"kind": "slack", "channel": "#busy", "limit": {"per_second": 0.2, "burst": 3}}
    more = {"kind": "slack", "channel": "#busy", "limit": {"per_second": 5}}
    found = limits(configuration(destinations={"a": more, "b": own}), {"slack:#busy": "slack", "slack:#other": "slack"})
    assert found == {"slack:#busy": Limits(0.2, 3, 1), "slack:#other": Limits(1, 1, 1)}


def test_the_breaker_opens_after_failures_in_a_row_says_why_and_closes_with_the_first_success() -> None:
    lane = answered(Lane(LANE), [BROKEN] * (TRIP - 1), DUE)
    assert lane.blocked_until is None
    lane = answered(lane, [LOST], DUE)
    assert lane.blocked_until is not None
    assert FIRST_PAUSE * 0.75 <= lane.blocked_until - DUE <= FIRST_PAUSE
    assert lane.reason == (
        "It failed 5 times in a row, at last so: no answer within 10 s. One message will try it again"
    )
    assert answered(lane, [SENT], DUE).failures == 0


@given(st.lists(st.sampled_from([SENT, BROKEN, LOST, BUSY, REFUSED]), max_size=40))
def test_a_breaker_pauses_longer_and_longer_never_too_long_and_only_for_failures(story: list[Outcome]) -> None:
    lane, row = Lane(LANE), 0
    for outcome in story:
        before, lane = lane, answered(lane, [outcome], DUE)
        row = row + 1 if outcome in (BROKEN, LOST) else row if outcome == BUSY else 0
        assert lane.failures == row
        if lane.blocked_until != before.blocked_until:
            assert lane.failures >= TRIP
            assert lane.blocked_until is not None
            assert lane.blocked_until - DUE <= LONGEST_PAUSE
    assert answered(Lane(LANE), story, DUE) == lane


def test_urgent_breaches_go_first_and_nothing_waits_for_ever() -> None:
    order = [
        (Priority.URGENT, On.BREACHED),
        (Priority.URGENT, On.WARNED),
        (Priority.HIGH, On.BREACHED),
        (Priority.HIGH, On.WARNED),
        (Priority.NORMAL, On.BREACHED),
        (Priority.NORMAL, On.WARNED),
    ]
    starts = [head_start(priority, on, Purpose.CALL) for priority, on in order]
    assert starts == sorted(starts, reverse=True)
    assert head_start(Priority.URGENT, On.BREACHED, Purpose.WITHDRAWN) < min(HEAD_START.values())
    assert max(starts) <= 150, "who came this many seconds earlier goes first, whatever comes"


def case(number: int, team: str = "payments", priority: Priority = Priority.NORMAL) -> ClockEvent:
    summary = SUMMARY.model_copy(update={"team": team, "priority": priority, "number": f"C-{number}"})
    return breached(case_id=derived("case", number), clock_id=derived(number), summary=summary)


async def test_in_a_channel_the_urgent_breach_goes_before_what_came_earlier(notify: Running, slack: Slack) -> None:
    await notify.tell(case(1), case(2, priority=Priority.LOW), case(3, priority=Priority.URGENT))
    for _ in range(3):
        await notify.pump()
        notify.clock.advance(timedelta(seconds=2))
    assert [post.body["text"][:3] for post in slack.posts] == ["C-3", "C-1", "C-2"]


async def test_what_waits_for_its_turn_says_for_what_and_until_when(notify: Running) -> None:
    await notify.tell(*(case(number) for number in range(3)))
    await notify.pump()
    held = await notify.deliveries("?state=held")
    assert {each["reason"] for each in held} == {f"{LANE} takes 1 a second: {n} messages go first" for n in ("no", "1")}
    assert sorted(each["until"] for each in held) == [
        (DUE + timedelta(seconds=s)).isoformat().replace("+00:00", "Z") for s in (1, 2)
    ]


async def test_a_destination_may_have_limits_of_its_own(notify: Running, slack: Slack) -> None:
    limit = {"per_second": 0.1, "burst": 2}
    spec = {"kind": "slack", "channel": "#payments-alerts", "limit": limit}
    await notify.ok("PUT", "/v1/destinations/payments-slack", spec)
    await notify.tell(*(case(number) for number in range(3)))
    await notify.until(DUE + timedelta(seconds=9))
    assert len(slack.posts) == 2
    await notify.until(DUE + timedelta(seconds=21))
    assert len(slack.posts) == 3
    [lane] = (await notify.ok("GET", "/v1/lanes"))["items"]
    assert (lane["name"], lane["per_second"], lane["burst"], lane["breaker"]) == (LANE, 0.1, 2, "closed")


async def test_a_channel_that_fails_is_left_alone_visibly_and_what_waits_goes_another_way(
    notify: Running, slack: Slack, mail: Mail
) -> None:
    """Case 22: held, why, until when; and nobody waits for a broken channel for ever."""
    slack.behave("500", "#payments-alerts")
    slack.behave("500", "U1")
    await notify.tell(*(case(number) for number in range(3)))
    await notify.until(DUE + timedelta(seconds=30))
    [lane] = [each for each in (await notify.ok("GET", "/v1/lanes"))["items"] if each["name"] == LANE]
    assert lane["failures"] >= TRIP
    assert lane["breaker"] in ("open", "half_open")
    assert "Slack answered 500" in lane["reason"]
    calls = slack.calls
    await notify.until(DUE + timedelta(minutes=12))
    assert slack.calls - calls < 60, "left alone, but for a try now and then"
    told = [number for number in range(3) if any(f"C-{number}" in each["headers"]["subject"] for each in mail.inbox)]
    assert told == [0, 1, 2]
    slack.behave("ok", "#payments-alerts")
    slack.behave("ok", "U1")
    await notify.until(DUE + timedelta(minutes=20), timedelta(seconds=5))
    [lane] = [each for each in (await notify.ok("GET", "/v1/lanes"))["items"] if each["name"] == LANE]
    assert lane["breaker"] == "closed"


async def test_was_it_sent_has_an_answer_months_later(notify: Running) -> None:
    """Case 28."""
    await notify.tell(case(1), case(2, "fraud"))
    await notify.until(DUE + timedelta(minutes=6), timedelta(seconds=30))
    notify.clock.advance(timedelta(days=200))
    [first, *_] = reversed(await notify.deliveries(f"?case_id={derived('case', 1)}"))
    assert (first["state"], first["sent_at"]) == ("sent", DUE.isoformat().replace("+00:00", "Z"))
    assert first["receipt"]
    by_target = {query: await notify.deliveries(query) for query in ("?destination=desk", "?person=ana", "?person=li")}
    assert {query: {each["target"] for each in found} for query, found in by_target.items()} == {
        "?destination=desk": {"destination:desk"},
        "?person=ana": {"person:ana"},
        "?person=li": set(),
    }
    start, end = DUE.strftime("%FT%TZ"), minutes(1).strftime("%FT%TZ")
    assert len(await notify.deliveries(f"?from={start}&until={end}")) == 2
    assert await notify.deliveries(f"?from={end}&until={end}") == []
    answer = await notify.client.get("/v1/deliveries?destination=desk&person=ana")
    assert answer.status_code == 422


@pytest.mark.parametrize("hanging", [["#a", "#b", "#c", "#d", "#e", "#f", "#g", "#h", "#i"]])
async def test_slack_down_altogether_delays_no_mail(
    notify: Running, slack: Slack, mail: Mail, hanging: list[str]
) -> None:
    """Case 21: eight senders, nine channels that hang, and a mail that comes after them."""
    for place, channel in enumerate(hanging):
        slack.behave("hang", channel)
        name = f"team-{place}"
        await notify.ok("PUT", f"/v1/destinations/{name}", {"kind": "slack", "channel": channel})
        policy = {"teams": [name], "steps": [{"notify": [{"destination": name}]}]}
        await notify.ok("PUT", f"/v1/escalation-policies/{name}", policy)
    await notify.tell(*(case(place, f"team-{place}", Priority.URGENT) for place in range(len(hanging))))
    while await notify.sending.claim() == 0.0:
        pass
    assert notify.sending._claimed.qsize() == 4, "half of the senders"
    await notify.tell(case(100, "fraud"))
    await notify.sending.claim()
    lanes = {notify.sending._claimed.get_nowait().lane for _ in range(5)}
    assert "email:desk@example.com" in lanes
