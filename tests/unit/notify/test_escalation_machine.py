"""A page under anything that may happen to it, in any order: what must hold of whom it tells, and when."""

from collections import Counter
from datetime import timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.notify.decide.steps import AGAIN_AFTER
from services.notify.model import CATCH_ALL, CaseState, Purpose
from services.notify.model.commands import Acknowledge, HandOver, Outcome, Recorded, Resolve, Snooze, TakeOver, Unsnooze
from services.notify.model.plan import exhausted_at, upcoming
from services.notify.model.specs import On
from shared.contracts.clocks import ClockPaused, ClockRescheduled, ClockResumed, ClockWithdrawn
from shared.contracts.decision import Fired
from shared.contracts.words import ActivityKind, DeliveryState, Metric, PageState, Priority
from tests.unit.notify.given import CASE, FRAUD, SUMMARY, World, clock_event, configuration
from tests.unit.notify.test_escalation import handed
from tests.unit.notify.test_policies import OFFICE, activity, breached, met, minutes, overdue, warned

POLICIES: dict[str, Any] = {
    "payments": {
        "teams": ["payments"],
        "hours": {"office": OFFICE},
        "defer": {"until": "office", "when": "case.priority == 'low'"},
        "acknowledged_for": "PT20M",
        "repeat": {"every": "PT15M", "times": 1},
        "steps": [
            {"on": "warned", "notify": [{"destination": "payments-slack"}]},
            {"notify": [{"destination": "payments-slack"}]},
            {"after": "PT5M", "notify": [{"schedule": "payments-primary"}]},
            {"after": "PT7M", "when": "case.priority == 'urgent'", "notify": [{"person": "ghost"}]},
            {"after": "PT10M", "notify": [{"person": "li"}], "defer": {"until": "office", "when": "page.round == 1"}},
            {"on": "overdue", "level": 2, "after": "PT1M", "notify": [{"person": "ana"}]},
        ],
    },
    "fraud": FRAUD | {"acknowledged_for": "PT5M"},
    "slow": {
        "teams": ["slow"],
        "repeat": {"every": "PT5M", "times": 0},
        "steps": [{"after": "PT2M", "notify": [{"destination": "payments-slack"}]}],
    },
}
METRICS = [Metric.FIRST_REPLY, Metric.RESOLUTION, Metric.NEXT_REPLY]
TERMINAL = (DeliveryState.SENT, DeliveryState.FAILED, DeliveryState.SUPPRESSED)


class Escalation(RuleBasedStateMachine):
    """``minute`` is the time; versions of clocks grow with each event."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(state=CaseState(CASE, configuration(POLICIES)))
        self.version = 1_000
        self.broken: set[Metric] = set()
        self.live: set[Metric] = set()

    def tell(self, make: Any, metric: Metric, *args: Any, **more: Any) -> None:
        self.version += 1
        minute = (self.world.now - minutes(0)) / timedelta(minutes=1)
        at = minute if make is overdue else self.world.now
        from_clock = {"clock_id": _id(metric), "metric": metric, "version": self.version}
        self.world.tell(make(at, *args, **from_clock, **more))

    @rule(metric=st.sampled_from(METRICS), priority=st.sampled_from([Priority.LOW, Priority.URGENT]))
    def warns(self, metric: Metric, priority: Priority) -> None:
        if metric not in self.broken:
            self.live.add(metric)
            due = self.world.now + timedelta(minutes=5)
            self.tell(warned, metric, due_at=due, summary=SUMMARY.model_copy(update={"priority": priority}))

    @rule(metric=st.sampled_from(METRICS), priority=st.sampled_from([Priority.LOW, Priority.URGENT]))
    def breaks(self, metric: Metric, priority: Priority) -> None:
        if metric not in self.broken:
            self.live.add(metric)
            self.broken.add(metric)
            self.tell(breached, metric, summary=SUMMARY.model_copy(update={"priority": priority}))

    @rule(metrics=st.sets(st.sampled_from(METRICS), min_size=2), apart=st.sampled_from([0.0, 0.2, 0.9]))
    def breaks_in_a_burst(self, metrics: set[Metric], apart: float) -> None:
        for metric in sorted(metrics):
            self.breaks(metric, Priority.URGENT)
            self.world.deliver()
            self.world.now += timedelta(seconds=apart)

    @rule(metric=st.sampled_from(METRICS), level=st.integers(1, 3))
    def grows(self, metric: Metric, level: int) -> None:
        if metric in self.broken:
            self.tell(overdue, metric, level)

    @rule(metric=st.sampled_from(METRICS), kind=st.sampled_from([ClockPaused, ClockResumed]))
    def pauses(self, metric: Metric, kind: Any) -> None:
        if metric in self.live - self.broken:
            self.tell(lambda at, **more: clock_event(kind, at, **more), metric)

    @rule(metric=st.sampled_from(METRICS), late=st.booleans())
    def moves(self, metric: Metric, late: bool) -> None:
        """To a deadline to come, also of a clock that had broken or ended; or to one that had passed when it broke."""
        clock = self.world.state.clocks.get(_id(metric))
        if clock is None or (late and metric not in self.broken):
            return
        fired = clock.breach_fired_at or self.world.now
        due = fired - timedelta(minutes=1) if late else self.world.now + timedelta(hours=1)
        self.live.add(metric)
        self.broken = self.broken if late else self.broken - {metric}
        self.tell(lambda at, **more: clock_event(ClockRescheduled, at, due_at=due, **more), metric)
        assert self.world.state.clocks[_id(metric)].calls(On.BREACHED) == late

    @rule(metric=st.sampled_from(METRICS), withdrawn=st.booleans())
    def ends(self, metric: Metric, withdrawn: bool) -> None:
        if metric in self.live:
            self.live.discard(metric)
            self.broken.discard(metric)
            self.tell((lambda at, **more: clock_event(ClockWithdrawn, at, **more)) if withdrawn else met, metric)

    @rule(seconds=st.sampled_from([0.3, 1, 59, 300, 301, 1_200, 4_000, 130_000]), send=st.booleans())
    def time_passes(self, seconds: float, send: bool) -> None:
        self.world.until(self.world.now + timedelta(seconds=seconds), send)

    @precondition(lambda self: self.world.timers)
    @rule(before=st.sampled_from([0.0, 0.001]), timers=st.integers(1, 6))
    def jumps_to_the_next_timers(self, before: float, timers: int) -> None:
        """To the very instant of it, or just before."""
        for _ in range(timers):
            due = min((timer.due_at for timer in self.world.timers.values()), default=self.world.now)
            self.world.until(max(self.world.now, due - timedelta(seconds=before)))

    @precondition(lambda self: self.world.state.page is not None)
    @rule(act=st.sampled_from([Acknowledge, TakeOver, Resolve, Unsnooze]), by=st.sampled_from(["ana", "li", "bot"]))
    def acts(self, act: Any, by: str) -> None:
        self.world.do(act(self.world.page.id, by, via="api"))

    @precondition(lambda self: self.world.state.page is not None)
    @rule(minute=st.integers(1, 60))
    def snoozes(self, minute: int) -> None:
        self.world.do(Snooze(self.world.page.id, "ana", self.world.now + timedelta(minutes=minute)))

    @precondition(lambda self: self.world.state.page is not None)
    @rule(team=st.sampled_from(["payments", "fraud", "slow"]))
    def goes_to(self, team: str) -> None:
        self.world.do(HandOver(self.world.page.id, "ana", team, "theirs"))
        self.world.tell(handed(team, (self.world.now - minutes(0)) / timedelta(minutes=1)))

    @rule(kind=st.sampled_from([ActivityKind.AGENT_REPLIED, ActivityKind.NOTE_ADDED]))
    def somebody_writes(self, kind: ActivityKind) -> None:
        self.world.tell(activity(kind, (self.world.now - minutes(0)) / timedelta(minutes=1)))

    @rule(data=st.data(), outcome=st.sampled_from(["refused", "later", "lost"]))
    def a_send_fails(self, data: st.DataObject, outcome: Any) -> None:
        due = [each for each in self.world.waiting() if each.next_at <= self.world.now]
        if due:
            each = data.draw(st.sampled_from(sorted(due, key=lambda d: str(d.id))))
            token = self.world.claim(each)
            if self.world.state.deliveries[each.id].token == token:
                self.world.do(Recorded(each.id, token, Outcome(outcome, "it failed")))

    @rule(early=st.integers(1, 600))
    def a_timer_fires_early_or_again(self, early: int) -> None:
        for timer in list(self.world.timers.values()):
            if timer.due_at > self.world.now:
                state = self.world.state
                decision = self.world.do(Fired(CASE, timer.subject, timer.step, self.world.now, timer.version - 1))
                assert decision.state is state, "a timer of another version changes nothing"

    @invariant()
    def at_most_one_page_is_open(self) -> None:
        kinds = Counter(self.world.types())
        live = int(self.world.state.page is not None and self.world.page.live)
        assert kinds["page.opened"] - kinds["page.resolved"] == live

    @invariant()
    def no_step_runs_twice_or_early(self) -> None:
        every = list(self.world.state.deliveries.values())
        calls = [d for d in every if d.purpose == Purpose.CALL and d.step is not None]
        keys = Counter((d.page_id, d.cycle, d.step, d.round, d.cause, d.target, d.way) for d in calls)
        assert all(count == 1 for count in keys.values())
        assert all(at >= d.next_at or d.state == DeliveryState.SENT for at, d in self.world.sent)

    @invariant()
    def the_same_step_tells_the_same_at_most_once_a_second(self) -> None:
        told: dict[Any, Any] = {}
        for at, d in self.world.sent:
            key = (d.page_id, d.cycle, d.step, d.target, d.way)
            if d.purpose == Purpose.CALL and d.step is not None and d.attempts == 1:
                assert key not in told or at - told[key] >= AGAIN_AFTER or d.round, f"{key} twice within a second"
                told[key] = at

    @invariant()
    def every_step_that_is_due_ran_or_has_a_reason(self) -> None:
        page = self.world.state.page
        if page is None or not page.live or self.world.timers_due():
            return
        for number in range(len(page.policy.spec.steps)):
            coming = upcoming(page, number)
            assert coming is None or coming[1] > self.world.now or page.base(page.stage) is None
        at = exhausted_at(page) if page.state == PageState.OPEN else None
        assert at is None or at > self.world.now

    @invariant()
    def a_broken_promise_is_told_to_somebody_waits_or_has_a_step_ahead(self) -> None:
        page = self.world.state.page
        if page is None or page.state not in (PageState.OPEN, PageState.EXHAUSTED) or self.world.timers_due():
            return
        if not any(c.calls(On.BREACHED) for i in page.clocks if (c := self.world.state.clocks.get(i))):
            return
        this = [d for d in self.world.state.deliveries.values() if (d.page_id, d.cycle) == (page.id, page.cycle)]
        told = any(d.purpose == Purpose.CALL and d.state != DeliveryState.SUPPRESSED for d in this)
        if page.state == PageState.EXHAUSTED:
            assert any(d.target == CATCH_ALL for d in this), "an exhausted page went to the catch-all"
        assert told or any(upcoming(page, n) for n in range(len(page.policy.spec.steps))) or exhausted_at(page)

    @invariant()
    def every_broken_promise_of_an_open_page_was_told_after_it_broke(self) -> None:
        """Or is about to be: by a message that has not left, by a step that waits for duty, or at the next step."""
        page = self.world.state.page
        waits = page is not None and (page.holds or page.begins or page.waited_until)
        runs = page is not None and page.state in (PageState.OPEN, PageState.EXHAUSTED)
        if page is None or not runs or waits or self.world.timers_due():
            return
        this = (page.id, page.cycle, Purpose.CALL)
        calls = [d for d in self.world.state.deliveries.values() if (d.page_id, d.cycle, d.purpose) == this]
        for clock in (self.world.state.clocks[i] for i in page.clocks if i in self.world.state.clocks):
            if clock.calls(On.BREACHED) and clock.breach_fired_at is not None:
                told = [d for d in calls if (d.since or d.next_at) >= clock.breach_fired_at]
                ahead = page.policy.name == "slow" and upcoming(page, 0) is not None
                assert told or ahead, f"nobody is told of {clock.metric}"

    @invariant()
    def what_somebody_had_in_hand_calls_again_when_its_time_is_up(self) -> None:
        page = self.world.state.page
        if page is None or page.state != PageState.ACKNOWLEDGED or page.reopens_at is None or self.world.timers_due():
            return
        calls = [i for i in page.clocks if (c := self.world.state.clocks.get(i)) and c.calls(On.WARNED)]
        assert page.reopens_at > self.world.now or not calls

    @invariant()
    def a_page_is_exhausted_by_a_broken_promise_alone(self) -> None:
        page = self.world.state.page
        if page is not None and page.state == PageState.EXHAUSTED:
            assert any(c.calls(On.BREACHED) for i in page.clocks if (c := self.world.state.clocks.get(i)))

    @invariant()
    def no_round_of_a_step_comes_before_its_time(self) -> None:
        """Unless a step before it reached nobody, as ghost's does, after which comes li's."""
        page = self.world.state.page
        if page is None or page.base_breached is None or page.stage != On.BREACHED:
            return
        spec, every = page.policy.spec, list(self.world.state.deliveries.values())
        if any(d.state == DeliveryState.FAILED and d.page_id == page.id for d in every):
            return
        for d in every:
            if (
                d.target != "person:li"
                and (d.page_id, d.cycle, d.cause, d.purpose)
                == (
                    page.id,
                    page.cycle,
                    "",
                    Purpose.CALL,
                )
                and d.step is not None
            ):
                step = spec.steps[d.step]
                if step.on == On.BREACHED:
                    assert d.created_at >= page.base_breached + step.delay + (d.round or 0) * spec.repeat.period

    def teardown(self) -> None:
        """When all clocks have ended, the page resolves, and nothing more is sent, ever."""
        for metric in sorted(self.live):
            self.ends(metric, False)
        page = self.world.state.page
        assert page is None or not page.live
        assert self.world.timers == {}
        calls = [d for d in self.world.waiting() if d.purpose == Purpose.CALL and d.token is None]
        assert calls == []
        before = sum(d.purpose == Purpose.CALL for _, d in self.world.sent)
        self.world.until(self.world.now + timedelta(days=9))
        assert sum(d.purpose == Purpose.CALL for _, d in self.world.sent) == before
        assert all(d.state in TERMINAL for d in self.world.state.deliveries.values() if d.purpose == Purpose.CALL)


def _id(metric: Metric) -> Any:
    return clock_event(ClockPaused, minutes(0), metric=metric).clock_id


TestEscalation = Escalation.TestCase
TestEscalation.settings = settings(max_examples=30, stateful_step_count=30)
