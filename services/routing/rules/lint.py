"""What is certainly odd about a ruleset: rules that cannot match, are never reached, or match everything. Pure.

Only what follows from what conditions ask (``shared.conditions.asked``) is said, so nothing is said in error; what
cannot be read from a condition is left alone.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from services.routing.model import Compiled, Rule
from services.routing.rules.facts import DOMAINS
from services.routing.rules.steps import Steps
from shared.conditions.asked import Alternative, Alternatives, Asked
from shared.conditions.tree import Name, Node

_DOMAINS: dict[Node, Asked] = {
    Name(path): Asked(one_of=frozenset(("text", value) for value in known)) for path, known in DOMAINS.items()
}
COMPARED_AT_ONCE = 10  # earlier alternatives
MAX_NAMED = 3  # rules that together leave nothing for a later one


class Kind(StrEnum):
    CONTRADICTORY = "contradictory"
    DUPLICATE = "duplicate"
    UNREACHABLE = "unreachable"
    OVER_BROAD = "over-broad"
    UNKNOWN_TEAM = "unknown-team"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about one rule: what, what to do, and which other rules have to do with it."""

    rule: str
    kind: Kind
    text: str
    action: str
    others: tuple[str, ...] = ()


def lint(compiled: Compiled, teams: Collection[str]) -> Iterator[Finding | None]:
    """In the order of the rules; None wherever a caller can give way."""
    earlier = _Earlier()
    for rule in compiled.rules:
        yield (yield from _condition(rule, earlier))
        if rule.spec.then.team not in teams:
            text = f"There is no team {rule.spec.then.team} any more"
            yield Finding(rule.spec.id, Kind.UNKNOWN_TEAM, text, "Make it with PUT /v1/teams, or name another")
        earlier.add(rule)


def _condition(rule: Rule, earlier: "_Earlier") -> Steps[Finding | None]:
    name, tags = rule.spec.id, bool(rule.spec.then.tags)
    if not rule.asks:
        text = "It can never match: what it asks excludes itself"
        return Finding(name, Kind.CONTRADICTORY, text, "Join the parts by ||, or remove the rule")
    possible = _possible(rule.asks)
    if not possible:
        values = "; ".join(f"{path}: {', '.join(known)}" for path, known in DOMAINS.items())
        text = "It can never match: no contact has such a value"
        return Finding(name, Kind.CONTRADICTORY, text, f"Use one of the values there are ({values})")
    keeps = "; its tags still apply" if tags else ""
    same = earlier.same.get(rule.digest)
    if same is not None:
        does = " and does the same" if same.spec.then == rule.spec.then else ""
        text = f"It has the condition of {same.spec.id}{does}, which comes first{keeps}"
        return Finding(name, Kind.DUPLICATE, text, "Remove one of the two", (same.spec.id,))
    before = yield from earlier.covering(possible)
    if before:
        text = f"It never decides: whatever it matches, {' or '.join(before)} matches first{keeps}"
        return Finding(name, Kind.UNREACHABLE, text, "Move it up, or remove it", before)
    return _breadth(rule)


def _breadth(rule: Rule) -> Finding | None:
    name = rule.spec.id
    if any(each.exact and not each.asked for each in rule.asks):
        text = "It matches every contact, so no later rule decides, and the fallback never applies"
        return Finding(name, Kind.OVER_BROAD, text, "Put its team into the fallback, or ask for something")
    if any(each.exact and all(map(_only_excludes, each.asked.values())) for each in rule.asks):
        text = "It only says what a contact is not, so it matches nearly everything"
        return Finding(name, Kind.OVER_BROAD, text, "Say also what it is for, or move it to the end")
    return None


def _only_excludes(asked: Asked) -> bool:
    return asked == Asked(none_of=asked.none_of)


def _possible(asks: Alternatives) -> Alternatives:
    """The alternatives that a value which exists can meet."""
    return tuple(each for each in asks if each & _domains_of(each) is not None)


def _domains_of(alternative: Alternative) -> Alternative:
    known = {term: _DOMAINS[term] for term in alternative.asked if term in _DOMAINS}
    return Alternative(known)


@dataclass(slots=True)
class _Earlier:
    """The rules before the one at hand: by condition, and their exact alternatives by one of the terms asked."""

    same: dict[bytes, Rule] = field(default_factory=dict)
    _exact: dict[Node | None, list[tuple[str, Alternative]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, rule: Rule) -> None:
        self.same.setdefault(rule.digest, rule)
        for each in rule.asks:
            if each.exact:
                self._exact[next(iter(each.asked), None)].append((rule.spec.id, each))

    def covering(self, asks: Alternatives) -> Steps[tuple[str, ...]]:
        """Rules of which one certainly matches where any of the alternatives holds; none where that is not certain."""
        found: dict[str, None] = {}
        for each in asks:
            name = yield from self._implied(each)
            if name is None:
                return ()
            found[name] = None
        return tuple(found) if len(found) <= MAX_NAMED else ()

    def _implied(self, alternative: Alternative) -> Steps[str | None]:
        for term in (None, *alternative.asked):
            for place, (name, other) in enumerate(self._exact.get(term, ())):
                if alternative.implies(other):
                    return name
                if place % COMPARED_AT_ONCE == COMPARED_AT_ONCE - 1:
                    yield
        return None
