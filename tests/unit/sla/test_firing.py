"""A timer that fires loads no more than its clock and the words, and writes what deriving the whole case would."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from services.sla.decide import decide
from services.sla.model import Case
from shared.contracts.decision import Fired, Replan, SetTimer
from tests.unit.sla.stories import CASE, Desk, m
from tests.unit.sla.test_any_order import CONFIGURATION, LATER, Plan, histories


def fire_all(desk: Desk, until: float, lagging: bool) -> int:
    """Fire what is due, each time both ways; gives how many."""
    count = 0
    while due := sorted((t for t in desk.timers.values() if t.due_at <= m(until)), key=lambda t: (t.due_at, t.step)):
        fire_both_ways(desk, due[0], lagging, until)
        count += 1
    return count


def fire_both_ways(desk: Desk, timer: SetTimer, lagging: bool, at: float) -> None:
    fired = Fired(CASE, timer.subject, timer.step, timer.due_at, timer.version, lagging)
    now = max(desk.now, m(at))
    clock = next(each for each in desk.case.clocks if each.id == timer.subject)
    light = decide(Case(CASE, desk.case.configuration, clocks=(clock,), words=desk.case.words), fired, now)
    whole = decide(desk.case, fired, now)
    assert (light.events, light.timers, light.because) == (whole.events, whole.timers, whole.because)
    changed = next(each for each in whole.state.clocks if each.id == timer.subject)
    assert light.state.clocks == (changed,)
    assert whole.state == replace(desk.case, clocks=whole.state.clocks), "a timer changes nothing but clocks"
    again = decide(whole.state, Replan(CASE), now)
    assert again.events == () and again.timers == (), "what was written is what follows from the facts"
    assert again.state == whole.state
    desk.fire(timer, now, lagging)


@settings(max_examples=250, deadline=None)
@given(histories, st.lists(st.integers(0, 600), max_size=6), st.booleans())
def test_a_clock_and_the_words_alone_give_the_same_announcement_and_the_same_clock(
    plan: Plan, fire_at: list[int], lagging: bool
) -> None:
    desk, moments = Desk(CONFIGURATION), sorted(fire_at)
    for event in sorted(plan.events(), key=lambda e: (e.recorded_at, e.topic, e.sequence)):
        while moments and m(moments[0]) <= event.recorded_at:
            fire_all(desk, moments.pop(0), lagging)
        desk.play([event])
    fire_all(desk, (LATER - m(0)).total_seconds() / 60, lagging)
