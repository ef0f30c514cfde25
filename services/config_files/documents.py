"""YAML documents: read with their lines, written with their comments kept.

YAML 1.2, in which ``on`` is a word and 09:00 a text; dates are texts too, as in the API.
"""

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString

IDENTITIES = ("id", "name", "metric", "date")  # by which items of a list are the same item
SHORT = 90  # characters of a list that is written in one line
_LOOKS_TIMED = re.compile(r"\d[\d:.T+-]*")  # other programs would read a number or a time

Path = Sequence[str | int]


class Unreadable(ValueError):
    """A file that is no YAML document of ours; ``line`` counts from 1."""

    def __init__(self, text: str, line: int = 1) -> None:
        super().__init__(text)
        self.line = line


@dataclass(frozen=True, slots=True)
class Document:
    """A file as it was read: ``body`` plain, ``node`` with comments and places."""

    body: dict[str, Any]
    node: CommentedMap

    def line(self, path: Path) -> int:
        """The line of a field, from 1; of the innermost part of the path that is there."""
        node: Any = self.node
        line = int(node.lc.line) + 1
        for part in path:
            if isinstance(node, CommentedMap) and part in node:
                line, node = node.lc.key(part)[0] + 1, node[part]
            elif isinstance(node, CommentedSeq) and isinstance(part, int) and part < len(node):
                line, node = node.lc.item(part)[0] + 1, node[part]
            else:
                break
        return line


class _Constructor(RoundTripConstructor):
    """Dates stay texts, and numbers keep all their digits."""


def _number(loader: RoundTripConstructor, node: Any) -> float:
    return float(str(loader.construct_scalar(node)).replace("_", ""))


_Constructor.add_constructor("tag:yaml.org,2002:float", _number)
_Constructor.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: str(loader.construct_scalar(node)))


def _yaml() -> YAML:
    made = YAML(typ="rt")
    made.Constructor = _Constructor
    made.preserve_quotes = True
    made.width = 100_000
    made.indent(mapping=2, sequence=4, offset=2)
    return made


def read(text: str) -> Document:
    """Raises ``Unreadable``."""
    try:
        node = _yaml().load(text)
    except MarkedYAMLError as wrong:
        mark = wrong.problem_mark or wrong.context_mark
        line = mark.line + 1 if mark is not None else 1
        said = str(wrong.problem or wrong.context or "not YAML").splitlines()[0]
        raise Unreadable(f"{said}. Correct the YAML.", line) from None
    except (YAMLError, ValueError) as wrong:
        raise Unreadable(f"{str(wrong).splitlines()[0]}. Correct the YAML.") from None
    if not isinstance(node, CommentedMap):
        raise Unreadable("a document is a mapping: write `field: value` lines")
    body = plain(node)
    return Document(body, node)


def plain(value: Any) -> Any:
    """Without YAML's own types. Raises ``Unreadable`` on what JSON does not have."""
    match value:
        case Mapping():
            for name in value:
                if not isinstance(name, str):
                    raise Unreadable(f"{name!r} is the name of a field and no text; put it in quotes")
            return {str(name): plain(inner) for name, inner in value.items()}
        case bool() | None:
            return value
        case str():
            return str(value)
        case int():
            return int(value)
        case float():
            return float(value)
        case Iterable():
            return [plain(inner) for inner in value]
    if type(value).__name__ == "ScalarBoolean":
        return bool(value)
    raise Unreadable(f"{str(value)[:60]} is no value of a configuration; put it in quotes")


def write(body: Mapping[str, Any], old: Document | None = None) -> str:
    """The text of a file; with ``old`` given, its comments, order and style are kept where they still belong."""
    node = _made(body) if old is None else _merged(old.node, body)
    out = io.StringIO()
    _yaml().dump(node, out)
    return out.getvalue()


def _merged(old: Any, new: Any) -> Any:
    """``new`` in the nodes of ``old``."""
    if _plainly(old) == new and type(_plainly(old)) is type(new):
        return old
    if isinstance(old, CommentedMap) and isinstance(new, Mapping):
        for name in [name for name in old if name not in new]:
            del old[name]
        for name, value in new.items():
            old[name] = _merged(old[name], value) if name in old else _made(value)
        return old
    if isinstance(old, CommentedSeq) and isinstance(new, Sequence) and not isinstance(new, str):
        return _merged_list(old, new)
    return _made(new)


def _merged_list(old: CommentedSeq, new: Sequence[Any]) -> CommentedSeq:
    known = {identity(item): item for item in old}
    wanted = [identity(item) for item in new]
    for place in reversed(range(len(old))):
        if identity(old[place]) not in wanted:
            del old[place]
    kept = [identity(item) for item in old]
    if kept == [each for each in wanted if each in known] and len(set(wanted)) == len(wanted):
        for place, value in enumerate(new):
            if wanted[place] in known:
                old[place] = _merged(old[place], value)
            else:
                old.insert(place, _made(value))
        return old
    made = CommentedSeq(
        _merged(known[i], value) if i in known else _made(value) for i, value in zip(wanted, new, strict=True)
    )
    if old.fa.flow_style():
        made.fa.set_flow_style()
    return made


def identity(item: Any) -> str:
    """What makes an item of a list the same item after an edit."""
    if isinstance(item, Mapping):
        found = next((f"{name}={item[name]}" for name in IDENTITIES if name in item), None)
        return found or f"map {sorted(map(str, item))}{_plainly(item)}"
    return f"{type(_plainly(item)).__name__} {_plainly(item)}"


def _plainly(value: Any) -> Any:
    try:
        return plain(value)
    except Unreadable:
        return value


def _made(value: Any) -> Any:
    """Nodes in our style: short lists in one line, text of several lines as a block."""
    match value:
        case Mapping():
            return CommentedMap((name, _made(inner)) for name, inner in value.items())
        case list() | tuple():
            node = CommentedSeq(_made(inner) for inner in value)
            if not value or (_is_flat(value) and len(str(value)) <= SHORT):
                node.fa.set_flow_style()
            return node
        case str() if "\n" in value and "\r" not in value and value.strip() and not value[0].isspace():
            return LiteralScalarString(value)
        case str() if _LOOKS_TIMED.fullmatch(value):
            return DoubleQuotedScalarString(value)
    return value


def _is_flat(values: Sequence[Any]) -> bool:
    """Scalars, or pairs of scalars such as hours."""
    return all(not isinstance(v, Mapping) and (not isinstance(v, list | tuple) or _is_flat(v)) for v in values)


def one_line(value: Any) -> str:
    """A value as YAML in one line, to be shown."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.width = True, 1_000_000
    yaml.representer.sort_base_mapping_type_on_output = False
    written = io.StringIO()
    yaml.dump(value, written)
    return written.getvalue().removesuffix("...\n").strip()
