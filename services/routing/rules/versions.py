"""What differs between two rulesets, by rule: added, removed, moved, changed. Pure."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.routing.spec import FallbackSpec, HandOffRule, RulesetSpec, RuleSpec


@dataclass(frozen=True, slots=True)
class Moved:
    """A rule that stands elsewhere in the order; places count from 1."""

    id: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Changed:
    """A rule whose condition or outcome differs."""

    before: RuleSpec
    after: RuleSpec


@dataclass(frozen=True, slots=True)
class Difference:
    """``fallback`` and ``hand_off`` (all hand-off rules) are None where they stayed."""

    added: tuple[RuleSpec, ...]
    removed: tuple[RuleSpec, ...]
    moved: tuple[Moved, ...]
    changed: tuple[Changed, ...]
    fallback: tuple[FallbackSpec, FallbackSpec] | None
    hand_off: tuple[tuple[HandOffRule, ...], tuple[HandOffRule, ...]] | None = None

    @property
    def nothing(self) -> bool:
        return not (self.added or self.removed or self.moved or self.changed or self.fallback or self.hand_off)


def diff(before: RulesetSpec, after: RulesetSpec) -> Difference:
    """From ``before`` to ``after``. Moved are as few rules as explain the new order."""
    old = {rule.id: rule for rule in before.rules}
    new = {rule.id: rule for rule in after.rules}
    place_before = {rule.id: place for place, rule in enumerate(before.rules, 1)}
    kept = [rule.id for rule in after.rules if rule.id in old]
    stayed = _longest_rising([place_before[each] for each in kept])
    moved = [
        Moved(rule.id, place_before[rule.id], place)
        for place, rule in enumerate(after.rules, 1)
        if rule.id in old and place_before[rule.id] not in stayed
    ]
    return Difference(
        added=tuple(rule for rule in after.rules if rule.id not in old),
        removed=tuple(rule for rule in before.rules if rule.id not in new),
        moved=tuple(moved),
        changed=tuple(Changed(old[each], new[each]) for each in kept if old[each] != new[each]),
        fallback=(before.fallback, after.fallback) if before.fallback != after.fallback else None,
        hand_off=(before.hand_off, after.hand_off) if before.hand_off != after.hand_off else None,
    )


def _longest_rising(numbers: Sequence[int]) -> set[int]:
    """The members of a longest rising subsequence of distinct numbers."""
    tails: list[int] = []  # the smallest number that ends a rising run of each length
    previous: dict[int, int | None] = {}
    for number in numbers:
        at = bisect_left(tails, number)
        previous[number] = tails[at - 1] if at else None
        tails[at : at + 1] = [number]
    found: set[int] = set()
    last = tails[-1] if tails else None
    while last is not None:
        found.add(last)
        last = previous[last]
    return found


def standing_before(activations: Iterable[tuple[bool, int]]) -> int | None:
    """The version that a rollback brings back, None where there is none.

    ``activations``, oldest first: whether it was a rollback, and the version. A rollback takes back the activation
    before it, so the next one goes further back.
    """
    stack: list[int] = []
    for was_rollback, version in activations:
        if was_rollback:
            del stack[-1:]
        if stack[-1:] != [version]:
            stack.append(version)
    return stack[-2] if len(stack) > 1 else None
