"""Metrics that run side by side from one history: updates, resolution by what counts, custody; and their table."""

from pathlib import Path
from typing import Any

import pytest

from services.sla.model.metrics import PAUSES, RULES, Counts, Moment, Rule
from shared.contracts.words import ClockState, Metric
from tests.unit.sla.stories import Desk, Story, configured, m, policy, target

PAGE = Path(__file__).parents[3] / "docs" / "sla.md"
ALL = configured(
    {
        "p": policy(
            target("first_reply", "PT1H"),
            target("next_reply", "PT1H"),
            target("update", "PT2H"),
            target("resolution", "PT8H"),
            target("pickup", "PT10M"),
            target("team_wait", "PT3H"),
            target("engineering_wait", "PT5H"),
        )
    }
)


@pytest.fixture
def story() -> Story:
    story = Story()
    story.contact(0)
    story.assigned("support", at=0)
    return story


def with_(metric: str, within: str, **more: Any) -> Desk:
    return Desk(configured({"p": policy(target(metric, within, **more))}))


class TestUpdate:
    def test_each_public_reply_keeps_the_promise_and_makes_the_next(self, story: Story) -> None:
        story.reply(30)
        story.reply(100)
        desk = Desk(ALL).play(story.events)
        assert (desk.clock("update").started_at, desk.clock("update").met_at) == (m(30), m(100))
        assert desk.clock("update", 2).due_at == m(220)

    def test_an_update_clock_never_pre_empts_or_satisfies_the_first_reply(self, story: Story) -> None:
        desk = Desk(ALL).play(story.events)
        assert not desk.has("update"), "nothing was said yet, so there is nothing to update"
        desk.play([story.activity("note_added", 5, actor="ana"), story.reply(6, automated=True)])
        assert not desk.has("update")
        assert desk.clock("first_reply").state is ClockState.RUNNING
        desk.play([story.reply(40)])
        assert desk.clock("first_reply").met_at == m(40)
        assert desk.clock("update").started_at == m(40)

    def test_it_is_owed_whether_or_not_the_customer_writes(self, story: Story) -> None:
        story.reply(10)
        story.contact(60)
        desk = Desk(ALL).play(story.events)
        assert desk.clock("update").due_at == m(130)
        assert desk.clock("next_reply").due_at == m(120)

    def test_it_runs_through_pending_unless_it_counts_the_requesters_wait(self, story: Story) -> None:
        story.reply(10)
        story.status("pending", 20)
        story.status("open", 80)
        assert with_("update", "PT2H").play(story.events).clock("update").due_at == m(130)
        assert with_("update", "PT2H", counts="requester_wait").play(story.events).clock("update").due_at == m(190)

    def test_solving_ends_it_and_the_reply_that_solves_starts_none(self, story: Story) -> None:
        story.reply(10)
        story.status("solved", 20)
        story.reply(21)
        desk = Desk(ALL).play(story.events)
        assert desk.clock("update").state is ClockState.CANCELLED
        assert not desk.has("update", 2)


class TestResolution:
    @pytest.mark.parametrize(("counts", "due"), [("total", 60), ("requester_wait", 90), ("agent_work", 110)])
    def test_what_counts_is_a_choice(self, story: Story, counts: str, due: float) -> None:
        story.status("pending", 10)
        story.status("on_hold", 40)
        story.status("open", 60)
        desk = with_("resolution", "PT1H", counts=counts).play(story.events)
        assert desk.clock("resolution").due_at == m(due)


class TestCustody:
    def test_customer_team_and_engineering_are_measured_side_by_side(self, story: Story) -> None:
        story.handed_off("payments", 60)
        story.status("on_hold", 90)
        story.status("open", 150)
        desk = Desk(ALL).play(story.events)
        first, second = desk.clock("team_wait"), desk.clock("team_wait", 2)
        assert (first.team, first.state, first.met_at) == ("support", ClockState.MET, m(60))
        assert (second.team, second.started_at, second.due_at) == ("payments", m(60), m(60 + 180 + 60))
        engineering = desk.clock("engineering_wait")
        assert (engineering.started_at, engineering.due_at, engineering.met_at) == (m(90), m(390), m(150))
        assert desk.clock("resolution").due_at == m(480), "the customer waited all the while"

    def test_a_hand_off_never_silently_pauses_the_customers_promise(self, story: Story) -> None:
        before = Desk(ALL).play(story.events)
        story.handed_off("engineering", 30)
        after = Desk(ALL).play(story.events)
        for metric in ("first_reply", "resolution"):
            assert after.clock(metric).due_at == before.clock(metric).due_at
            assert after.clock(metric).state is ClockState.RUNNING
            assert after.types(metric) == ["started"]

    def test_the_part_of_a_team_can_be_broken_and_stays_the_teams(self, story: Story) -> None:
        story.handed_off("payments", 200)
        desk = Desk(ALL).play(story.events)
        late = desk.clock("team_wait")
        assert (late.team, late.breached_at, late.met_at) == ("support", m(180), m(200))
        assert desk.last("team_wait").because.text.startswith("The team's part came 20 min late")

    def test_a_reopened_case_starts_the_part_of_the_team_that_has_it(self, story: Story) -> None:
        story.status("solved", 30)
        story.contact(50)
        desk = Desk(ALL).play(story.events)
        assert desk.clock("team_wait").met_at == m(30)
        assert (desk.clock("team_wait", 2).team, desk.clock("team_wait", 2).started_at) == ("support", m(50))

    def test_a_hand_off_back_and_forth_counts_each_stretch_for_itself(self, story: Story) -> None:
        story.handed_off("payments", 10)
        story.handed_off("support", 20)
        desk = Desk(ALL).play(story.events)
        assert [desk.clock("team_wait", n).team for n in (1, 2, 3)] == ["support", "payments", "support"]
        assert desk.clock("team_wait", 3).due_at == m(200)

    def test_a_solved_case_that_is_handed_off_owes_nothing(self, story: Story) -> None:
        story.status("solved", 10)
        story.handed_off("payments", 20)
        desk = Desk(ALL).play(story.events)
        assert not desk.has("team_wait", 2)
        assert not desk.has("pickup", 2)


# The table in the documentation


def cell(moments: frozenset[Moment]) -> str:
    return "; ".join(moment.value for moment in Moment if moment in moments) or "–"


def row(rule: Rule) -> str:
    never = {Metric.UNASSIGNED: "always", Metric.ENGINEERING_WAIT: "while on hold"}
    if rule.counts is None:
        counts = "`total`, " + never.get(rule.metric, "never pauses")
    else:
        counts = f"`{rule.counts}`, or as the policy says"
    starts = cell(rule.starts) + (f" (once {rule.needs.value})" if rule.needs else "")
    cells = (f"`{rule.metric}`", starts, cell(rule.meets), cell(rule.cancels), cell(rule.resets), counts)
    return f"| {' | '.join(cells)} |"


def test_the_table_in_the_documentation_is_the_table_in_the_code() -> None:
    page = PAGE.read_text()
    wrong = [row(rule) for rule in RULES.values() if row(rule) not in page]
    assert not wrong, "docs/sla.md lacks these rows:\n" + "\n".join(wrong)
    for counts in Counts:
        statuses = ", ".join(f"`{status}`" for status in PAUSES[counts]) or "nothing"
        assert f"| `{counts}` | {statuses} |" in page


def test_every_metric_has_its_row() -> None:
    assert set(RULES) == set(Metric)


def test_each_clock_can_start_and_end() -> None:
    for rule in RULES.values():
        assert rule.starts
        assert rule.meets
        assert Moment.MERGED in rule.cancels
        assert not rule.meets & rule.cancels
