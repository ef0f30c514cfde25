"""Read the text of a condition: its tokens, the parts joined by ``&&``, and what the simple ones claim. Pure.

CEL checks and evaluates a condition; this reads what people see of it, so that a reason can
say "tier is 'free', not 'enterprise'", and so that ``work`` can refuse a condition that could hold everybody up.
Text that cannot be read here is refused, never passed over.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Place(NamedTuple):
    """A character of a condition, from 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}"

    def shown(self, source: str) -> str:
        """The line, and below it a caret under the character."""
        line = source.split("\n")[self.line - 1] if self.line <= source.count("\n") + 1 else ""
        start = max(0, self.column - 1 - MAX_SHOWN // 2)
        margin = re.sub(r"[^\t]", " ", line[start : self.column - 1])
        return f"{line[start : start + MAX_SHOWN]}\n{margin}^"


class ConditionError(ValueError):
    """A condition that cannot be used. The text says where and what to do; ``place`` is where, if it is one place."""

    def __init__(self, told: str, place: Place | None = None) -> None:
        super().__init__(f"{place}: {told}" if place else told)
        self.place = place


MAX_SHOWN = 120  # characters of a line that are shown around a place

_SCAN = re.compile(
    r"""(?P<space>[\t\r\n\f ]+|//[^\n]*)
    |(?P<text>[bB]?(?:
        [rR](?:'''(?:.|\n)*?'''|\"\"\"(?:.|\n)*?\"\"\"|'[^'\r\n]*'|"[^"\r\n]*")
        |(?:'''(?:\\(?:.|\n)|[^\\])*?'''|\"\"\"(?:\\(?:.|\n)|[^\\])*?\"\"\"
            |'(?:\\.|[^\\'\r\n])*'|"(?:\\.|[^\\"\r\n])*")))
    |(?P<literal>0[xX][0-9a-fA-F]+[uU]?|(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[uU]?)
    |(?P<name>[_a-zA-Z][_a-zA-Z0-9]*|`[^`\n]*`)
    |(?P<mark>&&|\|\||[=!<>]=|[-+*/%!<>?:.,()\[\]{}])""",
    re.VERBOSE,
)
_OPEN, _CLOSE = frozenset("([{"), frozenset(")]}")
_QUOTED = re.compile(r"""(?P<raw>[rR]?)(?P<quote>'''|\"\"\"|'|")(?P<inner>.*)(?P=quote)""", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"\\": "\\", "'": "'", '"': '"', "`": "`", "?": "?", "n": "\n", "t": "\t", "r": "\r"}


class Kind(StrEnum):
    TEXT = "text"
    LITERAL = "literal"  # a number, true, false or null
    PATH = "path"  # names joined by dots: contact.customer.tier
    CALL = "call"  # the name of a function or macro, before its parenthesis
    MARK = "mark"


@dataclass(frozen=True, slots=True)
class Token:
    """One token, and where it stands in the source."""

    kind: Kind
    text: str
    start: int
    end: int


class Op(StrEnum):
    IS = "is"
    IS_NOT = "is_not"
    HAS = "has"  # 'vip' in contact.tags
    ONE_OF = "one_of"  # contact.customer.country in ['IE', 'GB']
    STARTS = "starts"
    ENDS = "ends"
    CONTAINS = "contains"
    LESS = "less"
    AT_MOST = "at_most"
    MORE = "more"
    AT_LEAST = "at_least"


@dataclass(frozen=True, slots=True)
class Claim:
    """A simple part of a condition: one field, held against values written out."""

    field: str
    op: Op
    values: tuple[str | int | float | bool, ...]


def position(source: str, at: int) -> Place:
    return Place(source.count("\n", 0, at) + 1, at - source.rfind("\n", 0, at))


def tokens(source: str) -> list[Token]:
    """Raises ``ConditionError`` where the text is not CEL."""
    scanned = list(_scan(source))
    found: list[Token] = []
    for index, token in enumerate(scanned):
        after_dot = bool(found) and found[-1].text == "."
        if token.kind != Kind.PATH:
            found.append(token)
        elif token.text == "in" and not after_dot:
            found.append(Token(Kind.MARK, "in", token.start, token.end))
        elif token.text in ("true", "false", "null") and not after_dot:
            found.append(Token(Kind.LITERAL, token.text, token.start, token.end))
        elif index + 1 < len(scanned) and scanned[index + 1].text == "(":
            found.append(Token(Kind.CALL, token.text, token.start, token.end))
        elif after_dot and len(found) > 1 and found[-2].kind == Kind.PATH:
            found.pop()
            first = found.pop()
            found.append(Token(Kind.PATH, f"{first.text}.{token.text.strip('`')}", first.start, token.end))
        else:
            found.append(token)
        _join_index(found)
    return found


def _join_index(found: list[Token]) -> None:
    """Make ``contact.attributes['plan']`` at the end of ``found`` one path, as ``contact.attributes.plan`` is."""
    if len(found) < 4 or found[-1].text != "]" or found[-2].kind != Kind.TEXT or found[-3].text != "[":
        return
    key = plain(found[-2].text)
    if found[-4].kind == Kind.PATH and key is not None:
        found[-4:] = [Token(Kind.PATH, f"{found[-4].text}.{key}", found[-4].start, found[-1].end)]


def _scan(source: str) -> Iterator[Token]:
    at = 0
    while at < len(source):
        match = _SCAN.match(source, at)
        if match is None:
            raise ConditionError(f"{source[at]!r} cannot be read here. Remove it or quote it.", position(source, at))
        group, at = match.lastgroup, match.end()
        if group != "space":
            kind = Kind.PATH if group == "name" else Kind(group or "")
            yield Token(kind, match[0], match.start(), at)


def plain(literal: str) -> str | None:
    """The text that a quoted literal stands for, or None where it is bytes or has escapes by number."""
    match = _QUOTED.fullmatch(literal)
    if match is None:
        return None
    if match["raw"]:
        return match["inner"]
    if any(escaped[1] not in _ESCAPES for escaped in _ESCAPE.finditer(match["inner"])):
        return None
    return _ESCAPE.sub(lambda escaped: _ESCAPES[escaped[1]], match["inner"])


def parts(source: str) -> list[str]:
    """The conditions that ``source`` joins by ``&&`` at its top level, in order; itself where it joins none."""
    return [source[first.start : last.end] for first, last in _split(tokens(source))]


def _split(found: Sequence[Token]) -> Iterator[tuple[Token, Token]]:
    """First and last token of each part. Parentheses around a whole part are taken off."""
    while len(found) > 2 and found[0].text == "(" and _closing(found, 0) == len(found) - 1:
        found = found[1:-1]
    cuts, depth = [-1], 0
    for index, token in enumerate(found):
        if token.kind != Kind.MARK:
            continue
        depth += (token.text in _OPEN) - (token.text in _CLOSE)
        if depth == 0 and token.text in ("||", "?"):
            cuts = [-1]  # these bind looser than &&: the whole is one part
            break
        if depth == 0 and token.text == "&&":
            cuts.append(index)
    if len(cuts) == 1:
        if found:
            yield found[0], found[-1]
        return
    for start, end in zip(cuts, [*cuts[1:], len(found)], strict=True):
        yield from _split(found[start + 1 : end])


def _closing(found: Sequence[Token], opening: int) -> int:
    """Index of the bracket that closes the one at ``opening``; past the end where none does."""
    depth = 0
    for index in range(opening, len(found)):
        if found[index].kind == Kind.MARK:
            depth += (found[index].text in _OPEN) - (found[index].text in _CLOSE)
            if depth == 0:
                return index
    return len(found)


_COMPARES = {"<": Op.LESS, "<=": Op.AT_MOST, ">": Op.MORE, ">=": Op.AT_LEAST}
_TURNED = str.maketrans("<>", "><")


def claim(source: str) -> Claim | None:
    """What a part claims of one field, or None where it is more than that."""
    found = tokens(source)
    match [token.kind if token.kind != Kind.MARK else token.text for token in found]:
        case [Kind.PATH, "==" | "!=", Kind.TEXT | Kind.LITERAL]:
            return _claim(found[0], Op.IS if found[1].text == "==" else Op.IS_NOT, found[2:])
        case [Kind.TEXT | Kind.LITERAL, "==" | "!=", Kind.PATH]:
            return _claim(found[2], Op.IS if found[1].text == "==" else Op.IS_NOT, found[:1])
        case [Kind.PATH, "<" | "<=" | ">" | ">=", Kind.LITERAL]:
            return _claim(found[0], _COMPARES[found[1].text], found[2:])
        case [Kind.LITERAL, "<" | "<=" | ">" | ">=", Kind.PATH]:
            return _claim(found[2], _COMPARES[found[1].text.translate(_TURNED)], found[:1])
        case [Kind.TEXT, "in", Kind.PATH]:
            return _claim(found[2], Op.HAS, found[:1])
        case [Kind.PATH, "in", "[", Kind.TEXT, *rest, "]"] if rest == [",", Kind.TEXT] * (len(rest) // 2):
            return _claim(found[0], Op.ONE_OF, found[3:-1:2])
        case [Kind.PATH, ".", Kind.CALL, "(", Kind.TEXT, ")"]:
            op = {"startsWith": Op.STARTS, "endsWith": Op.ENDS, "contains": Op.CONTAINS}.get(found[2].text)
            return _claim(found[0], op, found[4:5]) if op else None
    return None


def _claim(path: Token, op: Op, written: Sequence[Token]) -> Claim | None:
    values: list[str | int | float | bool] = []
    for token in written:
        value = plain(token.text) if token.kind == Kind.TEXT else _number(token.text)
        if value is None:
            return None
        values.append(value)
    return Claim(path.text, op, tuple(values))


def _number(literal: str) -> int | float | bool | None:
    if literal in ("true", "false"):
        return literal == "true"
    try:
        return int(literal)
    except ValueError:
        pass
    try:
        return float(literal)
    except ValueError:
        return None  # null, hexadecimal, unsigned


def fields(found: Sequence[Token], known: Collection[str]) -> tuple[str, ...]:
    """The fields of ``known`` variables that a condition reads, such as ``contact.attributes.product``, in order."""
    paths = (token.text for token in found if token.kind == Kind.PATH)
    return tuple(
        dict.fromkeys(path for path in paths if any(path == name or path.startswith(f"{name}.") for name in known))
    )
