"""From the tree of a condition to what must hold for it to be true (``asked``). Pure.

CEL's && and || take their operands in any order and absorb errors: ``false && error`` is false, ``true || error``
true. An error anywhere else makes the condition an error, which does not match.
"""

import math
import re

from shared.conditions.asked import ALWAYS, ANYTHING, NEVER, Alternative, Alternatives, Asked, Literal
from shared.conditions.tree import Call, Constant, Has, Items, Name, Node, Select, source

MAX_ALTERNATIVES = 8  # of one condition; of one that has more, less is known
EXACT_NUMBERS = 2**53  # below, integers and floats compare as in mathematics

_INTEGERS = frozenset(
    {"size", "getHours", "getMinutes", "getSeconds", "getMilliseconds", "getDayOfWeek", "getDayOfMonth", "getDate"}
    | {"getMonth", "getDayOfYear", "getFullYear"}
)
_OPPOSITE = {"_<_": "_>=_", "_<=_": "_>_", "_>_": "_<=_", "_>=_": "_<_"}
_TURNED = {"_<_": "_>_", "_<=_": "_>=_", "_>_": "_<_", "_>=_": "_<=_"}


def necessary(node: Node, integers: frozenset[str], holds: bool = True) -> Alternatives:
    """What must hold for the condition to be true; with ``holds`` False, for it to be false (and no error).

    ``integers``: the variables that are integers.
    """
    match node:
        case Constant(bool() as value):
            return ALWAYS if value == holds else NEVER
        case Call("!_", (inner,)):
            return necessary(inner, integers, not holds)
        case Call("_&&_" | "_||_" as join, (left, right)):
            one, other = necessary(left, integers, holds), necessary(right, integers, holds)
            return _both(one, other) if (join == "_&&_") == holds else _either(one, other)
        case Call("_?_:_", (chosen, yes, no)):
            return _either(
                _both(necessary(chosen, integers), necessary(yes, integers, holds)),
                _both(necessary(chosen, integers, False), necessary(no, integers, holds)),
            )
        case Call("_==_" | "_!=_" as function, (left, right)):
            return _equal(left, right, (function == "_==_") == holds)
        case Call("_<_" | "_<=_" | "_>_" | "_>=_" as function, (left, right)):
            if isinstance(left, Constant):
                return _compared(right, _TURNED[function], left, integers, holds)
            return _compared(left, function, right, integers, holds)
        case Call("@in", (Constant(str() as key), Name() | Select() as collection)):
            return _member(key, collection, holds)
        case Call("@in", (value, Items(elements))):
            return _one_of(value, elements, holds)
        case Call("startsWith" | "endsWith" | "contains" | "matches" as function, (text, Constant(str() as wanted))):
            return _text(text, function, wanted, holds)
        case Has(operand, key):
            return _known(Select(operand, key), exact=True) if holds else ANYTHING
        case Name() | Select():
            return _asks(node, Asked(one_of=frozenset({("truth", holds)})))
    return ANYTHING


def _both(one: Alternatives, other: Alternatives) -> Alternatives:
    """Every pair that does not exclude each other; where those are too many, the side that asks more."""
    if len(one) * len(other) <= MAX_ALTERNATIVES:
        pairs = (first & second for first in one for second in other)
        return _merged(tuple(each for each in pairs if each is not None))
    kept = min(one, other, key=len)
    return tuple(Alternative(each.asked) for each in kept)


def _either(one: Alternatives, other: Alternatives) -> Alternatives:
    made = _merged((*one, *other))
    return made if len(made) <= MAX_ALTERNATIVES else ANYTHING


def _merged(found: Alternatives) -> Alternatives:
    """Alternatives that each ask for values of the same one term become one: ``x == 'a' || x == 'b'``."""
    by_term: dict[Node, Alternative] = {}
    others: list[Alternative] = []
    for each in found:
        match list(each.asked.items()):
            case [(term, Asked(one_of=frozenset() as values) as asked)] if asked == Asked(one_of=values):
                before = by_term.get(term, each)
                earlier = before.asked[term].one_of or values
                by_term[term] = Alternative({term: Asked(one_of=earlier | values)}, before.exact and each.exact)
            case _:
                others.append(each)
    return (*by_term.values(), *others)


def _asks(term: Node, asked: Asked, exact: bool = True) -> Alternatives:
    """A term that cannot be named alone, such as a sum or a list, asks nothing."""
    return ANYTHING if source(term) is None else (Alternative({term: asked}, exact),)


def _known(term: Node, exact: bool = False) -> Alternatives:
    return _asks(term, Asked(), exact)


def _literal(node: Node) -> Literal | None:
    match node:
        case Constant(bool() as truth):
            return "truth", truth
        case Constant(str() as text):
            return "text", text
        case Constant(int() | float() as number) if abs(number) < EXACT_NUMBERS:
            return "number", float(number)
    return None


def _equal(left: Node, right: Node, equal: bool) -> Alternatives:
    if isinstance(left, Constant):
        left, right = right, left
    literal = _literal(right)
    if literal is None or isinstance(left, Constant):
        return ANYTHING
    return _asks(left, Asked(one_of=frozenset({literal})) if equal else Asked(none_of=frozenset({literal})))


def _one_of(value: Node, elements: tuple[Node, ...], holds: bool) -> Alternatives:
    literals = [_literal(each) for each in elements]
    known = frozenset(each for each in literals if each is not None)
    if None in literals or isinstance(value, Constant):
        return ANYTHING
    if not holds:
        return _asks(value, Asked(none_of=known))
    return _asks(value, Asked(one_of=known)) if known else NEVER


def _member(key: str, collection: Node, holds: bool) -> Alternatives:
    """``'vip' in contact.tags``, or a key of a map: what is in it besides is another matter."""
    return _asks(collection, Asked(members=frozenset({key}))) if holds else ANYTHING


def _compared(term: Node, function: str, bound: Node, integers: frozenset[str], holds: bool) -> Alternatives:
    literal = _literal(bound)
    if literal is None or literal[0] != "number" or isinstance(term, Constant):
        return ANYTHING
    whole = isinstance(term, Name) and term.path in integers
    whole = whole or (isinstance(term, Call) and term.function in _INTEGERS)
    if not holds and not whole:
        return _known(term)  # not a number is neither less nor more
    function, value = function if holds else _OPPOSITE[function], float(literal[1])
    outside = function in ("_<_", "_>_")
    if function in ("_>_", "_>=_"):
        low = (math.floor(value) + 1.0 if outside else float(math.ceil(value)), False) if whole else (value, outside)
        return _asks(term, Asked(low=low))
    high = (math.ceil(value) - 1.0 if outside else float(math.floor(value)), False) if whole else (value, outside)
    return _asks(term, Asked(high=high))


def _text(text: Node, function: str, wanted: str, holds: bool) -> Alternatives:
    if isinstance(text, Constant):
        return ANYTHING
    if not holds or not wanted:
        return _known(text)
    if function == "startsWith":
        return _asks(text, Asked(prefix=wanted))
    pattern = wanted if function == "matches" else re2_literal(wanted)
    if isinstance(text, Call) and text.function == "lowerAscii" and function != "matches":
        return _asks(text.arguments[0], Asked(found=frozenset({f"(?i){pattern}"})), exact=False)
    return _asks(text, Asked(found=frozenset({pattern})), exact=function != "endsWith")


def re2_literal(text: str) -> str:
    """A pattern that finds a text as it is."""
    return re.sub(r"[^\w\s]", lambda found: f"\\{found[0]}" if found[0].isascii() else found[0], text)
