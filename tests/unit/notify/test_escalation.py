"""What people care about: who is told, when, and when it stops."""

from datetime import timedelta

import pytest

from services.notify.model import CaseState
from services.notify.model.commands import Acknowledge, HandOver, Outcome, Recorded, Resolve, Snooze
from shared.contracts.assignments import CaseAssigned, CaseHandedOff
from shared.contracts.clocks import ClockCancelled, ClockPaused, ClockRescheduled, ClockWithdrawn
from shared.contracts.contacts import CaseMerged
from shared.contracts.decision import Fired
from shared.contracts.envelope import Because
from shared.contracts.words import Metric, PageState, Priority
from tests.unit.notify.given import (
    CASE,
    DUE,
    SUMMARY,
    World,
    breached,
    clock_event,
    configuration,
    met,
    minutes,
    play,
    warned,
)

WHY = Because(text="because")


def handed(team: str, minute: float) -> CaseHandedOff:
    return CaseHandedOff(
        case_id=CASE, occurred_at=minutes(minute), team=team, from_team="payments", priority=Priority.URGENT,
        reason="theirs", by="ana", because=WHY,
    )  # fmt: skip


def test_a_breach_runs_its_steps_at_absolute_times_repeats_and_ends_at_the_catch_all() -> None:
    world = play(breached()).until(minutes(60))
    assert world.told() == [
        ("+00:00", "destination:payments-slack"),
        ("+05:00", "person:ana"),
        ("+10:00", "person:li"),
        ("+15:00", "destination:payments-slack"),
        ("+20:00", "person:ana"),
        ("+25:00", "person:li"),
        ("+40:00", "catch-all"),
    ]
    assert world.page.state == PageState.EXHAUSTED
    assert world.types()[0] == "page.opened"
    assert world.types().count("page.escalated") == 6
    assert world.types()[-2:] == ["page.exhausted", "page.sent"]


def test_steps_do_not_drift_when_the_deciding_is_late() -> None:
    world = World().tell(breached())
    world.deliver()
    world.now = minutes(7)  # nothing ran for seven minutes
    world.until(minutes(11))
    assert world.told() == [
        ("+00:00", "destination:payments-slack"),
        ("+07:00", "person:ana"),
        ("+10:00", "person:li"),
    ]


def test_after_a_long_silence_of_ours_only_the_latest_round_of_a_step_is_told() -> None:
    world = World(now=minutes(21))
    world.tell(breached()).deliver()
    assert [target for _, target in world.told()] == ["destination:payments-slack", "person:ana", "person:li"]


def test_a_warning_tells_the_channel_and_its_breach_joins_the_same_page() -> None:
    world = play(warned(minutes(-1.5)), breached()).until(minutes(6))
    assert world.told() == [
        ("-01:30", "destination:payments-slack"),
        ("+00:00", "destination:payments-slack"),
        ("+05:00", "person:ana"),
    ]
    assert world.types().count("page.opened") == 1
    assert len(world.page.clocks) == 1


def test_another_promise_that_breaks_joins_and_tells_again_who_was_told() -> None:
    other = breached(minutes(7), metric=Metric.RESOLUTION, due_at=minutes(7))
    world = play(breached(), other).until(minutes(8))
    assert world.types().count("page.opened") == 1
    assert len(world.page.clocks) == 2
    assert world.told()[2:] == [("+07:00", "destination:payments-slack"), ("+07:00", "person:ana")]


def test_an_event_that_comes_twice_tells_nobody_twice() -> None:
    world = play(breached(), breached(), breached()).until(minutes(1))
    assert world.told() == [("+00:00", "destination:payments-slack")]


def test_acknowledging_stops_the_steps_and_the_second_time_changes_nothing() -> None:
    world = play(breached())
    world.now = minutes(2)
    first = world.do(Acknowledge(world.page.id, "ana"))
    assert world.do(Acknowledge(world.page.id, "li")).state is first.state
    world.until(minutes(31))
    assert world.told() == [("+00:00", "destination:payments-slack")]
    assert (world.page.state, world.page.acknowledged_by) == (PageState.ACKNOWLEDGED, "ana")
    assert world.types().count("page.acknowledged") == 1
    assert [timer.step for timer in world.timers.values()] == ["reopen"]


def test_what_was_queued_when_somebody_acknowledged_is_not_sent() -> None:
    world = World().tell(breached())
    world.do(Acknowledge(world.page.id, "ana"))
    [delivery] = world.state.deliveries.values()
    assert (delivery.state, delivery.reason) == ("suppressed", "Ana acknowledged the page before it was sent")


def test_a_breach_of_an_acknowledged_page_is_told_to_the_channel_and_pages_nobody() -> None:
    world = play(warned(minutes(-1.5)))
    world.do(Acknowledge(world.page.id, "ana"))
    world.until(DUE).tell(breached()).until(minutes(28))
    assert world.told() == [("-01:30", "destination:payments-slack"), ("+00:00", "destination:payments-slack")]
    assert world.page.state == PageState.ACKNOWLEDGED


def test_a_late_reply_resolves_the_page_and_nothing_more_is_sent() -> None:
    world = play(breached(), met(minutes(3))).until(minutes(60))
    assert world.told() == [("+00:00", "destination:payments-slack")]
    assert world.page.state == PageState.RESOLVED
    assert world.page.resolved_by is None
    assert not world.timers


def test_what_recovered_before_it_was_sent_is_suppressed_and_says_so() -> None:
    world = World().tell(breached(), met(minutes(0.1)))
    [delivery] = world.state.deliveries.values()
    assert delivery.state == "suppressed"
    assert delivery.reason == "Recovered before it was sent: the first reply clock is met"


def test_a_page_stays_while_one_of_its_clocks_is_open() -> None:
    world = play(breached(), breached(minutes(1), metric=Metric.RESOLUTION), met(minutes(2)))
    assert world.page.state == PageState.OPEN
    world.tell(met(minutes(3), metric=Metric.RESOLUTION))
    assert world.page.state == PageState.RESOLVED


def test_resolved_by_hand_ends_it_and_a_later_breach_opens_a_new_page() -> None:
    world = play(breached())
    first = world.page.id
    world.do(Resolve(first, "ana"))
    assert (world.page.state, world.page.resolved_by) == (PageState.RESOLVED, "ana")
    world.until(minutes(9)).tell(breached(minutes(9), metric=Metric.RESOLUTION))
    assert world.page.id != first
    assert world.page.number == 2


def test_a_snooze_is_quiet_until_its_end_and_then_the_steps_begin_anew() -> None:
    world = play(breached())
    world.now = minutes(1)
    world.do(Snooze(world.page.id, "ana", minutes(30)))
    world.until(minutes(36))
    assert world.told() == [
        ("+00:00", "destination:payments-slack"),
        ("+30:00", "destination:payments-slack"),
        ("+35:00", "person:ana"),
    ]
    assert world.page.state == PageState.OPEN


def test_a_snooze_ends_quietly_when_the_customer_was_answered() -> None:
    world = play(breached())
    world.do(Snooze(world.page.id, "ana", minutes(30)))
    world.until(minutes(5)).tell(met(minutes(5))).until(minutes(60))
    assert len(world.told()) == 1


def test_a_breach_whose_deadline_is_later_after_all_is_called_for_no_more_until_it_breaks() -> None:
    """Late news of a pause, or a lower priority: the page stays, and its steps begin anew at the next breach."""
    world = play(breached()).until(minutes(4))
    world.tell(clock_event(ClockRescheduled, minutes(4), due_at=minutes(90))).until(minutes(89))
    assert (world.page.state, len(world.told())) == (PageState.OPEN, 1)
    [line] = [entry.because.text for entry in world.state.history if entry.kind == "stood_down"]
    assert line.startswith("No promise of this page is broken any more. The first reply clock: ")
    world.tell(handed("fraud", 89)).until(minutes(90))
    assert (world.page.state, len(world.told())) == (PageState.OPEN, 1)
    world.tell(handed("payments", 90), breached(minutes(90), due_at=minutes(90))).until(minutes(101))
    assert world.told()[1:] == [
        ("+90:00", "destination:payments-slack"),
        ("+95:00", "person:ana"),
        ("+100:00", "person:li"),
    ]


def test_what_was_not_sent_of_a_breach_that_is_none_is_not_sent() -> None:
    world = World().tell(breached(), clock_event(ClockRescheduled, minutes(0.1), due_at=minutes(90)))
    world.until(minutes(60))
    assert world.told() == []


def test_a_deadline_that_had_passed_anyway_leaves_the_breach_as_it_is() -> None:
    world = play(breached()).tell(clock_event(ClockRescheduled, minutes(1), due_at=minutes(-1))).until(minutes(6))
    assert world.told() == [("+00:00", "destination:payments-slack"), ("+05:00", "person:ana")]


def test_a_promise_at_risk_beside_one_that_was_kept_late_pages_when_it_breaks() -> None:
    """The page is not exhausted meanwhile: nothing of it is broken."""
    risk = warned(minutes(1), metric=Metric.RESOLUTION, due_at=minutes(120))
    world = play(breached(), risk).until(minutes(2)).tell(met(minutes(2))).until(minutes(119))
    assert world.page.state == PageState.OPEN
    assert [at for at, _ in world.told()] == ["+00:00", "+01:00", "+16:00"]
    world.tell(breached(minutes(120), metric=Metric.RESOLUTION, due_at=minutes(120))).until(minutes(126))
    assert world.told()[-2:] == [("+120:00", "destination:payments-slack"), ("+125:00", "person:ana")]


def test_what_somebody_has_in_hand_calls_again_when_it_breaks_after_their_time() -> None:
    """Its time was up while it was paused, so it called nobody then."""
    spec = {"teams": ["payments"], "acknowledged_for": "PT20M", "steps": [{"notify": [{"person": "li"}]}]}
    world = play(breached(), policies={"payments": spec})
    world.do(Acknowledge(world.page.id, "ana"))
    world.tell(clock_event(ClockPaused, minutes(1), due_at=None)).until(minutes(30))
    assert (world.page.state, len(world.told())) == (PageState.ACKNOWLEDGED, 1)
    world.tell(breached(minutes(40), due_at=minutes(40))).deliver()
    assert (world.page.state, world.told()[1]) == (PageState.OPEN, ("+40:00", "person:li"))
    assert {target for _, target in world.told()[2:]} == {"person:ana"}


def test_a_withdrawn_breach_is_taken_back_with_everybody_who_was_told() -> None:
    world = play(breached()).until(minutes(6))
    world.tell(clock_event(ClockWithdrawn, minutes(6))).until(minutes(60))
    assert world.page.state == PageState.RESOLVED
    corrections = [(d.target, d.purpose) for _, d in world.sent[2:]]
    assert corrections == [("destination:payments-slack", "withdrawn"), ("person:ana", "withdrawn")]


def test_a_withdrawn_breach_that_nobody_was_told_of_is_not_mentioned() -> None:
    world = World().tell(breached(), clock_event(ClockWithdrawn, minutes(0.1)))
    world.until(minutes(60))
    assert world.told() == []


def test_a_breach_withdrawn_while_its_message_was_on_its_way_is_still_taken_back() -> None:
    world = World().tell(breached())
    [delivery] = world.waiting()
    token = world.claim(delivery)
    world.tell(clock_event(ClockWithdrawn, minutes(0.1)))
    world.do(Recorded(delivery.id, token, Outcome("sent", "ok")))
    world.until(minutes(1))
    assert [d.purpose for _, d in world.sent] == ["withdrawn"]


def test_a_hand_off_gives_the_page_to_the_new_teams_policy() -> None:
    world = play(breached())
    world.until(minutes(2)).tell(handed("fraud", 2)).until(minutes(9))
    assert world.told() == [("+00:00", "destination:payments-slack"), ("+02:00", "destination:desk")]
    assert (world.page.team, world.page.policy.name) == ("fraud", "fraud")
    assert "from team payments to team fraud" in world.state.history[-2].because.text


def test_a_hand_off_of_an_acknowledged_page_pages_the_new_team() -> None:
    world = play(breached())
    world.do(Acknowledge(world.page.id, "ana"))
    world.until(minutes(2)).tell(handed("fraud", 2)).deliver()
    assert world.told()[-1] == ("+02:00", "destination:desk")
    assert world.page.acknowledged_by is None


def test_asking_for_a_hand_over_is_told_to_routing_once() -> None:
    world = play(breached())
    for _ in range(2):
        world.do(HandOver(world.page.id, "ana", "fraud", "a stolen card"))
    assert world.types().count("page.handover_asked") == 1


def test_placing_a_case_does_not_page_the_team_that_it_was_placed_with() -> None:
    summary = SUMMARY.model_copy(update={"team": None})
    world = play(breached(metric=Metric.UNASSIGNED, summary=summary))
    assigned = CaseAssigned(
        case_id=CASE, occurred_at=minutes(1), team="payments", priority=Priority.NORMAL, ruleset_version=1, because=WHY
    )
    world.until(minutes(1)).tell(assigned, met(minutes(1), metric=Metric.UNASSIGNED)).until(minutes(30))
    assert world.told() == [("+00:00", "destination:console")]


@pytest.mark.parametrize(
    ("known", "said", "expected"),
    [
        ((), "payments", "payments"),  # the clock knows more than we
        (("payments", "fraud"), "payments", "fraud"),  # the clock fired before it heard of the hand-off
        (("payments",), "fraud", "fraud"),  # we have not heard of the hand-off yet
        (("payments",), None, "payments"),
    ],
)
def test_a_page_opens_with_the_team_that_has_the_case(known: tuple[str, ...], said: str | None, expected: str) -> None:
    world = World()
    for team in known:
        world.tell(handed(team, -10))
    world.tell(breached(summary=SUMMARY.model_copy(update={"team": said})))
    assert world.page.team == expected


def test_a_team_that_no_policy_names_goes_to_the_default_with_a_reason() -> None:
    world = play(breached(summary=SUMMARY.model_copy(update={"team": "nobody-knows"})))
    assert world.told() == [("+00:00", "destination:console")]
    assert "no escalation policy names team nobody-knows, so default applies" in world.page.because.text


def test_imported_history_opens_no_page_and_keeps_the_reason() -> None:
    world = play(breached(history=True))
    assert world.state.page is None
    [clock] = world.state.clocks.values()
    assert clock.ignored == "imported history opens no page"


def test_a_warning_that_no_step_answers_opens_no_page_but_the_breach_does() -> None:
    policies = {"payments": {"teams": ["payments"], "steps": [{"notify": [{"destination": "payments-slack"}]}]}}
    world = play(warned(minutes(-1)), policies=policies)
    assert world.state.page is None
    [clock] = world.state.clocks.values()
    assert clock.ignored == "escalation policy payments has no step on warnings"
    world.until(DUE).tell(breached()).deliver()
    assert world.told() == [("+00:00", "destination:payments-slack")]
    assert world.state.clocks[clock.id].ignored is None


def test_a_breach_that_no_step_answers_goes_to_the_catch_all_at_once() -> None:
    policy = {"teams": ["payments"], "steps": [{"on": "warned", "notify": [{"destination": "payments-slack"}]}]}
    world = play(breached(), policies={"payments": policy})
    assert world.told() == [("+00:00", "catch-all")]
    assert world.page.state == PageState.EXHAUSTED


def test_a_paused_promise_calls_nobody() -> None:
    policy = {
        "teams": ["payments"],
        "steps": [
            {"on": "warned", "notify": [{"destination": "payments-slack"}]},
            {"on": "warned", "after": "PT5M", "notify": [{"person": "li"}]},
        ],
    }
    world = play(warned(minutes(-10)), policies={"payments": policy})
    world.until(minutes(-8)).tell(clock_event(ClockPaused, minutes(-8), due_at=None)).until(minutes(0))
    assert world.told() == [("-10:00", "destination:payments-slack")]


def test_a_merged_case_resolves_its_page_and_pages_no_more() -> None:
    merged = CaseMerged(case_id=CASE, occurred_at=minutes(1), into=CASE, into_number="C-9")
    world = play(breached()).until(minutes(1)).tell(merged)
    assert world.page.state == PageState.RESOLVED
    world.until(minutes(2)).tell(breached(minutes(2), metric=Metric.RESOLUTION)).until(minutes(60))
    assert world.told() == [("+00:00", "destination:payments-slack")]


def test_the_policy_in_force_is_kept_with_the_page() -> None:
    world = play(breached())
    world.state = CaseState(CASE, configuration({}), clocks=world.state.clocks, page=world.page,
                            facts=world.state.facts, deliveries=world.state.deliveries)  # fmt: skip
    world.until(minutes(6))
    assert world.told()[-1] == ("+05:00", "person:ana")


def test_what_breaks_after_every_step_had_its_turn_is_told_to_somebody() -> None:
    """Its steps all wait a while, so none of them tells of it at once."""
    spec = {"teams": ["payments"], "repeat": {"every": "PT5M", "times": 0},
            "steps": [{"after": "PT1M", "notify": [{"person": "ana"}]}]}  # fmt: skip
    world = play(breached(), policies={"payments": spec}).until(minutes(59))
    assert world.page.state == PageState.EXHAUSTED
    world.tell(breached(minutes(60), metric=Metric.RESOLUTION, due_at=minutes(60))).deliver()
    assert world.told()[-1] == ("+60:00", "catch-all")


def test_an_exhausted_page_can_be_acknowledged() -> None:
    world = play(breached()).until(minutes(60))
    world.do(Acknowledge(world.page.id, "ana"))
    assert world.page.state == PageState.ACKNOWLEDGED


def test_a_stale_timer_of_an_acknowledged_page_fires_nothing() -> None:
    world = play(breached())
    [timer] = [t for t in world.timers.values() if t.step == "step:2:0"]
    world.do(Acknowledge(world.page.id, "ana"))
    world.now = timer.due_at
    decision = world.do(Fired(CASE, timer.subject, timer.step, timer.due_at, timer.version))
    assert decision.events == ()
    assert timer.due_at - DUE == timedelta(minutes=5)


def test_a_promise_that_ended_and_is_owed_again_pages_again() -> None:
    """A policy stopped promising it and promises it again: the last word about a clock holds."""
    world = play(breached(), clock_event(ClockCancelled, minutes(1)))
    assert world.page.state == "resolved"
    world.tell(breached(minutes(3))).deliver()
    assert (world.page.number, world.page.state) == (2, "open")
    world.tell(met(minutes(4)))
    assert world.page.state == "resolved"
