"""What an admin writes of escalation: the ordered steps of a page, when they hold, and when they wait. Pure.

Every limit of these documents is named here. Conditions are checked by ``rules.py`` as the policy is written.
"""

from datetime import timedelta
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from services.notify.model.hours import TimeZone, WeeklyHours
from services.notify.model.specs import CONSOLE, MAX_TEAMS, Country, Length, NotifySpec, On, Subdivision, known_place
from shared.contracts import duration
from shared.contracts.spec import Label, Name, Spec, Whole

MAX_STEPS = 20
MAX_NOTIFY = 20  # entries of one step
MAX_REPEATS = 20
MAX_HOURS = 20  # named hours of one policy
MAX_LEVEL = 10
MAX_CONDITION = 4_000  # characters
SHORTEST_REPEAT = timedelta(seconds=1)
SHORTEST_ACKNOWLEDGEMENT = timedelta(minutes=1)
LONGEST_ACKNOWLEDGEMENT = timedelta(days=7)

DUTY = "duty"  # the working hours of whoever a step tells

HoursName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,30}$")]  # as conditions can name it
When = Annotated[str, StringConstraints(min_length=1, max_length=MAX_CONDITION)]


class HoursSpec(Spec):
    """Opening hours that conditions and deferrals name. An interval belongs to the day on which it starts."""

    time_zone: TimeZone
    weekly: WeeklyHours
    country: Country | None = None  # closed on its public holidays
    subdivision: Subdivision | None = None

    @model_validator(mode="after")
    def _known_place(self) -> Self:
        known_place(self.country, self.subdivision)
        return self


class DeferSpec(Spec):
    """Wait until the named hours open, or until whoever is told is on ``duty``; where ``when`` is given, only then."""

    until: HoursName
    when: When | None = None


class StepSpec(Spec):
    """``after`` counts from the page's first warning, breach, or overdue level, as committed."""

    on: On = On.BREACHED
    level: Annotated[Whole, Field(ge=1, le=MAX_LEVEL)] | None = None  # of `overdue`; 1 where left out
    after: Length = "PT0S"
    when: When | None = None  # a condition in CEL; where it is false the step tells nobody
    defer: DeferSpec | None = None  # the policy's where left out
    notify: Annotated[tuple[NotifySpec, ...], Field(min_length=1, max_length=MAX_NOTIFY)]

    @model_validator(mode="after")
    def _levelled(self) -> Self:
        if self.level is not None and self.on != On.OVERDUE:
            raise ValueError('level: only a step with "on": "overdue" has one')
        return self

    @property
    def delay(self) -> timedelta:
        return duration.parse(self.after)

    @property
    def reached(self) -> int:
        """The overdue level that the step answers to."""
        return self.level or 1


class RepeatSpec(Spec):
    """All steps again ``every``, ``times`` times; the page is exhausted one ``every`` after the last of them.

    Steps on overdue levels are not repeated: the levels are.
    """

    every: Length = "PT15M"
    times: Annotated[Whole, Field(ge=0, le=MAX_REPEATS)] = 0

    @model_validator(mode="after")
    def _paced(self) -> Self:
        if self.period < SHORTEST_REPEAT:
            raise ValueError(f"repeat.every: the shortest is {duration.text(SHORTEST_REPEAT)}")
        return self

    @property
    def period(self) -> timedelta:
        return duration.parse(self.every)


class EscalationPolicySpec(Spec):
    """The ordered steps of a page, for the teams it names."""

    label: Label | None = None
    teams: Annotated[tuple[Name, ...], Field(max_length=MAX_TEAMS)] = ()
    hours: Annotated[dict[HoursName, HoursSpec], Field(max_length=MAX_HOURS)] = {}
    steps: Annotated[tuple[StepSpec, ...], Field(min_length=1, max_length=MAX_STEPS)]
    repeat: RepeatSpec = RepeatSpec()
    defer: DeferSpec | None = None  # of a page as a whole: its steps count from the opening; named hours only
    acknowledged_for: Length | None = "PT30M"  # an acknowledged page without a reply pages again; null: never

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if DUTY in self.hours:
            raise ValueError(f"hours.{DUTY}: the name stands for the hours of people; choose another")
        if self.defer is not None and self.defer.until == DUTY:
            raise ValueError(f"defer: {DUTY} is of whoever a step tells; write it on the steps, or name hours here")
        for where, defer in self.deferrals():
            if defer.until != DUTY and defer.until not in self.hours:
                known = ", ".join([DUTY, *sorted(self.hours)])
                raise ValueError(f"{where}.until: there are no hours {defer.until}. Known: {known}.")
        low, high = SHORTEST_ACKNOWLEDGEMENT, LONGEST_ACKNOWLEDGEMENT
        if self.patience is not None and not low <= self.patience <= high:
            raise ValueError(
                f"acknowledged_for: write {duration.text(low)} to {duration.text(high)}, or null for never"
            )
        return self

    @property
    def patience(self) -> timedelta | None:
        """How long an acknowledgement holds without a reply."""
        return duration.parse(self.acknowledged_for) if self.acknowledged_for is not None else None

    def deferrals(self) -> list[tuple[str, DeferSpec]]:
        """With where they stand."""
        found = [(f"steps.{n}.defer", step.defer) for n, step in enumerate(self.steps)]
        return [(where, defer) for where, defer in [("defer", self.defer), *found] if defer is not None]

    def conditions(self) -> list[tuple[str, str]]:
        """With where they stand."""
        found = [(f"steps.{n}.when", step.when) for n, step in enumerate(self.steps)]
        found += [(f"{where}.when", defer.when) for where, defer in self.deferrals()]
        return [(where, source) for where, source in found if source is not None]


DEFAULT_POLICY = EscalationPolicySpec(
    steps=(
        StepSpec(on=On.WARNED, notify=(NotifySpec(destination=CONSOLE),)),
        StepSpec(on=On.BREACHED, notify=(NotifySpec(destination=CONSOLE),)),
    )
)
