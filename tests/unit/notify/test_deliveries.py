"""What becomes of one message: tried again with the same key, given up for the next way, person, or the catch-all."""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.notify import stages
from services.notify.decide.deliver import GIVE_UP_AFTER, LONGEST_BACKOFF, MAX_TRIES, backoff
from services.notify.model import CaseState, Delivery, Silence
from services.notify.model.commands import Acknowledge, Claim, Outcome, Recorded, Retry, Unmute
from services.notify.model.escalation import HoursSpec
from shared.contracts.words import DeliveryState, PageState
from tests.unit.notify.given import CASE, DUE, PRIMARY, World, breached, configuration, met, minutes, play, targets

LATER = Outcome("later", "Slack answered 500")
REFUSED = Outcome("refused", "channel_not_found: invite the bot to the channel")
LOST = Outcome("lost", "no answer within 10 s")

TO_PEOPLE = {
    "payments": {
        "teams": ["payments"],
        "steps": [
            {"notify": [{"schedule": "payments-primary"}]},
            {"after": "PT5M", "notify": [{"person": "li"}]},
        ],
    }
}


def first(world: World) -> Delivery:
    return world.waiting()[0]


def queued(policies: dict[str, object] | None = None) -> World:
    return World(state=CaseState(CASE, configuration(policies))).tell(breached())


def test_a_temporary_error_is_tried_again_with_the_same_key_and_says_why_and_until_when() -> None:
    world = queued()
    held = world.fail(first(world), LATER)
    assert (held.state, held.reason, held.attempts) == (DeliveryState.HELD, "Slack answered 500", 1)
    assert world.now < held.next_at <= world.now + timedelta(seconds=1)
    world.until(held.next_at)
    assert [(d.id, d.attempts) for _, d in world.sent] == [(held.id, 2)]


def test_retry_after_is_honoured_and_the_whole_lane_waits() -> None:
    world = queued()
    held = world.fail(first(world), Outcome("later", "Slack asks us to wait", retry_after=timedelta(seconds=30)))
    assert held.next_at == world.now + timedelta(seconds=30)
    assert world.state.blocks["slack:#payments-alerts"].until == world.now + timedelta(seconds=30)


def test_a_lost_answer_is_unknown_and_sent_again_with_the_same_key() -> None:
    world = queued()
    unknown = world.fail(first(world), LOST)
    assert (unknown.state, unknown.lost) == (DeliveryState.UNKNOWN, 1)
    assert "may have arrived" in (unknown.reason or "")
    world.until(unknown.next_at)
    [(_, sent)] = world.sent
    assert sent.id == unknown.id
    assert world.state.deliveries[sent.id].lost == 1  # listed for ever: it may have arrived twice


def test_an_answer_lost_while_the_promise_was_met_is_counted_too() -> None:
    world = queued()
    delivery = first(world)
    token = world.claim(delivery)
    world.tell(met(minutes(1)))
    suppressed = world.state.deliveries[delivery.id]
    assert suppressed.state == DeliveryState.SUPPRESSED
    world.do(Recorded(delivery.id, token, LOST))
    assert world.state.deliveries[delivery.id] == replace(suppressed, token=None, claimed_until=None, lost=1)


def test_a_claim_that_never_came_back_is_a_lost_answer() -> None:
    world = queued()
    token = world.claim(first(world))
    world.now += timedelta(seconds=16)
    second = world.claim(first(world))
    delivery = first(world)
    assert (delivery.state, delivery.lost, delivery.attempts) == (DeliveryState.UNKNOWN, 1, 2)
    assert world.do(Recorded(delivery.id, token, Outcome("sent", "late"))).state.deliveries[delivery.id].token == second
    tries = {number: attempt.outcome for (_, number), attempt in world.state.tries.items()}
    assert tries == {1: "lost", 2: None}


def test_nobody_else_takes_what_is_being_sent() -> None:
    world = queued()
    token = world.claim(first(world))
    world.claim(first(world))
    assert first(world).token == token


def test_a_permanent_error_fails_at_once_and_the_next_step_runs_at_once() -> None:
    world = queued()
    failed = world.fail(first(world), REFUSED)
    assert (failed.state, failed.reason) == (DeliveryState.FAILED, REFUSED.detail)
    assert "page.failed" in world.types()
    assert targets(world.waiting()) == ["person:ana"]
    assert "channel_not_found" in world.page.troubles[0]


def test_a_person_is_told_by_email_when_slack_does_not_take_it() -> None:
    world = queued(TO_PEOPLE)
    assert (first(world).target, first(world).way) == ("person:ana", "slack")
    world.fail(first(world), REFUSED)
    assert [(d.target, d.way) for d in world.waiting()] == [("person:ana", "email")]
    world.fail(first(world), REFUSED)
    assert [(d.target, d.via) for d in world.waiting()] == [("person:li", "schedule:payments-primary")]
    world.fail(first(world), REFUSED)
    assert [(d.target, d.via) for d in world.waiting()] == [("person:li", None)], "the next step names li too"
    world.fail(first(world), REFUSED)
    assert targets(world.waiting()) == ["catch-all"]
    world.fail(first(world), REFUSED)
    assert [(d.target, d.way) for d in world.waiting()] == [("catch-all", "console")]


def test_a_step_run_early_does_not_run_again_at_its_time() -> None:
    world = queued(TO_PEOPLE)
    for _ in range(3):  # ana by slack, by email; li, who is next on the schedule
        world.fail(first(world), REFUSED)
    world.until(minutes(10))
    assert [target for _, target in world.told()] == ["person:li"]


@pytest.mark.parametrize("outcome", [LATER, LOST])
def test_it_gives_up_within_bounds_and_tells_the_next(outcome: Outcome) -> None:
    world = queued()
    delivery = first(world)
    for _ in range(MAX_TRIES):
        assert world.state.deliveries[delivery.id].state in (DeliveryState.QUEUED, DeliveryState.HELD, "unknown")
        world.now = max(world.now, world.state.deliveries[delivery.id].next_at)
        delivery = world.fail(delivery, outcome)
    assert delivery.state == DeliveryState.FAILED
    assert world.now - minutes(0) <= GIVE_UP_AFTER
    assert targets(world.waiting()) == ["person:ana"]


def test_a_provider_that_asks_for_too_long_a_wait_is_given_up_for_the_next() -> None:
    world = queued()
    failed = world.fail(first(world), Outcome("later", "come back tomorrow", retry_after=timedelta(hours=24)))
    assert failed.state == DeliveryState.FAILED
    assert targets(world.waiting()) == ["person:ana"]


def test_one_failure_among_several_of_a_step_does_not_run_the_next() -> None:
    step = {"notify": [{"destination": "payments-slack"}, {"destination": "desk"}]}
    later = {"after": "PT5M", "notify": [{"person": "li"}]}
    world = queued({"payments": {"teams": ["payments"], "steps": [step, later]}})
    world.fail(first(world), REFUSED)
    assert targets(world.waiting()) == ["destination:desk"]


@pytest.mark.parametrize(
    ("entry", "trouble"),
    [
        ({"schedule": "empty"}, "nobody is on call in schedule empty"),
        ({"schedule": "gone"}, "there is no schedule gone"),
        ({"person": "ghost"}, "ghost has neither slack_user nor email"),
        ({"person": "gone"}, "there is no person gone"),
        ({"destination": "gone"}, "there is no destination gone"),
    ],
)
def test_a_step_that_reaches_nobody_gives_way_to_the_next_at_once(entry: dict[str, str], trouble: str) -> None:
    policy = {"teams": ["payments"], "steps": [{"notify": [entry]}, {"after": "PT5M", "notify": [{"person": "li"}]}]}
    empty = replace(PRIMARY, schedule=replace(PRIMARY.schedule, layers=()))
    world = World(state=CaseState(CASE, configuration({"payments": policy}, schedules={"empty": empty})))
    world.tell(breached()).until(minutes(6))
    assert world.told() == [("+00:00", "person:li")]
    assert world.page.troubles == (f"step 1 of payments: {trouble}",)


def test_when_no_step_reaches_anybody_the_catch_all_is_told_at_once() -> None:
    policy = {"teams": ["payments"], "steps": [{"notify": [{"person": "ghost"}]}]}
    world = play(breached(), policies={"payments": policy})
    assert world.told() == [("+00:00", "catch-all")]
    assert world.page.state == PageState.OPEN


def test_a_team_is_told_the_way_its_own_policy_tells_it_first() -> None:
    fraud = {"teams": ["fraud"], "steps": [{"notify": [{"destination": "desk"}, {"team": "payments"}]}]}
    payments = {"teams": ["payments"], "steps": [{"notify": [{"team": "fraud"}]}]}
    world = play(breached(), policies={"payments": payments, "fraud": fraud})
    assert [(target, d.via) for (_, target), (_, d) in zip(world.told(), world.sent, strict=True)] == [
        ("destination:desk", "team:fraud")
    ]


def test_a_deleted_destination_is_found_when_its_message_is_due() -> None:
    world = queued()
    world.state = replace(world.state, configuration=configuration(destinations={}))
    world.claim(first(world))
    assert targets(world.waiting()) == ["person:ana"]


def silence(**scope: object) -> Silence:
    fields = {"team": None, "case_id": None, "destination": None, "person": None, **scope}
    return Silence(UUID(int=7), **fields, reason="moving house", author="bo", start=minutes(-60), end=minutes(30))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "scope", [{"team": "payments"}, {"case_id": CASE}, {"destination": "payments-slack", "team": "payments"}]
)
def test_a_silence_makes_messages_wait_and_says_who_and_until_when(scope: dict[str, object]) -> None:
    world = World()
    world.state = replace(world.state, silences=(silence(**scope),))
    world.tell(breached()).deliver()
    assert world.sent == []
    held = first(world)
    assert (held.state, held.reason) == (DeliveryState.HELD, "Silenced by bo: moving house")
    assert held.next_at == minutes(30)
    world.state = replace(world.state, silences=())
    world.do(Unmute(UUID(int=7)))
    world.deliver()
    assert world.told() == [("+00:00", "destination:payments-slack")]


@pytest.mark.parametrize(
    "scope", [{"team": "fraud"}, {"destination": "desk"}, {"person": "ana"}, {"case_id": UUID(int=1)}]
)
def test_a_silence_of_something_else_silences_nothing(scope: dict[str, object]) -> None:
    world = World()
    world.state = replace(world.state, silences=(silence(**scope),))
    world.tell(breached()).deliver()
    assert len(world.sent) == 1


def test_what_a_silence_held_is_not_sent_when_it_recovered_meanwhile() -> None:
    world = World()
    world.state = replace(world.state, silences=(silence(team="payments"),))
    world.tell(breached()).deliver()
    world.until(minutes(2)).tell(met(minutes(2)))
    assert world.waiting() == []


def test_a_message_that_never_left_gives_way_to_a_later_one_to_the_same_target() -> None:
    world = World()
    world.state = replace(world.state, silences=(silence(destination="payments-slack"),))
    world.tell(breached()).until(minutes(16))
    states = [d.state for d in world.state.deliveries.values() if d.target == "destination:payments-slack"]
    assert states == [DeliveryState.SUPPRESSED, DeliveryState.HELD]


def test_a_message_that_was_being_sent_as_it_recovered_counts_as_sent_when_it_was() -> None:
    world = queued()
    delivery = first(world)
    token = world.claim(delivery)
    world.tell(met(minutes(0.05)))
    assert "may have arrived" in (world.state.deliveries[delivery.id].reason or "")
    world.do(Recorded(delivery.id, token, Outcome("sent", "ok")))
    assert world.state.deliveries[delivery.id].state == DeliveryState.SENT


def test_a_failed_delivery_can_be_sent_again_by_hand() -> None:
    world = queued()
    failed = world.fail(first(world), REFUSED)
    world.do(Retry(failed.id, "bo"))
    world.deliver()
    assert ("+00:00", "destination:payments-slack") in world.told()


def test_a_delivery_of_a_page_that_is_over_is_not_sent_again() -> None:
    world = queued()
    failed = world.fail(first(world), REFUSED)
    world.tell(met(minutes(1)))
    world.do(Retry(failed.id, "bo"))
    assert world.waiting() == []


@given(st.uuids(), st.integers(min_value=1, max_value=40))
def test_the_pause_between_tries_is_bounded_jittered_and_always_the_same(key: UUID, tries: int) -> None:
    delivery = replace(first(queued()), id=key)
    pause = backoff(delivery, tries)
    whole = min(LONGEST_BACKOFF, timedelta(seconds=2 ** (tries - 1)))
    assert whole / 2 <= pause <= whole
    assert pause == backoff(delivery, tries)


@settings(max_examples=60)
@given(st.lists(st.sampled_from(["sent", "later", "lost", "refused", "crash", "ack", "met", "wait"]), max_size=40))
def test_whatever_the_providers_answer_nobody_is_forgotten_and_no_answered_send_is_doubled(story: list[str]) -> None:
    """Each delivery ends in one state; an answered send is never repeated; silence of all ends at the catch-all."""
    world = queued()
    answered: list[UUID] = []
    for act in story:
        waiting = [d for d in world.waiting() if d.next_at <= world.now and (d.claimed_until or world.now) <= world.now]
        if act == "ack":
            world.do(Acknowledge(world.page.id, "ana"))
        elif act == "met":
            world.tell(met(world.now))
        elif act == "wait" or not waiting:
            world.until(world.now + timedelta(seconds=40), send=False)
        elif act == "crash":
            world.claim(waiting[0])
        else:
            assert waiting[0].id not in answered
            delivery = world.fail(waiting[0], Outcome(act, "so it was"))  # type: ignore[arg-type]
            answered += [delivery.id] if delivery.state == DeliveryState.SENT else []
    if world.page.state in (PageState.OPEN, PageState.EXHAUSTED):
        on_their_way = [d for d in world.state.deliveries.values() if d.state not in ("failed", "suppressed")]
        assert on_their_way, "the page is open and nobody was or will be told"
    else:
        assert all(d.claimed_until or d.purpose == "withdrawn" for d in world.waiting())
    made = {entry for line in world.state.history for entry in line.deliveries}
    assert made == set(world.state.deliveries), "the history names every delivery once: the ledger counts on it"


def test_an_unknown_claim_is_refused() -> None:
    world = queued()
    before = world.state
    assert world.do(Claim(UUID(int=99), UUID(int=1), minutes(1))).state is before
    assert world.do(Recorded(UUID(int=99), UUID(int=1), LATER)).state is before


NIGHTS = {"time_zone": "Europe/Dublin", "weekly": {"sun": [["02:00", "04:00"]]}}


def recurring(at: datetime) -> stages.Outgoing:
    """What becomes of a call at this instant, with maintenance on Sunday nights."""
    during = HoursSpec.model_validate(NIGHTS)
    start, end = DUE - timedelta(days=30), DUE + timedelta(days=300)
    quiet = Silence(UUID(int=1), "payments", None, None, None, "upgrade", "bo", start, end, during=during)
    world = play(breached())
    state = replace(world.state, silences=(quiet,))
    return stages.mute(stages.outgoing(state, next(iter(world.state.deliveries.values())), at))


@pytest.mark.parametrize(
    ("at", "until"),
    [
        ("2026-11-22T02:00+00:00", "2026-11-22T04:00+00:00"),
        ("2026-11-22T03:59:59+00:00", "2026-11-22T04:00+00:00"),
        ("2026-11-22T04:00+00:00", None),
        ("2026-11-22T01:59:59+00:00", None),
        ("2026-11-25T02:30+00:00", None),
        ("2027-04-04T01:30+00:00", "2027-04-04T03:00+00:00"),  # in summer time
        ("2027-03-28T01:30+00:00", "2027-03-28T03:00+00:00"),  # the night on which the clocks go forward
        ("2027-11-28T02:30+00:00", None),  # it ended
    ],
)
def test_maintenance_that_recurs_holds_in_its_hours_on_the_wall_and_at_no_other_time(
    at: str, until: str | None
) -> None:
    held = recurring(datetime.fromisoformat(at)).held
    assert (held.until if held else None) == (datetime.fromisoformat(until) if until else None)
