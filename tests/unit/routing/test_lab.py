"""What a change of rules would do, counted over contacts; and tests that are kept with the rules."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.routing import lab, rules
from services.routing.lab.backtest import MAX_EXAMPLES, Comparison, Past, Report
from services.routing.lab.load import MAX_HOURS
from services.routing.model import ContactFacts
from services.routing.rules.facts import stored, values
from services.routing.rules.steps import at_once
from services.routing.spec import Expect, RulesetSpec
from shared.db import from_json, to_json
from tests.unit.routing.conftest import NOON, case
from tests.unit.routing.test_rules import TAG, TIER, contacts, facts, ruleset

BEFORE = ruleset((TIER, "sales"), version=1)
AFTER = ruleset((f"{TIER} && {TAG}", "payments"), (TIER, "sales", {"priority": "high"}), version=2)
MIXED = [
    Past(case(1), values(facts(number="C-1", customer={"tier": "enterprise"}, tags=["payouts"]))),
    Past(case(2), values(facts(number="C-2", customer={"tier": "enterprise"}))),
    Past(case(3), values(facts(number="C-3"))),
    Past(case(4), values(facts(number="C-4", customer={"tier": "enterprise"}, tags=["payouts", "eu"]))),
]


def compare(before: Any, after: Any, past: list[Past]) -> Report:
    comparison = Comparison(before, after)
    for each in past:
        comparison.add(each)
    return comparison.report()


def test_it_counts_who_moves_from_where_to_where_with_examples() -> None:
    found = compare(BEFORE, AFTER, MIXED)
    assert (found.cases, found.moved, found.priority_changed) == (4, 2, 1)
    [move] = found.moves
    assert (move.before, move.after, move.cases) == ("sales", "payments", 2)
    assert [(e.number, e.rule_before, e.rule_after) for e in move.examples] == [
        ("C-1", "r1", "r1"),
        ("C-4", "r1", "r1"),
    ]


def test_it_counts_what_falls_to_the_fallback_before_and_after() -> None:
    nothing = ruleset(version=3)
    found = compare(AFTER, nothing, MIXED)
    assert (found.to_fallback_before, found.to_fallback_after) == (1, 4)
    assert [(m.before, m.after, m.cases) for m in found.moves] == [
        ("payments", "frontline", 2),
        ("sales", "frontline", 1),
    ]


def test_examples_are_few_however_many_move() -> None:
    many = [Past(case(n), MIXED[0].known) for n in range(50)]
    [move] = compare(BEFORE, AFTER, many).moves
    assert (move.cases, len(move.examples)) == (50, MAX_EXAMPLES)


def test_rules_that_never_match_are_told_from_those_that_earlier_ones_leave_nothing() -> None:
    draft = ruleset((TIER, "sales"), (f"{TIER} && {TAG}", "payments"), ("contact.channel == 'phone'", "calls"))
    found = compare(BEFORE, draft, MIXED)
    assert found.never_matched == ["r3"]
    [shadowed] = found.shadowed
    assert (shadowed.rule, shadowed.matched, shadowed.taken_by) == ("r2", 2, ["r1"])


def test_the_load_of_each_team_before_and_after_by_hour() -> None:
    found = {each.team: each for each in compare(BEFORE, AFTER, MIXED).load}
    hour = MIXED[0].known["at"].hour
    assert (found["sales"].before, found["sales"].after, found["sales"].busiest_hour_before) == (3, 1, 3)
    assert (found["payments"].before, found["payments"].busiest_hour_after) == (0, 2)
    assert found["payments"].by_hour_after[hour] == sum(found["payments"].by_hour_after) == 2
    assert (found["payments"].hours_before, found["payments"].hours_after) == ([0], [2])
    assert compare(BEFORE, AFTER, MIXED).breaches.beyond_history == ["payments"]


def test_the_load_is_a_series_of_hours_up_to_the_newest_contact_and_bounded() -> None:
    hours = (0, 2, 2, MAX_HOURS + 5)
    past = [Past(case(n), {**MIXED[0].known, "at": NOON - timedelta(hours=ago)}) for n, ago in enumerate(hours)]
    found = compare(BEFORE, BEFORE, past[:3])
    assert found.hours_from == NOON - timedelta(hours=2)
    assert [(each.team, each.hours_before, each.hours_after) for each in found.load] == [
        ("sales", [2, 0, 1], [2, 0, 1])
    ]
    long = compare(BEFORE, BEFORE, past)
    assert long.hours_from == NOON - timedelta(hours=MAX_HOURS - 1)
    assert (len(long.load[0].hours_after), long.load[0].after) == (MAX_HOURS, 4)


def test_only_tags_that_change_are_counted_too() -> None:
    tagged = ruleset((TIER, "sales", {"tags": ["vip"]}), version=2)
    found = compare(BEFORE, tagged, MIXED)
    assert (found.moved, found.priority_changed, found.tags_changed) == (0, 0, 3)


@given(st.lists(contacts, max_size=20))
def test_the_moves_are_those_of_really_routing_each(found: list[rules.ContactFacts]) -> None:
    moves = compare(BEFORE, AFTER, [Past(UUID(int=n), values(contact)) for n, contact in enumerate(found)])
    teams = [(rules.match(BEFORE, c).team, rules.match(AFTER, c).team) for c in found]
    assert moves.moved == sum(was != will for was, will in teams)
    assert {(m.before, m.after): m.cases for m in moves.moves} == {
        pair: teams.count(pair) for pair in teams if pair[0] != pair[1]
    }


@given(contacts)
def test_a_stored_contact_has_the_values_that_rules_saw(found: ContactFacts) -> None:
    document = to_json(found)
    assert stored(from_json(document), found.at) == values(ContactFacts.model_validate_json(document))


def test_evaluate_says_what_matched_and_why_the_earlier_did_not() -> None:
    found = at_once(lab.evaluating(AFTER, facts(number="C-2", customer={"tier": "enterprise"})))
    assert (found.match.team, found.match.rule) == ("sales", "r2")
    assert [(w.rule, w.because) for w in found.earlier.rules] == [("r1", "it is not tagged 'payouts'")]


def said_of(expect: Any, **more: Any) -> tuple[str, ...]:
    rule = {"id": "night", "when": "at.getHours('UTC') >= 22", "then": {"team": "night", "tags": ["late", "eu"]}}
    test = {"name": "t", "given": {"channel": "email", **more.pop("given", {})}, "expect": expect, **more}
    body = {"rules": [rule], "fallback": {"team": "frontline"}, "tests": [test]}
    spec = RulesetSpec.model_validate_json(RulesetSpec.model_validate(body).model_dump_json())  # as it is stored
    [found] = lab.run_tests(spec, rules.compile(1, spec), NOON)
    return found.wrong


LATE = {"at": "2026-11-23T23:00:00Z"}


def test_a_test_that_holds_says_nothing_and_one_that_does_not_says_what_differs() -> None:
    assert said_of({"team": "night", "tags": ["eu", "late"], "rule": "night", "priority": "normal"}, **LATE) == ()
    assert said_of({"team": "frontline", "rule": None}) == ()
    assert said_of({"team": "night"}, given={"occurred_at": LATE["at"]}) == ()
    assert said_of({"team": "night"}) == (
        "team is frontline, not night; No rule matched, so the fallback applies: frontline",
    )
    [wrong] = said_of({"rule": None}, **LATE)
    assert wrong.startswith("rule is night, not the fallback; night: ")
    [wrong] = said_of({"tags": ["late"]}, **LATE)
    assert wrong.startswith("tags is [eu, late], not [late]")


def test_what_a_test_leaves_out_may_be_anything_but_not_everything() -> None:
    with pytest.raises(ValidationError, match="expect something"):
        Expect.model_validate({})
