"""What admins say when they start a canary. Pure."""

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field

from shared.contracts import duration
from shared.contracts.spec import Number, Spec, Whole

LEAST_CASES = 20  # of each side, for the approximations of `lab.canary` to hold
LONGEST_WATCH = timedelta(days=7)


def _within(text: str) -> str:
    if not timedelta(0) < duration.parse(text) <= LONGEST_WATCH:
        raise ValueError(f"{text!r} is not between zero and seven days. Write for example PT30M.")
    return text


class RollbackSpec(Spec):
    """When a canary goes back by itself; a null condition is none.

    ``fallback_above``: a larger share of its cases falls to the fallback. ``hand_offs_above``: times the control's
    share of cases that people hand off ``hand_offs_within`` their placing. ``breaches_above``: times the control's
    share of cases that break a promise. Nothing is judged before ``minimum_cases`` on each side that it compares.
    """

    minimum_cases: Annotated[Whole, Field(ge=LEAST_CASES, le=10_000)] = 50
    fallback_above: Annotated[Number, Field(ge=0, lt=1)] | None = None
    hand_offs_above: Annotated[Number, Field(ge=1, le=100)] | None = 1.5
    hand_offs_within: Annotated[str, AfterValidator(_within), Field(max_length=40)] = "PT30M"
    breaches_above: Annotated[Number, Field(ge=1, le=100)] | None = 1.0


class CanaryTerms(Spec):
    """``share``: of new cases, by a stable hash of their ids."""

    share: Annotated[Number, Field(gt=0, le=0.9)]
    rollback: RollbackSpec = RollbackSpec()
