"""Clocks as people see them: what starts, pauses, meets, breaks and cancels each."""

from datetime import timedelta

import pytest

from services.sla.model import Configuration
from shared.contracts.clocks import ClockBreached, ClockWarned
from shared.contracts.words import ClockState, Priority
from tests.unit.sla.stories import DUBLIN, HOUR, MINUTE, START, Desk, Story, configured, m, policy, target

EVERYTHING = policy(
    target("first_reply", "PT1H"),
    target("next_reply", "PT1H"),
    target("resolution", "PT8H"),
    target("pickup", "PT15M"),
)


def everything() -> Configuration:
    return configured({"all": EVERYTHING})


def opened(story: Story) -> Story:
    story.contact(0)
    story.assigned(at=0.01)
    return story


@pytest.fixture
def story() -> Story:
    return Story()


def test_a_contact_starts_its_promises_when_it_is_assigned_back_to_when_it_was_made(story: Story) -> None:
    story.contact(0)
    desk = Desk(everything()).play(story.events)
    assert [(c.metric, c.state) for c in desk.case.clocks] == [("unassigned", "running")]
    desk.play([story.assigned("payments", at=0.5)])
    assert desk.clock("unassigned").state is ClockState.MET
    first = desk.clock("first_reply")
    assert (first.started_at, first.due_at, first.team) == (m(0), m(60), "payments")
    assert desk.clock("pickup").started_at == m(0.5)
    assert desk.clock("resolution").due_at == m(480)
    assert not desk.has("next_reply")


def test_a_reply_in_time_keeps_the_promise(story: Story) -> None:
    opened(story).reply(40)
    desk = Desk(everything()).play(story.events)
    first = desk.clock("first_reply")
    assert (first.state, first.met_at, first.breached_at) == (ClockState.MET, m(40), None)
    assert desk.types("first_reply") == ["started", "met"]
    assert desk.last("first_reply").breached is False
    assert "came in time" in desk.last("first_reply").because.text


def test_one_microsecond_late_is_late_and_exactly_on_time_is_in_time() -> None:
    late, exact = Story(), Story()
    opened(late).reply(60 + 1e-6 / 60)
    opened(exact).reply(60)
    assert Desk(everything()).play(late.events).clock("first_reply").breached_at == m(60)
    assert Desk(everything()).play(exact.events).clock("first_reply").breached_at is None


def test_no_reply_breaks_the_promise_at_its_due_time_whenever_that_is_noticed(story: Story) -> None:
    desk = Desk(everything()).play(opened(story).events)
    timer = next(t for t in desk.timers.values() if t.subject == desk.clock("first_reply").id)
    desk.fire(timer, m(62))
    first, told = desk.clock("first_reply"), desk.last("first_reply")
    assert (first.state, first.breached_at) == (ClockState.BREACHED, m(60))
    assert isinstance(told, ClockBreached)
    assert (told.occurred_at, told.fired_at) == (m(60), m(62))
    assert told.because.text == (
        "The first reply was due Tue 03 Nov 11:00 UTC: 1 hour from Tue 03 Nov 10:00 by policy all, and has not "
        "happened. This is said 2 min late."
    )
    assert told.because.facts["late_seconds"] == 120


def test_a_breach_says_all_that_a_message_needs(story: Story) -> None:
    story.contact(0, url="https://desk.example/88121")
    story.assigned("payments", at=0.01, priority="urgent")
    desk = Desk(everything()).play(story.events)
    desk.tick(m(60))
    summary = desk.last("first_reply").summary
    assert (summary.number, summary.subject, summary.customer_tier) == ("C-7", "Payout missing", "enterprise")
    assert (summary.team, summary.priority) == ("payments", Priority.URGENT)
    assert summary.url == "https://desk.example/88121"
    assert summary.routed.text == "the rules chose payments"


def test_a_late_reply_ends_a_broken_promise_and_both_times_are_kept(story: Story) -> None:
    desk = Desk(everything()).play(opened(story).events)
    desk.tick(m(60))
    desk.play([story.reply(75)])
    first = desk.clock("first_reply")
    assert (first.state, first.breached_at, first.met_at) == (ClockState.MET, m(60), m(75))
    assert desk.types("first_reply") == ["started", "breached", "met"]
    assert desk.last("first_reply").breached is True


def test_a_promise_kept_late_is_told_as_broken_and_then_kept_though_no_timer_fired(story: Story) -> None:
    opened(story).reply(75)
    desk = Desk(everything()).play(story.events)
    assert desk.types("first_reply") == ["started", "breached", "met"]
    assert desk.clock("first_reply").breached_at == m(60)
    assert not [t for t in desk.timers.values() if t.subject == desk.clock("first_reply").id]


def test_a_breach_that_was_none_is_withdrawn_and_never_erased(story: Story) -> None:
    desk = Desk(everything()).play(opened(story).events)
    desk.tick(m(60))
    desk.play([story.reply(50, known=70)])
    first = desk.clock("first_reply")
    assert (first.state, first.breached_at, first.met_at) == (ClockState.WITHDRAWN, m(60), m(50))
    assert desk.types("first_reply") == ["started", "breached", "withdrawn"]
    assert "announced for Tue 03 Nov 11:00 UTC was none" in desk.last("first_reply").because.text


def test_an_auto_reply_a_note_and_a_status_are_no_reply(story: Story) -> None:
    opened(story)
    story.reply(10, automated=True)
    story.reply(20, public=False)
    story.activity("note_added", 30, actor="ana")
    story.status("open", 31)
    desk = Desk(everything()).play(story.events)
    assert desk.clock("first_reply").state is ClockState.RUNNING


def test_an_out_of_office_answer_neither_reopens_nor_restarts(story: Story) -> None:
    opened(story).reply(10)
    story.status("solved", 20)
    before = Desk(everything()).play(story.events)
    story.contact(30, automated=True)
    story.activity("customer_replied", 31, public=True, automated=True)
    after = Desk(everything()).play(story.events)
    assert after.case.clocks == before.case.clocks


def test_a_case_opened_by_automated_mail_waits_for_a_person(story: Story) -> None:
    story.contact(0, automated=True)
    story.assigned(at=0.01)
    desk = Desk(everything()).play(story.events)
    assert not desk.has("first_reply")
    assert not desk.has("resolution")
    desk.play([story.contact(5)])
    assert desk.clock("first_reply").started_at == m(5)


def test_on_a_case_that_the_agent_opened_the_first_reply_is_the_next_one(story: Story) -> None:
    story.contact(0)
    story.reply(-10, known=1)  # what the agent had sent before the customer wrote
    story.assigned(at=0.01)
    desk = Desk(everything()).play(story.events)
    assert desk.clock("first_reply").state is ClockState.RUNNING
    desk.play([story.reply(30)])
    assert desk.clock("first_reply").met_at == m(30)


def test_solving_without_a_reply_ends_what_is_owed(story: Story) -> None:
    opened(story).status("solved", 30)
    desk = Desk(everything()).play(story.events)
    assert desk.clock("first_reply").state is ClockState.CANCELLED
    assert desk.clock("pickup").state is ClockState.CANCELLED
    assert desk.clock("resolution").state is ClockState.MET
    assert desk.timers == {}


def test_next_reply_runs_from_a_public_contact_to_the_next_reply(story: Story) -> None:
    opened(story).reply(10)
    story.contact(20)
    story.contact(25)  # the customer writes again: the wait began at 20
    story.activity("note_added", 30)
    desk = Desk(everything()).play(story.events)
    assert desk.clock("next_reply").started_at == m(20)
    desk.play([story.reply(40), story.activity("customer_replied", 50, public=True)])
    assert desk.clock("next_reply").met_at == m(40)
    assert desk.clock("next_reply", 2).started_at == m(50)


def test_next_reply_never_runs_after_solve(story: Story) -> None:
    opened(story).reply(10)
    story.contact(20)
    story.status("solved", 30)
    desk = Desk(everything()).play(story.events)
    assert desk.clock("next_reply").state is ClockState.CANCELLED
    desk.tick(m(10_000))
    assert desk.types("next_reply") == ["started", "cancelled"]


def test_reopening_starts_a_new_resolution_and_leaves_the_old_result(story: Story) -> None:
    opened(story).reply(10)
    story.status("solved", 30)
    desk = Desk(everything()).play(story.events)
    old = desk.clock("resolution")
    desk.play([story.contact(100)])
    assert desk.clock("resolution") == old
    assert desk.clock("resolution", 2).started_at == m(100)
    desk.play([story.status("solved", 110), story.status("open", 120)])
    assert desk.clock("resolution", 2).met_at == m(110)
    assert desk.clock("resolution", 3).started_at == m(120)


def test_a_closed_case_stays_closed_whatever_the_customer_writes(story: Story) -> None:
    opened(story).reply(10)
    story.status("closed", 30)
    before = Desk(everything()).play(story.events).case.clocks
    story.contact(40)
    assert Desk(everything()).play(story.events).case.clocks == before


def test_a_case_solved_without_a_reply_owes_a_first_reply_again_when_the_customer_writes(story: Story) -> None:
    opened(story).status("solved", 30)
    story.contact(100)
    desk = Desk(everything()).play(story.events)
    assert desk.clock("first_reply").state is ClockState.CANCELLED
    assert desk.clock("first_reply", 2).started_at == m(100)


class TestPauses:
    """Resolution stands still while the case waits for the customer."""

    OFFICE = policy(target("resolution", "PT8H", calendar="dublin"))

    def desk(self, of: dict[str, object] | None = None) -> Desk:
        return Desk(configured({"p": of or self.OFFICE}, {"dublin": DUBLIN}))

    def test_it_stands_still_in_pending_and_goes_on_with_what_is_left(self, story: Story) -> None:
        opened(story).status("pending", 60)
        desk = self.desk().play(story.events)
        resolution = desk.clock("resolution")
        assert (resolution.state, resolution.due_at) == (ClockState.PAUSED, None)
        assert not [t for t in desk.timers.values() if t.subject == resolution.id]
        desk.play([story.status("open", 180)])
        # 10:00 to 11:00 ran, 11:00 to 13:00 did not, 13:00 to 17:00 and then 09:00 to 12:00 the next day will.
        assert desk.clock("resolution").due_at == m(26 * 60)
        assert desk.types("resolution") == ["started", "paused", "resumed"]

    def test_pending_over_a_weekend_is_not_credited_twice(self, story: Story) -> None:
        friday = 3 * 24 * 60
        story.contact(friday)
        story.assigned(at=friday)
        story.status("pending", friday + 6 * 60)  # 16:00 on Friday
        story.status("open", friday + 3 * 24 * 60)  # 10:00 on Monday
        desk = self.desk().play(story.events)
        # 6 h ran on Friday; 2 h are left at 10:00 on Monday.
        assert desk.clock("resolution").due_at == m(friday + 3 * 24 * 60 + 120)

    def test_the_customers_answer_ends_the_pause(self, story: Story) -> None:
        opened(story).status("pending", 60)
        story.contact(90)
        desk = self.desk().play(story.events)
        assert desk.clock("resolution").state is ClockState.RUNNING

    def test_no_breach_while_pending(self, story: Story) -> None:
        opened(story).status("pending", 60)
        desk = self.desk().play(story.events)
        desk.tick(m(60 * 24 * 30))
        assert desk.types("resolution") == ["started", "paused"]

    def test_paused_and_then_solved_keeps_the_hold(self, story: Story) -> None:
        opened(story).status("pending", 60)
        story.status("solved", 60 * 24 * 30)
        desk = self.desk().play(story.events)
        assert (desk.clock("resolution").state, desk.clock("resolution").breached_at) == (ClockState.MET, None)

    def test_pause_and_resume_in_the_same_second_change_nothing(self, story: Story) -> None:
        plain = self.desk().play(opened(story).events).clock("resolution").due_at
        story.status("pending", 60)
        story.status("open", 60)
        assert self.desk().play(story.events).clock("resolution").due_at == plain

    def test_hundreds_of_flaps_add_up_exactly(self, story: Story) -> None:
        always = policy(target("resolution", "PT8H"))
        opened(story)
        for n in range(300):
            story.status("pending", 1 + n)
            story.status("open", 1.5 + n)
        assert self.desk(always).play(story.events).clock("resolution").due_at == m(480 + 150)

    def test_on_hold_pauses_only_where_the_policy_says_so(self, story: Story) -> None:
        opened(story).status("on_hold", 60)
        assert self.desk().play(story.events).clock("resolution").state is ClockState.RUNNING
        both = policy(target("resolution", "PT8H", pause_on=["pending", "on_hold"]))
        story.status("pending", 90)
        desk = self.desk(both).play(story.events)
        assert [(p.since, p.until) for p in desk.clock("resolution").pauses] == [(m(60), None)]

    def test_first_reply_does_not_pause(self, story: Story) -> None:
        opened(story).status("pending", 30)
        desk = Desk(everything()).play(story.events)
        assert desk.clock("first_reply").due_at == m(60)

    def test_a_promise_broken_before_the_pause_stays_broken(self, story: Story) -> None:
        opened(story)
        story.status("pending", 60 * 24 * 3)
        desk = self.desk().play(story.events)
        assert desk.clock("resolution").state is ClockState.RUNNING
        desk.wake(m(60 * 24 * 4))
        assert desk.clock("resolution").state is ClockState.BREACHED


class TestPickup:
    """The team's own promise: somebody takes the case."""

    @pytest.mark.parametrize("by", ["picked_up", "acknowledged", "reply"])
    def test_it_is_kept_by_taking_the_case(self, story: Story, by: str) -> None:
        opened(story)
        took = {"picked_up": lambda: story.activity("picked_up", 5, actor="ana")}
        took |= {"acknowledged": lambda: story.acknowledged(5), "reply": lambda: story.reply(5)}
        took[by]()
        desk = Desk(everything()).play(story.events)
        assert desk.clock("pickup").met_at == m(5)

    def test_it_starts_anew_with_each_other_team(self, story: Story) -> None:
        story.contact(0)
        for team, at in (("a", 1), ("b", 5), ("b", 6), ("a", 9)):
            story.assigned(team, at=at) if at == 1 else story.handed_off(team, at=at)
        desk = Desk(everything()).play(story.events)
        assert [(desk.clock("pickup", n).team, desk.clock("pickup", n).state) for n in (1, 2, 3)] == [
            ("a", "cancelled"),
            ("b", "cancelled"),
            ("a", "running"),
        ]
        assert not desk.has("pickup", 4)

    def test_a_hand_off_neither_restarts_nor_pauses_the_customers_promise(self, story: Story) -> None:
        opened(story).handed_off("payments", 30)
        desk = Desk(everything()).play(story.events)
        first = desk.clock("first_reply")
        assert (first.due_at, first.pauses, first.team) == (m(60), (), "payments")
        assert desk.types("first_reply") == ["started"]

    def test_a_reply_before_the_assignment_has_picked_it_up_already(self, story: Story) -> None:
        story.contact(0)
        story.reply(1)
        story.assigned(at=2)
        desk = Desk(everything()).play(story.events)
        assert (desk.clock("pickup").state, desk.clock("pickup").met_at) == (ClockState.MET, m(2))
        assert desk.clock("first_reply").met_at == m(1)


class TestUnassigned:
    """Ours: routing must place a case within 60 seconds, whatever is configured."""

    def test_it_needs_no_policy(self, story: Story) -> None:
        story.contact(0)
        desk = Desk(configured({})).play(story.events)
        desk.tick(m(1))
        unassigned = desk.clock("unassigned")
        assert (unassigned.state, unassigned.breached_at, unassigned.terms.policy) == (ClockState.BREACHED, m(1), None)

    def test_a_contact_that_arrives_late_is_not_routings_fault(self, story: Story) -> None:
        story.contact(-120, known=0)
        story.assigned(at=0.1)
        desk = Desk(everything()).play(story.events)
        assert desk.clock("unassigned").breached_at is None
        assert desk.clock("first_reply").started_at == m(-120)

    def test_solving_does_not_end_it(self, story: Story) -> None:
        story.contact(0)
        story.status("solved", 0.2)
        desk = Desk(everything()).play(story.events)
        assert desk.clock("unassigned").state is ClockState.RUNNING


class TestMerge:
    """The source's clocks end without a breach; the target keeps the earliest unanswered contact."""

    def test_the_sources_clocks_are_cancelled_and_never_break(self, story: Story) -> None:
        opened(story).merged(10)
        story.contact(40)
        desk = Desk(everything()).play(story.events)
        desk.tick(m(100_000))
        assert {c.state for c in desk.case.clocks if c.metric != "unassigned"} == {ClockState.CANCELLED}
        assert not [e for e in desk.told if isinstance(e, ClockBreached)]

    def test_the_target_owes_its_first_reply_since_the_earlier_contact(self, story: Story) -> None:
        opened(story).absorbed(30, since=-20)
        desk = Desk(everything()).play(story.events)
        assert (desk.clock("first_reply").started_at, desk.clock("first_reply").due_at) == (m(-20), m(40))

    def test_the_target_that_had_replied_owes_the_next_reply_since_then(self, story: Story) -> None:
        opened(story).reply(10)
        story.absorbed(30, since=5)
        desk = Desk(everything()).play(story.events)
        assert desk.clock("next_reply").started_at == m(5)
        assert desk.clock("first_reply").met_at == m(10)

    def test_a_later_contact_of_the_source_changes_nothing(self, story: Story) -> None:
        opened(story).absorbed(30, since=20)
        assert Desk(everything()).play(story.events).clock("first_reply").started_at == m(0)

    def test_an_answered_source_changes_nothing(self, story: Story) -> None:
        before = Desk(everything()).play(opened(story).events).case.clocks
        story.absorbed(30, since=None)
        assert Desk(everything()).play(story.events).case.clocks == before


class TestOddEvents:
    def test_events_from_the_future_happened_when_they_were_received(self, story: Story) -> None:
        story.contact(10_000, known=0)
        story.assigned(at=0.01)
        story.reply(10_000, known=30)
        desk = Desk(everything()).play(story.events, now=m(30))
        assert (desk.clock("first_reply").started_at, desk.clock("first_reply").met_at) == (m(0), m(30))

    def test_an_earlier_contact_that_arrives_later_dates_the_promise_back(self, story: Story) -> None:
        opened(story).contact(-30, known=10)
        desk = Desk(everything()).play(story.events)
        assert (desk.clock("first_reply").started_at, desk.clock("first_reply").due_at) == (m(-30), m(30))

    def test_a_date_from_1970_or_before_all_time_is_bounded(self, story: Story) -> None:
        story.contact(known=0, occurred_at=START.replace(year=1))
        story.assigned(at=0.01)
        desk = Desk(everything()).play(story.events)
        assert desk.clock("first_reply").started_at == START - timedelta(days=3650)

    def test_very_many_facts_are_folded_and_the_clocks_go_on(self, story: Story) -> None:
        opened(story)
        for n in range(600):
            story.reply(10 + n)
            story.contact(10.5 + n)
        desk = Desk(everything()).play(story.events)
        assert len(desk.case.facts) <= 1000
        assert desk.case.folded is not None
        assert desk.case.folded.count + len(desk.case.facts) == 1202
        assert desk.clock("first_reply").met_at == m(10)
        assert desk.clock("next_reply", 600).state is ClockState.RUNNING
        assert {desk.clock("next_reply", n).state for n in range(1, 600)} == {ClockState.MET}
        assert desk.clock("resolution").state is ClockState.RUNNING

    def test_a_pause_survives_folding(self, story: Story) -> None:
        opened(story).status("pending", 1)
        for n in range(600):
            story.status("open", 2 + n)
            story.status("pending", 2.5 + n)
        story.status("open", 700)
        desk = Desk(everything()).play(story.events)
        assert desk.case.folded is not None
        paused = 1 + 599 * 0.5 + (700 - 601.5)
        assert desk.clock("resolution").due_at == m(480 + paused)


class TestWarnings:
    WARNED = policy(target("first_reply", "PT1H", warn_at=[0.5, 0.9]))

    def test_each_level_is_told_once_when_it_passes(self, story: Story) -> None:
        desk = Desk(configured({"p": self.WARNED})).play(opened(story).events)
        desk.tick(m(200))
        assert desk.types("first_reply") == ["started", "warned", "warned", "breached"]
        warnings = [e for e in desk.told if isinstance(e, ClockWarned)]
        assert [(w.share, w.occurred_at) for w in warnings] == [(0.5, m(30)), (0.9, m(54))]
        assert warnings[0].because.text.startswith("50 % of the time for the first reply has passed, 30 min is left.")

    def test_after_downtime_missed_levels_collapse_to_the_highest(self, story: Story) -> None:
        desk = Desk(configured({"p": self.WARNED})).play(opened(story).events)
        desk.wake(m(57))
        assert desk.types("first_reply") == ["started", "warned"]
        told = desk.last("first_reply")
        assert (told.share, told.occurred_at, told.because.facts["passed_over"]) == (0.9, m(54), [0.5])

    def test_after_longer_downtime_only_the_breach_is_told(self, story: Story) -> None:
        desk = Desk(configured({"p": self.WARNED})).play(opened(story).events)
        desk.wake(m(90))
        assert desk.types("first_reply") == ["started", "breached"]
        assert desk.last("first_reply").because.facts["passed_over"] == [0.5, 0.9]

    @pytest.mark.parametrize(("known", "says"), [(54, "warned"), (59, "warned"), (60, "breached"), (90, "breached")])
    def test_what_has_passed_is_told_only_where_everything_up_to_then_is_known(
        self, story: Story, known: int, says: str
    ) -> None:
        desk = Desk(configured({"p": self.WARNED})).play(opened(story).events)
        desk.tick(m(31))
        [timer] = [each for each in desk.timers.values() if each.step == "warn:0.9"]
        now = m(90) if says == "breached" else m(59)
        desk.fire(timer, now, known=m(known))
        assert desk.types("first_reply") == ["started", "warned", says]

    def test_what_is_not_known_yet_is_waited_for_as_long_as_a_timer_of_its_own_would(self, story: Story) -> None:
        desk = Desk(configured({"p": self.WARNED})).play(opened(story).events)
        [timer] = desk.timers.values()
        decision = desk.fire(timer, m(90), known=m(59))
        assert desk.types("first_reply") == ["started"]
        assert "waits until all up to then is read" in decision.because.text
        [waits] = desk.timers.values()
        assert waits.due_at == m(60)
        desk.fire(waits, m(90), known=m(60))
        assert desk.last("first_reply").because.facts["passed_over"] == [0.5, 0.9]

    def test_warnings_count_staffed_time(self, story: Story) -> None:
        of = policy(target("first_reply", "PT8H", calendar="dublin", warn_at=[0.9]))
        desk = Desk(configured({"p": of}, {"dublin": DUBLIN})).play(opened(story).events)
        timer = next(t for t in desk.timers.values() if t.step == "warn:0.9")
        assert timer.due_at == START + 23 * HOUR + 12 * MINUTE  # 7.2 h: until 17:00, then 12 minutes after 09:00


class TestFiring:
    def test_a_timer_of_another_version_does_nothing(self, story: Story) -> None:
        desk = Desk(everything()).play(opened(story).events)
        timer = next(t for t in desk.timers.values() if t.subject == desk.clock("first_reply").id)
        desk.play([story.priority("high", 5)])
        before = desk.case
        decision = desk.fire(type(timer)(timer.subject, timer.step, timer.due_at, timer.version + 1), m(90))
        assert (decision.events, decision.timers, desk.case) == ((), (), before)
        assert "version" in decision.because.text

    def test_a_timer_that_fires_early_does_nothing_and_is_set_again(self, story: Story) -> None:
        desk = Desk(everything()).play(opened(story).events)
        timer = next(t for t in desk.timers.values() if t.subject == desk.clock("first_reply").id)
        decision = desk.fire(timer, m(59))
        assert decision.events == ()
        assert desk.timers[timer.subject, timer.step] == timer

    @pytest.mark.parametrize("ending", ["reply", "solved", "merged"])
    def test_a_clock_that_ended_never_fires(self, story: Story, ending: str) -> None:
        desk = Desk(everything()).play(opened(story).events)
        timer = next(t for t in desk.timers.values() if t.subject == desk.clock("first_reply").id)
        desk.play(
            [
                story.merged(30)
                if ending == "merged"
                else story.reply(30)
                if ending == "reply"
                else story.status("solved", 30)
            ]
        )
        decision = desk.fire(timer, m(61))
        assert decision.events == ()

    def test_a_breach_is_told_once(self, story: Story) -> None:
        desk = Desk(everything()).play(opened(story).events)
        timer = next(t for t in desk.timers.values() if t.subject == desk.clock("first_reply").id)
        desk.fire(timer, m(61))
        desk.fire(timer, m(62))
        desk.play([story.priority("urgent", 63), story.handed_off("b", 64)])
        desk.tick(m(100_000))
        assert desk.types("first_reply").count("breached") == 1

    def test_a_timer_fired_without_whole_knowledge_says_so(self, story: Story) -> None:
        desk = Desk(everything()).play(opened(story).events)
        desk.tick(m(60), lagging=True)
        assert desk.last("first_reply").lagging is True
        assert desk.last("first_reply").because.text.endswith("Not everything that happened was read yet.")

    def test_a_breach_that_a_late_pause_shows_to_be_none_is_taken_back_and_may_come_again(self, story: Story) -> None:
        of = configured({"p": policy(target("resolution", "PT1H"))})
        desk = Desk(of).play(opened(story).events)
        desk.tick(m(60))
        desk.play([story.status("pending", 30, known=61), story.status("open", 62)])
        resolution = desk.clock("resolution")
        assert (resolution.state, resolution.breached_at, resolution.due_at) == (ClockState.RUNNING, None, m(92))
        desk.tick(m(100))
        assert desk.clock("resolution").breached_at == m(92)


def test_history_computes_clocks_and_marks_every_event(story: Story) -> None:
    story.contact(-60 * 24 * 100, known=0, history=True)
    story.assigned(at=-60 * 24 * 100, known=0.1)
    desk = Desk(everything()).play(story.events)
    desk.wake(m(1))
    assert desk.types("first_reply") == ["started", "breached"]
    assert {event.history for event in desk.told} == {True}
    desk.play([story.contact(10)])
    assert desk.clock("resolution").history is True
    desk.play([story.reply(11), story.contact(12)])
    assert desk.clock("next_reply").history is False, "what the customer writes today is not history"


def test_erasure_takes_identity_and_text_and_leaves_the_clocks(story: Story) -> None:
    by_email = policy(target("first_reply", "PT1H"), when="contact.customer.email == 'a@b.example'")
    desk = Desk(configured({"p": by_email})).play(opened(story).events)
    before = desk.case.clocks
    desk.play([story.erased(5)])
    assert desk.case.clocks == before
    assert desk.case.opening is not None
    assert "Payout" not in repr(desk.case)
    assert "a@b.example" not in repr(desk.case)
    desk.play([story.handed_off("b", 6)])
    assert desk.clock("first_reply").due_at == m(60), "a promise stays, though its condition can't be asked again"
    desk.tick(m(60))
    assert desk.last("first_reply").summary.subject == ""
    desk.play([story.reply(70)])
    assert desk.clock("first_reply").met_at == m(70)


def test_a_promise_that_had_ended_stays_ended_after_an_erasure(story: Story) -> None:
    of = configured({"p": policy(target("first_reply", "PT1H"), when="case.priority == 'normal'")})
    desk = Desk(of).play([*opened(story).events, story.priority("high", 10)])
    assert desk.clock("first_reply").state is ClockState.CANCELLED
    before = desk.case.clocks
    desk.play([story.erased(20), story.reply(30), story.handed_off("b", 40)])
    assert desk.case.clocks == before
