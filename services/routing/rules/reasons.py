"""Say in plain words why a rule matched, or why it did not. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from services.routing.rules.facts import ENVIRONMENT, label, look_up
from shared.conditions import Activation, Condition, Outcome
from shared.conditions.reading import Claim, Op, claim, parts

MAX_SAID_PARTS = 5
MAX_SAID_CHARACTERS = 80  # of one value or of the text of one part
_TAGS = "contact.tags"


@dataclass(frozen=True, slots=True)
class Part:
    """One of the conditions that a rule joins by ``&&``. ``claim`` is None where it is more than a simple one."""

    source: str
    claim: Claim | None


@lru_cache(maxsize=10_000)
def read(source: str) -> tuple[Part, ...]:
    """The parts of a condition, each read once."""
    return tuple(Part(each, claim(each)) for each in parts(source))


@lru_cache(maxsize=10_000)
def _compiled(part: str) -> Condition:
    return ENVIRONMENT.part(part)


def why(source: str, known: Mapping[str, Any]) -> str:
    """Why a condition that holds does: ``tier is enterprise, tagged payouts``."""
    said = [_held(part, known) for part in read(source)]
    more = len(said) - MAX_SAID_PARTS
    return ", ".join(said[:MAX_SAID_PARTS]) + (f" and {more} more" if more > 0 else "")


def why_not(source: str, known: Activation) -> str:
    """Why a condition that does not hold does not: what its first false part says."""
    for part in read(source):
        outcome = _compiled(part.source).evaluate(known)
        if not outcome.holds:
            return _not_held(part, outcome, known.values)
    return f"{_code(source)} does not hold"


def _held(part: Part, known: Mapping[str, Any]) -> str:
    said = part.claim
    if said is None:
        return "always" if part.source == "true" else f"{_code(part.source)} holds"
    name, value = label(said.field), said.values[0]
    match said.op:
        case Op.IS:
            return f"{name} is {_cut(str(value))}"
        case Op.IS_NOT:
            return f"{name} is not {_cut(str(value))}"
        case Op.HAS:
            return f"tagged {_cut(str(value))}" if said.field == _TAGS else f"{name} has {_cut(str(value))}"
        case Op.ONE_OF | Op.LESS | Op.AT_MOST | Op.MORE | Op.AT_LEAST:
            return f"{name} is {_cut(str(look_up(said.field, known)))}"
        case Op.STARTS | Op.ENDS | Op.CONTAINS:
            return f"{name} {_VERBS[said.op][0]} {_quote(value)}"


def _not_held(part: Part, outcome: Outcome, known: Mapping[str, Any]) -> str:
    said = part.claim
    if said is None:
        return f"{_code(part.source)}: {outcome.reason}" if outcome.reason else f"{_code(part.source)} does not hold"
    name, value = label(said.field), look_up(said.field, known)
    if value is None:
        return f"{name} is unknown"
    match said.op:
        case Op.IS:
            return f"{name} is {_quote(value)}, not {_quote(said.values[0])}"
        case Op.IS_NOT:
            return f"{name} is {_quote(value)}"
        case Op.HAS:
            it = "it is not tagged" if said.field == _TAGS else f"{name} does not have"
            return f"{it} {_quote(said.values[0])}"
        case Op.ONE_OF:
            return f"{name} is {_quote(value)}, not one of {_cut(', '.join(map(_quote, said.values)))}"
        case Op.LESS | Op.MORE:
            return f"{name} is {_quote(value)}, not {said.op} than {_quote(said.values[0])}"
        case Op.AT_MOST | Op.AT_LEAST:
            return f"{name} is {_quote(value)}, not {_quote(said.values[0])} or {_OR[said.op]}"
        case Op.STARTS | Op.ENDS | Op.CONTAINS:
            return f"{name} does not {_VERBS[said.op][1]} {_quote(said.values[0])}"


_OR = {Op.AT_MOST: "less", Op.AT_LEAST: "more"}
_VERBS = {
    Op.STARTS: ("starts with", "start with"),
    Op.ENDS: ("ends with", "end with"),
    Op.CONTAINS: ("contains", "contain"),
}


def _quote(value: Any) -> str:
    return f"'{_cut(value)}'" if isinstance(value, str) else _cut(str(value))


def _code(source: str) -> str:
    return f"`{_cut(' '.join(source.split()))}`"


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SAID_CHARACTERS else f"{text[: MAX_SAID_CHARACTERS - 1]}…"
