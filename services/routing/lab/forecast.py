"""What a change of rules would do to broken promises, judged by what really happened to similar cases. Pure.

Similar are cases of the same team and priority. Their rate of breaches is pooled partially: a team with few cases
leans on all cases of that priority. The cases that move were easier or harder than others where they were, and are
taken to be so where they go (a difference on the logit scale, shrunk where they are few). The interval holds three
uncertainties: of the rates, of that difference, and the chance in each single case. What it does not know: that a team
with more work may get slower. docs/lab.md says so too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, log, sqrt

LEVEL = 0.8
_Z = 1.2815515655446004  # of an interval of 80 %
_LEAN_LEAST, _LEAN_MOST = 4.0, 50.0  # how many cases the pooled rate counts for
_LIKE_OTHERS = 10.0  # how many cases the belief counts for that cases which move are like the others

Cell = tuple[str, str]  # team and priority


@dataclass(frozen=True, slots=True)
class Seen:
    """Cases whose outcome is known, and how many of them broke a promise."""

    cases: int = 0
    breached: int = 0

    def __add__(self, other: "Seen") -> "Seen":
        return Seen(self.cases + other.cases, self.breached + other.breached)


@dataclass(frozen=True, slots=True)
class Change:
    """Cases with a breach among ``cases`` that move: how many there were, and with the draft.

    ``change`` (expected), ``low`` and ``high`` are of the difference; ``thin`` names teams with a priority for which
    less than 20 cases are known.
    """

    cases: int
    before: int
    change: float
    low: float
    high: float
    thin: tuple[str, ...]


THIN = 20


def forecast(history: Mapping[Cell, Seen], moved: Mapping[tuple[Cell, Cell], Seen]) -> Change:
    """``history``: every case by where it really was. ``moved``: those that move, by where they were and would go."""
    rates = _Rates(history)
    expected, chance, by_cell, apart = 0.0, 0.0, dict[Cell, float](), 0.0
    for (was, will), seen in sorted(moved.items()):
        here, here_variance = rates.logit(was)
        own, own_variance = _logit(seen, _expit(here), _LIKE_OTHERS)
        there, _ = rates.logit(will)
        rate = _expit(there + own - here)
        slope = seen.cases * rate * (1 - rate)
        expected += seen.cases * rate
        chance += slope
        by_cell[will] = by_cell.get(will, 0.0) + slope
        apart += slope**2 * (own_variance + here_variance)
    variance = chance + apart + sum(slope**2 * rates.logit(cell)[1] for cell, slope in by_cell.items())
    total = sum((seen for seen in moved.values()), Seen())
    half = _Z * sqrt(variance)
    low, high = max(0.0, expected - half), min(float(total.cases), expected + half)
    thin = {f"{team} {priority}" for _, (team, priority) in moved if rates.known((team, priority)) < THIN}
    before = total.breached
    return Change(total.cases, before, expected - before, low - before, high - before, tuple(sorted(thin)))


class _Rates:
    """Rates of breaches by cell, on the logit scale, each with its variance."""

    def __init__(self, history: Mapping[Cell, Seen]) -> None:
        self._history = history
        self._overall = sum(history.values(), Seen())
        self._priority: dict[str, Seen] = {}
        for (_, priority), seen in history.items():
            self._priority[priority] = self._priority.get(priority, Seen()) + seen
        self._lean = self._leaning()

    def known(self, cell: Cell) -> int:
        return self._history.get(cell, Seen()).cases

    def logit(self, cell: Cell) -> tuple[float, float]:
        return _logit(self._history.get(cell, Seen()), self._pooled(cell[1]), self._lean)

    def _pooled(self, priority: str) -> float:
        everywhere = (self._overall.breached + 0.5) / (self._overall.cases + 1)
        seen = self._priority.get(priority, Seen())
        return (seen.breached + _LIKE_OTHERS * everywhere) / (seen.cases + _LIKE_OTHERS)

    def _leaning(self) -> float:
        """How much a team leans on the others: little where teams differ more than chance explains."""
        spread = weight = by_chance = likely = 0.0
        for (_, priority), seen in self._history.items():
            if seen.cases:
                pooled = self._pooled(priority)
                spread += seen.cases * (seen.breached / seen.cases - pooled) ** 2
                by_chance += pooled * (1 - pooled)
                likely += seen.cases * pooled * (1 - pooled)
                weight += seen.cases
        between = (spread - by_chance) / weight if weight else 0.0
        if between <= 0:
            return _LEAN_MOST if weight else _LEAN_LEAST
        return min(_LEAN_MOST, max(_LEAN_LEAST, likely / weight / between - 1))


def _logit(seen: Seen, pooled: float, lean: float) -> tuple[float, float]:
    """The middle and the variance of a rate on the logit scale, by a beta-binomial."""
    broke, kept = seen.breached + lean * pooled, seen.cases - seen.breached + lean * (1 - pooled)
    return log(broke / kept), 1 / broke + 1 / kept


def _expit(x: float) -> float:
    return 1 / (1 + exp(-x))
