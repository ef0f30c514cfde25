"""What the conditions of an escalation policy may read, in CEL: one line a field. Pure.

To add a field that steps can test, add a line to ``FIELDS``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from services.notify.model import Clock, Page
from services.notify.model.escalation import EscalationPolicySpec
from services.notify.oncall.opening import opens
from shared.conditions import (
    BOOL,
    DOUBLE,
    INT,
    STRING,
    STRINGS,
    TIMESTAMP,
    Condition,
    ConditionError,
    Environment,
    Outcome,
)
from shared.contracts.clocks import CaseSummary


@dataclass(frozen=True, slots=True)
class Asked:
    """What a condition is asked of: the page, the clock that it is about, and what is known of the case."""

    page: Page
    clock: Clock
    summary: CaseSummary | None
    now: datetime
    round: int = 0  # of the step: 0 is the first time


def _case(name: str) -> Callable[[Asked], Any]:
    return lambda asked: getattr(asked.summary, name) if asked.summary is not None else None


def _minutes_over(asked: Asked) -> int:
    broken = asked.clock.breached_at
    return max(asked.now - broken, timedelta(0)) // timedelta(minutes=1) if broken is not None else 0


FIELDS: Mapping[str, tuple[Any, Callable[[Asked], Any]]] = {
    "at": (TIMESTAMP, lambda asked: asked.now),
    "case.number": (STRING, _case("number")),
    "case.priority": (STRING, lambda asked: str(asked.summary.priority) if asked.summary is not None else None),
    "case.tags": (STRINGS, lambda asked: list(asked.summary.tags) if asked.summary is not None else None),
    "case.team": (STRING, lambda asked: asked.page.team),
    "contact.customer.country": (STRING, _case("customer_country")),
    "contact.customer.tier": (STRING, _case("customer_tier")),
    "clock.calendar": (STRING, lambda asked: asked.clock.calendar),
    "clock.level": (INT, lambda asked: asked.clock.overdue_level),  # the overdue level it passed last; 0 before
    "clock.metric": (STRING, lambda asked: str(asked.clock.metric)),
    "clock.minutes_over": (INT, _minutes_over),  # since its deadline, on the wall
    "clock.policy": (STRING, lambda asked: asked.clock.policy),
    "clock.share_over": (DOUBLE, lambda asked: asked.clock.overdue_share),  # of the target, in its own time
    "page.cycle": (INT, lambda asked: asked.page.cycle),  # how often its steps began anew
    "page.round": (INT, lambda asked: asked.round),
}
_OPEN = "hours."


def check(spec: EscalationPolicySpec) -> None:
    """Raises ``ConditionError`` on the first condition that cannot work, saying where and what to do."""
    for where, source in spec.conditions():
        try:
            _environment(tuple(sorted(spec.hours))).compile(source)
        except ConditionError as wrong:
            raise ConditionError(f"{where}: {wrong}") from None


def holds(source: str, asked: Asked) -> Outcome:
    """Whether a condition holds. Whatever cannot be evaluated is false, with the reason."""
    spec = asked.page.policy.spec
    values = {name: take(asked) for name, (_, take) in FIELDS.items()}
    values |= {f"{_OPEN}{name}": opens(hours, asked.now) == asked.now for name, hours in spec.hours.items()}
    try:
        condition, environment = _compiled(source, tuple(sorted(spec.hours)))
    except ConditionError as wrong:
        return Outcome(False, str(wrong))
    return condition.evaluate(environment.activation(values))


@lru_cache(maxsize=1024)
def _environment(hours: tuple[str, ...]) -> Environment:
    known = {name: kind for name, (kind, _) in FIELDS.items()}
    return Environment(known | {f"{_OPEN}{name}": BOOL for name in hours})


@lru_cache(maxsize=4096)
def _compiled(source: str, hours: tuple[str, ...]) -> tuple[Condition, Environment]:
    environment = _environment(hours)
    return environment.accepted(source), environment
