"""Liveness is progress: of loops that sleep long by design too."""

from shared.health import Health


def test_a_loop_that_said_how_long_it_sleeps_is_stalled_only_after_that() -> None:
    health = Health(stall_s=-0.001)  # any time without progress is too long
    health.progressed("intake budgets", pause_s=600.0)
    health.progressed("notify worker")
    assert health.stalled() == ["notify worker"]
