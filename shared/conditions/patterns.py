"""What a pattern could take for each character of a text, so that one that could hold everybody up is refused. Pure.

RE2 makes a table of states as it goes, and then spends a nanosecond or two a character. It cannot where a state must
remember which of many earlier characters began a match: ``a[ab]{20}c`` has a million states. Then it follows every part
of the pattern through every character (some 25 ns for each of both), which this foresees: a class that is repeated, and
within which a further match can begin, counts as often as it is repeated. A class that stands first does not, for it
is only counted; nor one behind something that it excludes, such as ``[0-9]{16}`` in ``card [0-9]{16}``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

QUICK, MORE = 10, 2  # nanoseconds a character, of a pattern with few states; and for each character they remember
SLOW = 25  # nanoseconds a character and part, of any other
FEW = 11  # characters that states may have to remember, so that they are few enough

_COUNTED = re.compile(r"(?P<group>(?<=[)}]))?\{(?P<least>\d*)(?:,(?P<most>\d*))?\}")
_TOKEN = re.compile(
    r"(?P<flags>\(\?[imsU-]+\))|(?P<open>\((?:\?(?:P?<\w+>|[imsU-]*:))?)|(?P<close>\))|(?P<or>\|)"
    r"|(?P<repeat>(?:[*+?]|\{(?P<least>\d+)(?P<comma>,(?P<most>\d*))?\})\??)"
    r"|(?P<class>\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\])|(?P<escape>\\.)|(?P<nothing>[\^$])|(?P<any>\.)|(?P<letter>.)",
    re.DOTALL,
)
_ITEM = re.compile(r"(?P<first>\\.|[^\\])(?:-(?P<last>\\.|[^\\]))?", re.DOTALL)
_OTHER = "é"  # stands for all that is not ASCII
_ASCII = frozenset(map(chr, range(128)))
_ALL = _ASCII | {_OTHER}
_DIGITS, _SPACES = frozenset("0123456789"), frozenset("\t\n\f\r ")
_WORDS = frozenset(each for each in _ASCII if each.isalnum() or each == "_")
_CLASSES = {"d": _DIGITS, "D": _ALL - _DIGITS, "s": _SPACES, "S": _ALL - _SPACES, "w": _WORDS, "W": _ALL - _WORDS}
_CLASSES |= {"n": frozenset("\n"), "t": frozenset("\t"), "r": frozenset("\r")}


@dataclass(frozen=True, slots=True)
class _Part:
    """One character of ``these``."""

    these: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Row:
    parts: "tuple[_Node, ...]"


@dataclass(frozen=True, slots=True)
class _Choice:
    rows: tuple[_Row, ...]


@dataclass(frozen=True, slots=True)
class _Repeat:
    inner: "_Node"
    least: int
    most: int  # one more than the least where there is no end


_Node: TypeAlias = _Part | _Row | _Choice | _Repeat


def weight(pattern: str) -> int:
    """Nanoseconds a character at worst."""
    characters = remembered(pattern)
    return QUICK + MORE * characters if characters <= FEW else SLOW * size(pattern)


def is_quick(pattern: str) -> bool:
    """Whether RE2 gets by with few states."""
    return remembered(pattern) <= FEW


def size(pattern: str) -> int:
    """Length of a regular expression with its counted repetitions written out; never less than it really is."""
    length, times = len(pattern), 1
    for repeat in _COUNTED.finditer(pattern):
        count = max(int(number or 0) for number in (repeat["least"][:6], (repeat["most"] or "")[:6]))
        if repeat["group"] is not None:
            times *= max(count, 1)
        else:
            length += count
    if re.search(r"\\[pP]", pattern):
        length *= 20  # a class such as \pL is some hundred ranges
    return min(length * times, 10**9)


def remembered(pattern: str) -> int:
    """How many characters its states may have to remember; never less than they must."""
    try:
        return _within(_read(pattern), ())
    except _Unread:
        return size(pattern)


class _Unread(Exception):
    """Something that only RE2 reads."""


def _read(pattern: str) -> _Node:
    """The tree of a pattern that RE2 accepts."""
    folded = pattern.startswith("(?i)")  # upper case is lower case; or each may be the other, somewhere
    either = not folded and re.search(r"\(\?\w*i", pattern) is not None
    open_: list[list[list[_Node]]] = [[[]]]  # choices of rows of parts, of each group that is open
    for token in _TOKEN.finditer(pattern):
        rows = open_[-1]
        match token.lastgroup:
            case "open" | "flags" if "-" in token[0]:
                raise _Unread
            case "open":
                open_.append([[]])
            case "close" if len(open_) > 1:
                open_.pop()
                open_[-1][-1].append(_choice(rows))
            case "or":
                rows.append([])
            case "repeat" if rows[-1]:
                rows[-1].append(_repeated(rows[-1].pop(), token))
            case "class" | "escape" | "any" | "letter":
                these = _these(token.lastgroup, token[0])
                if folded:
                    these = frozenset(each.lower() for each in these)
                elif either:
                    these |= {each.swapcase() for each in these}
                rows[-1] += [_Part(these)] if these else []
            case "close" | "repeat":
                raise _Unread
    if len(open_) > 1:
        raise _Unread
    return _choice(open_[0])


def _choice(rows: Sequence[Sequence[_Node]]) -> _Node:
    made = tuple(_Row(tuple(row)) for row in rows)
    return made[0] if len(made) == 1 else _Choice(made)


def _repeated(inner: _Node, token: re.Match[str]) -> _Repeat:
    mark = token["repeat"][0]
    if mark != "{":
        return _Repeat(inner, int(mark == "+"), 1 if mark == "?" else 2)
    least = int(token["least"])
    if token["comma"] is None:
        return _Repeat(inner, least, least)
    return _Repeat(inner, least, int(token["most"]) if token["most"] else least + 1)


def _these(kind: str, text: str) -> frozenset[str]:
    """The characters that one token stands for; none where it stands between two."""
    match kind:
        case "any":
            return _ALL
        case "letter":
            return frozenset(_plain(text))
        case "escape":
            return frozenset() if text[1] in "bBAz" else _escaped(text)
    if "[:" in text:
        return _ALL
    negated = text[1] == "^"
    these: set[str] = set()
    for item in _ITEM.finditer(text, 1 + negated, len(text) - 1):
        first = _escaped(item["first"])
        if item["last"] is None:
            these |= first
            continue
        low, high = item["first"][-1], min(item["last"][-1], "\x7f")
        these.update(map(chr, range(ord(low), ord(high) + 1)), _plain(item["last"][-1]))
    return _ALL - these | {_OTHER} if negated else frozenset(these)


def _escaped(text: str) -> frozenset[str]:
    if text[0] != "\\":
        return frozenset(_plain(text))
    if text[1] in _CLASSES:
        return _CLASSES[text[1]]
    if text[1].isalnum():
        raise _Unread
    return frozenset(_plain(text[1]))


def _plain(letter: str) -> str:
    return letter if letter.isascii() else _OTHER


def _within(node: _Node, before: tuple[_Node, ...] | None) -> int:
    """``before``: what stands before it; None where that is also itself."""
    match node:
        case _Row(parts):
            each = (_within(part, None if before is None else (*before, *parts[:n])) for n, part in enumerate(parts))
            return sum(each)
        case _Choice(rows):
            within = sum(_within(row, before) for row in rows)
            return within if _alone(node, before) else within + max(map(_length, rows))
        case _Repeat(_Part() as part, _, most):
            return most * _within(part, before)
        case _Repeat(inner, _, most):
            return most * _within(inner, before if most < 2 else None)
        case _Part(these):
            return int(len(these) > 1 and not _alone(node, before))


def _alone(node: _Node, before: tuple[_Node, ...] | None) -> bool:
    """Whether no further match can begin within: it stands first, or behind something that it excludes."""
    these = _letters(node)
    return before == () or any(_excludes(each, these) for each in before or ())


def _letters(node: _Node) -> frozenset[str]:
    match node:
        case _Part(these):
            return these
        case _Row(parts) | _Choice(parts):
            return frozenset().union(*map(_letters, parts))
        case _Repeat(inner):
            return _letters(inner)


def _length(node: _Node) -> int:
    match node:
        case _Part():
            return 1
        case _Row(parts):
            return sum(map(_length, parts))
        case _Choice(rows):
            return max(map(_length, rows))
        case _Repeat(inner, _, most):
            return most * _length(inner)


def _excludes(node: _Node, these: frozenset[str]) -> bool:
    """Whether it cannot be passed by ``these`` characters alone."""
    match node:
        case _Part(others):
            return these.isdisjoint(others)
        case _Row(parts):
            return any(_excludes(part, these) for part in parts)
        case _Choice(rows):
            return all(_excludes(row, these) for row in rows)
        case _Repeat(inner, least, _):
            return least > 0 and _excludes(inner, these)
