"""Warnings by time left, growing figures after a breach, policies that take effect later, and both truths."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.sla.decide import audit
from services.sla.decide.changes import changes
from services.sla.decide.policies import Stored, configuration
from services.sla.model import Clock, Configuration
from shared.contracts.words import ClockState
from tests.unit.sla.stories import DUBLIN, HOUR, LONG_AGO, MINUTE, Desk, Story, configured, m, policy, target


@pytest.fixture
def story() -> Story:
    story = Story()
    story.contact(0)
    story.assigned(at=0)
    return story


def desk(*targets: dict[str, Any], **more: Any) -> Desk:
    return Desk(configured({"p": policy(*targets)}, **more))


class TestTimeLeft:
    def test_a_warning_may_be_at_a_time_left(self, story: Story) -> None:
        of = desk(target("first_reply", "PT4H", warn_at=[0.5, "PT30M"])).play(story.events)
        of.tick(m(239))
        warned = [e for e in of.told if e.TYPE == "clock.warned"]
        assert [(e.occurred_at, e.left) for e in warned] == [(m(120), "PT2H"), (m(210), "PT30M")]
        assert "30 min is left" in warned[1].because.text

    def test_time_left_counts_opening_hours(self) -> None:
        story = Story()
        story.contact(60 * 6)  # Tuesday 16:00
        story.assigned(at=60 * 6)
        of = Desk(
            configured({"p": policy(target("first_reply", "PT4H", calendar="d", warn_at=["PT3H"]))}, {"d": DUBLIN})
        )
        of.play(story.events)
        of.tick(m(60 * 30))
        assert of.clock("first_reply").warned_at == m(60 * 7), (
            "at closing time, three opening hours before Wednesday noon"
        )


class TestOverdue:
    TARGET = target("first_reply", "PT1H", overdue_at=[0.1, 1.0, "PT3H"])

    def test_each_level_is_told_exactly_once_with_its_growing_figure(self, story: Story) -> None:
        of = desk(self.TARGET).play(story.events)
        of.tick(m(1000))
        overdue = [e for e in of.told if e.TYPE == "clock.overdue"]
        assert [(e.level, e.over, e.overdue_by, e.occurred_at) for e in overdue] == [
            (1, 0.1, "PT6M", m(66)),
            (2, 1.0, "PT1H", m(120)),
            (3, 3.0, "PT3H", m(240)),
        ]
        assert of.types("first_reply") == ["started", "breached", "overdue", "overdue", "overdue"]
        assert not of.timers
        assert overdue[0].because.text.startswith("The first reply is 6 min overdue, 10 % over.")

    def test_after_downtime_they_collapse_to_the_highest_that_passed(self, story: Story) -> None:
        of = desk(self.TARGET).play(story.events)
        of.wake(m(150))
        assert of.types("first_reply") == ["started", "breached", "overdue"]
        last = of.last("first_reply")
        assert (last.level, last.occurred_at, last.because.facts["late_seconds"]) == (2, m(120), 1800)
        assert len(last.because.facts["passed_over"]) == 1
        of.tick(m(1000))
        assert of.last("first_reply").level == 3

    def test_none_is_told_after_the_end(self, story: Story) -> None:
        of = desk(self.TARGET).play(story.events)
        of.tick(m(70))
        of.play([story.reply(80)])
        of.tick(m(1000))
        assert of.types("first_reply") == ["started", "breached", "overdue", "met"]

    def test_a_broken_promise_that_is_paused_grows_no_further(self, story: Story) -> None:
        of = desk(target("resolution", "PT1H", overdue_at=[1.0])).play(story.events)
        of.tick(m(70))
        of.play([story.status("pending", 80)])
        of.tick(m(500))
        assert of.types("resolution") == ["started", "breached"]
        of.play([story.status("open", 500)])
        of.tick(m(1000))
        assert of.last("resolution").occurred_at == m(540)

    def test_a_breach_that_was_none_is_overdue_anew_when_it_comes_again(self, story: Story) -> None:
        of = desk(target("resolution", "PT1H", overdue_at=[0.5])).play(story.events)
        of.tick(m(95))
        of.play([story.status("pending", 10, known=100), story.status("open", 50, known=100)])
        assert of.clock("resolution").overdue is None
        of.tick(m(1000))
        assert of.types("resolution").count("overdue") == 2
        assert of.last("resolution").occurred_at == m(130)


class TestEffectiveFrom:
    def of(self, written: float, **body: Any) -> Configuration:
        later = policy(target("first_reply", "PT8H")) | {"effective_from": m(60).isoformat()} | body
        return configuration(2, [
            Stored(LONG_AGO, "policy", "p", 1, policy(target("first_reply", "PT4H"))),
            Stored(m(written), "policy", "p", 2, later),
        ])  # fmt: skip

    def test_the_version_before_stays_in_force_until_then(self, story: Story) -> None:
        of = Desk(self.of(-10)).play(story.events)
        assert of.clock("first_reply").due_at == m(240)
        of.replan(self.of(-10), m(61))
        clock = of.clock("first_reply")
        assert (clock.due_at, clock.promised_at, clock.terms.policy_version) == (m(480), m(60), 2)

    def test_one_in_the_past_takes_effect_when_it_is_written(self) -> None:
        edition = self.of(90).editions[-1]
        assert (edition.since, edition.delayed) == (m(90), False)

    def test_a_later_word_takes_the_place_of_one_that_waits(self) -> None:
        stored = [
            Stored(LONG_AGO, "policy", "p", 1, policy(target("first_reply", "PT4H"))),
            Stored(m(0), "policy", "p", 2, policy(target("pickup", "PT1H")) | {"effective_from": m(60).isoformat()}),
            Stored(m(1), "policy", "p", 3, policy(target("first_reply", "PT3H"))),
        ]
        assert [edition.policies[0].version for edition in configuration(3, stored).editions] == [1, 3]

    def test_a_calendar_deleted_meanwhile_still_counts_for_what_waits_to_be_replaced(self) -> None:
        stored = [
            Stored(LONG_AGO, "calendar", "d", 1, DUBLIN),
            Stored(LONG_AGO, "policy", "p", 1, policy(target("first_reply", "PT4H", calendar="d"))),
            Stored(m(0), "policy", "p", 2, policy(target("first_reply", "PT4H"), position=9)
                   | {"effective_from": m(60).isoformat()}),
            Stored(m(1), "calendar", "d", 2, None),
        ]  # fmt: skip
        assert configuration(3, stored).as_of(m(2)).editions[-1].policies[0].version == 1


class TestTwoTruths:
    def test_what_was_promised_then_and_what_would_be_promised_now_are_both_known(self, story: Story) -> None:
        versions = [Stored(LONG_AGO, "policy", "p", 1, policy(target("first_reply", "PT4H")))]
        of = Desk(configuration(1, versions)).play([*story.events, story.reply(200)])
        versions.append(Stored(m(300), "policy", "p", 2, policy(target("first_reply", "PT1H"))))
        of.replan(configuration(2, versions), m(301))
        kept = of.clock("first_reply")
        assert (kept.due_at, kept.breached_at) == (m(240), None), "an edit never rewrites the past"
        now = audit.today(of.case, m(302))[kept.id]
        assert (now.due_at, now.promise.terms.policy_version) == (m(60), 2)

    def test_each_promise_that_another_replaced_is_kept(self, story: Story) -> None:
        of = Desk(
            configured({
                "u": policy(target("first_reply", "PT1H"), when="case.priority == 'urgent'", position=1),
                "p": policy(target("first_reply", "PT4H")),
            })
        )  # fmt: skip
        of.play([*story.events, story.priority("urgent", 20), story.priority("low", 40)])
        clock = of.clock("first_reply")
        assert [(held.since, held.policy, held.due_at) for held in clock.earlier] == [
            (m(0), "p", m(240)),
            (m(20), "u", m(60)),
        ]
        assert clock.due_at == m(240)


class TestAudit:
    def case(self, story: Story) -> Desk:
        story.status("pending", 20)
        story.status("open", 40)
        return desk(target("first_reply", "PT1H"), target("resolution", "PT2H")).play(story.events)

    def test_what_stands_as_it_should_has_no_findings(self, story: Story) -> None:
        of = self.case(story)
        assert audit.audit(of.case, m(50)) == []
        of.tick(m(500))
        assert audit.audit(of.case, m(500)) == []

    @pytest.mark.parametrize(
        ("wrong", "says"),
        [
            ({"due_at": m(61)}, "due_at is"),
            ({"pauses": ()}, "pauses is"),
            ({"state": ClockState.PAUSED}, "state is paused, derived running"),
            ({"started_at": m(1)}, "started_at is"),
            ({"team": "others"}, "team is others, derived frontline"),
        ],
    )
    def test_any_row_that_was_tampered_with_is_found(self, story: Story, wrong: dict[str, Any], says: str) -> None:
        of = self.case(story)
        clocks = tuple(replace(c, **wrong) if c.metric == "resolution" else c for c in of.case.clocks)
        found = audit.audit(replace(of.case, clocks=clocks), m(50))
        assert [each.metric for each in found] == ["resolution"]
        assert says in found[0].text

    def test_a_missing_clock_is_found(self, story: Story) -> None:
        of = self.case(story)
        clocks = tuple(c for c in of.case.clocks if c.metric != "first_reply")
        assert [each.text for each in audit.audit(replace(of.case, clocks=clocks), m(50))] == ["is missing"]

    def test_time_left_and_overdue_are_in_the_promises_own_time(self) -> None:
        story = Story()
        story.contact(60 * 6)  # Tuesday 16:00
        story.assigned(at=60 * 6)
        of = Desk(configured({"p": policy(target("first_reply", "PT4H", calendar="d"))}, {"d": DUBLIN}))
        clock: Clock = of.play(story.events).clock("first_reply")
        hours = of.case.configuration.editions[-1].calendars["d"]
        assert audit.time_left(clock, hours, m(60 * 12)) == 3 * HOUR
        assert audit.time_left(clock, hours, m(60 * 40)) == timedelta(0)
        assert audit.overdue(clock, hours, m(60 * 26 + 30)) == 30 * MINUTE
        assert audit.overdue(clock, hours, m(60 * 35)) == 5 * HOUR


def test_a_diff_names_each_field_and_no_order_of_targets() -> None:
    one = policy(target("first_reply", "PT4H"), target("pickup", "PT1H", warn_at=[0.5]))
    other = policy(target("pickup", "PT1H", warn_at=[0.9]), target("first_reply", "PT4H", calendar="d"), position=11)
    assert [each.path for each in changes(one, other)] == [
        "position",
        "targets.first_reply.calendar",
        "targets.pickup.warn_at",
    ]
    assert changes(one, one) == []
