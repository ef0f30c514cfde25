"""What a lane may do: its limits by kind, its breaker, and which of its messages goes first. Pure.

A lane is one address: a channel, a mailbox, an endpoint. Its limits are a token bucket, and a bound on what is on its
way at once. It breaks where its address fails again and again: then one message at a time tries it, ever less often.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.notify.model import Configuration, Purpose
from services.notify.model.commands import Outcome
from services.notify.model.specs import LimitSpec, On
from services.notify.oncall.targets import lane_of, ways_of
from shared.contracts.identity import derived_share
from shared.contracts.words import Priority

TRIP = 5  # failures in a row that open the breaker
FIRST_PAUSE = timedelta(seconds=5)  # of an open breaker; doubles with each try that fails
LONGEST_PAUSE = timedelta(minutes=2)
PATIENCE = timedelta(minutes=1)  # a call that waits this long for a lane that takes nothing goes another way

# Seconds of waiting that a message is spared: it goes before others that came at most this much earlier. So nothing
# waits for ever: whatever comes later than the longest head start goes behind.
HEAD_START: Mapping[Priority, int] = {Priority.URGENT: 120, Priority.HIGH: 60, Priority.NORMAL: 0, Priority.LOW: -30}
BREACH_HEAD_START = 30
NO_CALL_HEAD_START = -120  # what asks for nobody, such as the news that a page was taken


@dataclass(frozen=True, slots=True)
class Limits:
    """``rate`` messages a second, ``burst`` of them at once after a rest, ``width`` on their way at the same time."""

    rate: float
    burst: int
    width: int


# What providers take. Slack: one message a second in a channel.
LIMITS: Mapping[str, Limits] = {
    "slack": Limits(1, 1, 1),
    "email": Limits(20, 40, 8),
    "pagerduty": Limits(10, 60, 4),
    "opsgenie": Limits(10, 60, 4),
    "console": Limits(1_000, 1_000, 16),
    "catch-all": Limits(10, 20, 4),
}
ANY_LIMITS = Limits(500, 1_000, 64)  # webhooks, and whatever else takes requests


def limits(configuration: Configuration, ways: Mapping[str, str]) -> dict[str, Limits]:
    """The limits of lanes, given the way that each serves; a destination or a person may have their own."""
    own: dict[str, Limits] = {}
    for lane, limit in _asked(configuration):
        if lane in ways:
            asked = replace(_usual(ways[lane]), rate=limit.per_second, burst=limit.burst)
            own[lane] = min(asked, own.get(lane, asked), key=lambda each: each.rate)  # of several, the strictest
    return {lane: own.get(lane) or _usual(way) for lane, way in ways.items()}


def _asked(configuration: Configuration) -> Iterator[tuple[str, LimitSpec]]:
    lanes = [(lane_of(name, spec), spec.limit) for name, spec in sorted(configuration.destinations.items())]
    lanes += [(way.lane, spec.limit) for _, spec in sorted(configuration.people.items()) for way in ways_of(spec)]
    for lane, limit in lanes:
        if limit is not None:
            yield lane, limit


def _usual(way: str) -> Limits:
    return LIMITS.get(way, ANY_LIMITS)


def head_start(priority: Priority | None, on: On, purpose: Purpose) -> int:
    """Seconds: how much earlier than it came a message is taken to have come."""
    if purpose != Purpose.CALL:
        return NO_CALL_HEAD_START
    return HEAD_START.get(priority or Priority.NORMAL, 0) + (BREACH_HEAD_START if on != On.WARNED else 0)


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane as its answers change it. ``failures`` in a row: the breaker is open from ``TRIP`` of them on."""

    name: str
    failures: int = 0
    blocked_until: datetime | None = None
    reason: str | None = None


def answered(lane: Lane, outcomes: Sequence[Outcome], now: datetime) -> Lane:
    """The lane after these answers, in order. A refusal or a wish to wait is an answer, and no failure."""
    for outcome in outcomes:
        if not failed(outcome):
            lane = replace(lane, failures=lane.failures if outcome.kind == "later" else 0)
            continue
        lane = replace(lane, failures=lane.failures + 1)
        if lane.failures >= TRIP:
            times = f"{lane.failures} times in a row"
            reason = f"It failed {times}, at last so: {outcome.detail}. One message will try it again"
            lane = replace(lane, blocked_until=now + pause(lane), reason=reason)
    return lane


def failed(outcome: Outcome) -> bool:
    return outcome.kind == "lost" or (outcome.kind == "later" and outcome.retry_after is None)


def pause(lane: Lane) -> timedelta:
    """Three quarters to the whole of a doubling pause; the jitter follows from the lane, so that replicas agree."""
    doublings: int = 2 ** min(max(0, lane.failures - TRIP), 20)
    whole = min(LONGEST_PAUSE, FIRST_PAUSE * doublings)
    return whole * (0.75 + derived_share(lane.name, lane.failures) / 4)
