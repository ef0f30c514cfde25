"""What a condition asks of single values, read from its tree; how such tests combine and imply each other. Pure.

A condition is read as alternatives, of which at least one must hold; each asks something of some terms. A term is a
value that is looked up or computed once for all rules: a field, an attribute, ``at.getHours('Europe/Dublin')``.
What cannot be read asks nothing. So the tests are necessary, and enough only where an alternative is ``exact``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from shared.conditions.tree import Node

Literal: TypeAlias = tuple[str, str | float | bool]  # its kind first: Python's True is 1, and CEL's is not
Bound: TypeAlias = tuple[float, bool]  # and whether the bound itself is outside


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of one term, in any case that it is known. ``found`` are RE2 patterns."""

    one_of: frozenset[Literal] | None = None
    none_of: frozenset[Literal] = frozenset()
    low: Bound | None = None
    high: Bound | None = None
    prefix: str = ""
    members: frozenset[str] = frozenset()
    found: frozenset[str] = frozenset()

    @property
    def ranges(self) -> bool:
        return self.low is not None or self.high is not None

    def __and__(self, other: "Asked") -> "Asked | None":
        """Both; None where no value can do."""
        shorter, prefix = sorted((self.prefix, other.prefix), key=len)
        sets = [each for each in (self.one_of, other.one_of) if each is not None]
        made = Asked(
            one_of=frozenset.intersection(*sets) if sets else None,
            none_of=self.none_of | other.none_of,
            low=max((each for each in (self.low, other.low) if each), default=None),
            high=min((each for each in (self.high, other.high) if each), key=_from_above, default=None),
            prefix=prefix,
            members=self.members | other.members,
            found=self.found | other.found,
        )
        if not prefix.startswith(shorter) or made._empty_range():
            return None
        if made.one_of is None:
            return made
        left = frozenset(each for each in made.one_of if made._admits(each))
        return replace(made, one_of=left) if left else None

    def within(self, other: "Asked") -> bool:
        """Whether the other is content with every value that this admits."""
        if not (other.members <= self.members and other.found <= self.found):
            return False
        if self.one_of is not None:
            return all(other._admits(each) and (other.one_of is None or each in other.one_of) for each in self.one_of)
        return (
            other.one_of is None
            and other.none_of <= self.none_of
            and self.prefix.startswith(other.prefix)
            and (other.low is None or (self.low is not None and self.low >= other.low))
            and (other.high is None or (self.high is not None and _from_above(self.high) <= _from_above(other.high)))
        )

    def _empty_range(self) -> bool:
        if self.low is None or self.high is None:
            return False
        return self.low[0] > self.high[0] or (self.low[0] == self.high[0] and (self.low[1] or self.high[1]))

    def _admits(self, literal: Literal) -> bool:
        """As far as excluded values, the range and the prefix say."""
        kind, value = literal
        if literal in self.none_of or (self.prefix and not (kind == "text" and str(value).startswith(self.prefix))):
            return False
        return not self.ranges or (kind == "number" and self._between(float(value)))

    def _between(self, value: float) -> bool:
        above = self.low is None or value > self.low[0] or (value == self.low[0] and not self.low[1])
        return above and (self.high is None or value < self.high[0] or (value == self.high[0] and not self.high[1]))


def _from_above(bound: Bound) -> tuple[float, bool]:
    """Orders upper bounds: the one that leaves less comes first."""
    return bound[0], not bound[1]


@dataclass(frozen=True, slots=True)
class Alternative:
    """Tests by term, which must all hold. ``exact``: and then the condition is true."""

    asked: Mapping[Node, Asked] = field(default_factory=dict)
    exact: bool = False

    def __and__(self, other: "Alternative") -> "Alternative | None":
        """Both; None where they exclude each other."""
        made = dict(self.asked)
        for term, asked in other.asked.items():
            both = made[term] & asked if term in made else asked
            if both is None:
                return None
            made[term] = both
        return Alternative(made, self.exact and other.exact)

    def implies(self, other: "Alternative") -> bool:
        """Whether the other's condition is certainly true where this holds."""
        return other.exact and all(
            term in self.asked and self.asked[term].within(asked) for term, asked in other.asked.items()
        )


Alternatives: TypeAlias = tuple[Alternative, ...]  # none: the condition can never be true
ANYTHING: Alternatives = (Alternative(),)
ALWAYS: Alternatives = (Alternative(exact=True),)
NEVER: Alternatives = ()
