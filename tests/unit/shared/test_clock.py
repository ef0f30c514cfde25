"""Production's time: the database's, never ahead of it, never backwards."""

import time
from datetime import UTC, datetime, timedelta

from shared.clock import DatabaseClock

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_the_machines_own_clock_counts_for_nothing() -> None:
    clock, at = DatabaseClock(), time.monotonic()
    clock.sample(NOON - timedelta(days=3650), at, at)
    assert clock.now() < NOON


def test_a_slow_answer_never_sets_the_time_back() -> None:
    """The loop was busy for five seconds between the answer and our looking at it."""
    clock, at = DatabaseClock(), time.monotonic()
    clock.sample(NOON, at - 10, at - 10)
    clock.sample(NOON + 5 * SECOND, at - 5, at)
    assert clock.now() >= NOON + 10 * SECOND


def test_a_slow_answer_that_shows_more_time_has_passed_is_believed() -> None:
    clock, at = DatabaseClock(), time.monotonic()
    clock.sample(NOON, at, at)
    clock.sample(NOON + 60 * SECOND, at - 5, at)
    assert clock.now() >= NOON + 60 * SECOND


def test_the_time_never_goes_backwards_when_the_databases_does() -> None:
    clock, at = DatabaseClock(), time.monotonic()
    clock.sample(NOON, at, at)
    before = clock.now()
    clock.sample(NOON - 60 * SECOND, at, at)
    assert clock.now() == before
    clock.sample(NOON + 1 * SECOND, at, at)
    assert clock.now() > before
