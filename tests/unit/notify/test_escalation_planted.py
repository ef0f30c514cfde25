"""The state machine of escalation finds bugs: each of these is planted, and must be found."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from services.notify.decide import escalate, steps
from services.notify.model import Page, plan
from tests.unit.notify.test_escalation_machine import Escalation

Plant = Callable[[pytest.MonkeyPatch], None]


def a_burst_tells_again_and_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(steps, "AGAIN_AFTER", timedelta(0))


def who_was_told_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(steps, "_told_at", lambda *_: None)


def what_joins_is_not_told(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(escalate, "tell_again", lambda *_: None)


def what_joins_within_a_second_is_dropped(patch: pytest.MonkeyPatch) -> None:
    def told_lately(d: Any, number: int, clock: Any, on: Any) -> None:
        told = steps._told_at(d, number)
        if told is None or told + steps.AGAIN_AFTER <= d.now:
            steps.tell_again(d, number, clock, on)

    patch.setattr(escalate, "tell_again", told_lately)


def repeats_come_at_once(patch: pytest.MonkeyPatch) -> None:
    right = plan.upcoming

    def wrong(page: Page, number: int) -> tuple[int, datetime] | None:
        coming = right(page, number)
        return coming and (coming[0], coming[1] - coming[0] * page.policy.spec.repeat.period)

    patch.setattr(plan, "upcoming", wrong)
    patch.setattr(steps, "upcoming", wrong)


def steps_come_before_their_time(patch: pytest.MonkeyPatch) -> None:
    right = steps.upcoming

    def wrong(page: Page, number: int) -> tuple[int, datetime] | None:
        coming = right(page, number)
        return coming and (coming[0], coming[1] - timedelta(minutes=6))

    patch.setattr(steps, "upcoming", wrong)


def a_breach_after_a_warning_begins_nothing(patch: pytest.MonkeyPatch) -> None:
    right = escalate._set_base

    def wrong(d: Any, on: Any, clock: Any) -> None:
        if d.page.base_warned is None:
            right(d, on, clock)

    patch.setattr(escalate, "_set_base", wrong)


def a_page_that_opens_again_forgets_when(patch: pytest.MonkeyPatch) -> None:
    right = escalate.begin_anew

    def wrong(d: Any, base: datetime) -> None:
        page = d.page
        right(d, base)
        d.set_page(rounds=page.rounds)

    patch.setattr(escalate, "begin_anew", wrong)


PLANTS: tuple[Plant, ...] = (
    a_burst_tells_again_and_again, who_was_told_is_forgotten, what_joins_is_not_told,
    what_joins_within_a_second_is_dropped, repeats_come_at_once, steps_come_before_their_time,
    a_breach_after_a_warning_begins_nothing, a_page_that_opens_again_forgets_when,
)  # fmt: skip
SEARCH = settings(
    max_examples=300, stateful_step_count=30, database=None, derandomize=True,
    phases=[Phase.generate], suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
)  # fmt: skip


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Escalation, settings=SEARCH)
