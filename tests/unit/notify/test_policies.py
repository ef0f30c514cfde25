"""What an escalation policy can say: conditions, overdue levels, waiting for duty, how long acknowledging holds."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from services.notify import rules
from services.notify.model import CaseState
from services.notify.model.commands import Acknowledge, Outcome, Resolve, Snooze, TakeOver, Unsnooze
from services.notify.model.escalation import EscalationPolicySpec
from shared.conditions import ConditionError
from shared.contracts.clocks import ClockOverdue
from shared.contracts.contacts import CaseActivity
from shared.contracts.identity import derived
from shared.contracts.words import ActivityKind, Metric, PageState, Priority
from tests.unit.notify.given import (
    CASE,
    DUE,
    PAYMENTS,
    PEOPLE,
    SUMMARY,
    World,
    breached,
    configuration,
    met,
    minutes,
    play,
    warned,
)  # fmt: skip

SLACK, DESK, ANA, LI = {"destination": "payments-slack"}, {"destination": "desk"}, {"person": "ana"}, {"person": "li"}
OFFICE = {
    "time_zone": "Europe/Dublin",
    "weekly": {day: [["09:00", "17:30"]] for day in ("mon", "tue", "wed", "thu", "fri")},
    "country": "IE",
}  # fmt: skip
REFUSED = Outcome("refused", "channel_not_found")
OPENING = minutes(30 * 60 + 57)  # Monday 09:00 in Dublin; the deadline is on Sunday at 02:03


def policy(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"payments": {"teams": ["payments"], "steps": list(steps), "repeat": {"every": "PT15M", "times": 0}} | more}


def world(policies: dict[str, Any], people: dict[str, Any] = PEOPLE, **summary: Any) -> World:
    made = World(state=CaseState(CASE, configuration(policies, people=people)))
    return made.tell(breached(summary=SUMMARY.model_copy(update=summary))).until(DUE)


def activity(kind: ActivityKind, minute: float, **more: Any) -> CaseActivity:
    at = minutes(minute)
    said = {"activity_id": derived(kind, minute), "occurred_at": at, "received_at": at, "public": True}
    return CaseActivity(case_id=CASE, kind=kind, **said | more)


def overdue(minute: float, level: int = 1, **more: Any) -> Any:
    at = minutes(minute)
    fields: dict[str, Any] = {
        "case_id": CASE, "occurred_at": at, "clock_id": derived(CASE, Metric.FIRST_REPLY), "instance": 1,
        "metric": Metric.FIRST_REPLY, "version": 10_000_000 + int(minute * 60), "started_at": minutes(-15),
        "due_at": DUE, "within": "PT15M", "because": breached().because, "over": level * 0.5, "level": level,
        "overdue_by": "PT7M", "fired_at": at, "summary": SUMMARY,
    }  # fmt: skip
    return ClockOverdue(**fields | more)


# Conditions


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ("case.priority == 'urgent'", True),
        ("case.priority == 'low'", False),
        ("'vip' in case.tags", True),
        ("case.team == 'payments' && contact.customer.tier == 'enterprise'", True),
        ("clock.metric == 'first_reply' && clock.minutes_over == 0 && clock.level == 0", True),
        ("hours.office", False),  # Sunday, two at night
        ("!hours.office && at.getDayOfWeek('Europe/Dublin') == 0", True),
        ("page.round == 0 && page.cycle == 0", True),
    ],
)
def test_a_step_tells_only_where_its_condition_holds(when: str, holds: bool) -> None:
    rest = {"after": "PT1M", "notify": [DESK]}
    found = world(policy({"when": when, "notify": [SLACK]}, rest, hours={"office": OFFICE}), tags=("vip",))
    assert [target for _, target in found.told()] == (["destination:payments-slack"] if holds else [])
    if not holds:
        assert found.state.history[-1].kind == "skipped"
        assert when in found.state.history[-1].because.text


def test_a_condition_is_asked_at_each_round_and_sees_the_amount_over() -> None:
    spec = policy({"notify": [SLACK]}, {"when": "clock.minutes_over >= 20", "notify": [ANA]})
    spec["payments"]["repeat"] = {"every": "PT15M", "times": 2}
    found = world(spec).until(minutes(31))
    assert found.told() == [
        ("+00:00", "destination:payments-slack"), ("+15:00", "destination:payments-slack"),
        ("+30:00", "destination:payments-slack"), ("+30:00", "person:ana"),
    ]  # fmt: skip


def test_a_missing_value_is_false_with_a_reason_and_skips_nothing_else() -> None:
    spec = policy({"when": "contact.customer.tier == 'x'", "notify": [ANA]}, {"notify": [SLACK]})
    found = world(spec, customer_tier=None)
    assert [target for _, target in found.told()] == ["destination:payments-slack"]
    skipped = next(e for e in found.state.history if e.kind == "skipped")
    assert "contact.customer.tier is unknown" in skipped.because.text


def test_a_breach_for_which_no_condition_holds_goes_to_the_catch_all_at_once() -> None:
    found = world(policy({"when": "case.priority == 'low'", "notify": [ANA]}))
    assert found.told() == [("+00:00", "catch-all")]


def test_a_step_that_reaches_nobody_gives_way_to_the_next_whose_condition_holds() -> None:
    spec = policy(
        {"notify": [SLACK]},
        {"after": "PT5M", "when": "case.priority == 'low'", "notify": [ANA]},
        {"after": "PT9M", "notify": [LI]},
    )
    found = World(state=CaseState(CASE, configuration(spec))).tell(breached())
    found.fail(found.waiting()[0], REFUSED)
    assert [d.target for d in found.waiting()] == ["person:li"]


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"steps": [{"notify": [SLACK]}, {"when": "case.prio == 'x'", "notify": [SLACK]}]}, "steps.1.when: line 1"),
        ({"steps": [{"when": "hours.office", "notify": [SLACK]}]}, "hours.office"),
        ({"steps": [{"when": "case.tags", "notify": [SLACK]}]}, "not true or false"),
        ({"steps": [{"notify": [SLACK], "defer": {"until": "duty", "when": "1 +"}}]}, "steps.0.defer.when"),
        ({"steps": [{"when": "case.tags.exists(a, case.tags.exists(b, case.tags.exists(c, case.tags.exists(d,"
                     " case.tags.exists(e, a + b + c + d == e)))))", "notify": [SLACK]}]}, "steps.0.when"),
    ],
)  # fmt: skip
def test_a_condition_that_cannot_work_is_refused_with_its_place(spec: dict[str, Any], says: str) -> None:
    with pytest.raises(ConditionError) as refused:
        rules.check(EscalationPolicySpec.model_validate(spec))
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"defer": {"until": "office"}}, "there are no hours office"),
        ({"defer": {"until": "duty"}}, "of whoever a step tells"),
        ({"hours": {"duty": OFFICE}}, "choose another"),
        ({"acknowledged_for": "PT1S"}, "or null for never"),
        ({"steps": [{"level": 2, "notify": [SLACK]}]}, "only a step with"),
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(more: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as refused:
        EscalationPolicySpec.model_validate({"steps": [{"notify": [SLACK]}]} | more)
    assert says in str(refused.value)


# Overdue levels

GROWING = policy(
    {"notify": [SLACK]},
    {"on": "overdue", "notify": [ANA]},
    {"on": "overdue", "level": 2, "after": "PT3M", "notify": [LI]},
    repeat={"every": "PT60M", "times": 0},
)


def test_steps_on_overdue_levels_run_as_the_breach_grows_each_once() -> None:
    found = world(GROWING).until(minutes(7)).tell(overdue(7)).until(minutes(15)).tell(overdue(15, 2)).until(minutes(40))
    assert found.told() == [
        ("+00:00", "destination:payments-slack"), ("+07:00", "person:ana"), ("+18:00", "person:li")
    ]  # fmt: skip


def test_levels_missed_collapse_to_the_highest_and_steps_of_lower_ones_run_too() -> None:
    found = world(GROWING).until(minutes(15)).tell(overdue(15, 2)).until(minutes(40))
    assert found.told()[1:] == [("+15:00", "person:ana"), ("+18:00", "person:li")]


def test_an_exhausted_page_still_answers_to_a_growing_breach() -> None:
    found = world(GROWING).until(minutes(70))
    assert found.page.state == PageState.EXHAUSTED
    found.tell(overdue(71)).until(minutes(80))
    assert found.told()[-1] == ("+71:00", "person:ana")


def test_a_page_resolved_by_hand_opens_again_only_for_policies_with_steps_on_overdue_levels() -> None:
    found = world(GROWING)
    found.do(Resolve(found.page.id, "ana"))
    found.until(minutes(7)).tell(overdue(7)).deliver()
    assert (found.page.number, found.told()[-1]) == (2, ("+07:00", "person:ana"))
    quiet = world(policy({"notify": [SLACK]}))
    quiet.do(Resolve(quiet.page.id, "ana"))
    quiet.until(minutes(7)).tell(overdue(7)).deliver()
    assert (quiet.page.number, len(quiet.sent)) == (1, 1)


# Low urgency


def test_26_low_urgency_waits_for_the_opening_and_then_its_steps_keep_their_distances() -> None:
    spec = policy(
        {"notify": [SLACK]},
        {"after": "PT5M", "notify": [ANA]},
        hours={"office": OFFICE},
        defer={"until": "office", "when": "case.priority == 'low'"},
    )
    found = world(spec, priority=Priority.LOW).until(OPENING - timedelta(seconds=1))
    assert found.told() == []
    held = next(e for e in found.state.history if e.kind == "held")
    assert held.because.text == "The page is held. It waits until office opens, Mon 23 Nov 09:00 Dublin."
    assert found.page.begins == OPENING
    found.until(OPENING + timedelta(minutes=6))
    assert [at - OPENING for at, _ in found.sent] == [timedelta(0), timedelta(minutes=5)]
    assert [target for _, target in found.told()] == ["destination:payments-slack", "person:ana"]
    urgent = world(spec, priority=Priority.URGENT)
    assert urgent.told() == [("+00:00", "destination:payments-slack")]


def test_26_a_case_that_becomes_urgent_while_it_waits_pages_at_once() -> None:
    spec = policy(
        {"notify": [SLACK]}, hours={"office": OFFICE}, defer={"until": "office", "when": "case.priority != 'urgent'"}
    )
    found = world(spec, priority=Priority.LOW).until(minutes(30))
    found.tell(activity(ActivityKind.PRIORITY_CHANGED, 30, priority=Priority.URGENT)).deliver()
    assert found.told() == [("+30:00", "destination:payments-slack")]
    assert found.page.begins == minutes(30)


def test_26_another_promise_that_breaks_waits_with_the_page() -> None:
    spec = policy({"notify": [SLACK]}, hours={"office": OFFICE}, defer={"until": "office"})
    found = world(spec).until(minutes(30))
    found.tell(breached(minutes(30), metric=Metric.RESOLUTION, due_at=minutes(30)))
    found.until(OPENING - timedelta(seconds=1))
    assert found.told() == []
    found.until(OPENING)
    assert [at for at, _ in found.sent] == [OPENING]


def test_26_another_promise_that_breaks_and_does_not_wait_releases_the_page_once() -> None:
    spec = policy(
        {"notify": [SLACK]}, hours={"office": OFFICE}, defer={"until": "office", "when": "case.priority != 'urgent'"}
    )
    found = world(spec, priority=Priority.LOW).until(minutes(30))
    urgent = SUMMARY.model_copy(update={"priority": Priority.URGENT})
    found.tell(breached(minutes(30), metric=Metric.RESOLUTION, due_at=minutes(30), summary=urgent)).until(minutes(31))
    assert found.told() == [("+30:00", "destination:payments-slack")]


def test_26_a_step_waits_until_somebody_it_tells_is_on_duty_and_tells_only_those() -> None:
    hours = {"mon": [["10:00", "18:00"]]}
    people = PEOPLE | {
        "ana": {"email": "ana@example.com", "time_zone": "Europe/Madrid", "hours": hours},  # Monday, 09:00 in Dublin
        "li": {"email": "li@example.com", "time_zone": "Europe/Dublin", "hours": hours},
    }
    spec = policy({"notify": [ANA, LI], "defer": {"until": "duty"}}, {"after": "PT1M", "notify": [SLACK]})
    found = world(spec, people).until(minutes(2))
    assert found.told() == [("+01:00", "destination:payments-slack")]
    assert [held.until for held in found.page.holds] == [OPENING]
    assert found.page.holds[0].why == "It waits until Ana is on duty, Mon 23 Nov 10:00 Madrid"
    found.until(OPENING)
    assert found.told()[1:] == [(f"+{30 * 60 + 57}:00", "person:ana")]


def test_26_a_page_with_a_step_that_waits_is_not_exhausted_before_it() -> None:
    spec = policy({"notify": [SLACK], "defer": {"until": "office"}}, hours={"office": OFFICE})
    found = world(spec).until(OPENING - timedelta(minutes=1))
    assert (found.page.state, found.told()) == (PageState.OPEN, [])
    found.until(OPENING + timedelta(minutes=15))
    assert found.page.state == PageState.EXHAUSTED


def test_26_hours_are_closed_on_public_holidays_and_open_all_night_where_they_say_so() -> None:
    christmas = DUE.replace(month=12, day=25, hour=10)
    made = World(now=christmas, state=CaseState(CASE, configuration(policy(
        {"when": "hours.office", "notify": [SLACK]},
        {"when": "hours.night", "notify": [DESK]},
        hours={"office": OFFICE, "night": {"time_zone": "UTC", "weekly": {"thu": [["22:00", "11:00"]]}}},
    ))))  # fmt: skip
    made.tell(breached(christmas)).deliver()
    assert [d.target for _, d in made.sent] == ["destination:desk"]


def test_26_what_breaks_while_a_step_waits_goes_out_together_at_the_opening() -> None:
    spec = policy({"notify": [SLACK], "defer": {"until": "office"}}, hours={"office": OFFICE})
    found = world(spec).until(minutes(9)).tell(breached(minutes(9), metric=Metric.RESOLUTION)).until(OPENING)
    assert [target for _, target in found.told()] == ["destination:payments-slack"]
    assert {d.state for d in found.state.deliveries.values()} <= {"sent", "suppressed"}


# Acknowledged, and then


@pytest.mark.parametrize("via", ["api", "slack", "link", "email"])
def test_25_acknowledged_and_forgotten_pages_again_on_every_channel(via: str) -> None:
    found = play(breached())
    found.now = minutes(6)
    found.do(Acknowledge(found.page.id, "ana", via=via))
    assert found.page.reopens_at == minutes(36)
    found.until(minutes(41))
    again = [(at, d.target, d.way) for at, d in found.sent[1:]]
    assert sorted(again[:3]) == sorted([
        (minutes(36), "destination:payments-slack", "slack"),
        (minutes(36), "person:ana", "slack"),
        (minutes(36), "person:ana", "email"),
    ])  # fmt: skip
    assert again[3] == (minutes(41), "person:ana", "slack"), "and its steps run from there"
    assert "the customer had no reply" in next(e for e in found.state.history if e.kind == "reopened").because.text


@pytest.mark.parametrize(
    ("more", "pages_again"),
    [({}, False), ({"public": False}, True), ({"automated": True}, True), ({"kind": ActivityKind.NOTE_ADDED}, True)],
)
def test_25_any_reply_to_the_customer_stops_it_a_note_or_an_automatic_one_does_not(
    more: dict[str, Any], pages_again: bool
) -> None:
    found = play(breached())
    found.do(Acknowledge(found.page.id, "ana"))
    found.tell(activity(**{"kind": ActivityKind.AGENT_REPLIED, "minute": 4} | more)).until(minutes(200))
    assert (len(found.sent) > 1) == pages_again


def test_25_a_promise_that_ended_stops_it_but_picking_up_does_not() -> None:
    both = (breached(), breached(minutes(1), metric=Metric.RESOLUTION), breached(minutes(1), metric=Metric.PICKUP))
    answered, picked_up = play(*both), play(*both)
    for found, metric in ((answered, Metric.FIRST_REPLY), (picked_up, Metric.PICKUP)):
        found.do(Acknowledge(found.page.id, "ana"))
        found.tell(met(minutes(2), metric=metric))
    assert answered.page.reopens_at is None
    assert picked_up.page.reopens_at == minutes(31)


def test_25_one_more_broken_promise_wants_a_reply_of_its_own() -> None:
    found = play(breached())
    found.do(Acknowledge(found.page.id, "ana"))
    found.tell(activity(ActivityKind.AGENT_REPLIED, 4))
    assert found.page.reopens_at is None
    found.until(minutes(50)).tell(breached(minutes(50), metric=Metric.RESOLUTION))
    assert found.page.reopens_at == minutes(80)


def test_25_a_policy_may_say_how_long_or_never() -> None:
    found = world(policy({"notify": [SLACK]}, acknowledged_for="PT2H"))
    found.do(Acknowledge(found.page.id, "ana"))
    assert found.page.reopens_at == minutes(120)
    never = world(policy({"notify": [SLACK]}, acknowledged_for=None))
    never.do(Acknowledge(never.page.id, "ana"))
    never.until(minutes(10_000))
    assert len(never.sent) == 1
    assert not never.timers


def test_another_person_takes_over_and_the_time_to_reply_begins_again() -> None:
    found = play(breached())
    found.do(Acknowledge(found.page.id, "ana"))
    found.until(minutes(20))
    found.do(TakeOver(found.page.id, "li", reason="Ana is on a train"))
    assert (found.page.acknowledged_by, found.page.reopens_at) == ("li", minutes(50))
    assert found.state.history[-1].because.text == "Li took the page over from Ana: Ana is on a train."
    before = found.state
    found.do(TakeOver(found.page.id, "li"))
    assert found.state is before
    assert len(found.sent) == 1


def test_a_snooze_taken_back_leaves_the_page_as_it_was() -> None:
    found, held = play(breached()), play(breached())
    found.do(Snooze(found.page.id, "ana", minutes(600), reason="waiting for the bank"))
    found.until(minutes(3))
    found.do(Unsnooze(found.page.id, "li"))
    found.until(minutes(8))
    assert found.told()[1:] == [("+03:00", "destination:payments-slack"), ("+08:00", "person:ana")]
    held.do(Acknowledge(held.page.id, "ana"))
    held.until(minutes(1)).do(Snooze(held.page.id, "ana", minutes(600)))
    held.until(minutes(3)).do(Unsnooze(held.page.id, "ana"))
    assert (held.page.state, held.page.reopens_at, len(held.sent)) == (PageState.ACKNOWLEDGED, minutes(33), 1)


# One page a case; who is next


def test_12_promises_that_break_at_one_instant_are_one_message_to_each() -> None:
    found = World().tell(breached()).until(DUE)
    found.tell(*(breached(DUE + timedelta(milliseconds=n), metric=m) for n, m in
                 enumerate((Metric.RESOLUTION, Metric.NEXT_REPLY, Metric.UPDATE), 100)))  # fmt: skip
    found.until(minutes(1))
    assert found.told() == [("+00:00", "destination:payments-slack"), ("+00:01", "destination:payments-slack")]
    assert len(found.page.clocks) == 4


def test_the_next_on_the_schedule_is_told_when_whoever_is_on_call_cannot_be() -> None:
    spec = policy({"notify": [{"schedule": "payments-primary"}, SLACK]})
    found = World(state=CaseState(CASE, configuration(spec))).tell(breached())
    for way in ("slack", "email"):
        found.fail(next(d for d in found.waiting() if (d.target, d.way) == ("person:ana", way)), REFUSED)
    assert [(d.target, d.via) for d in found.waiting() if d.target.startswith("person")] == [
        ("person:li", "schedule:payments-primary")
    ]
    assert found.state.history[-1].because.text == "Li, next on schedule payments-primary, is told instead of Ana."
    found.fail(next(d for d in found.waiting() if d.target == "person:li"), REFUSED)
    assert [d.target for d in found.waiting()] == ["destination:payments-slack"], "nobody else is on that schedule"


def test_a_team_is_told_by_its_members() -> None:
    people = {name: body | {"teams": ["payments"]} for name, body in PEOPLE.items() if name != "ghost"}
    found = world(policy({"notify": [{"team": "payments"}]}), people)
    assert sorted(found.told()) == [("+00:00", "person:ana"), ("+00:00", "person:li")]
    assert {d.via for _, d in found.sent} == {"team:payments"}


# Flapping


def test_a_flapping_case_does_not_page_each_time_says_why_and_a_breach_still_pages() -> None:
    found = World()
    for n in range(5):
        found.until(minutes(5 * n))
        found.tell(warned(minutes(5 * n), metric=Metric.NEXT_REPLY, clock_id=derived("flap", n))).deliver()
        found.tell(met(minutes(5 * n + 1), metric=Metric.NEXT_REPLY, clock_id=derived("flap", n)))
    assert found.types().count("page.opened") == 3
    assert [at for at, _ in found.told()] == ["+00:00", "+05:00", "+10:00"]
    assert found.state.history[-1].kind == "damped"
    assert "a breach will page" in found.state.history[-1].because.text
    found.tell(breached(minutes(26))).deliver()
    assert found.types().count("page.opened") == 4
    later = replace(found, now=minutes(200))
    later.tell(met(minutes(200)), warned(minutes(201), metric=Metric.NEXT_REPLY, clock_id=derived("flap", 9))).deliver()
    assert found.types().count("page.opened") == 5 or later.types().count("page.opened") == 5


def test_24_a_page_that_nobody_takes_goes_to_the_catch_all_and_stays_open_to_see() -> None:
    found = play(breached()).until(minutes(300))
    assert (found.page.state, found.told()[-1]) == (PageState.EXHAUSTED, ("+40:00", "catch-all"))
    assert found.page.live


def test_23_an_empty_shift_goes_to_the_next_step_at_once() -> None:
    steps = [{"notify": [{"schedule": "payments-primary"}]}, {"after": "PT9M", "notify": [LI]}]
    found = World(state=CaseState(CASE, configuration({"payments": PAYMENTS | {"steps": steps}}, schedules={})))
    found.tell(breached()).deliver()
    assert found.told() == [("+00:00", "person:li")]
    assert "there is no schedule payments-primary" in found.page.troubles[0]
