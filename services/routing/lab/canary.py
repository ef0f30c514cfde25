"""A canary against its control, the cases that the active version placed meanwhile. Pure.

Which side a case is on is chance, so the sides differ by nothing but the rules. Each condition compares shares, and is
broken only where the whole interval of their difference is beyond what is allowed. The intervals hold however often one
looks: the normal-mixture confidence sequence (Robbins 1970; Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024,
"Time-uniform central limit theory and asymptotic confidence sequences"), so that looking every other second does not
make alarms out of chance, as a plain 95 % interval would.
"""

from dataclasses import dataclass
from enum import StrEnum
from math import log, sqrt

from pydantic import BaseModel, ConfigDict

from services.routing.spec import RollbackSpec
from shared.contracts import duration

LEVEL = 0.95
_TUNED_FOR = 25.0  # the interval is tightest, about 1.55 times a plain one, at some 200 cases


class Condition(StrEnum):
    FALLBACK = "fallback"
    HAND_OFFS = "hand_offs"
    BREACHES = "breaches"


class Standing(StrEnum):
    TOO_FEW = "too_few"  # cases to say anything
    UNCLEAR = "unclear"  # what is allowed is within the interval
    KEPT = "kept"
    BROKEN = "broken"


class Seen(BaseModel):
    """One side. ``watched`` cases were placed long enough ago to count ``handed_off`` ones; of ``known`` ones a
    promise came due, and ``breached`` ones broke it."""

    model_config = ConfigDict(frozen=True)

    cases: int = 0
    fallback: int = 0
    watched: int = 0
    handed_off: int = 0
    known: int = 0
    breached: int = 0


class Finding(BaseModel):
    """How one condition stands. ``canary`` and ``control`` are shares of cases; ``control`` is null for ``fallback``,
    whose limit is a number. ``low`` to ``high``: the interval of the canary's share less the ``limit``."""

    model_config = ConfigDict(frozen=True)

    condition: Condition
    standing: Standing
    canary: float | None
    control: float | None
    limit: float | None
    low: float | None
    high: float | None
    text: str


class CanaryReport(BaseModel):
    model_config = ConfigDict(frozen=True)

    canary: Seen = Seen()
    control: Seen = Seen()
    level: float = LEVEL
    findings: tuple[Finding, ...] = ()

    @property
    def broken(self) -> Finding | None:
        return next((each for each in self.findings if each.standing == Standing.BROKEN), None)


@dataclass(frozen=True, slots=True)
class _Share:
    hits: int
    cases: int

    @property
    def value(self) -> float:
        return self.hits / self.cases

    @property
    def variance(self) -> float:
        """Of the share, as if one more case had been a hit and one more not: none seen does not mean none possible."""
        rate = (self.hits + 1) / (self.cases + 2)
        return rate * (1 - rate) / self.cases

    def __str__(self) -> str:
        return f"{self.hits} of {self.cases} ({self.value:.1%})"


def judge(terms: RollbackSpec, canary: Seen, control: Seen) -> CanaryReport:
    within = duration.words(duration.parse(terms.hand_offs_within))
    asked = (
        (Condition.FALLBACK, terms.fallback_above, "fall to the fallback", _Share(canary.fallback, canary.cases), None),
        (Condition.HAND_OFFS, terms.hand_offs_above, f"handed off within {within}",
         _Share(canary.handed_off, canary.watched), _Share(control.handed_off, control.watched)),
        (Condition.BREACHES, terms.breaches_above, "broke a promise",
         _Share(canary.breached, canary.known), _Share(control.breached, control.known)),
    )  # fmt: skip
    findings = tuple(
        _finding(condition, above, words, ours, theirs, terms.minimum_cases)
        for condition, above, words, ours, theirs in asked
        if above is not None
    )
    return CanaryReport(canary=canary, control=control, findings=findings)


def _finding(
    condition: Condition, above: float, words: str, canary: _Share, control: _Share | None, minimum: int
) -> Finding:
    """``above``: the share that is allowed; where there is a control, times its share."""
    fewest = min(canary.cases, control.cases if control else canary.cases)
    if fewest < minimum:
        beside = f" and {control.cases} of the control" if control else ""
        text = f"{words}: {canary.cases} cases of the canary{beside} are known, {minimum} are needed to judge"
        return Finding(
            condition=condition, standing=Standing.TOO_FEW, canary=None, control=None, limit=None, low=None, high=None,
            text=text,
        )  # fmt: skip
    limit = above * control.value if control else above
    variance = canary.variance + (above**2 * control.variance if control else 0.0)
    size = 1 / (1 / canary.cases + (1 / control.cases if control else 0.0))
    middle, half = canary.value - limit, radius(variance, size)
    low, high = middle - half, middle + half
    standing = Standing.BROKEN if low > 0 else Standing.KEPT if high < 0 else Standing.UNCLEAR
    allowed = f"{above:g} × {control} of the control = {limit:.1%}" if control else f"{limit:.1%}"
    text = (
        f"{words}: {canary} of the canary, against {allowed}; the difference is {low:+.1%} to {high:+.1%}"
        f" ({LEVEL:.0%} interval): {standing}"
    )
    return Finding(
        condition=condition, standing=standing, canary=canary.value, control=control.value if control else None,
        limit=limit, low=low, high=high, text=text,
    )  # fmt: skip


def radius(variance: float, cases: float) -> float:
    """Half an interval around an estimate of this ``variance`` from so many ``cases``, that holds at every look."""
    spread = (1 + _TUNED_FOR / cases) * log((cases + _TUNED_FOR) / (_TUNED_FOR * (1 - LEVEL) ** 2))
    return sqrt(variance * spread)
