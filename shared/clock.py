"""The one home of "now". Production time is the database's, so that replicas agree."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

SAMPLE_EVERY_S = 1.0
QUICK_S = 0.02  # an answer within this says the time well enough to set it back


class Clock(Protocol):
    def now(self) -> datetime:
        """The current instant, UTC, never going backwards."""
        ...


class SystemClock:
    """This machine's clock, for tools that run without a database."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class DatabaseClock:
    """The database's time, sampled every second, plus monotonic time elapsed since the sample."""

    def __init__(self) -> None:
        self._last = datetime.now(UTC)
        self._sample = self._last, time.monotonic()  # one value: another thread never sees half of a new one
        self._sampled = False

    def sample(self, database_now: datetime, asked_at: float, answered_at: float) -> None:
        """Take a sample: the database said ``database_now`` between two monotonic instants.

        Counted from the later one, so our time is never ahead of the database's, and nothing fires early. Each
        sample is thus a lower bound, and the greatest holds; only a quick answer may set the time back, where the
        database's own clock was.
        """
        base, at = self._sample
        if not self._sampled:  # this machine's own clock counts for nothing
            self._sampled, self._last = True, database_now
        elif database_now <= base + timedelta(seconds=answered_at - at) and answered_at - asked_at > QUICK_S:
            return
        self._sample = database_now, answered_at

    def now(self) -> datetime:
        base, at = self._sample
        current = base + timedelta(seconds=time.monotonic() - at)
        self._last = max(self._last, current)
        return self._last


class ManualClock:
    """A clock that a test moves."""

    def __init__(self, start: datetime) -> None:
        self._now = start

    def now(self) -> datetime:
        return self._now

    def advance(self, by: timedelta) -> None:
        self._now += by

    def set(self, to: datetime) -> None:
        self._now = max(self._now, to)
