"""Two rulesets side by side over stored contacts, one by one: who moves, what never matches, load, breaches. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from services.routing import rules
from services.routing.lab.forecast import LEVEL, Cell, Seen, forecast
from services.routing.lab.load import Load, Loads
from services.routing.model import Compiled, Rule
from services.routing.rules.facts import ENVIRONMENT
from services.routing.rules.index import Index
from services.routing.rules.steps import Steps, at_once
from shared.conditions import Activation, Condition, Outcome

MAX_EXAMPLES = 3  # of one pair of teams
BUSIER = 1.2  # times the busiest hour that a team has had: beyond what its history can tell


@dataclass(frozen=True, slots=True)
class Past:
    """A stored contact (the values of its fields) and what became of its case.

    ``breached`` is None where no promise on it has ended yet.
    """

    case_id: UUID
    known: Mapping[str, Any]
    team: str | None = None
    priority: str | None = None
    breached: bool | None = None


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class Example(_Value):
    """A case that moves; rules are null for the fallback."""

    case_id: UUID
    number: str | None
    rule_before: str | None
    rule_after: str | None


class Move(_Value):
    """Cases that one ruleset gives to ``before`` and the other to ``after``."""

    before: str
    after: str
    cases: int
    examples: list[Example]


class Unused(_Value):
    """A rule of the draft that decided no case. ``matched``: cases that it matched after all, and ``taken_by`` which
    earlier rules decided those; both empty where it never matched."""

    rule: str
    matched: int
    taken_by: list[str]


class Breaches(_Value):
    """The expected change in cases that break a promise, among the ``cases`` with a known outcome that get
    another team or priority.

    ``low`` to ``high`` is an interval of ``level``. ``thin``: teams and priorities with little history.
    ``beyond_history``: teams that would be busier than they ever were, of which the forecast knows nothing.
    """

    known: int
    cases: int
    before: int
    change: float
    low: float
    high: float
    level: float
    thin: list[str]
    beyond_history: list[str]
    text: str


class Report(_Value):
    """What a change of rules does to contacts. ``moves`` has the largest first.

    ``hours_from``: the first hour of the series in ``load``, which go up to the newest contact (31 days at most).
    """

    cases: int
    moved: int
    priority_changed: int  # with the team they had
    tags_changed: int
    to_fallback_before: int
    to_fallback_after: int
    moves: list[Move]
    never_matched: list[str]
    shadowed: list[Unused]
    hours_from: datetime | None
    load: list[Load]
    breaches: Breaches


@dataclass(slots=True)
class Comparison:
    """Counts as it goes; ``report`` at the end."""

    before: Compiled
    after: Compiled
    _cases: int = 0
    _counts: Counter[str] = field(default_factory=Counter)
    _moves: Counter[tuple[str, str]] = field(default_factory=Counter)
    _examples: dict[tuple[str, str], list[Example]] = field(default_factory=dict)
    _idle: set[str] = field(default_factory=set)  # rules of the draft that decided nothing so far
    _taken: dict[str, Counter[str]] = field(default_factory=dict)
    _loads: Loads = field(default_factory=Loads)
    _history: dict[Cell, list[int]] = field(default_factory=dict)
    _moved: dict[tuple[Cell, Cell], list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.before, self.after = at_once(together(self.before, self.after))
        self._idle = {rule.spec.id for rule in self.after.rules}

    def add(self, past: Past) -> None:
        known = ENVIRONMENT.activation(past.known)
        was = rules.choose(self.before, known)
        will = rules.choose(self.after, known, self._idle)
        team_before, priority_before = _placed(self.before, was.first)
        team_after, priority_after = _placed(self.after, will.first)
        self._cases += 1
        self._counts["fallback before"] += was.first is None
        self._counts["fallback after"] += will.first is None
        self._counts["tags"] += was.tags != will.tags
        self._loads.add(team_before, team_after, past.known["at"])
        self._use(will)
        here = (past.team or team_before, past.priority or priority_before)
        if past.breached is not None:
            _count(self._history.setdefault(here, [0, 0]), past.breached)
        if (team_before, priority_before) == (team_after, priority_after):
            return
        if past.breached is not None:
            _count(self._moved.setdefault((here, (team_after, priority_after)), [0, 0]), past.breached)
        if team_before == team_after:
            self._counts["priority"] += 1
            return
        self._moves[team_before, team_after] += 1
        examples = self._examples.setdefault((team_before, team_after), [])
        if len(examples) < MAX_EXAMPLES:
            rule_before, rule_after = _id(was.first), _id(will.first)
            number = past.known["case.number"]
            examples.append(
                Example(case_id=past.case_id, number=number, rule_before=rule_before, rule_after=rule_after)
            )

    def _use(self, will: rules.Choice) -> None:
        first = _id(will.first)
        if first is not None and first in self._idle:
            self._idle.discard(first)
            self._taken.pop(first, None)
        for rule in will.matched:
            if rule.spec.id != first:
                self._taken.setdefault(rule.spec.id, Counter())[first or ""] += 1

    def report(self) -> Report:
        largest = sorted(self._moves.items(), key=lambda item: (-item[1], item[0]))
        order = [rule.spec.id for rule in self.after.rules if rule.spec.id in self._idle]
        hours_from, load = self._loads.told()
        return Report(
            cases=self._cases,
            moved=sum(self._moves.values()),
            priority_changed=self._counts["priority"],
            tags_changed=self._counts["tags"],
            to_fallback_before=self._counts["fallback before"],
            to_fallback_after=self._counts["fallback after"],
            moves=[
                Move(before=was, after=will, cases=cases, examples=self._examples[was, will])
                for (was, will), cases in largest
            ],
            never_matched=[rule for rule in order if rule not in self._taken],
            shadowed=[
                Unused(
                    rule=rule,
                    matched=self._taken[rule].total(),
                    taken_by=[name for name, _ in self._taken[rule].most_common(MAX_EXAMPLES)],
                )
                for rule in order
                if rule in self._taken
            ],
            hours_from=hours_from,
            load=load,
            breaches=self._breaches(load),
        )

    def _breaches(self, load: list[Load]) -> Breaches:
        found = forecast(
            {cell: Seen(*counts) for cell, counts in self._history.items()},
            {pair: Seen(*counts) for pair, counts in self._moved.items()},
        )
        busier = [each.team for each in load if each.busiest_hour_after > BUSIER * max(1, each.busiest_hour_before)]
        text = "No case whose outcome is known would get another team or priority: nothing can be said of breaches"
        if found.cases:
            low, high = found.before + found.low, found.before + found.high
            text = (
                f"Of the {found.cases} cases with a known outcome that get another team or priority,"
                f" {found.before} broke a promise; with the draft {low:.0f} to {high:.0f} would"
                f" ({LEVEL:.0%} interval, {found.before + found.change:.0f} expected)"
            )
        return Breaches(
            known=sum(counts[0] for counts in self._history.values()), cases=found.cases, before=found.before,
            change=round(found.change, 2), low=round(found.low, 2), high=round(found.high, 2), level=LEVEL,
            thin=list(found.thin), beyond_history=busier, text=text,
        )  # fmt: skip


class _Once(Condition):
    """A condition of both rulesets, evaluated once a contact."""

    def __init__(self, condition: Condition) -> None:
        self._condition = condition
        self._last: tuple[Any, Outcome] = (None, Outcome(False))

    def evaluate(self, activation: Activation) -> Outcome:
        if self._last[0] is not activation:
            self._last = (activation, self._condition.evaluate(activation))
        return self._last[1]


def together(before: Compiled, after: Compiled) -> Steps[tuple[Compiled, Compiled]]:
    """The same two, which do once what they share: one index over the conditions of either, each evaluated once."""
    once: dict[bytes, Rule] = {}
    for rule in (*before.rules, *after.rules):
        if rule.digest not in once:
            once[rule.digest] = replace(rule, condition=_Once(rule.condition))
        yield
    numbers = {digest: number for number, digest in enumerate(once)}
    index = yield from Index.of([rule.asks for rule in once.values()], ENVIRONMENT)
    last: tuple[Any, Sequence[int]] = (None, ())

    def found(known: Activation) -> Sequence[int]:
        nonlocal last
        if last[0] is not known:
            last = (known, index.candidates(known))
        return last[1]

    def of(side: Compiled) -> Steps[Compiled]:
        places: dict[int, list[int]] = {}
        for place, rule in enumerate(side.rules):
            places.setdefault(numbers[rule.digest], []).append(place)
        yield

        def candidates(known: Activation) -> Sequence[int]:
            return sorted(place for number in found(known) for place in places.get(number, ()))

        shared: list[Rule] = []
        for rule in side.rules:
            shared.append(replace(rule, condition=once[rule.digest].condition))
            yield
        return replace(side, rules=shared, candidates=candidates)

    return (yield from of(before)), (yield from of(after))


def _count(counts: list[int], breached: bool) -> None:
    counts[0] += 1
    counts[1] += breached


def _id(rule: Rule | None) -> str | None:
    return rule.spec.id if rule else None


def _placed(compiled: Compiled, first: Rule | None) -> tuple[str, str]:
    if first is None:
        return compiled.fallback.team, compiled.fallback.priority.value
    return first.spec.then.team, (first.spec.then.priority or compiled.fallback.priority).value
