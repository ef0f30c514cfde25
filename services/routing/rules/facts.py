"""What a rule may read of a contact: one line a field, and the values of one contact. Pure.

To add a field that rules can test, add a line to ``FIELDS``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.routing.model import ContactFacts
from shared.conditions import ATTRIBUTES, INT, STRING, STRINGS, TIMESTAMP, Environment
from shared.contracts.words import Channel

MAX_INPUT_CHARACTERS = 200  # of one value in a because


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
    Field("contact.source", STRING, "source", lambda c: c.source),
    Field("contact.subject", STRING, "subject", lambda c: c.subject, private=True),
    Field("contact.body", STRING, "body", lambda c: c.body, private=True),
    Field("contact.language", STRING, "language", lambda c: c.language),
    Field("contact.reason", STRING, "reason", lambda c: c.reason),
    Field("contact.tags", STRINGS, "tags", lambda c: list(c.tags)),
    Field("contact.attributes", ATTRIBUTES, "attributes", lambda c: c.attributes),
    Field("contact.url", STRING, "url", lambda c: c.url, private=True),
    Field("contact.customer.id", STRING, "customer id", lambda c: c.customer.id, private=True),
    Field("contact.customer.email", STRING, "customer email", lambda c: c.customer.email, private=True),
    Field("contact.customer.phone", STRING, "customer phone", lambda c: c.customer.phone, private=True),
    Field("contact.customer.name", STRING, "customer name", lambda c: c.customer.name, private=True),
    Field("contact.customer.tier", STRING, "tier", lambda c: c.customer.tier),
    Field("contact.customer.country", STRING, "country", lambda c: c.customer.country),
    Field("contact.customer.contacts_24h", INT, "contacts in 24 hours", lambda c: c.customer.contacts_24h),
    Field("contact.customer.contacts_7d", INT, "contacts in 7 days", lambda c: c.customer.contacts_7d),
    Field("case.number", STRING, "case number", lambda c: c.number),
    Field("at", TIMESTAMP, "time", lambda c: c.at),
)
BY_NAME: Mapping[str, Field] = {field.name: field for field in FIELDS}
ENVIRONMENT = Environment({field.name: field.type for field in FIELDS})
INTEGERS = frozenset(field.name for field in FIELDS if field.type == INT)
DOMAINS = {"contact.channel": tuple(channel.value for channel in Channel)}  # the only values there are
_IN_ATTRIBUTES = "contact.attributes."


def values(facts: ContactFacts) -> dict[str, Any]:
    """Every field's value, None where it is unknown."""
    return {field.name: field.take(facts) for field in FIELDS}


_IN_CUSTOMER = "contact.customer."
_STORED = tuple((field.name, field.name.startswith(_IN_CUSTOMER), field.name.rpartition(".")[2]) for field in FIELDS)


def stored(facts: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    """``values`` of a contact as it is stored, in JSON: for very many of them."""
    customer = facts["customer"]
    known = {name: (customer if of_customer else facts).get(key) for name, of_customer, key in _STORED}
    known["at"] = at
    return known


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
