"""Which rules could match a contact: an index over what they ask of single values (``necessary``). Pure.

Each alternative of each rule is a bit. For every term that rules test there is a table from its value to the bits that
are content with it; what all tables leave is evaluated. A rule is left out only if its condition is certainly not
true. Texts are searched for all patterns in one pass, by RE2's own prefilter.
"""

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import re2

from services.routing.rules.steps import Steps
from shared.conditions import Activation, ConditionError, Environment
from shared.conditions.asked import Alternatives, Asked, Literal
from shared.conditions.tree import Name, Node, Select, source

MAX_BOUNDS = 1_000  # of one term; of more, every second, third, … is kept
MAX_SEARCHED = 20_000  # characters of patterns that are searched for in one text; rules beyond are evaluated
MAX_PATTERN = 100  # characters of one of them: what searching for a text of many equal letters takes is their square
WORTH_COMPUTING = 3  # rules that a term computed by CEL, or a search of a text, may spare; fewer are evaluated at once

MISSING = object()
_TRUTHS = {True: object(), False: object()}  # apart from 1 and 0
_WORDS = re.compile(r"(?:\(\?i\))?(?:[\w\s|]|\\[^\w\s])+")  # patterns that are texts, one or several
_PROBE = "probe of the filter"
_OPTIONS = re2.Options()
_OPTIONS.log_errors = False

Lookup = Callable[[Activation], Any]


class Index:
    """Made once for a ruleset."""

    def __init__(self, rules: list[int], tables: "list[_Table]") -> None:
        """``rules`` says which rule each bit is an alternative of."""
        self._rules, self._tables = rules, sorted(tables, key=lambda table: table.cost)
        self._everything = (1 << len(rules)) - 1

    @classmethod
    def of(cls, rows: Sequence[Alternatives], environment: Environment) -> Steps[Self]:
        """``rows`` are the alternatives of each rule."""
        rules: list[int] = []
        asked: dict[Node, list[tuple[int, Asked]]] = defaultdict(list)
        for rule, alternatives in enumerate(rows):
            for each in alternatives:
                bit = 1 << len(rules)
                rules.append(rule)
                for term, test in each.asked.items():
                    asked[term].append((bit, test))
            yield
        tables: list[_Table] = []
        for term, tests in asked.items():
            tables += yield from _tables(term, tests, (1 << len(rules)) - 1, environment)
        return cls(rules, tables)

    def candidates(self, known: Activation) -> list[int]:
        """Rules that could match, in order; ``known`` has every variable, None where unknown."""
        left = self._everything
        for table in self._tables:
            concerned = left & table.concerned
            if concerned and (not table.cost or concerned.bit_count() >= WORTH_COMPUTING):
                left &= table.content(table.lookup(known))
        rules = self._rules
        found: list[int] = []
        while left:
            lowest = left & -left
            rule = rules[lowest.bit_length() - 1]
            if not found or found[-1] != rule:
                found.append(rule)
            left ^= lowest
        return found


@dataclass(slots=True)
class _Table:
    """Bits by the value of one term. ``cost``: 0 where it is looked up, 1 computed, 2 where a text is searched."""

    cost: int
    concerned: int  # the bits that ask anything here
    lookup: Lookup
    content: Callable[[Any], int]


def _tables(
    term: Node, tests: Sequence[tuple[int, Asked]], everything: int, environment: Environment
) -> Steps[list[_Table]]:
    lookup, cost = _lookup(term, environment)
    yield
    if lookup is None:
        return []
    concerned = _bits(bit for bit, _ in tests)
    yield
    values = _Values(everything, concerned)
    yield from values.take(tests)
    tables = [_Table(cost, concerned, lookup, values.content)]
    searched = [(bit, test) for bit, test in tests if test.found]
    if searched:
        search = _Search(everything)
        yield from search.take(searched)
        if search.concerned:
            tables.append(_Table(2, search.concerned, lookup, search.content))
    return tables


def _bits(bits: Iterable[int]) -> int:
    together = 0
    for bit in bits:
        together |= bit
    return together


def _lookup(term: Node, environment: Environment) -> tuple[Lookup | None, int]:
    if isinstance(term, Name) and term.path in environment.variables:
        path = term.path
        return lambda known: MISSING if (value := known.values[path]) is None else value, 0
    keys: list[str] = []
    inner = term
    while isinstance(inner, Select):
        keys.append(inner.key)
        inner = inner.operand
    if isinstance(inner, Name) and inner.path in environment.variables:
        return _within(inner.path, tuple(reversed(keys))), 0
    try:
        computed = environment.term(source(term) or "")
    except ConditionError:
        return None, 0

    def compute(known: Activation) -> Any:
        value = computed.value(known)
        return MISSING if value is None else value

    return compute, 1


def _within(path: str, keys: tuple[str, ...]) -> Lookup:
    def look(known: Activation) -> Any:
        value: Any = known.values[path]
        for key in keys:
            if not isinstance(value, dict) or key not in value:
                return MISSING
            value = value[key]
        return value

    return look


class _Values:
    """Equality, membership, ranges and prefixes of one term."""

    def __init__(self, everything: int, concerned: int) -> None:
        self._everything, self._unasked = everything, everything & ~concerned
        self._ranges = _Ranges(everything)

    def take(self, tests: Sequence[tuple[int, Asked]]) -> Steps[None]:
        everything = self._everything
        self._open = everything & ~_bits(bit for bit, test in tests if test.one_of is not None)
        yield
        self._members = yield from _by_rarest([(bit, test.members) for bit, test in tests if test.members])
        self._no_members = everything & ~_bits(self._members.values())
        yield
        self._prefixes = yield from _by_key((test.prefix, bit) for bit, test in tests if test.prefix)
        self._lengths = sorted({len(prefix) for prefix in self._prefixes})
        self._no_prefix = everything & ~_bits(self._prefixes.values())
        yield
        yield from self._ranges.take([(bit, test) for bit, test in tests if test.ranges])
        self._text = self._open & self._ranges.none & self._no_members  # with any text but for prefixes
        equal = yield from _by_key((_key(each), bit) for bit, test in tests for each in test.one_of or ())
        unequal = yield from _by_key((_key(each), bit) for bit, test in tests for each in test.none_of)
        # What tests name is worked out here, so that a value is looked up once.
        self._named: dict[Any, int] = {}
        while equal:  # emptied the while: to free a hundred thousand at once takes long too
            key, bits = equal.popitem()
            self._named[key] = (self._open | bits) & ~unequal.pop(key, 0) & self._others(key)
            yield
        while unequal:
            key, bits = unequal.popitem()
            self._named[key] = self._open & ~bits & self._others(key)
            yield

    def content(self, value: Any) -> int:
        if value is MISSING:
            return self._unasked
        kind = type(value)
        if kind is str:
            named = self._named.get(value)
            if named is None:
                return self._open & self._others(value) if self._prefixes else self._text
            return named
        if kind is int or kind is float or kind is bool:
            key = _TRUTHS[value] if kind is bool else value
            named = self._named.get(key)
            return self._open & self._others(key) if named is None else named
        left = self._open & self._ranges.none & self._no_prefix
        if self._members:
            there = _bits(self._members.get(each, 0) for each in value if type(each) is str) if kind in _LISTS else 0
            left &= self._no_members | there
        return left

    def _others(self, key: Any) -> int:
        """The bits that all tests but equality leave, of a text, a number or a truth."""
        left = self._no_members & (self._ranges.content(key) if isinstance(key, int | float) else self._ranges.none)
        if not self._prefixes:
            return left
        there = _bits(self._prefixes.get(key[:n], 0) for n in self._lengths) if isinstance(key, str) else 0
        return left & (self._no_prefix | there)


_LISTS = frozenset({list, tuple, dict})


def _key(literal: Literal) -> Any:
    kind, value = literal
    return _TRUTHS[bool(value)] if kind == "truth" else value


def _by_key(pairs: Iterable[tuple[Any, int]]) -> Steps[dict[Any, int]]:
    made: dict[Any, int] = {}
    for each, bit in pairs:
        made[each] = made.get(each, 0) | bit
        yield
    return made


def _by_rarest(needed: Sequence[tuple[int, frozenset[str]]]) -> Steps[dict[str, int]]:
    """Each bit under one of the things it needs: the one that the fewest need."""
    count: dict[str, int] = defaultdict(int)
    for _, things in needed:
        for each in things:
            count[each] += 1
        yield
    rarest = ((min(things, key=lambda thing: (count[thing], thing)), bit) for bit, things in needed)
    return (yield from _by_key(rarest))


class _Ranges:
    """Bits by where a number lies: a segment for each bound itself, and one for each gap between bounds."""

    def __init__(self, everything: int) -> None:
        self.none = everything

    def take(self, tests: Sequence[tuple[int, Asked]]) -> Steps[None]:
        self.none &= ~_bits(bit for bit, _ in tests)
        yield
        bounds = sorted({bound[0] for _, test in tests for bound in (test.low, test.high) if bound is not None})
        self._bounds = bounds[:: len(bounds) // MAX_BOUNDS + 1]
        yield
        turns = [0] * (2 * len(self._bounds) + 2)  # where bits come in, and go out again
        for bit, test in tests:
            first = self._segment(*test.low, inwards=1) if test.low else 0
            last = self._segment(*test.high, inwards=-1) if test.high else 2 * len(self._bounds)
            turns[first] ^= bit
            turns[last + 1] ^= bit
            yield
        self._segments: list[int] = []
        inside = self.none
        for turn in turns[:-1]:
            inside ^= turn
            self._segments.append(inside)

    def _segment(self, value: float, outside: bool, inwards: int) -> int:
        """The outermost segment that a bound leaves."""
        at = bisect_left(self._bounds, value)
        exactly = at < len(self._bounds) and self._bounds[at] == value
        return 2 * at + exactly + (inwards if exactly and outside else 0)

    def content(self, value: float) -> int:
        if value != value:  # no number is in no range
            return self.none
        return self._segments[self._segment(value, False, 0)]


def has_words(asks: Alternatives) -> bool:
    """Whether each alternative asks for a word in a text: the rule is left out where none is found, for all at once."""
    return bool(asks) and all(any(_WORDS.fullmatch(_pattern(test)) for test in each.asked.values()) for each in asks)


def searched(asks: Alternatives) -> int:
    """How many characters of patterns the index looks for on account of a rule, at most."""
    return sum(len(_pattern(test)) for each in asks for test in each.asked.values())


def _pattern(test: Asked) -> str:
    """The one that is looked for: the longest, unless that is too long."""
    longest = max(test.found, key=lambda each: (len(each), each), default="")
    return longest if len(longest) <= MAX_PATTERN else ""


class _Search:
    """Patterns that must be found in a text. Those without a text of their own, such as ``[0-9]{4}``, ask nothing."""

    def __init__(self, everything: int) -> None:
        self._everything = self._others = everything
        self._filter, self._bits = re2.Filter(), [0]
        self.concerned = 0

    def take(self, tests: Sequence[tuple[int, Asked]]) -> Steps[None]:
        self._filter.Add(_PROBE, _OPTIONS)
        places: dict[str, int] = {}
        room = MAX_SEARCHED
        for bit, test in tests:
            pattern = _pattern(test)
            if pattern and pattern not in places and len(pattern) <= room:
                try:
                    places[pattern] = self._filter.Add(pattern, _OPTIONS)
                except re2.error:
                    continue
                self._bits.append(0)
                room -= len(pattern)
            if pattern in places:
                self._bits[places[pattern]] |= bit
            yield
        self._filter.Compile()
        yield
        self.concerned = _bits(self._bits)
        if 0 not in (self._filter.Match(_PROBE, potential=True) or ()):
            self.concerned = 0  # beyond what RE2 can hold: never leave a rule out for that
        for always in self._filter.Match("", potential=True) or ():
            self.concerned &= ~self._bits[always]
        self._others = self._everything & ~self.concerned

    def content(self, value: Any) -> int:
        if type(value) is not str:
            return self._others
        found = self._filter.Match(value, potential=True) or ()
        return self._others | _bits(self._bits[each] for each in found)
