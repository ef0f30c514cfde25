"""The difference between two rulesets explains the one from the other, with as few moves as can be."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.routing.rules.versions import Difference, diff, standing_before
from services.routing.spec import FallbackSpec, RulesetSpec, RuleSpec, Then


def ruleset(*ids: str, team: str = "a", fallback: str = "f") -> RulesetSpec:
    rules = tuple(RuleSpec(id=each, when="true", then=Then(team=team)) for each in ids)
    return RulesetSpec(rules=rules, fallback=FallbackSpec(team=fallback))


def test_one_moved_rule_is_one_move() -> None:
    found = diff(ruleset("a", "b", "c", "d"), ruleset("d", "a", "b", "c"))
    assert [(m.id, m.before, m.after) for m in found.moved] == [("d", 4, 1)]
    assert not (found.added)
    assert not (found.removed)
    assert not (found.changed)
    assert not (found.fallback)


def test_a_rule_put_first_moves_no_other() -> None:
    found = diff(ruleset("a", "b"), ruleset("new", "a", "b"))
    assert ([r.id for r in found.added], found.moved) == (["new"], ())


def test_a_changed_rule_and_a_changed_fallback_say_from_what_to_what() -> None:
    found = diff(ruleset("a", team="x"), ruleset("a", team="y", fallback="g"))
    [changed] = found.changed
    assert (changed.before.then.team, changed.after.then.team) == ("x", "y")
    assert found.fallback
    assert [each.team for each in found.fallback] == ["f", "g"]


rulesets = st.builds(
    lambda ids, teams: RulesetSpec(
        rules=tuple(RuleSpec(id=i, when="true", then=Then(team=t)) for i, t in zip(ids, teams, strict=False)),
        fallback=FallbackSpec(team="f"),
    ),
    st.permutations("abcdef"),
    st.lists(st.sampled_from("xy"), max_size=6),
)


def patched(before: RulesetSpec, found: Difference) -> list[RuleSpec]:
    """``before`` with the difference applied, but for where added rules stand."""
    changed = {each.after.id: each.after for each in found.changed}
    gone = {rule.id for rule in found.removed} | {moved.id for moved in found.moved}
    return [changed.get(rule.id, rule) for rule in before.rules if rule.id not in gone]


@given(rulesets, rulesets)
def test_what_neither_moved_nor_was_added_stands_in_the_new_order(before: RulesetSpec, after: RulesetSpec) -> None:
    found = diff(before, after)
    elsewhere = {rule.id for rule in found.added} | {moved.id for moved in found.moved}
    assert patched(before, found) == [rule for rule in after.rules if rule.id not in elsewhere]
    assert found.nothing == (before == after)


@pytest.mark.parametrize(
    ("activations", "before"),
    [
        ([], None),
        ([1], None),
        ([1, 2], 1),
        ([1, 2, 3], 2),
        ([1, 2, 3, -2], 1),
        ([1, 2, 3, -2, 4], 2),
        ([1, 2, 3, -2, 4, -2, -1], None),
        ([1, 2, 1], 2),
        ([1, 2, 2], 1),
    ],
)
def test_a_rollback_takes_back_the_activation_before_it(activations: list[int], before: int | None) -> None:
    """Negative: a rollback to that version."""
    assert standing_before((each < 0, abs(each)) for each in activations) == before


@given(st.lists(st.integers(1, 5), min_size=1, max_size=10))
def test_rolling_back_for_ever_ends_at_the_first(versions: list[int]) -> None:
    done = [(False, version) for version in versions]
    steps = 0
    while (before := standing_before(done)) is not None:
        done.append((True, before))
        steps += 1
    assert done[-1][1] == versions[0]
    assert steps == sum(one != other for one, other in itertools.pairwise(versions))
