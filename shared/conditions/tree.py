"""The tree of a checked condition, as CEL's own compiler made it: what it tests can be read from it. Pure.

A checked expression serializes to the protocol buffer ``cel.expr.CheckedExpr`` (cel-spec, ``checked.proto`` and
``syntax.proto``). The few messages that matter here are read straight from the wire, which spares a dependency.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Constant:
    value: str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Name:
    """A declared variable, such as ``contact.customer.tier``; or one that a macro binds."""

    path: str


@dataclass(frozen=True, slots=True)
class Select:
    """A value of a map by its key: ``contact.attributes.plan`` or ``contact.attributes['plan']``."""

    operand: "Node"
    key: str


@dataclass(frozen=True, slots=True)
class Has:
    operand: "Node"
    key: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function or operator, by CEL's name for it (``_==_``); a method's target is its first argument."""

    function: str
    arguments: tuple["Node", ...]
    method: bool = False


@dataclass(frozen=True, slots=True)
class Items:
    """A list that is written out."""

    elements: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Other:
    """Anything else, such as a macro over a list that is not written out. Equal only to the same text."""

    wire: bytes


MAX_UNROLLED = 32  # elements of a list that a macro goes over; of a longer one it is left as it is

Node: TypeAlias = Constant | Name | Select | Has | Call | Items | Other

_CHECKED, _EXPR = 2, 4  # Any.value, CheckedExpr.expr
Fields: TypeAlias = list[tuple[int, int | bytes]]


def read(serialized: bytes) -> Node:
    """The tree of what ``Expression.serialize`` gives."""
    return _node(_message(expression(serialized)))


def expression(serialized: bytes) -> bytes:
    """The expression alone: the same for conditions that differ only in spaces and comments."""
    return _one(_message(_one(_message(serialized), _CHECKED)), _EXPR)


def _message(wire: bytes) -> Fields:
    """Number and value of each field, in order."""
    return list(_fields(wire))


def _fields(wire: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(wire):
        tag, at = _varint(wire, at)
        match tag & 7:
            case 0:
                value, at = _varint(wire, at)
                yield tag >> 3, value
            case 1:
                yield tag >> 3, wire[at : at + 8]
                at += 8
            case 2:
                length, at = _varint(wire, at)
                yield tag >> 3, wire[at : at + length]
                at += length
            case 5:
                yield tag >> 3, wire[at : at + 4]
                at += 4
            case kind:
                raise ValueError(f"a checked expression has wire type {kind}, which this cannot read")


def _varint(wire: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = wire[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _one(fields: Fields, number: int) -> bytes:
    """The embedded message ``number``; an empty one where it is absent."""
    return next((value for found, value in fields if found == number and isinstance(value, bytes)), b"")


def _all(fields: Fields, number: int) -> list[bytes]:
    return [value for found, value in fields if found == number and isinstance(value, bytes)]


def _text(fields: Fields, number: int) -> str:
    return _one(fields, number).decode()


def _node(expr: Fields) -> Node:
    for number, wire in expr:
        if not isinstance(wire, bytes):
            continue
        match number:
            case 3:
                return _constant(_message(wire), wire)
            case 4:
                return Name(_text(_message(wire), 1))
            case 5:
                return _select(_message(wire))
            case 6:
                return _call(_message(wire))
            case 7:
                return Items(tuple(_node(_message(each)) for each in _all(_message(wire), 1)))
            case 9:
                return _comprehension(_message(wire), wire)
            case 8:
                return Other(wire)
    return Other(b"")


def _constant(fields: Fields, wire: bytes) -> Node:
    [(number, value)] = fields or [(1, 0)]
    match number, value:
        case 1, _:
            return Constant(None)
        case 2, int():
            return Constant(bool(value))
        case 3, int():
            return Constant(value - (1 << 64) if value >> 63 else value)
        case 5, bytes():
            return Constant(float(struct.unpack("<d", value)[0]))
        case 6, bytes():
            return Constant(value.decode())
    return Other(wire)


def _select(fields: Fields) -> Node:
    operand, key = _node(_message(_one(fields, 1))), _text(fields, 2)
    test_only = any(number == 3 and value for number, value in fields)
    return Has(operand, key) if test_only else Select(operand, key)


def _call(fields: Fields) -> Node:
    target = _all(fields, 1)
    arguments = tuple(_node(_message(each)) for each in [*target, *_all(fields, 3)])
    function = _text(fields, 2)
    if function == "_[_]" and isinstance(arguments[1], Constant) and isinstance(arguments[1].value, str):
        return Select(arguments[0], arguments[1].value)
    return Call(function, arguments, bool(target))


def _comprehension(fields: Fields, wire: bytes) -> Node:
    """``exists`` and ``all`` over a list that is written out are what they mean: its elements joined by || or &&."""
    variable, elements, result = _text(fields, 1), _node(_message(_one(fields, 2))), _text(fields, 3)
    step = _node(_message(_one(fields, 6)))
    match step, _node(_message(_one(fields, 7))):
        case Call("_||_" | "_&&_" as join, (Name(found), body)), Name(outcome) if (
            found == outcome == result
            and isinstance(elements, Items)
            and 0 < len(elements.elements) <= MAX_UNROLLED
            and not _all(fields, 8)
        ):
            unrolled = [substitute(body, {variable: element}) for element in elements.elements]
            readable = [each for each in unrolled if each is not None]
            if len(readable) == len(unrolled):
                made = readable[0]
                for each in readable[1:]:
                    made = Call(join, (made, each))
                return made
    return Other(wire)


def substitute(node: Node, values: Mapping[str, Node]) -> Node | None:
    """The tree with names replaced; None where something in it cannot be looked into."""
    match node:
        case Name(path):
            return values.get(path, node)
        case Constant():
            return node
        case Select(operand) | Has(operand):
            inner = substitute(operand, values)
            return None if inner is None else replace(node, operand=inner)
        case Call(_, parts) | Items(parts):
            found = [substitute(each, values) for each in parts]
            made = tuple(each for each in found if each is not None)
            if len(made) < len(found):
                return None
            return replace(node, arguments=made) if isinstance(node, Call) else Items(made)
        case Other():
            return None


def source(node: Node) -> str | None:
    """CEL text of a value: names, keys, constants and functions. None of operators, lists and macros."""
    match node:
        case Name(path):
            return path
        case Constant(str() as text):
            return _quoted(text)
        case Constant(value) if isinstance(value, bool | int):
            return str(value).lower()
        case Select(operand, key):
            inner = source(operand)
            return None if inner is None else f"{inner}[{_quoted(key)}]"
        case Call(function, arguments, method) if function.isidentifier():
            said = [source(each) for each in arguments]
            texts = [each for each in said if each is not None]
            if len(texts) < len(said):
                return None
            return f"{texts[0]}.{function}({', '.join(texts[1:])})" if method else f"{function}({', '.join(texts)})"
    return None


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'
