"""Whatever order events come in, however often, and whenever timers fire: the same clocks."""

from collections import Counter
from dataclasses import dataclass
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.sla.decide.standing import next_step
from services.sla.model import Configuration
from shared.contracts.clocks import (
    ClockBreached,
    ClockCancelled,
    ClockEvent,
    ClockMet,
    ClockOverdue,
    ClockPaused,
    ClockRescheduled,
    ClockStarted,
    ClockWithdrawn,
)
from shared.contracts.envelope import Event
from shared.contracts.words import ClockState
from tests.unit.sla.stories import DUBLIN, Desk, Story, configured, m, policy, table, target, timers

CONFIGURATION: Configuration = configured(
    {
        "urgent": policy(
            target("first_reply", "PT30M", warn_at=[0.5]),
            target("resolution", "PT2H", pause_on=["pending", "on_hold"]),
            when="case.priority == 'urgent'",
            position=1,
        ),
        "payments": policy(
            target("first_reply", "PT2H", calendar="dublin"),
            target("next_reply", "PT45M"),
            target("pickup", "PT10M"),
            when="case.team == 'payments'",
            position=2,
        ),
        "rest": policy(
            target("first_reply", "PT1H", warn_at=[0.5, "PT15M"], overdue_at=[0.1, 1.0]),
            target("next_reply", "PT1H"),
            target("resolution", "PT4H", warn_at=[0.9], overdue_at=[0.5, "PT3H"]),
            target("update", "PT1H", counts="requester_wait"),
            target("team_wait", "PT2H", overdue_at=[0.2]),
            target("engineering_wait", "PT30M"),
            target("pickup", "PT15M"),
            position=3,
        ),
    },
    {"dublin": DUBLIN},
)

STEPS = ["contact", "auto", "reply", "note", "solved", "open", "pending", "on_hold", "urgent", "low", "payments",
         "frontline", "picked_up", "acknowledged", "absorbed", "merged"]  # fmt: skip


def write(story: Story, step: str, at: float, delay: float) -> None:
    known = at + delay
    match step:
        case "contact" | "auto":
            story.contact(at, known, automated=step == "auto")
        case "reply":
            story.reply(at, known)
        case "note" | "picked_up":
            story.activity("note_added" if step == "note" else step, at, known, actor="ana")
        case "solved" | "open" | "pending" | "on_hold":
            story.status(step, at, known)
        case "urgent" | "low":
            story.priority(step, at, known)
        case "payments" | "frontline":
            story.handed_off(step, at, known)
        case "acknowledged":
            story.acknowledged(at, known)
        case "absorbed":
            story.absorbed(at, since=at - 25)
        case "merged":
            story.merged(at)


@dataclass(frozen=True)
class Plan:
    """One case's life: contacts, replies, pauses, hand-offs, reopenings; each known a while after it happened."""

    first_known: float
    steps: list[tuple[str, int, int]]  # what, when in half minutes, known how many minutes later
    assigned: tuple[int, float, str]  # after how many steps, when, with which priority
    merged: bool

    def events(self) -> list[Event]:
        story = Story()
        story.contact(0, self.first_known)
        number, at, priority = self.assigned
        for index, (step, when, delay) in enumerate([*self.steps, ("note", 0, 0)]):
            if index == min(number, len(self.steps)):
                story.assigned(at=at, priority=priority)
            write(story, step, when / 2, delay)
        if self.merged:
            story.merged(300)
        return story.events


histories = st.builds(
    Plan,
    st.sampled_from([0, 2, 40]),
    st.lists(st.tuples(st.sampled_from(STEPS[:-1]), st.integers(-5, 400), st.integers(0, 90)), max_size=14),
    st.tuples(st.integers(0, 14), st.integers(0, 30), st.sampled_from(["normal", "urgent"])),
    st.sampled_from([False, False, True]),
)


def a_to_b_to_a() -> list[Event]:
    story = Story()
    story.contact(0)
    story.assigned("payments", at=1)
    story.reply(2)
    story.handed_off("frontline", 3)
    story.contact(4)
    story.handed_off("payments", 5)
    story.acknowledged(6)
    return story.events


def a_reply_before_its_assignment() -> list[Event]:
    story = Story()
    story.contact(0)
    story.reply(1)
    story.status("solved", 2)
    story.assigned("payments", at=3)
    story.acknowledged(0.5)
    return story.events


LATER = m(1000)


def same(history: list[Event], otherwise: list[Event]) -> None:
    one, other = Desk(CONFIGURATION).play(history, now=LATER), Desk(CONFIGURATION).play(otherwise, now=LATER)
    assert table(other) == table(one)
    assert timers(other) == timers(one)
    assert other.case.facts == one.case.facts


@settings(max_examples=250)
@given(histories, st.data())
def test_any_order_and_any_repetition_give_the_same_tables(plan: Plan, data: st.DataObject) -> None:
    history = plan.events()
    numbers = list(range(len(history)))
    again = data.draw(st.lists(st.sampled_from(numbers), max_size=len(history)))
    same(history, [history[n] for n in data.draw(st.permutations([*numbers, *again]))])


@pytest.mark.parametrize("history", [a_to_b_to_a(), a_reply_before_its_assignment()], ids=["a-b-a", "early reply"])
def test_every_interleaving_of_the_topics_gives_the_same_tables(history: list[Event]) -> None:
    by_topic: dict[str, list[Event]] = {}
    for event in history:
        by_topic.setdefault(event.topic, []).append(event)
    interleavings = set(permutations([event.topic for event in history]))
    assert len(interleavings) > 10
    for topics in interleavings:
        queues = {topic: iter(events) for topic, events in by_topic.items()}
        same(history, [event for topic in topics for event in [next(queues[topic])] * 2])


@settings(max_examples=250)
@given(histories, st.lists(st.integers(0, 600), max_size=6))
def test_firing_at_any_time_changes_no_verdict(plan: Plan, fire_at: list[int]) -> None:
    """Timers fire on whatever is known by then; in the end each promise stands as it really went."""
    by_arrival = sorted(plan.events(), key=lambda event: (event.recorded_at, event.topic, event.sequence))
    quiet, busy = Desk(CONFIGURATION), Desk(CONFIGURATION)
    quiet.play(by_arrival, now=LATER)
    moments = sorted(fire_at)
    for event in by_arrival:
        while moments and m(moments[0]) <= event.recorded_at:
            busy.wake(m(moments.pop(0)))
        busy.play([event])
    quiet.wake(LATER)
    busy.wake(LATER)
    assert busy.case.facts == quiet.case.facts
    really = {clock.id: clock for clock in quiet.case.clocks}
    for clock in busy.case.clocks:
        was = really.get(clock.id)
        if clock.state is ClockState.WITHDRAWN:
            assert clock.firing.breach_fired_at or clock.firing.warned_fired_at, "only what was said is withdrawn"
            assert was is None or was.breached_at is None, "what was really broken is never withdrawn"
        else:
            assert was is not None
            assert (clock.state, clock.due_at, clock.ended_at, clock.met_at, clock.breached_at) == (
                was.state,
                was.due_at,
                was.ended_at,
                was.met_at,
                was.breached_at,
            )
    assert set(really) <= {clock.id for clock in busy.case.clocks}


@settings(max_examples=250)
@given(histories, st.data(), st.lists(st.integers(0, 600), max_size=6))
def test_what_is_told_of_a_clock_is_a_story_that_makes_sense(
    plan: Plan, data: st.DataObject, fire_at: list[int]
) -> None:
    desk, moments = Desk(CONFIGURATION), sorted(fire_at)
    history = plan.events()
    for number in data.draw(st.permutations(list(range(len(history))))):
        event = history[number]
        if moments and data.draw(st.integers(0, 1)):
            desk.wake(now := max(desk.now, m(moments.pop(0))))
            assert all(
                e.due_at and e.due_at <= now for e in desk.told if isinstance(e, ClockBreached) and e.fired_at == now
            )
        desk.play([event])
        running = Counter(timer.subject for timer in desk.timers.values())
        assert running == Counter(c.id for c in desk.case.clocks if next_step(c)), "one timer each"
        assert all(next_step(c) for c in desk.case.clocks if c.state is ClockState.RUNNING)
    desk.wake(LATER)
    assert not [c for c in desk.case.clocks if c.state is ClockState.RUNNING and c.due_at and c.due_at <= LATER]
    for clock in desk.case.clocks:
        told = [event for event in desk.told if event.clock_id == clock.id]
        assert isinstance(told[0], ClockStarted)
        _no_second_breach(told)
        _levels_grow(told)
        _each_breach_is_of_the_deadline_told_last(told)
        ends = [event for event in told if isinstance(event, ClockMet | ClockCancelled | ClockWithdrawn)]
        if clock.ended:
            assert f"clock.{clock.state}" == ends[-1].TYPE, "its last word is how it stands"
            assert ends[-1].breached == (clock.breached_at is not None)
        else:
            assert not ends or isinstance(told[-1], ClockRescheduled) or told.index(ends[-1]) < len(told) - 1


def test_a_breach_taken_back_and_true_of_another_deadline_is_told_with_that_deadline() -> None:
    """First by what is known when the timer fires, then by hand-offs that are heard of late, one after another."""
    urgent, plain = (policy(target("first_reply", within), when=when) for within, when in WITHIN)
    desk, story = Desk(configured({"urgent": urgent, "plain": plain})), Story()
    desk.play([story.contact(0), story.assigned("cards", at=1)])
    desk.wake(m(22))
    desk.play([story.handed_off("frontline", 3), story.handed_off("cards", 22)], now=m(60))
    told = [(type(event), event.due_at) for event in desk.told if event.metric == "first_reply"]
    assert told == [
        (ClockStarted, m(12)),
        (ClockBreached, m(12)),
        (ClockRescheduled, m(240)),
        (ClockRescheduled, m(22)),
        (ClockBreached, m(22)),
    ]


WITHIN = (("PT12M", "case.team == 'cards'"), ("PT4H", "case.team != 'cards'"))


def _each_breach_is_of_the_deadline_told_last(told: list[ClockEvent]) -> None:
    for before, event, after in zip(told, told[1:], [*told[2:], None], strict=False):
        ended = isinstance(after, ClockMet | ClockCancelled | ClockWithdrawn)  # known to be over when it is told
        assert not isinstance(event, ClockBreached) or ended or event.due_at == before.due_at


def _levels_grow(told: list[ClockEvent]) -> None:
    """Each level of being overdue is told once and in order, until what stands changes."""
    level = 0
    for event in told:
        if isinstance(event, ClockOverdue):
            assert event.level > level
            level = event.level
        elif not isinstance(event, ClockBreached):
            level = 0


def _no_second_breach(told: list[ClockEvent]) -> None:
    """Between two breaches of one clock it was said that the first was none."""
    broken = False
    for event in told:
        if isinstance(event, ClockBreached):
            assert not broken
            broken = True
        elif isinstance(event, ClockMet | ClockCancelled):
            broken = event.breached
        elif isinstance(event, ClockRescheduled | ClockPaused | ClockWithdrawn):
            broken = False


def test_a_level_that_was_told_is_not_told_again_when_a_pause_that_began_after_the_deadline_becomes_known() -> None:
    promise = target("resolution", "PT1H", pause_on=["pending"], overdue_at=[0.1, 1.0])
    desk, story = Desk(configured({"any": policy(promise)})), Story()
    desk.play([story.contact(0), story.assigned("cards", at=1)])
    desk.wake(m(67))
    desk.play([story.status("pending", 62, 70), story.status("open", 80, 80)])
    desk.wake(m(100))
    levels = [event.level for event in desk.told if isinstance(event, ClockOverdue)]
    assert levels == [1]
    desk.wake(m(150))
    assert [(event.level, event.occurred_at) for event in desk.told if isinstance(event, ClockOverdue)] == [
        (1, m(66)),
        (2, m(138)),
    ]
