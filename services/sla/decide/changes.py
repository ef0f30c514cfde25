"""What differs between two versions of a configured document, field by field. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MISSING = object()  # the field is not there: other than null


@dataclass(frozen=True, slots=True)
class Change:
    """One field that differs: ``targets.first_reply.within``. Lists without names are compared whole."""

    path: str
    before: Any  # MISSING: it was added
    after: Any  # MISSING: it was removed


def changes(before: Any, after: Any, path: str = "") -> list[Change]:
    """Every field that differs, by path."""
    before, after = _named(before), _named(after)
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        found: list[Change] = []
        for key in sorted(before.keys() | after.keys()):
            inner = f"{path}.{key}" if path else str(key)
            found += changes(before.get(key, MISSING), after.get(key, MISSING), inner)
        return found
    return [] if before is not MISSING and after is not MISSING and before == after else [Change(path, before, after)]


def _named(value: Any) -> Any:
    """Targets by their metric, so that their order does not matter."""
    if isinstance(value, list) and value and all(isinstance(each, Mapping) and "metric" in each for each in value):
        return {each["metric"]: {k: v for k, v in each.items() if k != "metric"} for each in value}
    return value
