"""Rules: compile a ruleset, match a contact, explain why earlier rules did not match. Pure.

Conditions are CEL over the fields of ``facts``. A value that is unknown makes a condition false, with a reason.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from services.routing.model import Compiled, ContactFacts, Earlier, Match, Rule, WhyNot
from services.routing.rules import hand_off
from services.routing.rules.facts import ENVIRONMENT, INTEGERS, inputs, values
from services.routing.rules.index import MAX_SEARCHED, Index, has_words, searched
from services.routing.rules.reasons import why, why_not
from services.routing.rules.steps import Steps, at_once
from services.routing.spec import RulesetSpec
from shared.conditions import Activation, ConditionError
from shared.conditions.necessary import necessary
from shared.conditions.reading import Place
from shared.contracts.envelope import Because

MAX_PROBLEMS = 50  # named in one answer; none is looked for beyond
MAX_WORK = 25_000_000  # of all conditions of a ruleset on one contact at worst, about in nanoseconds
FOUND_FIRST = 6  # such a part of their work counts of rules that are evaluated only where a word of theirs is found
MAX_EXPLAINED = 20  # earlier rules explained; the others are counted


@dataclass(frozen=True, slots=True)
class RuleProblem:
    """Why a rule cannot be used: its id, what is wrong and what to do, and where in its condition.

    ``place`` has ``line`` and ``column`` (from 1) and ``shown``, the line with a caret below; empty where it is no one
    place.
    """

    rule: str
    problem: str
    place: Mapping[str, str] = field(default_factory=dict)


class RulesetError(ValueError):
    """A ruleset that cannot be used, with everything that is wrong with it (``MAX_PROBLEMS`` at most)."""

    def __init__(self, problems: tuple[RuleProblem, ...]) -> None:
        super().__init__("; ".join(f"rule {each.rule!r}: {each.problem}" for each in problems))
        self.problems = problems


def compile(version: int, spec: RulesetSpec) -> Compiled:
    """Raises ``RulesetError``."""
    return at_once(compiling(version, spec))


def compiling(version: int, spec: RulesetSpec, accepted: bool = False) -> Steps[Compiled]:
    """``compile`` in steps: a rule, then a value or a pattern of the index, at a time.

    ``accepted``: it is stored, so its conditions were checked when it came in.
    """
    made: list[Rule] = []
    problems: list[RuleProblem] = []
    for rule in spec.rules:
        try:
            condition = ENVIRONMENT.accepted(rule.when) if accepted else ENVIRONMENT.compile(rule.when)
            yield
            asks = necessary(condition.tree(), INTEGERS)
            made.append(Rule(rule, condition, condition.digest(), asks))
        except ConditionError as wrong:
            problems.append(RuleProblem(rule.id, str(wrong), _place(rule.when, wrong.place)))
        yield
        if len(problems) == MAX_PROBLEMS:
            break
    moving, refused = yield from hand_off.compiling(spec, accepted)
    problems += [RuleProblem(rule.id, str(wrong), _place(rule.when, wrong.place)) for rule, wrong in refused]
    if problems:
        while made:  # also to free a thousand rules takes long
            made.pop()
            yield
        raise RulesetError(tuple(problems[:MAX_PROBLEMS]))
    index = yield from Index.of([rule.asks for rule in made], ENVIRONMENT)
    return Compiled(version, made, spec.fallback, index.candidates, moving)


def check_work(compiled: Compiled) -> None:
    """Raises ``RulesetError`` where one contact could hold everybody up, naming the rules that take the most."""
    heavy = max(compiled.hand_off, key=lambda rule: rule.condition.work, default=None)
    if heavy is not None and sum(rule.condition.work for rule in compiled.hand_off) > MAX_WORK:
        problem = "all hand-off rules together could take more work than one activity may; this one takes the most"
        raise RulesetError((RuleProblem(heavy.spec.id, f"{problem}. Use fewer patterns."),))
    # By id: the error keeps this frame, and a frame that keeps the rules has them freed all at once with it.
    counted = list(zip(_counted(compiled.rules), (rule.spec.id for rule in compiled.rules), strict=True))
    total = sum(work for work, _ in counted)
    if total <= MAX_WORK:
        return
    heaviest = sorted(counted, key=lambda each: -each[0])[:3]
    problem = (
        f"all rules together could take {total / MAX_WORK:.1f} times the work that one contact may;"
        f" this one takes {{share:.0%}} of it. Test the subject instead of the body, or use fewer patterns."
    )
    raise RulesetError(tuple(RuleProblem(rule, problem.format(share=work / total)) for work, rule in heaviest))


def _counted(rules: Sequence[Rule]) -> Iterator[int]:
    """A text that is slow to search has one letter nearly everywhere, so little room for the words of many rules.

    Words beyond those that the index looks for are no help: their rules are evaluated whatever the text is.
    """
    room = MAX_SEARCHED  # the index has as much for each field, and counts what two rules look for once
    for rule in rules:
        room -= searched(rule.asks)
        yield rule.condition.work // FOUND_FIRST if room >= 0 and has_words(rule.asks) else rule.condition.work


def _place(source: str, place: Place | None) -> dict[str, str]:
    if place is None:
        return {}
    return {"line": str(place.line), "column": str(place.column), "shown": place.shown(source)}


@dataclass(frozen=True, slots=True)
class Choice:
    """What rules say of one contact: the first that matches (None: the fallback), and tags from all that do.

    ``matched``: those of the rules asked ``about`` that match too.
    """

    first: Rule | None
    tags: tuple[str, ...]
    matched: tuple[Rule, ...] = ()


def choose(compiled: Compiled, known: Activation, about: Collection[str] = ()) -> Choice:
    """Decide about a contact's values. ``about``: ids of rules that are evaluated though it changes nothing."""
    first: Rule | None = None
    tags: dict[str, None] = {}
    matched: list[Rule] = []
    for place in compiled.candidates(known):
        rule = compiled.rules[place]
        then = rule.spec.then
        asked = bool(about) and rule.spec.id in about
        if (first is not None and not then.tags and not asked) or not rule.condition.evaluate(known).holds:
            continue
        first = first or rule
        tags.update(dict.fromkeys(then.tags))
        if asked:
            matched.append(rule)
    return Choice(first, tuple(tags), tuple(matched))


def match(compiled: Compiled, facts: ContactFacts) -> Match:
    """The first rule that matches sets all but the tags, which come from every one that does; else the fallback."""
    known = values(facts)
    choice = choose(compiled, ENVIRONMENT.activation(known))
    fallback, first = compiled.fallback, choice.first
    if first is None:
        text = f"No rule matched, so the fallback applies: {fallback.team}"
        because = Because(text=text, facts={"ruleset_version": compiled.version, "rule": None, "inputs": {}})
        return Match(None, fallback.team, fallback.priority, (), because)
    because = Because(
        text=f"{first.spec.id}: {why(first.spec.when, known)}",
        facts={
            "ruleset_version": compiled.version,
            "rule": first.spec.id,
            "inputs": inputs(first.condition.reads, known),
        },
    )
    then = first.spec.then
    priority = then.priority or fallback.priority
    return Match(first.spec.id, then.team, priority, choice.tags, because, then.skills, then.language)


def explain(compiled: Compiled, facts: ContactFacts) -> Earlier:
    """Why each rule before the one that matches did not: the first ``MAX_EXPLAINED``, and a count of the others."""
    return at_once(explaining(compiled, facts))


def explaining(compiled: Compiled, facts: ContactFacts) -> Steps[Earlier]:
    """``explain`` in steps: a rule at a time."""
    known = ENVIRONMENT.activation(values(facts))
    said: list[WhyNot] = []
    more = 0
    for rule in compiled.rules:
        if rule.condition.evaluate(known).holds:
            break
        yield
        if len(said) < MAX_EXPLAINED:
            said.append(WhyNot(rule.spec.id, why_not(rule.spec.when, known)))
            yield
        else:
            more += 1
    return Earlier(tuple(said), more)
