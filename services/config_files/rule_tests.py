"""The tests of a ruleset: given this contact, expect that team. Run here, by the rules themselves."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from services.config_files.documents import Document
from services.config_files.kinds import TESTS
from services.routing import rules
from services.routing.model import Compiled, ContactFacts, Match, Person

LOOKS: Mapping[str, Callable[[Match], Any]] = {
    "team": lambda match: match.team,
    "priority": lambda match: match.priority.value,
    "tags": lambda match: sorted(match.tags),
    "rule": lambda match: match.rule,
}
UNREAD = {"external_id", "thread", "occurred_at"}  # of a contact, and nothing to rules
GIVEN = (set(ContactFacts.model_fields) - {"at", "number", "erased"}) | UNREAD


@dataclass(frozen=True, slots=True)
class TestResult:
    """One expectation; ``wrong`` is empty where it holds."""

    __test__ = False

    name: str
    wrong: str
    line: int


def run_tests(document: Document, compiled: Compiled, now: datetime) -> Iterator[TestResult]:
    written = document.body.get(TESTS) or []
    for place, each in enumerate(written if isinstance(written, list) else [written]):
        name = str(each.get("name", place + 1)) if isinstance(each, Mapping) else str(place + 1)
        yield TestResult(name, _wrong(each, compiled, now), document.line([TESTS, place]))


def _wrong(test: Any, compiled: Compiled, now: datetime) -> str:
    """What is wrong: with the test as it is written, or with what the rules say."""
    if not isinstance(test, Mapping) or not isinstance(test.get("given"), Mapping):
        return "write given: {channel: …} and expect: {team: …}"
    if unknown := sorted(set(test) - {"name", "given", "at", "expect"}):
        return f"there is no field {unknown[0]}; write name, given, at, expect"
    expected, given = test.get("expect"), test["given"]
    if not isinstance(expected, Mapping) or not expected or set(expected) - set(LOOKS):
        return f"expect: write some of {', '.join(LOOKS)}"
    customer = given.get("customer", {})
    unknown = sorted(set(given) - GIVEN) + sorted(set(customer) - set(Person.model_fields))
    if unknown:
        return f"given: a contact has no field {unknown[0]}; correct its name"
    try:
        at = test.get("at") or given.get("occurred_at") or now
        facts = ContactFacts.model_validate({"channel": None, **given, "at": at})
    except ValidationError as wrong:
        first = wrong.errors()[0]
        return f"given.{'.'.join(map(str, first['loc']))}: {first['msg'].removeprefix('Value error, ')}"
    found = rules.match(compiled, facts)
    said = []
    for name, wanted in expected.items():
        got = LOOKS[name](found)
        if got != (sorted(wanted) if isinstance(wanted, list) else wanted):
            said.append(f"{name} is {got}, not {wanted}")
    return f"{'; '.join(said)} ({found.because.text})" if said else ""
