"""What a change of rules would do, counted over contacts."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.routing import lab, rules
from tests.unit.routing.conftest import case
from tests.unit.routing.test_rules import TAG, TIER, contacts, facts, ruleset

BEFORE = ruleset((TIER, "sales"), version=1)
AFTER = ruleset((f"{TIER} && {TAG}", "payments"), (TIER, "sales", {"priority": "high"}), version=2)
MIXED = [
    (case(1), facts(number="C-1", customer={"tier": "enterprise"}, tags=["payouts"])),
    (case(2), facts(number="C-2", customer={"tier": "enterprise"})),
    (case(3), facts(number="C-3")),
    (case(4), facts(number="C-4", customer={"tier": "enterprise"}, tags=["payouts", "eu"])),
]


def test_it_counts_who_moves_from_where_to_where_with_examples() -> None:
    found = lab.compare(BEFORE, AFTER, MIXED)
    assert (found.cases, found.moved, found.priority_changed) == (4, 2, 1)
    [move] = found.moves
    assert (move.before, move.after, move.cases) == ("sales", "payments", 2)
    assert [(e.number, e.rule_before, e.rule_after) for e in move.examples] == [
        ("C-1", "r1", "r1"),
        ("C-4", "r1", "r1"),
    ]


def test_it_counts_what_falls_to_the_fallback_before_and_after() -> None:
    nothing = ruleset(version=3)
    found = lab.compare(AFTER, nothing, MIXED)
    assert (found.to_fallback_before, found.to_fallback_after) == (1, 4)
    assert [(m.before, m.after, m.cases) for m in found.moves] == [
        ("payments", "frontline", 2),
        ("sales", "frontline", 1),
    ]


def test_examples_are_few_however_many_move() -> None:
    many = [(case(n), MIXED[0][1]) for n in range(50)]
    [move] = lab.compare(BEFORE, AFTER, many).moves
    assert (move.cases, len(move.examples)) == (50, lab.MAX_EXAMPLES)


@given(st.lists(contacts, max_size=20))
def test_the_moves_are_those_of_really_routing_each(found: list[rules.ContactFacts]) -> None:
    cases = [(UUID(int=n), contact) for n, contact in enumerate(found)]
    moves = lab.compare(BEFORE, AFTER, cases)
    teams = [(rules.match(BEFORE, c).team, rules.match(AFTER, c).team) for c in found]
    assert moves.moved == sum(was != will for was, will in teams)
    assert {(m.before, m.after): m.cases for m in moves.moves} == {
        pair: teams.count(pair) for pair in teams if pair[0] != pair[1]
    }


def test_evaluate_says_what_matched_and_why_the_earlier_did_not() -> None:
    found = lab.evaluate(AFTER, MIXED[1][1])
    assert (found.match.team, found.match.rule) == ("sales", "r2")
    assert [(w.rule, w.because) for w in found.earlier.rules] == [("r1", "it is not tagged 'payouts'")]
