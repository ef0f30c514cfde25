"""How much work a condition could be at worst, from its text, so that a hostile one is refused at upload. Pure.

CEL's own limits stop deep nesting and endless loops (10,000 iterations), but not texts that double with each step,
nor a slow pattern on a long text inside a loop. So: functions that build texts are refused, patterns are written out
and small, and the characters that a condition may visit are counted and limited. One unit is about a nanosecond.
"""

import re
from collections.abc import Sequence
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from shared.conditions import patterns
from shared.conditions.reading import ConditionError, Kind, Place, Token, plain, position

BODY_CHARACTERS = 16_000  # of `contact.body`, as conditions see it
TEXT_CHARACTERS = 2_000  # of any other text
LIST_ITEMS = 200  # of tags, and of each list or map in the attributes

MAX_WORK = 5_000_000
MAX_PATTERN = 250  # characters of a pattern, its counted repetitions written out
MAX_NESTED_LOOPS = 2
LOOP_LIMIT = 10_000  # CEL's own, per evaluation

_CALLED = 3_000  # units of a condition that does nothing
_STEP = 30  # of one token evaluated
_SEARCH, _LETTERS = 6, 100  # at each character, where all are equal; and of the text, that take one more
_SEARCHES = frozenset({"contains", "indexOf", "lastIndexOf"})
_LOOPS = frozenset({"all", "exists", "exists_one", "existsOne", "map", "filter"})
_BUILDERS = frozenset({"replace", "join", "format", "split", "quote"})
_READERS = frozenset(
    {"contains", "startsWith", "endsWith", "indexOf", "lastIndexOf", "lowerAscii", "upperAscii", "trim", "substring"}
    | {"reverse", "charAt", "size", "matches", "string", "bytes"}
)
_FIXED_OFFSET = re.compile(r"[+-]?\d{2}:\d{2}|UTC")


def check(source: str, found: Sequence[Token]) -> int:
    """Units of work at worst. Raises ``ConditionError`` with the position and what to write instead."""
    for index, token in enumerate(found):
        if token.kind == Kind.CALL:
            _check_call(source, found, index)
    work = worst(source, found)
    if work > MAX_WORK:
        raise ConditionError(
            f"this could take {work / MAX_WORK:.1f} times the work that one condition may."
            " Test a shorter text than the body, use fewer patterns, repeat classes such as [a-z]{20} less often,"
            " or take texts and patterns out of loops."
        )
    return work


def worst(source: str, found: Sequence[Token]) -> int:
    """Units of work at worst. Raises ``ConditionError`` where loops are nested too deep."""
    paths = {token.text for token in found if token.kind == Kind.PATH}
    doubled = min(sum(token.text == "+" for token in found), 40)  # each + may join a text with itself
    size = (BODY_CHARACTERS if "contact.body" in paths else TEXT_CHARACTERS) << doubled
    total, times, loops = _CALLED, 1, 0
    stack: list[tuple[int, int]] = []
    for index, token in enumerate(found):
        total += _STEP * times
        if token.kind == Kind.CALL and token.text in _READERS:
            total += size * times * _weight(token.text, _argument(found, index))
        elif token.text == "(":
            stack.append((times, loops))
            if index and found[index - 1].kind == Kind.CALL and found[index - 1].text in _LOOPS:
                times, loops = min(times * _items(found, index - 2), LOOP_LIMIT), loops + 1
            if loops > MAX_NESTED_LOOPS:
                raise ConditionError(
                    f"loops are nested {loops} deep; the limit is {MAX_NESTED_LOOPS}. Split the rule.",
                    position(source, token.start),
                )
        elif token.text == ")" and stack:
            times, loops = stack.pop()
    return total


def _argument(found: Sequence[Token], index: int) -> str | None:
    """The text written out after a call; None of anything else."""
    return plain(found[index + 2].text) if index + 2 < len(found) and found[index + 2].kind == Kind.TEXT else None


def _weight(call: str, text: str | None) -> int:
    """Units for each character that it reads."""
    if call == "matches":
        return patterns.SLOW * MAX_PATTERN if text is None else patterns.weight(text)
    return 1 if call not in _SEARCHES else _SEARCH + len(text or "") // _LETTERS


def _items(found: Sequence[Token], dot: int) -> int:
    """How many items the list before ``.exists(`` has at most; ``dot`` is the index of that dot."""
    if dot < 1 or found[dot - 1].text != "]":
        return LIST_ITEMS
    depth, commas = 0, 0
    for index in range(dot - 1, -1, -1):
        text = found[index].text if found[index].kind == Kind.MARK else ""
        depth += (text in (")", "]", "}")) - (text in ("(", "[", "{"))
        commas += depth == 1 and text == ","
        if depth == 0:
            written_out = index == 0 or (found[index - 1].kind == Kind.MARK and found[index - 1].text not in ")]}")
            return max(commas + 1, 1) if written_out else LIST_ITEMS
    return LIST_ITEMS


def _check_call(source: str, found: Sequence[Token], index: int) -> None:
    call, where = found[index].text, position(source, found[index].start)
    if call in _BUILDERS:
        raise ConditionError(
            f"`{call}` builds new texts, which a condition may not."
            " Test with contains, startsWith, endsWith, matches, lowerAscii or `in`.",
            where,
        )
    argument = found[index + 2] if index + 3 < len(found) and found[index + 3].text == ")" else None
    if call == "matches":
        pattern = plain(argument.text) if argument and argument.kind == Kind.TEXT else None
        if pattern is None or found[index - 1].text != ".":
            raise ConditionError("write the pattern out, for example contact.subject.matches(r'^Re:').", where)
        if patterns.size(pattern) > MAX_PATTERN:
            raise ConditionError(
                f"the pattern has {patterns.size(pattern)} characters with its repetitions written out;"
                f" the limit is {MAX_PATTERN}. Shorten it, or split the rule.",
                where,
            )
    elif call.startswith("get") and argument and argument.kind == Kind.TEXT:
        _check_zone(where, plain(argument.text) or "")


def _check_zone(where: Place, zone: str) -> None:
    if _FIXED_OFFSET.fullmatch(zone):
        return
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConditionError(
            f"there is no time zone {zone[:60]!r}. Write an IANA name such as 'Europe/Dublin'.", where
        ) from None


def patterns_of(source: str, found: Sequence[Token]) -> list[tuple[Place, str]]:
    """Position and literal of every pattern in a condition that ``check`` passed."""
    calls = [index for index, token in enumerate(found) if token.kind == Kind.CALL and token.text == "matches"]
    return [(position(source, found[index].start), found[index + 2].text) for index in calls]
