"""Which rule matches, and why: the first sets team and priority, every match adds tags, nothing is unrouted."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.routing import rules
from services.routing.model import ContactFacts
from services.routing.spec import RulesetSpec
from shared.contracts.words import Channel, Priority

MONDAY = datetime(2026, 11, 23, 12, tzinfo=UTC)


def ruleset(*written: tuple[str, str] | tuple[str, str, dict[str, Any]], version: int = 7) -> Any:
    """Rules as (condition, team[, more of `then`]), named r1, r2, …; compiled."""
    made = [
        {"id": f"r{place}", "when": when, "then": {"team": team, **(more[0] if more else {})}}
        for place, (when, team, *more) in enumerate(written, 1)
    ]
    fallback = {"team": "frontline", "priority": "low"}
    return rules.compile(version, RulesetSpec.model_validate({"rules": made, "fallback": fallback}))


def facts(**fields: Any) -> ContactFacts:
    return ContactFacts.model_validate({"at": MONDAY, "channel": "email", **fields})


ENTERPRISE = facts(
    customer={"tier": "enterprise", "email": "ana@acme.example"}, tags=["payouts", "eu"], attributes={"seats": 3}
)
TIER, TAG = "contact.customer.tier == 'enterprise'", "'payouts' in contact.tags"


def test_the_first_match_sets_team_and_priority_and_every_match_adds_its_tags() -> None:
    compiled = ruleset(
        ("contact.channel == 'phone'", "voice", {"tags": ["call"]}),
        (f"{TIER} && {TAG}", "payments", {"priority": "urgent", "tags": ["vip", "money"]}),
        (TIER, "sales", {"priority": "high", "tags": ["vip", "key-account"]}),
        (TAG, "other"),
    )
    found = rules.match(compiled, ENTERPRISE)
    assert (found.rule, found.team, found.priority) == ("r2", "payments", Priority.URGENT)
    assert found.tags == ("vip", "money", "key-account")


def test_without_a_priority_of_its_own_a_rule_has_the_fallbacks() -> None:
    assert rules.match(ruleset((TAG, "payments")), ENTERPRISE).priority == Priority.LOW


def test_nothing_is_unrouted() -> None:
    found = rules.match(ruleset(("contact.channel == 'phone'", "voice")), ENTERPRISE)
    assert (found.rule, found.team, found.priority, found.tags) == (None, "frontline", Priority.LOW, ())
    assert found.because.text == "No rule matched, so the fallback applies: frontline"


def test_a_match_says_why_in_a_sentence_and_with_the_values_it_read() -> None:
    because = rules.match(ruleset((f"{TIER} && {TAG}", "payments")), ENTERPRISE).because
    assert because.text == "r1: tier is enterprise, tagged payouts"
    inputs = {"contact.customer.tier": "enterprise", "contact.tags": ["payouts", "eu"]}
    assert because.facts == {"ruleset_version": 7, "rule": "r1", "inputs": inputs}


def test_a_because_never_carries_identity_or_text() -> None:
    contact = facts(
        customer={"id": "cus_1", "email": "ana@acme.example", "name": "Ana", "phone": "+353861234567"},
        subject="my card 4111", body="secret words", url="https://x.example/ana",
    )  # fmt: skip
    when = " && ".join(
        f"contact.{name} != ''"
        for name in ("subject", "body", "url", "customer.id", "customer.email", "customer.name", "customer.phone")
    )
    because = rules.match(ruleset((when, "x")), contact).because
    assert because.facts["inputs"] == {}
    for private in ("ana", "4111", "secret", "cus_1", "+353"):
        assert private not in because.text.lower()


@pytest.mark.parametrize(
    ("when", "why_not"),
    [
        ("contact.customer.tier == 'free'", "tier is 'enterprise', not 'free'"),
        (f"{TAG} && contact.customer.tier != 'enterprise'", "tier is 'enterprise'"),
        ("'refund' in contact.tags", "it is not tagged 'refund'"),
        ("contact.customer.country == 'IE'", "country is unknown"),
        ("contact.customer.country != 'IE'", "country is unknown"),
        ("contact.channel in ['chat', 'phone']", "channel is 'email', not one of 'chat', 'phone'"),
        ("contact.customer.email.endsWith('@other.example')", "customer email does not end with '@other.example'"),
        ("contact.attributes.product == 'cards'", "product is unknown"),
        ("contact.attributes.amount > 5", "amount is unknown"),
        ("contact.attributes.amount + 1 > 5", '`contact.attributes.amount + 1 > 5`: there is no "amount"'),
        ("contact.attributes.seats >= 5", "seats is 3, not 5 or more"),
        ("2 > contact.attributes.seats", "seats is 3, not less than 2"),
        ("size(contact.tags) > 5 || false", "`size(contact.tags) > 5 || false` does not hold"),
        ("at.getHours('Europe/Dublin') < 9", "`at.getHours('Europe/Dublin') < 9` does not hold"),
    ],
)
def test_an_earlier_rule_says_which_part_was_false(when: str, why_not: str) -> None:
    [said] = rules.explain(ruleset((when, "x")), ENTERPRISE).rules
    assert (said.rule, said.because) == ("r1", why_not)


def test_twenty_earlier_rules_are_explained_and_the_others_counted() -> None:
    no = [(f"contact.customer.tier == 't{n}'", "x") for n in range(25)]
    earlier = rules.explain(ruleset(*no, (TAG, "y"), ("true", "z")), ENTERPRISE)
    assert [said.rule for said in earlier.rules] == [f"r{n}" for n in range(1, 21)]
    assert earlier.more == 5


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ("contact.customer.country == 'IE' || contact.channel == 'email'", True),  # one side is enough
        ("!(contact.customer.country == 'IE')", False),  # not knowing is not a no
        ("has(contact.attributes.plan)", False),
        ("contact.attributes.nested.deep == 1", False),
        ("contact.attributes.count > 'three'", False),
        ("1 / 0 == 1", False),
    ],
)
def test_a_missing_value_is_false_and_skips_nothing(when: str, holds: bool) -> None:
    """CASES 34."""
    found = rules.match(ruleset((when, "x"), (TAG, "next")), facts(tags=["payouts"], attributes={"count": 3}))
    assert found.team == ("x" if holds else "next")


def test_the_hour_and_the_day_are_those_of_the_named_zone() -> None:
    """CASES 32: rules by time of day, also across a change of the clocks."""
    compiled = ruleset(("at.getHours('Europe/Dublin') == 0 && at.getDayOfWeek('Europe/Dublin') == 1", "night"))
    summer = datetime(2026, 6, 7, 23, 30, tzinfo=UTC)  # a Sunday in UTC, Monday in Dublin
    winter = datetime(2026, 12, 6, 23, 30, tzinfo=UTC)
    assert [rules.match(compiled, facts(at=at)).rule for at in (summer, winter)] == ["r1", None]


# A rule that means the same to CEL and to Python.
TIERS, TAGS, CHANNELS = ("free", "pro", "enterprise"), ("payouts", "vip", "eu"), tuple(Channel)
Atom = tuple[str, Any]
atoms = st.one_of(
    st.sampled_from(TIERS).map(lambda t: (f"contact.customer.tier == '{t}'", lambda c: c.customer.tier == t)),
    st.sampled_from(TIERS).map(
        lambda t: (f"contact.customer.tier != '{t}'", lambda c: c.customer.tier is not None and c.customer.tier != t)
    ),
    st.sampled_from(TAGS).map(lambda t: (f"'{t}' in contact.tags", lambda c: t in c.tags)),
    st.lists(st.sampled_from(CHANNELS), min_size=1, max_size=3).map(
        lambda chosen: (f"contact.channel in {[str(c) for c in chosen]}", lambda c: c.channel in chosen)
    ),
    st.integers(0, 23).map(lambda h: (f"at.getHours('UTC') >= {h}", lambda c: c.at.hour >= h)),
)
conditions = st.lists(st.lists(atoms, min_size=1, max_size=3), min_size=1, max_size=2)
written_rules = st.lists(
    st.tuples(conditions, st.sampled_from(["a", "b", "c"]), st.lists(st.sampled_from(["x", "y", "z"]), max_size=2)),
    max_size=6,
)
contacts = st.builds(
    lambda tier, tags, channel, hours: facts(
        customer={"tier": tier}, tags=tags, channel=channel, at=MONDAY + timedelta(hours=hours)
    ),
    st.one_of(st.none(), st.sampled_from(TIERS)), st.lists(st.sampled_from(TAGS), unique=True),
    st.sampled_from(CHANNELS), st.integers(0, 23),
)  # fmt: skip


@given(written_rules, contacts)
def test_matching_equals_the_plain_meaning_of_the_rules(written: list[Any], contact: ContactFacts) -> None:
    compiled = ruleset(
        *((" || ".join("(" + " && ".join(a[0] for a in all_of) + ")" for all_of in any_of), team, {"tags": tags})
          for any_of, team, tags in written)
    )  # fmt: skip
    hits = [
        (f"r{place}", team, tags)
        for place, (any_of, team, tags) in enumerate(written, 1)
        if any(all(holds(contact) for _, holds in all_of) for all_of in any_of)
    ]
    found = rules.match(compiled, contact)
    assert (found.rule, found.team) == (hits[0][:2] if hits else (None, "frontline"))
    assert found.tags == tuple(dict.fromkeys(tag for _, _, tags in hits for tag in tags))
    earlier = rules.explain(compiled, contact)
    first = int(hits[0][0][1:]) if hits else len(written) + 1
    assert [said.rule for said in earlier.rules] == [f"r{n}" for n in range(1, first)]


texts = st.text(st.characters(codec=None), max_size=20)  # halves of surrogate pairs too
json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=12,
)
EVERYTHING = ruleset(
    ("contact.attributes.a == 1", "x"), ("contact.attributes.a > 1.5", "x"), ("'a' in contact.attributes", "x"),
    ("contact.attributes.a.b.c.startsWith('x')", "x"), ("contact.attributes.exists(k, k.contains('q'))", "x"),
    ("contact.attributes.a.exists(i, i == null)", "x"), ("contact.subject.matches('(?i)no such words')", "x"),
    ("contact.customer.name.lowerAscii() == 'zz' && contact.body.contains('no such words')", "x"),
    ("contact.tags.exists(t, t.endsWith('no such words'))", "x"), ("string(contact.attributes.a) == ''", "x"),
)  # fmt: skip


@given(st.dictionaries(st.sampled_from("ab") | texts, json, max_size=4), texts, st.lists(texts, max_size=3), texts)
def test_no_contact_whatever_it_holds_raises(attributes: dict[str, Any], text: str, tags: list[str], name: str) -> None:
    contact = facts(attributes=attributes, subject=text, body=text, tags=tags, customer={"name": name})
    rules.match(EVERYTHING, contact)
    rules.explain(EVERYTHING, contact)
    assert ContactFacts.model_validate_json(contact.model_dump_json()).tags == contact.tags


@pytest.mark.parametrize(("vip", "team"), [(True, "x"), (False, "next"), ("yes", "next")])
def test_an_attribute_that_is_true_or_false_may_stand_alone(vip: Any, team: str) -> None:
    compiled = ruleset((f"contact.attributes.vip && {TAG}", "x"), (TAG, "next"))
    contact = facts(tags=["payouts"], attributes={"vip": vip})
    assert rules.match(compiled, contact).team == team
    assert [said.rule for said in rules.explain(compiled, contact).rules] == ([] if vip is True else ["r1"])
