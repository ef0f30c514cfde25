"""Conditions: refused early with what to do, false with a reason where something is unknown, bounded always."""

import pytest

from shared.conditions import ATTRIBUTES, STRING, STRINGS, ConditionError, Environment

ENVIRONMENT = Environment({"contact.customer.tier": STRING, "contact.tags": STRINGS, "contact.attributes": ATTRIBUTES})


def evaluate(source: str, **values: object) -> tuple[bool, str | None]:
    named = {name.replace("_", "."): value for name, value in values.items()}
    bound = {"contact.tags": ["payouts"], "contact.attributes": {}, **named}
    outcome = ENVIRONMENT.compile(source).evaluate(ENVIRONMENT.activation(bound))
    return outcome.holds, outcome.reason


def test_a_missing_value_is_false_with_a_reason() -> None:
    assert evaluate("contact.customer.tier == 'enterprise'") == (False, "contact.customer.tier is unknown")
    assert evaluate("contact.attributes.product == 'x'") == (False, 'there is no "product"')


def test_a_missing_value_does_not_hide_what_holds() -> None:
    assert evaluate("contact.customer.tier == 'enterprise' || 'payouts' in contact.tags") == (True, None)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("contact.nope == 'a'", "undeclared reference to 'contact.nope'.*Known names: contact.attributes"),
        ("contact.customer.tier == 1", "line 1, column 23"),
        ("contact.customer.tier", "not true or false"),
        ("contact.customer.tier ==", "Syntax error"),
        ("x" * 5000, "the limit is 4000"),
        ("(" * 500 + "true" + ")" * 500, "nested more than 32 deep"),
    ],
)
def test_refused_with_the_position_and_what_to_do(source: str, says: str) -> None:
    with pytest.raises(ConditionError, match=says):
        ENVIRONMENT.compile(source)


def test_a_condition_that_takes_too_many_steps_is_cut_off() -> None:
    many = "[" + ",".join("1" for _ in range(150)) + "]"
    holds, reason = evaluate(f"{many}.all(a, {many}.all(b, a + b > 0))")
    assert not holds
    assert reason == "it took too many steps and was stopped"
