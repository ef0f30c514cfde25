"""The rule lab: try rules on contacts without touching a case. Pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from services.routing import rules
from services.routing.model import Compiled, ContactFacts, Earlier, Match

MAX_EXAMPLES = 3  # of one pair of teams


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a ruleset says of one contact, and why the rules before the one that matched did not."""

    match: Match
    earlier: Earlier


@dataclass(frozen=True, slots=True)
class Example:
    """A case that moves; rules are None for the fallback."""

    case_id: UUID
    number: str | None
    rule_before: str | None
    rule_after: str | None


@dataclass(frozen=True, slots=True)
class Move:
    """Cases that one ruleset gives to ``before`` and the other to ``after``."""

    before: str
    after: str
    cases: int
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class Moves:
    """What a change of rules does to contacts. ``moves`` has the largest first."""

    cases: int
    moved: int
    priority_changed: int  # with the team they had
    to_fallback_before: int
    to_fallback_after: int
    moves: tuple[Move, ...]


def evaluate(compiled: Compiled, facts: ContactFacts) -> Evaluation:
    return Evaluation(rules.match(compiled, facts), rules.explain(compiled, facts))


@dataclass(slots=True)
class Comparison:
    """Two rulesets side by side, one contact at a time, so that a caller can give way in between."""

    before: Compiled
    after: Compiled
    _cases: int = 0
    _priority_changed: int = 0
    _fallbacks: Counter[str] = field(default_factory=Counter)
    _moves: Counter[tuple[str, str]] = field(default_factory=Counter)
    _examples: dict[tuple[str, str], list[Example]] = field(default_factory=dict)

    def add(self, case_id: UUID, facts: ContactFacts) -> None:
        was, will = rules.match(self.before, facts), rules.match(self.after, facts)
        self._cases += 1
        self._fallbacks["before"] += was.rule is None
        self._fallbacks["after"] += will.rule is None
        if was.team == will.team:
            self._priority_changed += was.priority != will.priority
            return
        teams = (was.team, will.team)
        self._moves[teams] += 1
        examples = self._examples.setdefault(teams, [])
        if len(examples) < MAX_EXAMPLES:
            examples.append(Example(case_id, facts.number, was.rule, will.rule))

    def result(self) -> Moves:
        largest = sorted(self._moves.items(), key=lambda item: (-item[1], item[0]))
        return Moves(
            cases=self._cases,
            moved=sum(self._moves.values()),
            priority_changed=self._priority_changed,
            to_fallback_before=self._fallbacks["before"],
            to_fallback_after=self._fallbacks["after"],
            moves=tuple(Move(*teams, count, tuple(self._examples[teams])) for teams, count in largest),
        )


def compare(before: Compiled, after: Compiled, contacts: Iterable[tuple[UUID, ContactFacts]]) -> Moves:
    """How many of the contacts would go elsewhere, from which team to which."""
    comparison = Comparison(before, after)
    for case_id, facts in contacts:
        comparison.add(case_id, facts)
    return comparison.result()
