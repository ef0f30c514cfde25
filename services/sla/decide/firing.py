"""What a clock announces when its timer came due, from as little of it as that takes. Pure.

The one rule, for a case that is loaded whole (``decide``) and for no more than the columns of a row (``store.firing``).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from pydantic import JsonValue

from services.sla.decide.sentences import PROMISED, broken
from services.sla.decide.standing import step_of
from services.sla.model import Clock, Level
from shared.contracts import clocks as events
from shared.contracts import duration
from shared.contracts.decision import Fired
from shared.contracts.words import ClockState

PUNCTUAL = timedelta(seconds=1)  # a timer that fires within this says nothing of being late


class Due(NamedTuple):
    """A running or broken clock, as far as its next announcement depends on it."""

    metric: str
    state: str
    due_at: datetime | None
    levels: Sequence[Level]
    warned: float | None  # the share announced last, of the deadline that holds
    overdue: float | None  # the share on top announced last
    within: timedelta
    overdue_at: Sequence[float]
    said: str  # the clock's sentence


class Announcement(NamedTuple):
    """What is said, and what the clock is from then on."""

    kind: type[events.ClockWarned] | type[events.ClockBreached] | type[events.ClockOverdue]
    at: datetime  # it happened
    text: str  # the event's sentence, before how late it is
    more: dict[str, JsonValue]  # what the event says besides
    share: float | None  # what was warned of, or how far it is over
    passed_over: Sequence[float]  # levels that nobody hears of any more
    said: str  # the clock's sentence
    following: tuple[str, datetime] | None  # the step that it waits for now, and when that is due

    def known(self, fired: Fired) -> bool:
        """Whether all that could keep it from being said is known: it may have passed after what the timer is for."""
        return fired.known is None or self.at <= fired.known


def due_of(clock: Clock) -> Due:
    return Due(
        clock.metric,
        clock.state,
        clock.due_at,
        clock.levels,
        clock.firing.warned_share if clock.warned_at else None,
        clock.overdue,
        clock.terms.within,
        clock.terms.overdue_at,
        clock.because.text,
    )


def announcement(clock: Due, now: datetime) -> Announcement | None:
    """The highest level that has passed: those below it are passed over. None where nothing is due."""
    step = step_of(clock.state, clock.due_at, clock.levels, clock.warned, clock.overdue)
    if step is None or step[1] > now:
        return None
    if clock.state == ClockState.BREACHED:
        return _overdue(clock, now)
    if clock.due_at is not None and clock.due_at <= now:
        return _breached(clock, clock.due_at)
    return _warned(clock, now)


def _breached(clock: Due, at: datetime) -> Announcement:
    text = broken(clock.metric, clock.said)
    passed_over = [each.share for each in clock.levels if _ahead(each, clock)]
    following = step_of(ClockState.BREACHED, at, clock.levels, clock.warned, None)
    return Announcement(events.ClockBreached, at, text, {}, None, passed_over, text, following)


def _overdue(clock: Due, now: datetime) -> Announcement:
    """How far it is over, in the promise's own time."""
    levels = [each for each in clock.levels if each.share > 1]
    reached = 1 + (clock.overdue or 0.0)
    *passed_over, level = [each for each in levels if each.share > reached and each.at and each.at <= now]
    number = levels.index(level)
    over, at = clock.overdue_at[number], level.at or now
    by = clock.within * over
    text = f"{PROMISED[clock.metric]} is {duration.words(by)} overdue, {over * 100:g} % over. {clock.said}"
    more: dict[str, JsonValue] = {"over": over, "level": number + 1, "overdue_by": duration.text(by)}
    following = step_of(clock.state, clock.due_at, clock.levels, clock.warned, over)
    return Announcement(
        events.ClockOverdue, at, text, more, over, [each.share for each in passed_over], clock.said, following
    )


def _warned(clock: Due, now: datetime) -> Announcement:
    *passed_over, level = [each for each in clock.levels if _ahead(each, clock) and each.at and each.at <= now]
    left = clock.within - clock.within * level.share
    text = (
        f"{level.share * 100:g} % of the time for {PROMISED[clock.metric].lower()} has passed, "
        f"{duration.words(left)} is left. {clock.said}"
    )
    more: dict[str, JsonValue] = {"share": level.share, "left": duration.text(left)}
    following = step_of(clock.state, clock.due_at, clock.levels, level.share, None)
    shares = [each.share for each in passed_over]
    return Announcement(events.ClockWarned, level.at or now, text, more, level.share, shares, clock.said, following)


def _ahead(level: Level, clock: Due) -> bool:
    """Whether it is a warning that was not announced yet."""
    return level.share < 1 and (clock.warned is None or level.share > clock.warned)


def because(told: Announcement, facts: Mapping[str, JsonValue], lagging: bool, now: datetime) -> dict[str, JsonValue]:
    """The announcement's reason: how late it is, and what it stands for. ``facts``: those of the clock."""
    late, text = now - told.at, told.text
    if late > PUNCTUAL:
        text += f" This is said {duration.words(late)} late."
    if lagging:
        text += " Not everything that happened was read yet."
    timing: dict[str, JsonValue] = {
        "late_seconds": late.total_seconds(),
        "lagging": lagging,
        "passed_over": list(told.passed_over),
    }
    return {"text": text, "facts": {**facts, **timing}}
