"""The index leaves out only rules that do not match: what is decided equals the plain loop over every rule."""

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.routing import rules
from services.routing.model import ContactFacts
from services.routing.rules.facts import ENVIRONMENT
from tests.bench import thousand
from tests.bench.rules import indexed, plain
from tests.unit.routing.test_rules import MONDAY, facts, ruleset

# Texts and numbers that meet often, and that fold, look alike or border on each other.
words = st.sampled_from(["a", "ab", "abc", "b", "A", "aB", "", "k", "\u212a", "ſ", "ß", "1", "true", "a.b", "\\", "é"])
numbers = st.sampled_from([-1, 0, 1, 2, 3, 2**53, -(2**63), 0.0, 0.5, 1.0, 2.5, 1e18])
scalars = st.one_of(words, numbers, st.booleans(), st.none(), st.just(float("nan")), st.just(float("inf")))
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2), max_leaves=4
)
contacts = st.builds(
    lambda customer, **fields: facts(customer=customer, **fields),
    customer=st.fixed_dictionaries(
        {}, optional={"tier": words, "country": words, "contacts_24h": st.integers(0, 4), "email": words}
    ),
    channel=st.sampled_from(["email", "chat"]),
    subject=st.one_of(st.none(), st.lists(words, max_size=3).map(" ".join)),
    body=st.one_of(st.none(), words),
    language=st.one_of(st.none(), words),
    tags=st.lists(words, max_size=3),
    attributes=st.dictionaries(st.sampled_from(["a", "b", "c"]), anything, max_size=3),
    at=st.integers(0, 23).map(lambda hour: MONDAY.replace(hour=hour)),
)


def quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\") + "'"


texts = st.sampled_from(["contact.customer.tier", "contact.subject", "contact.body", "contact.language"])
attributes = st.sampled_from(
    ["contact.attributes.a", "contact.attributes['b']", "contact.attributes.a.b", "contact.attributes.c"]
)
integers = st.sampled_from(
    ["contact.customer.contacts_24h", "at.getHours('Europe/Dublin')", "size(contact.tags)", "contact.tags.size()",
     "size(contact.subject)"]
)  # fmt: skip
relations = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
integer_literals = st.sampled_from(["0", "1", "2", "3", "12"])
number_literals = st.one_of(integer_literals, st.sampled_from(["-1", "0.5", "1.0", "2.5", "9007199254740992"]))
literals = st.one_of(words.map(quoted), number_literals, st.sampled_from(["true", "false", "null"]))
patterns = st.sampled_from(["a", "(?i)ab", "k|s", "(?i)K", "^a.?b$", "[ab]{2}", "", "b+c", r"\ba\b", "(?i)ß"])


def joined(*written: Any) -> Any:
    return st.tuples(*(each if isinstance(each, st.SearchStrategy) else st.just(each) for each in written)).map("".join)


atoms = st.one_of(
    joined(texts, st.sampled_from([" == ", " != "]), words.map(quoted)),
    joined(words.map(quoted), " == ", texts),
    joined(attributes, " ", relations, " ", number_literals),
    joined(number_literals, " ", relations, " ", attributes),
    joined(attributes, st.sampled_from([" == ", " != "]), literals),
    joined(attributes, " in [", literals, ", ", literals, "]"),
    joined(integers, " ", relations, " ", integer_literals),
    joined(integer_literals, " ", relations, " ", integers),
    joined(integers, " in [", integer_literals, ", ", integer_literals, "]"),
    joined(words.map(quoted), " in contact.tags"),
    joined(words.map(quoted), " in ", attributes),
    joined(words.map(quoted), " in contact.attributes"),
    joined(st.one_of(texts, attributes), st.sampled_from([".startsWith(", ".endsWith(", ".contains("]),
           words.map(quoted), ")"),
    joined(texts, ".lowerAscii()", st.sampled_from([".startsWith(", ".contains(", " == ("]), words.map(quoted), ")"),
    joined(texts, ".matches(", patterns.map(lambda p: f"r'{p}'"), ")"),
    joined("has(contact.attributes.", st.sampled_from(["a)", "a.b)", "c)"])),
    joined("contact.attributes.a"),
    joined("contact.tags.exists(t, t == ", words.map(quoted), ")"),
    joined("[", words.map(quoted), ", ", words.map(quoted), "]", st.sampled_from([".exists(w, ", ".all(w, "]),
           st.one_of(joined("w in contact.tags"), joined(texts, ".contains(w)"), joined(texts, " == w")), ")"),
    st.sampled_from(["true", "false", "1 / 0 == 1", "contact.attributes.a / 0 > 1", "'a' == 'b'"]),
)  # fmt: skip
conditions = st.recursive(
    atoms,
    lambda inner: st.one_of(
        joined("(", inner, " && ", inner, ")"),
        joined("(", inner, " || ", inner, ")"),
        joined("!(", inner, ")"),
        joined("(", inner, " ? ", inner, " : ", inner, ")"),
    ),
    max_leaves=8,
)


def usable(when: str) -> bool:
    try:
        ENVIRONMENT.compile(when)
    except ValueError:
        return False
    return True


@settings(max_examples=150)
@given(st.lists(conditions.filter(usable), min_size=1, max_size=12), st.lists(contacts, min_size=1, max_size=6))
@example(["contact.attributes.a != 1"], [facts(attributes={"a": True}), facts(attributes={"a": None}), facts()])
@example(["!(contact.attributes.a < 1)"], [facts(attributes={"a": float("nan")})])
@example(["contact.subject.matches('(?i)k')"] * 3, [facts(subject="\u212a")])
def test_any_rules_decide_any_contact_as_the_plain_loop_does(written: list[str], arrived: list[ContactFacts]) -> None:
    compiled = ruleset(*((when, f"t{place}", {"tags": [f"t{place}"]}) for place, when in enumerate(written)))
    for contact in arrived:
        assert indexed(compiled, contact) == plain(compiled, contact)


def test_a_thousand_real_rules_decide_contacts_as_the_plain_loop_does() -> None:
    compiled = rules.compile(1, thousand.ruleset(seed=1))
    for contact in thousand.contacts(300, seed=2):
        assert indexed(compiled, contact) == plain(compiled, contact)


def test_long_texts_are_not_searched_for_beforehand() -> None:
    """What searching a text of equal letters for one takes is the square of its length; to evaluate it is linear."""
    known = dict.fromkeys(ENVIRONMENT.variables) | {"contact.body": "nothing like it"}
    activation = ENVIRONMENT.activation(known)
    for letters, candidates in ((90, []), (3_000, [0, 1, 2, 3])):
        conditions = [f"contact.body.contains('{n}{'a' * letters}b')" for n in range(4)]
        compiled = ruleset(*((when, "x") for when in conditions))
        assert compiled.candidates(activation) == candidates
