"""Patterns that a condition needs to find in a text: looked for by RE2 itself, which keeps them compiled. Pure.

CEL's runtime is RE2 too, and compiles a pattern each time that it meets it, some 80 µs; looking through a mail takes
ten. A set of one pattern says whether it is found and nothing more: where, would take four times as long.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import re2

from shared.conditions.patterns import is_quick
from shared.conditions.tree import Call, Constant, Name, Node

_OPTIONS = re2.Options()
_OPTIONS.never_capture = True
_OPTIONS.log_errors = False
_Search: TypeAlias = Callable[[str], list[int] | None]  # places of what is found
_WANTED, _PROBE = 0, 1  # places in a set; the probe is found in the empty text, if the set works at all


@dataclass(frozen=True, slots=True)
class Searches:
    """What ``variable.matches('…')``, joined by &&, looks for in which variable, and whether that is all of it."""

    wanted: tuple[tuple[str, _Search], ...] = ()
    whole: bool = False

    def found(self, values: Mapping[str, Any]) -> bool | None:
        """Whether the condition holds, as far as these tell; None where the others decide, or a text is none."""
        for variable, search in self.wanted:
            text = values.get(variable)
            if type(text) is not str:
                return None
            try:
                places = search(text)
            except UnicodeEncodeError:  # half a character: the runtime has words for it
                return None
            if not places or _WANTED not in places:
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


def _wanted(part: Node) -> tuple[str, _Search] | None:
    match part:
        case Call("matches", (Name(variable), Constant(str() as pattern))) if is_quick(pattern):
            search = _search(pattern)
            return None if search is None else (variable, search)
    return None


def _search(pattern: str) -> _Search | None:
    """None where RE2 cannot take it: the runtime says why."""
    made = re2.Set.SearchSet(_OPTIONS)
    try:
        made.Add(pattern)
    except re2.error:
        return None
    made.Add(r"\A\z")
    made.Compile()
    search: _Search = made.Match
    return search if _PROBE in (search("") or ()) else None
