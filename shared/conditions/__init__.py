"""CEL conditions: compile against declared variables, evaluate within bounds. Pure.

The CEL project's own C++ runtime: typed at compile time, an iteration budget, safe regexes; and ``work``
bounds what those leave. A missing value makes a condition false, with a reason, never an error.
See docs/adr/0005-cel.md.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_strings

from shared.conditions import tree, work
from shared.conditions.reading import ConditionError, Place, Token, fields, tokens
from shared.conditions.searches import NO_SEARCHES, searches

__all__ = [
    "ATTRIBUTES",
    "BOOL",
    "DOUBLE",
    "INT",
    "STRING",
    "STRINGS",
    "TIMESTAMP",
    "Activation",
    "Condition",
    "ConditionError",
    "Environment",
    "Outcome",
    "Term",
]

STRING, INT, DOUBLE, BOOL, TIMESTAMP = (
    cel.Type.STRING,
    cel.Type.INT,
    cel.Type.DOUBLE,
    cel.Type.BOOL,
    cel.Type.TIMESTAMP,
)
STRINGS = cel.Type.List(cel.Type.STRING)
ATTRIBUTES = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)

MAX_SOURCE = 4_000  # characters of one condition
_UNKNOWN = re.compile(r"undeclared reference to '([^']*)'")
_POSITION = re.compile(r"<input>:(\d+):(\d+): (.*)")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether a condition held; ``reason`` is set where it is false because it could not be evaluated."""

    holds: bool
    reason: str | None = None


_HOLDS, _FALSE = Outcome(True), Outcome(False)


class Activation:
    """The values that conditions are evaluated on. The runtime gets them once it needs them: that takes ten µs."""

    __slots__ = ("_bind", "_bound", "values")

    def __init__(self, values: Mapping[str, Any], bind: Callable[[Mapping[str, Any]], Any]) -> None:
        self.values, self._bind, self._bound = values, bind, None

    def bound(self) -> Any:
        if self._bound is None:
            self._bound = self._bind({name: value for name, value in self.values.items() if value is not None})
        return self._bound


class Condition:
    """A compiled condition. ``reads``: fields; ``work``: about how many nanoseconds it takes at worst, where it was
    checked just now."""

    def __init__(self, source: str, expression: Any) -> None:
        self.source = source
        self.work = 0
        self.reads: tuple[str, ...] = ()
        self._expression = expression
        self._searches = searches(self.tree()) if ".matches(" in source else NO_SEARCHES

    def evaluate(self, activation: Activation) -> Outcome:
        if self._searches.wanted and (holds := self._searches.found(activation.values)) is not None:
            return _HOLDS if holds else _FALSE
        try:
            result = self._expression.eval(activation.bound())
        except RuntimeError as cut_off:
            return Outcome(False, _plain(str(cut_off)))
        value = result.value()
        if value is True:
            return _HOLDS
        return _FALSE if value is False else Outcome(False, _plain(str(value)))

    def tree(self) -> tree.Node:
        return tree.read(self._expression.serialize())

    def digest(self) -> bytes:
        """The same for conditions that differ only in spaces and comments."""
        return hashlib.sha256(tree.expression(self._expression.serialize())).digest()


class Term:
    """A compiled expression that gives a value, such as ``at.getHours('Europe/Dublin')``."""

    def __init__(self, expression: Any) -> None:
        self._expression = expression

    def value(self, activation: Activation) -> str | int | float | bool | None:
        """None where it is missing, cannot be evaluated, or is no text, number or truth value."""
        try:
            value = self._expression.eval(activation.bound()).value()
        except RuntimeError:
            return None
        return value if isinstance(value, str | int | float) else None


class Environment:
    """The variables that conditions of one kind may use, such as ``contact.customer.tier``."""

    def __init__(self, variables: Mapping[str, Any]) -> None:
        self.variables = dict(variables)
        self._env = cel.NewEnv(variables=self.variables, extensions=[ext_strings.ExtStrings()])

    def compile(self, source: str) -> Condition:
        """Check, within bounds on the work it could be at worst, and compile. Raises ``ConditionError``."""
        if len(source) > MAX_SOURCE:
            raise ConditionError(f"the condition has {len(source)} characters; the limit is {MAX_SOURCE}. Split it.")
        condition, found = self._read(source)
        condition.work = work.check(source, found)
        for where, literal in work.patterns_of(source, found):
            probe = self._compile(f"''.matches({literal})").evaluate(self.activation({}))
            if probe.reason:
                raise ConditionError(f"{probe.reason.partition(': ')[2] or probe.reason}. Correct the pattern.", where)
        return condition

    def accepted(self, source: str) -> Condition:
        """Compile a condition that was checked when it came in: bounds that are narrower today are for new ones.

        Raises ``ConditionError``.
        """
        return self._read(source)[0]

    def _read(self, source: str) -> tuple[Condition, Sequence[Token]]:
        condition, found = self._compile(source), tokens(source)  # once: they take longer than all else
        condition.reads = fields(found, self.variables)
        return condition, found

    def part(self, source: str) -> Condition:
        """Compile a part of a condition already checked, also one of no declared type. Raises ``ConditionError``."""
        try:
            return Condition(source, self._env.compile(source))
        except RuntimeError as wrong:
            raise self._explained(str(wrong)) from None

    def term(self, source: str) -> Term:
        """Compile a value that stands in a condition already checked. Raises ``ConditionError``."""
        try:
            return Term(self._env.compile(source))
        except RuntimeError as wrong:
            raise self._explained(str(wrong)) from None

    def _compile(self, source: str) -> Condition:
        try:
            expression = self._env.compile(source)
        except RuntimeError as wrong:
            raise self._explained(str(wrong)) from None
        if expression.return_type() != cel.Type.BOOL:
            raise ConditionError(
                f"the condition gives {expression.return_type().name()}, not true or false. Compare it with something."
            )
        return Condition(source, expression)

    def activation(self, values: Mapping[str, Any]) -> Activation:
        """Bind values. Leave out, or give None for, what is unknown: conditions that need it are false."""
        return Activation(values, self._env.Activation)

    def _explained(self, message: str) -> ConditionError:
        if "recursion" in message:  # what the runtime says of brackets and operators that go on and on
            return ConditionError("the condition is nested more than 32 deep. Flatten or split it.")
        found = _POSITION.search(message)
        if not found:
            return ConditionError(message.splitlines()[0])
        line, column, text = found.groups()
        unknown = _UNKNOWN.search(text)
        if unknown:
            close = get_close_matches(unknown[1], self.variables, n=1, cutoff=0.75)
            meant = f" Did you mean {close[0]}?" if close else ""
            text += f".{meant} Known names: {', '.join(sorted(self.variables))}."
        return ConditionError(text, Place(int(line), int(column)))


def _plain(error: str) -> str:
    """The runtime's error in plain words."""
    missing = re.search(r'Key not found in map : "([^"]*)"', error)
    if missing:
        return f'there is no "{missing[1]}"'
    unbound = re.search(r'No value with name "([^"]*)"', error)
    if unbound:
        return f"{unbound[1]} is unknown"
    if "budget" in error or "iteration" in error.lower():
        return "it took too many steps and was stopped"
    return error.splitlines()[0][:200]
