"""What an admin writes: calendars and policies, checked as far as one document can be."""

from datetime import date as Day
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Self, cast
from zoneinfo import available_timezones

from pydantic import Field, StringConstraints, field_validator, model_validator

from services.sla.model.metrics import PAUSES, PROMISED, RULES, Counts
from shared.conditions import MAX_SOURCE
from shared.contracts import duration
from shared.contracts.hours import DAYS, HolidaysSpec, Hours, checked
from shared.contracts.spec import Instant, Label, Name, Number, Spec, Whole
from shared.contracts.words import Metric, Status

MAX_TARGETS = len(PROMISED)  # one for each metric
MAX_LEVELS = 10  # of warnings, and of being overdue, of one target
MAX_OVERDUE = 100.0  # times the target
MAX_POSITION = 1_000_000
PAUSABLE = (Status.PENDING, Status.ON_HOLD)

Mark = Number | str  # a share of the target, or an ISO 8601 duration


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


class CalendarSpec(Spec):
    """Weekly opening hours in one zone, less holidays. An interval that ends before its start ends on the next day.

    With ``effective_from`` the hours change on that day, and days before it stay as they were. Without it the
    document is a correction: whatever is open still is counted by it from its start.
    """

    label: Label | None = None
    effective_from: Day | None = None
    time_zone: str
    weekly: dict[str, Hours]
    holidays: HolidaysSpec = HolidaysSpec()

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        if name not in _zones():
            raise ValueError(f"{name!r} is not an IANA time zone. Write for example Europe/Dublin.")
        return name

    @field_validator("weekly")
    @classmethod
    def _open_at_all(cls, weekly: dict[str, Hours]) -> dict[str, Hours]:
        return checked(weekly, "the calendar")


class Target(Spec):
    """One promise: ``metric`` is fulfilled ``within`` so much time of ``calendar``."""

    metric: Metric
    within: str
    calendar: Name = "24x7"
    warn_at: Annotated[tuple[Mark, ...], Field(max_length=MAX_LEVELS)] = ()  # 0.75: 75 % has passed; "PT30M": left
    overdue_at: Annotated[tuple[Mark, ...], Field(max_length=MAX_LEVELS)] = ()  # 0.1: 10 % over; "PT30M": over
    counts: Counts | None = None  # which time of the case; each metric that can pause has its own default
    pause_on: Annotated[tuple[Status, ...], Field(max_length=len(PAUSABLE))] | None = None  # the same, status by status

    @field_validator("metric")
    @classmethod
    def _promised(cls, metric: Metric) -> Metric:
        if metric is Metric.UNASSIGNED:
            raise ValueError("every case has an `unassigned` clock already; it needs no policy. Leave this target out.")
        return metric

    @field_validator("within")
    @classmethod
    def _some_time(cls, text: str) -> str:
        if duration.parse(text).total_seconds() < 1:
            raise ValueError(f"{text!r} leaves no time. Write at least PT1S.")
        return text

    @model_validator(mode="after")
    def _levels(self) -> Self:
        if any(not 0 < share < 1 for share in self.warnings):
            raise ValueError("warn_at: write shares between 0 and 1, or time left that is shorter than `within`")
        if any(not 0 < share <= MAX_OVERDUE for share in self.overdue):
            raise ValueError(f"overdue_at: write shares above 0 and up to {MAX_OVERDUE:g}, or durations as long")
        for name, shares in (("warn_at", self.warnings), ("overdue_at", self.overdue)):
            if any(a >= b for a, b in pairwise(shares)):
                raise ValueError(f"{name}: write them in order of time, each later than the one before")
        return self

    @property
    def warnings(self) -> tuple[float, ...]:
        """As shares of the target."""
        whole = duration.parse(self.within)
        return tuple(m if isinstance(m, float) else (whole - duration.parse(m)) / whole for m in self.warn_at)

    @property
    def overdue(self) -> tuple[float, ...]:
        """As shares of the target on top of it."""
        whole = duration.parse(self.within)
        return tuple(m if isinstance(m, float) else duration.parse(m) / whole for m in self.overdue_at)

    @model_validator(mode="after")
    def _pauses(self) -> Self:
        if self.pause_on is not None or self.counts is not None:
            if RULES[self.metric].counts is None:
                raise ValueError(f"{self.metric} never pauses; leave out `counts` and `pause_on`")
            if self.pause_on is not None and self.counts is not None:
                raise ValueError("`counts` and `pause_on` say the same thing. Keep one of them.")
            if wrong := [status for status in self.pause_on or () if status not in PAUSABLE]:
                raise ValueError(f"a clock can't pause on {wrong[0]!r}. Write {' or '.join(PAUSABLE)}.")
        return self

    @property
    def pauses(self) -> tuple[Status, ...]:
        """In which statuses this clock stands still; the order does not matter."""
        if self.pause_on is not None:
            return tuple(sorted(set(self.pause_on)))
        counts = self.counts or RULES[self.metric].counts
        return () if counts is None else PAUSES[counts]


class PolicySpec(Spec):
    """Which promises apply to the cases for which ``when`` holds. The first policy by ``position`` decides.

    Until ``effective_from`` the version before it stays in force.
    """

    label: Label | None = None
    effective_from: Instant | None = None
    position: Annotated[Whole, Field(ge=0, le=MAX_POSITION)]
    when: Annotated[str, StringConstraints(min_length=1, max_length=MAX_SOURCE)]
    targets: Annotated[tuple[Target, ...], Field(min_length=1, max_length=MAX_TARGETS)]

    @field_validator("targets")
    @classmethod
    def _once_each(cls, targets: tuple[Target, ...]) -> tuple[Target, ...]:
        metrics = [target.metric for target in targets]
        if twice := sorted({metric for metric in metrics if metrics.count(metric) > 1}):
            raise ValueError(f"{twice[0]} is promised twice. Keep one target for each metric.")
        return targets


ALWAYS = CalendarSpec(
    label="Around the clock",
    time_zone="UTC",
    weekly=cast("dict[str, Hours]", dict.fromkeys(DAYS, (("00:00", "24:00"),))),
)
DEFAULT_POLICY = PolicySpec(
    label="Everything else",
    position=MAX_POSITION,
    when="true",
    targets=(Target(metric=Metric.FIRST_REPLY, within="PT4H"),),
)
