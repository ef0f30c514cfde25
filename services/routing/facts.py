"""What a rule may read of a contact: one line a field, and the values of one contact, bounded. Pure.

To add a field that rules can test, add a line to ``FIELDS``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from services.routing.model import ContactFacts
from services.routing.work import BODY_CHARACTERS, LIST_ITEMS, TEXT_CHARACTERS
from shared.conditions import ATTRIBUTES, STRING, STRINGS, TIMESTAMP, Environment

MAX_DEPTH = 8  # of attributes within attributes; what is deeper is unknown to rules
MAX_INPUT_CHARACTERS = 200  # of one value in a because
_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class Field:
    """``private``: identity or text of the customer, which is never copied into a because."""

    name: str
    type: Any
    label: str
    take: Callable[[ContactFacts], Any]
    private: bool = False


FIELDS = (
    Field("contact.channel", STRING, "channel", lambda c: c.channel.value),
    Field("contact.source", STRING, "source", lambda c: _text(c.source)),
    Field("contact.subject", STRING, "subject", lambda c: _text(c.subject), private=True),
    Field("contact.body", STRING, "body", lambda c: _text(c.body, BODY_CHARACTERS), private=True),
    Field("contact.language", STRING, "language", lambda c: _text(c.language)),
    Field("contact.reason", STRING, "reason", lambda c: _text(c.reason)),
    Field("contact.tags", STRINGS, "tags", lambda c: [_text(tag) for tag in c.tags[:LIST_ITEMS]]),
    Field("contact.attributes", ATTRIBUTES, "attributes", lambda c: _bounded(c.attributes, MAX_DEPTH)),
    Field("contact.url", STRING, "url", lambda c: _text(c.url), private=True),
    Field("contact.customer.id", STRING, "customer id", lambda c: _text(c.customer.id), private=True),
    Field("contact.customer.email", STRING, "customer email", lambda c: _text(c.customer.email), private=True),
    Field("contact.customer.phone", STRING, "customer phone", lambda c: _text(c.customer.phone), private=True),
    Field("contact.customer.name", STRING, "customer name", lambda c: _text(c.customer.name), private=True),
    Field("contact.customer.tier", STRING, "tier", lambda c: _text(c.customer.tier)),
    Field("contact.customer.country", STRING, "country", lambda c: _text(c.customer.country)),
    Field("case.number", STRING, "case number", lambda c: _text(c.number)),
    Field("at", TIMESTAMP, "time", lambda c: c.at),
)
BY_NAME: Mapping[str, Field] = {field.name: field for field in FIELDS}
ENVIRONMENT = Environment({field.name: field.type for field in FIELDS})
_IN_ATTRIBUTES = "contact.attributes."


def values(facts: ContactFacts) -> dict[str, Any]:
    """Every field's value, None where it is unknown."""
    return {field.name: field.take(facts) for field in FIELDS}


def label(path: str) -> str:
    """What people call a field: ``tier`` for ``contact.customer.tier``."""
    known = BY_NAME.get(path)
    return known.label if known else path.removeprefix(_IN_ATTRIBUTES)


def look_up(path: str, known: Mapping[str, Any]) -> Any:
    """The value at a path such as ``contact.attributes.product``, None where it is unknown."""
    if path in known:
        return known[path]
    value = known.get("contact.attributes")
    for key in path.removeprefix(_IN_ATTRIBUTES).split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def inputs(paths: tuple[str, ...], known: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a rule read, for a because: short ones, and none that is private."""
    read: dict[str, Any] = {}
    for path in paths:
        value = look_up(path, known)
        if path == "at":
            read[path] = value.isoformat()
        elif not (path in BY_NAME and BY_NAME[path].private) and _short(value):
            read[path] = value
    return read


def _short(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) <= 20 and all(isinstance(item, str) and _short(item) for item in value)
    return isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= MAX_INPUT_CHARACTERS)


def _text(value: str | None, limit: int = TEXT_CHARACTERS) -> str | None:
    """Cut to its limit; half of a surrogate pair, which no CEL text can hold, becomes a question mark."""
    if value is None:
        return None
    value = value[:limit]
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def _bounded(value: Any, depth: int) -> Any:
    """JSON as CEL can hold it: integers of 64 bits, bounded lists, maps, texts and depth."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return value if value in _INT64 else float(min(max(value, -(10**300)), 10**300))
    if depth == 0:
        return None
    if isinstance(value, Mapping):
        return {_text(str(key)): _bounded(item, depth - 1) for key, item in list(value.items())[:LIST_ITEMS]}
    return [_bounded(item, depth - 1) for item in value[:LIST_ITEMS]]
