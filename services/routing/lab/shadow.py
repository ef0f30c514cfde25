"""A shadow: what a version would have done with the cases that the active one placed, counted one by one. Pure.

Both are computed from what the rules saw of the contact, which is stored, so the live decision is not touched.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from services.routing import rules
from services.routing.lab.backtest import together
from services.routing.model import Compiled, ContactFacts, Rule
from services.routing.rules.facts import ENVIRONMENT, values
from services.routing.rules.steps import Steps
from shared.conditions import Activation

MAX_EXAMPLES = 3  # of one pair of teams
MAX_PAIRS = 200  # of teams, and of rules; cases of further ones are counted together
MAX_FAILURES = 3  # said in words


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True)


class Outcome(_Value):
    """What one version says. ``rule`` is null for the fallback."""

    team: str
    rule: str | None
    priority: str
    tags: tuple[str, ...] = ()
    skills: tuple[str, ...] = ()
    language: str | None = None


class Differing(_Value):
    """A case that the two versions place differently."""

    case_id: UUID
    number: str | None
    active: Outcome
    shadow: Outcome


class Difference(_Value):
    """Cases that the active version gives to one team and the shadow to another; to the same, where it is the
    priority, tags or needs that differ."""

    active: str
    shadow: str
    cases: int
    examples: tuple[Differing, ...]


class ByRule(_Value):
    """Differing cases by the rules that decide them; null for the fallback."""

    active: str | None
    shadow: str | None
    cases: int


class ShadowReport(_Value):
    """``cases`` were compared and ``differing`` of them differ: in team (``moved``), else in priority, tags or needs.

    ``failed``: the shadow could not decide them. ``skipped``: more came than there was time for. ``unknown``: erased
    before they were compared. Pairs have the largest first; ``further`` differing cases are in none of those listed.
    """

    cases: int = 0
    differing: int = 0
    moved: int = 0
    priority_changed: int = 0
    tags_changed: int = 0
    needs_changed: int = 0
    to_fallback_active: int = 0
    to_fallback_shadow: int = 0
    failed: int = 0
    failures: tuple[str, ...] = ()
    skipped: int = 0
    unknown: int = 0
    differences: tuple[Difference, ...] = ()
    by_rule: tuple[ByRule, ...] = ()
    further: int = 0


COUNTED = [name for name, each in ShadowReport.model_fields.items() if each.annotation is int]


@dataclass(frozen=True, slots=True)
class Pair:
    """The two versions, which look up their candidates once for both."""

    active: Compiled
    shadow: Compiled

    @classmethod
    def of(cls, active: Compiled, shadow: Compiled) -> Steps[Self]:
        return cls(*(yield from together(active, shadow)))

    def decide(self, facts: ContactFacts) -> tuple[Outcome, Outcome]:
        known = ENVIRONMENT.activation(values(facts))
        return _outcome(self.active, known), _outcome(self.shadow, known)


@dataclass(slots=True)
class Tally:
    """Goes on from a report: ``compare`` case by case, ``report`` at the end."""

    pair: Pair
    counts: Counter[str] = field(default_factory=Counter)
    _failures: list[str] = field(default_factory=list)
    _teams: Counter[tuple[str, str]] = field(default_factory=Counter)
    _examples: dict[tuple[str, str], list[Differing]] = field(default_factory=dict)
    _rules: Counter[tuple[str | None, str | None]] = field(default_factory=Counter)

    @classmethod
    def of(cls, pair: Pair, before: ShadowReport) -> "Tally":
        made = cls(pair, Counter({name: getattr(before, name) for name in COUNTED}), list(before.failures))
        for each in before.differences:
            made._teams[each.active, each.shadow] = each.cases
            made._examples[each.active, each.shadow] = list(each.examples)
        made._rules.update({(each.active, each.shadow): each.cases for each in before.by_rule})
        return made

    def compare(self, case_id: UUID, facts: ContactFacts | None) -> None:
        if facts is None or facts.erased:
            self.counts["unknown"] += 1
            return
        try:
            active, shadow = self.pair.decide(facts)
        except Exception as wrong:  # whatever a shadow does wrong is counted, and nothing else comes of it
            self.counts["failed"] += 1
            if len(self._failures) < MAX_FAILURES:
                self._failures.append(f"{type(wrong).__name__}: {wrong}"[:300])
            return
        self.counts["cases"] += 1
        self.counts["to_fallback_active"] += active.rule is None
        self.counts["to_fallback_shadow"] += shadow.rule is None
        if changed := _changed(active, shadow):
            self.counts["differing"] += 1
            self.counts[changed] += 1
            self._differ(Differing(case_id=case_id, number=facts.number, active=active, shadow=shadow))

    def _differ(self, case: Differing) -> None:
        teams, by_rule = (case.active.team, case.shadow.team), (case.active.rule, case.shadow.rule)
        if by_rule in self._rules or len(self._rules) < MAX_PAIRS:
            self._rules[by_rule] += 1
        if teams not in self._teams and len(self._teams) >= MAX_PAIRS:
            self.counts["further"] += 1
            return
        self._teams[teams] += 1
        examples = self._examples.setdefault(teams, [])
        if len(examples) < MAX_EXAMPLES:
            examples.append(case)

    def report(self) -> ShadowReport:
        teams = sorted(self._teams.items(), key=lambda item: (-item[1], item[0]))
        by_rule = sorted(self._rules.items(), key=lambda item: (-item[1], item[0][0] or "", item[0][1] or ""))
        return ShadowReport(
            **{name: self.counts[name] for name in COUNTED},
            failures=tuple(self._failures),
            differences=tuple(
                Difference(active=active, shadow=shadow, cases=cases, examples=tuple(self._examples[active, shadow]))
                for (active, shadow), cases in teams
            ),
            by_rule=tuple(ByRule(active=active, shadow=shadow, cases=cases) for (active, shadow), cases in by_rule),
        )


def _changed(active: Outcome, shadow: Outcome) -> str | None:
    """Which count of the report a case is one of; None where nothing differs. Tags are a set."""
    if active.team != shadow.team:
        return "moved"
    if active.priority != shadow.priority:
        return "priority_changed"
    if set(active.tags) != set(shadow.tags):
        return "tags_changed"
    if (set(active.skills), active.language) != (set(shadow.skills), shadow.language):
        return "needs_changed"
    return None


def _outcome(compiled: Compiled, known: Activation) -> Outcome:
    choice = rules.choose(compiled, known)
    first: Rule | None = choice.first
    if first is None:
        fallback = compiled.fallback
        return Outcome(team=fallback.team, rule=None, priority=fallback.priority.value)
    then = first.spec.then
    return Outcome(
        team=then.team, rule=first.spec.id, priority=(then.priority or compiled.fallback.priority).value,
        tags=choice.tags, skills=then.skills, language=then.language,
    )  # fmt: skip
