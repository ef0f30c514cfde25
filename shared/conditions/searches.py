"""Patterns that a condition needs to find in a text: looked for by RE2 itself, which keeps them compiled. Pure.

CEL's runtime is RE2 too, and compiles a pattern each time that it meets it, some 80 µs; searching a mail takes two.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import re2

from shared.conditions.patterns import is_quick
from shared.conditions.tree import Call, Constant, Name, Node

KEPT = 256  # compiled patterns, the latest used; each may take a megabyte for its states

_OPTIONS = re2.Options()
_OPTIONS.never_capture = True
_OPTIONS.log_errors = False


@dataclass(frozen=True, slots=True)
class Searches:
    """The variables and patterns of ``variable.matches('…')`` joined by &&, and whether that is all of a condition."""

    wanted: tuple[tuple[str, str], ...] = ()
    whole: bool = False

    def found(self, values: Mapping[str, Any]) -> bool | None:
        """Whether the condition holds, as far as these tell; None where the others decide, or a text is missing."""
        for variable, pattern in self.wanted:
            text = values.get(variable)
            if type(text) is not str:
                return None
            if not _search(pattern)(text):
                return False
        return True if self.whole else None


NO_SEARCHES = Searches()


def searches(node: Node) -> Searches:
    parts = list(_joined(node))
    wanted = tuple(found for part in parts if (found := _wanted(part)) is not None)
    return Searches(wanted, bool(wanted) and len(wanted) == len(parts))


def _joined(node: Node) -> Iterator[Node]:
    match node:
        case Call("_&&_", (left, right)):
            yield from _joined(left)
            yield from _joined(right)
        case _:
            yield node


def _wanted(part: Node) -> tuple[str, str] | None:
    match part:
        case Call("matches", (Name(variable), Constant(str() as pattern))) if is_quick(pattern) and _is_one(pattern):
            return variable, pattern
    return None


def _is_one(pattern: str) -> bool:
    try:
        _search(pattern)
    except re2.error:  # the runtime says what is wrong with it
        return False
    return True


@lru_cache(maxsize=KEPT)
def _search(pattern: str) -> Callable[[str], object]:
    made: Callable[[str], object] = re2.compile(pattern, _OPTIONS).search
    return made
