"""Which promise holds: the order of policies, changes of priority and team, edits while clocks run, and what stays."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from services.sla.calendar import LIBRARIES
from services.sla.decide import policies
from services.sla.decide.policies import Stored, configuration
from services.sla.model import Configuration
from services.sla.model.walk import Context
from shared.contracts.words import ClockState, Priority
from tests.unit.sla.stories import DUBLIN, LONG_AGO, START, Desk, Story, configured, m, policy, table, target

HOUR, FOUR = policy(target("first_reply", "PT1H")), policy(target("first_reply", "PT4H"))
URGENT = policy(target("first_reply", "PT1H", warn_at=[0.5]), when="case.priority == 'urgent'", position=1)
CALM = policy(target("first_reply", "PT4H", warn_at=[0.5]), when="case.priority != 'urgent'", position=2)


def edits(*made: tuple[datetime, str, str, Any]) -> Configuration:
    """A configuration after edits: (when, kind, name, body)."""
    versions: dict[tuple[str, str], int] = {}
    stored = []
    for at, kind, name, body in made:
        versions[kind, name] = versions.get((kind, name), 0) + 1
        stored.append(Stored(at, kind, name, versions[kind, name], body))
    return configuration(len(made), stored)


@pytest.fixture
def story() -> Story:
    story = Story()
    story.contact(0)
    story.assigned(at=0.01)
    return story


class TestOrder:
    def test_the_first_by_position_decides_whatever_the_order_of_making(self, story: Story) -> None:
        one = configured({"z": policy(target("first_reply", "PT1H"), position=1), "a": FOUR})
        assert Desk(one).play(story.events).clock("first_reply").terms.policy == "z"

    def test_a_policy_that_matches_decides_about_every_metric(self, story: Story) -> None:
        of = configured({"one": policy(target("resolution", "PT9H"), position=1), "two": FOUR})
        desk = Desk(of).play(story.events)
        assert desk.has("resolution")
        assert not desk.has("first_reply")

    def test_conditions_see_the_contact_and_the_case(self, story: Story) -> None:
        for when in (
            "contact.customer.tier == 'enterprise' && contact.customer.country == 'IE'",
            "case.team == 'frontline' && case.priority == 'normal'",
            "contact.channel == 'email' && size(contact.tags) == 0",
        ):
            of = configured({"one": policy(target("first_reply", "PT9H"), when=when)})
            assert Desk(of).play(story.events).clock("first_reply").terms.within == timedelta(hours=9)

    def test_what_is_unknown_makes_a_condition_false_and_says_so(self, story: Story) -> None:
        of = configured(
            {
                "one": policy(target("first_reply", "PT9H"), when="contact.attributes.product == 'x'", position=1),
                "two": policy(target("first_reply", "PT8H"), when="contact.language == 'de'", position=2),
                "three": FOUR,
            }
        )
        desk = Desk(of).play(story.events)
        assert desk.clock("first_reply").terms.policy == "three"
        assert desk.case.opening is not None
        tried = policies.tried(of.editions[0], desk.case.opening, Context(START, "frontline", Priority.NORMAL, ()))
        assert [(t.policy.name, t.matched, t.reason) for t in tried] == [
            ("one", False, 'there is no "product"'),
            ("two", False, "contact.language is unknown"),
            ("three", True, None),
        ]


class TestPriority:
    def test_it_is_judged_at_the_time_of_the_event(self, story: Story) -> None:
        story.priority("urgent", 30, known=90)  # learned after the promise of an hour was broken
        story.reply(70)
        desk = Desk(configured({"u": URGENT, "c": CALM})).play(story.events)
        assert desk.clock("first_reply").terms.policy == "u"
        assert desk.clock("first_reply").breached_at == m(60)

    def test_elapsed_time_carries_over(self, story: Story) -> None:
        desk = Desk(configured({"u": URGENT, "c": CALM})).play(story.events)
        assert desk.clock("first_reply").due_at == m(240)
        desk.play([story.priority("urgent", 20)])
        assert desk.clock("first_reply").due_at == m(60)
        assert desk.types("first_reply") == ["started", "rescheduled"]

    def test_a_stricter_promise_that_would_be_broken_already_is_due_at_the_change(self, story: Story) -> None:
        story.priority("urgent", 90)
        desk = Desk(configured({"u": URGENT, "c": CALM})).play(story.events)
        assert desk.clock("first_reply").due_at == m(90)
        desk.wake(m(90))
        assert desk.clock("first_reply").breached_at == m(90)
        assert "promises only since" in desk.last("first_reply").because.text

    def test_a_broken_promise_stays_and_is_not_broken_twice(self, story: Story) -> None:
        desk = Desk(configured({"u": URGENT, "c": CALM}))
        story.priority("urgent", 1)
        desk.play(story.events)
        desk.wake(m(60))
        desk.play([story.priority("low", 70)])
        desk.tick(m(10_000))
        assert (desk.clock("first_reply").due_at, desk.clock("first_reply").terms.policy) == (m(60), "u")
        assert desk.types("first_reply").count("breached") == 1

    def test_the_old_target_leaves_no_timer_and_no_warning_behind(self, story: Story) -> None:
        story.priority("urgent", 1)
        desk = Desk(configured({"u": URGENT, "c": CALM})).play(story.events)
        desk.wake(m(30))
        assert desk.clock("first_reply").warned_at == m(30)
        desk.play([story.priority("low", 40)])
        assert desk.clock("first_reply").warned_at is None
        desk.tick(m(119))
        assert desk.types("first_reply") == ["started", "rescheduled", "warned", "rescheduled"]
        desk.tick(m(120))
        assert desk.clock("first_reply").warned_at == m(120), "half of the four hours that hold now"

    def test_what_people_said_of_it_before_the_assignment_holds(self) -> None:
        story = Story()
        story.contact(0)
        story.priority("urgent", 0)
        story.assigned(at=0.5)
        story.handed_off("payments", 10)
        desk = Desk(configured({"u": URGENT, "c": CALM})).play(story.events)
        assert desk.clock("first_reply").terms.policy == "u"

    def test_paused_time_carries_over(self, story: Story) -> None:
        urgent = policy(target("resolution", "PT2H"), when="case.priority == 'urgent'", position=1)
        calm = policy(target("resolution", "PT8H"), position=2)
        story.status("pending", 30)
        story.status("open", 50)
        story.priority("urgent", 60)
        desk = Desk(configured({"u": urgent, "c": calm})).play(story.events)
        assert desk.clock("resolution").due_at == m(140)

    def test_a_promise_that_no_policy_makes_any_more_ends(self, story: Story) -> None:
        desk = Desk(configured({"u": policy(target("first_reply", "PT4H"), when="case.priority == 'normal'")}))
        desk.play([*story.events, story.priority("low", 30)])
        first = desk.clock("first_reply")
        assert (first.state, first.ended_at) == (ClockState.CANCELLED, m(30))
        assert "no policy promises it any more" in first.because.text
        desk.play([story.priority("normal", 40)])
        assert (desk.clock("first_reply").state, desk.clock("first_reply").due_at) == (ClockState.RUNNING, m(240))
        assert desk.types("first_reply") == ["started", "cancelled", "rescheduled"]


class TestEdits:
    """An edit reaches every open clock, also an idle one, and never what ended before."""

    BEFORE = ((LONG_AGO, "policy", "p", FOUR),)

    def edited(self, *made: tuple[datetime, str, str, Any]) -> Configuration:
        return edits(*self.BEFORE, *made)

    def test_a_changed_policy_reaches_an_idle_case(self, story: Story) -> None:
        desk = Desk(edits(*self.BEFORE)).play(story.events)
        desk.replan(self.edited((m(30), "policy", "p", HOUR)), m(31))
        first = desk.clock("first_reply")
        assert (first.due_at, first.terms.policy_version, desk.types("first_reply")) == (
            m(60), 2, ["started", "rescheduled"],
        )  # fmt: skip
        assert desk.case.planned_with == 2

    def test_a_deleted_policy_reaches_an_idle_case(self, story: Story) -> None:
        desk = Desk(edits(*self.BEFORE)).play(story.events)
        desk.replan(self.edited((m(30), "policy", "p", None)), m(31))
        assert (desk.clock("first_reply").state, desk.clock("first_reply").ended_at) == (ClockState.CANCELLED, m(30))
        assert not [t for t in desk.timers.values() if t.subject == desk.clock("first_reply").id]

    def test_a_new_policy_in_front_takes_over(self, story: Story) -> None:
        desk = Desk(edits(*self.BEFORE)).play(story.events)
        desk.replan(self.edited((m(30), "policy", "first", {**HOUR, "position": 1})), m(31))
        assert desk.clock("first_reply").terms.policy == "first"

    def test_a_new_policy_behind_or_for_others_changes_nothing(self, story: Story) -> None:
        desk = Desk(edits(*self.BEFORE)).play(story.events)
        before = table(desk)
        other = {**HOUR, "position": 1, "when": "case.team == 'other'"}
        desk.replan(
            self.edited((m(30), "policy", "last", {**HOUR, "position": 99}), (m(31), "policy", "other", other)), m(32)
        )
        assert table(desk) == before
        assert desk.types("first_reply") == ["started"]

    def test_a_changed_calendar_reaches_an_idle_case(self, story: Story) -> None:
        office = policy(target("first_reply", "PT8H", calendar="c"))
        made = ((LONG_AGO, "calendar", "c", DUBLIN), (LONG_AGO, "policy", "p", office))
        desk = Desk(edits(*made)).play(story.events)
        assert desk.clock("first_reply").due_at == m(24 * 60)
        longer = {**DUBLIN, "weekly": {**DUBLIN["weekly"], "tue": [["09:00", "20:00"]]}}
        desk.replan(edits(*made, (m(30), "calendar", "c", longer)), m(31))
        assert desk.clock("first_reply").due_at == m(8 * 60)
        assert desk.clock("first_reply").terms.calendar_version == 2

    def test_a_calendar_that_changes_on_a_day_counts_each_day_by_its_own_hours(self) -> None:
        story = Story()
        story.contact(0)  # Tuesday 10:00
        story.assigned(at=0)
        of = policy(target("first_reply", "PT10H", calendar="dublin"))
        shorter = {**DUBLIN, "weekly": {"wed": [["12:00", "17:00"]]}, "effective_from": "2026-11-04"}
        made = [(LONG_AGO, "calendar", "dublin", DUBLIN), (LONG_AGO, "policy", "p", of)]
        desk = Desk(edits(*made)).play(story.events)
        assert desk.clock("first_reply").due_at == m(60 * 26)  # Wednesday noon
        desk.replan(edits(*made, (m(30), "calendar", "dublin", shorter)), m(30))
        assert desk.clock("first_reply").due_at == m(60 * 29)  # seven hours on Tuesday, three on Wednesday

    def test_what_ended_is_never_rewritten(self, story: Story) -> None:
        story.reply(50)
        desk = Desk(edits(*self.BEFORE)).play(story.events)
        before = table(desk)
        desk.replan(self.edited((m(60), "policy", "p", policy(target("first_reply", "PT1M")))), m(61))
        assert table(desk) == before
        desk.play([story.priority("high", 70)])
        assert table(desk) == before

    def test_a_reply_that_arrives_after_the_edit_is_judged_by_when_it_happened(self, story: Story) -> None:
        desk = Desk(edits(*self.BEFORE)).play(story.events)
        desk.replan(self.edited((m(90), "policy", "p", HOUR)), m(91))
        desk.wake(m(92))
        assert desk.clock("first_reply").state is ClockState.BREACHED
        desk.play([story.reply(80, known=95)])
        first = desk.clock("first_reply")
        assert (first.state, first.due_at, first.terms.policy_version) == (ClockState.WITHDRAWN, m(240), 1)

    def test_an_edit_and_events_give_the_same_in_either_order(self, story: Story) -> None:
        later = [story.priority("urgent", 40), story.status("pending", 45), story.contact(50)]
        after = edits((LONG_AGO, "policy", "c", CALM), (m(30), "policy", "u", URGENT), (m(42), "policy", "u", None))
        before = edits((LONG_AGO, "policy", "c", CALM))
        one, other = Desk(before).play([*story.events, *later]), Desk(after).play([*story.events, *later])
        one.replan(after, m(60))
        assert table(one) == table(other)

    def test_a_contact_is_promised_what_was_in_force_when_it_came_in(self) -> None:
        story = Story()
        story.contact(-60, known=40)
        story.assigned(at=40.1)
        of = self.edited((m(30), "policy", "p", HOUR), (m(50), "policy", "p", FOUR))
        desk = Desk(of).play(story.events)
        first = desk.clock("first_reply")
        assert (first.due_at, first.terms.policy_version) == (m(0), 2), "an hour, from when it happened"

    def test_a_case_from_before_all_policies_is_promised_what_the_first_ones_say(self, story: Story) -> None:
        desk = Desk(edits((m(1), "policy", "p", HOUR), (m(10), "policy", "p", FOUR))).play(story.events)
        assert desk.clock("first_reply").due_at == m(240)

    def test_500_edits_in_a_row_are_followed(self, story: Story) -> None:
        last = (LONG_AGO, "policy", "last", {**FOUR, "position": 5000})
        names = [f"p{n:03}" for n in range(500)]
        made = [(m(1 + n / 100), "policy", p, {**HOUR, "position": 1000 - n}) for n, p in enumerate(names)]
        unmade = [(m(10 + n / 100), "policy", p, None) for n, p in enumerate(names)]
        desk = Desk(edits(last, *made)).play(story.events)
        assert desk.clock("first_reply").terms.policy == "p499"
        desk.replan(edits(last, *made, *unmade), m(20))
        assert desk.clock("first_reply").terms.policy == "last"

    def test_new_time_zone_data_move_only_what_still_runs(self, story: Story) -> None:
        office = policy(target("first_reply", "PT8H", calendar="c"), target("resolution", "PT16H", calendar="c"))
        made = ((LONG_AGO, "calendar", "c", DUBLIN), (LONG_AGO, "policy", "p", office))
        story.reply(60)
        of = edits(*made)
        desk = Desk(of).play(story.events)
        assert desk.clock("first_reply").libraries == LIBRARIES
        kept, moved = desk.clock("first_reply"), desk.clock("resolution")
        # As if older data had said otherwise when these were planned.
        hour = timedelta(hours=1)
        old = [replace(c, due_at=c.due_at - hour, libraries="old") if c.due_at else c for c in desk.case.clocks]
        desk.case = replace(desk.case, clocks=tuple(old))
        desk.replan(of, m(70))
        assert kept.due_at is not None
        assert desk.clock("first_reply").due_at == kept.due_at - hour
        assert desk.clock("first_reply").libraries == "old"
        assert (desk.clock("resolution").due_at, desk.clock("resolution").libraries) == (moved.due_at, LIBRARIES)


def test_every_edition_is_what_was_configured_then() -> None:
    of = edits(
        (m(0), "calendar", "c", DUBLIN),
        (m(0), "policy", "p", policy(target("first_reply", "PT1H", calendar="c"))),
        (m(10), "policy", "p", None),
        (m(20), "calendar", "c", None),
    )
    assert [(e.since, [p.name for p in e.policies], sorted(e.calendars)) for e in of.editions] == [
        (m(0), ["p"], ["24x7", "c"]),
        (m(10), [], ["24x7", "c"]),
        (m(20), [], ["24x7"]),
    ]
    assert [policies.in_force(of, m(at)) for at in (-5, 0, 9, 10, 99)] == [0, 0, 0, 1, 2]


def test_a_configuration_without_anything_has_its_calendar_that_always_exists() -> None:
    of = configuration(0, [])
    assert sorted(of.editions[0].calendars) == ["24x7"]
