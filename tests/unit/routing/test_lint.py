"""Lint says only what is certain: what it calls unreachable never decides."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.routing import rules
from services.routing.model import ContactFacts
from services.routing.rules.facts import ENVIRONMENT, values
from services.routing.rules.lint import Finding, Kind, lint
from tests.unit.routing.test_index import conditions, contacts, usable
from tests.unit.routing.test_rules import ruleset

TEAMS = {"x", "frontline"}
PRO, IE = "contact.customer.tier == 'pro'", "contact.customer.country == 'IE'"
AMOUNT, OFTEN = "contact.attributes.amount", "contact.customer.contacts_7d"


def findings(*written: str, **then: Any) -> list[Finding]:
    compiled = ruleset(*((when, "x", then) for when in written))
    return [found for found in lint(compiled, TEAMS) if found is not None]


def said(*written: str) -> list[tuple[str, Kind]]:
    return [(found.rule, found.kind) for found in findings(*written)]


@pytest.mark.parametrize(
    "when",
    [
        f"{PRO} && contact.customer.tier == 'free'",
        f"{PRO} && contact.customer.tier != 'pro'",
        f"{PRO} && !({PRO})",
        f"{PRO} && contact.customer.tier.startsWith('e')",
        f"{AMOUNT} > 5 && {AMOUNT} < 3",
        f"{AMOUNT} >= 5 && {AMOUNT} < 5",
        f"{OFTEN} > 3 && {OFTEN} < 4",
        f"({PRO} || {IE}) && contact.customer.tier == 'free' && contact.customer.country == 'GB'",
        f"{PRO} && false",
        "contact.channel == 'fax'",
        "contact.channel in ['sms', 'fax']",
        "at.getHours('UTC') >= 22 && at.getHours('UTC') < 6",
    ],
)
def test_a_rule_that_excludes_itself_is_contradictory(when: str) -> None:
    assert said(when) == [("r1", Kind.CONTRADICTORY)]


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("true", PRO),
        (f"{PRO} || true", IE),
        (PRO, f"{PRO} && {IE}"),
        (f"{PRO} || {IE}", f"{IE} && 'vip' in contact.tags"),
        ("contact.customer.tier in ['pro', 'free']", PRO),
        (f"{AMOUNT} > 100", f"{AMOUNT} > 100.5 && {AMOUNT} < 200"),
        (f"{OFTEN} >= 3", f"{OFTEN} == 5"),
        ("'a' in contact.tags", "'a' in contact.tags && 'b' in contact.tags"),
        ("contact.source.startsWith('eu')", "contact.source.startsWith('eu-west')"),
        ("contact.subject.contains('refund')", f"contact.subject.contains('refund') && {PRO}"),
        ("has(contact.attributes.plan)", "contact.attributes.plan == 'x'"),
    ],
)
def test_a_rule_after_a_broader_one_is_unreachable(first: str, then: str) -> None:
    [found] = [each for each in findings(first, then) if each.rule == "r2"]
    assert (found.kind, found.others) == (Kind.UNREACHABLE, ("r1",))
    assert found.text == "It never decides: whatever it matches, r1 matches first"


def test_two_rules_together_may_leave_nothing() -> None:
    [found] = findings(PRO, IE, f"({PRO} || {IE}) && 'vip' in contact.tags")
    assert (found.rule, found.others) == ("r3", ("r1", "r2"))


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (f"{PRO} && {IE}", PRO),
        (f"{AMOUNT} > 100", f"{AMOUNT} >= 100"),
        ("contact.customer.tier != 'pro'", IE),  # a customer of unknown tier is not for the first
        ("contact.subject.endsWith('x')", "contact.subject.contains('x')"),
        (f"{AMOUNT} > 1", f"!({AMOUNT} <= 1)"),  # nor is what is no number
        ("contact.attributes.a == 1", "contact.attributes.a == true"),
        (f"1 / size(contact.tags) > 0 && {PRO}", f"{PRO} && {IE}"),
    ],
)
def test_what_is_not_certain_is_not_said(first: str, then: str) -> None:
    assert Kind.UNREACHABLE not in {kind for _, kind in said(first, then)}


def test_the_same_condition_twice_is_a_duplicate_however_it_is_written() -> None:
    opaque = "contact.tags.exists(t, t.startsWith('vip'))"
    assert said(opaque, f"\n  {opaque} // again") == [("r2", Kind.DUPLICATE)]
    assert findings(opaque, opaque)[0].text == "It has the condition of r1 and does the same, which comes first"


def test_tags_of_a_rule_that_never_decides_still_apply_and_it_says_so() -> None:
    found = findings(PRO, f"{PRO} && {IE}", tags=["t"])
    assert found[0].text.endswith("; its tags still apply")


@pytest.mark.parametrize("when", ["true", f"{PRO} || true", "contact.channel != 'phone'", f"!({PRO}) && !({IE})"])
def test_a_rule_that_matches_nearly_everything_is_over_broad(when: str) -> None:
    assert said(when) == [("r1", Kind.OVER_BROAD)]


def test_a_team_that_is_gone_is_named() -> None:
    assert [each.kind for each in lint(ruleset((PRO, "gone")), TEAMS) if each] == [Kind.UNKNOWN_TEAM]


@pytest.mark.parametrize("when", [PRO, f"{PRO} && {IE}", f"{OFTEN} > 3", "contact.body.contains('x')", "1 / 0 == 1"])
def test_an_ordinary_rule_is_left_alone(when: str) -> None:
    assert said(when) == []


@settings(max_examples=150)
@given(st.lists(conditions.filter(usable), min_size=2, max_size=8), st.lists(contacts, min_size=1, max_size=8))
def test_what_lint_calls_unreachable_never_decides(written: list[str], arrived: list[ContactFacts]) -> None:
    compiled = ruleset(*((when, "x") for when in written))
    never = {Kind.UNREACHABLE, Kind.CONTRADICTORY, Kind.DUPLICATE}
    dead = {found.rule for found in lint(compiled, TEAMS) if found and found.kind in never}
    everything = {found.rule for found in lint(compiled, TEAMS) if found and "every contact" in found.text}
    for contact in arrived:
        activation = ENVIRONMENT.activation(values(contact))
        assert rules.match(compiled, contact).rule not in dead
        for rule in compiled.rules:
            if rule.spec.id in everything:
                assert rule.condition.evaluate(activation).holds
