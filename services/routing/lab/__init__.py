"""The rule lab: try rules on contacts without touching a case. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from services.routing import rules
from services.routing.model import Compiled, ContactFacts, Earlier, Match
from services.routing.rules.steps import Steps
from services.routing.spec import Expect, Given, RulesetSpec


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a ruleset says of one contact, and why the rules before the one that matched did not."""

    match: Match
    earlier: Earlier


def evaluating(compiled: Compiled, facts: ContactFacts) -> Steps[Evaluation]:
    """In steps: what a contact takes when it is routed, then a rule at a time."""
    match = rules.match(compiled, facts)
    yield
    return Evaluation(match, (yield from rules.explaining(compiled, facts)))


def facts_of(given: Given, at: datetime) -> ContactFacts:
    described = given.model_dump(exclude={"case_id", "at", "occurred_at", "external_id", "thread", "ruleset"})
    return ContactFacts.model_validate({**described, "at": at})


@dataclass(frozen=True, slots=True)
class Tested:
    """How one test of a ruleset ended. ``wrong`` says what differs, one sentence each; empty where it passed."""

    name: str
    wrong: tuple[str, ...]
    match: Match


def run_tests(spec: RulesetSpec, compiled: Compiled, now: datetime) -> Iterator[Tested]:
    """The tests of a ruleset, one at a time, so that a caller can give way in between."""
    for test in spec.tests:
        found = rules.match(compiled, facts_of(test.given, test.at or test.given.occurred_at or now))
        yield Tested(test.name, tuple(_wrong(test.expect, found)), found)


def _wrong(expect: Expect, found: Match) -> Iterator[str]:
    got = {"team": found.team, "priority": found.priority, "tags": frozenset(found.tags), "rule": found.rule}
    for name, value in expect.model_dump(mode="python").items():
        wanted = frozenset(value or ()) if name == "tags" else value
        if wanted != got[name]:
            yield f"{name} is {_said(got[name])}, not {_said(wanted)}; {found.because.text}"


def _said(value: object) -> str:
    if value is None:
        return "the fallback"
    return f"[{', '.join(sorted(value))}]" if isinstance(value, frozenset) else str(value)
