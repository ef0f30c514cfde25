"""A hostile condition is refused at upload, or cut off, and blocks nobody (CASES 33)."""

import weakref
from typing import Any, cast

import pytest

from services.routing import rules
from services.routing.model import ContactFacts
from services.routing.spec import FallbackSpec, RulesetSpec, RuleSpec, Then
from shared.conditions.patterns import size
from shared.conditions.work import BODY_CHARACTERS, MAX_PATTERN
from tests.bench import thousand
from tests.unit.routing.test_rules import MONDAY, facts, ruleset


def upload(when: str) -> Any:
    rule = RuleSpec.model_construct(id="hostile", when=when, then=Then(team="x"))
    return rules.compile(1, RulesetSpec.model_construct(rules=(rule,), fallback=FallbackSpec(team="f")))


def loops(deep: int) -> str:
    source = "true"
    for level in range(deep):
        source = f"[1,2,3,4,5,6,7,8,9,0].all(x{level}, {source})"
    return source


REFUSED = [
    ("texts that double", "contact.body.replace('a', 'bbbbbbbbbb').size() > 1", "`replace` builds new texts"),
    ("texts that multiply", "contact.body.split('').join(contact.body) == ''", "`split` builds new texts"),
    ("a sum in a loop", "contact.tags.map(t, contact.body + contact.body + contact.body).size() > 1 &&"
     " contact.tags.exists(t, (contact.body + contact.body + contact.body + contact.body).contains(t))",
     "times the work"),
    ("doubling step by step", "[contact.body+contact.body]" + "".join(f".map(x{n}, x{n}+x{n})" for n in range(9))
     + ".exists(x, x.contains('q'))", "times the work"),
    ("nested loops", loops(4), "loops are nested 3 deep"),
    ("texts in nested loops", "contact.attributes.a.exists(x, contact.attributes.b.exists(y,"
     " contact.body.contains(y)))", "times the work"),
    ("a body searched for each of two hundred tags", "contact.tags.exists(t, contact.body.contains(t))",
     "times the work"),
    ("a counted pattern", "contact.body.matches('(((a{0,10}){0,10}){0,10})c')", "the pattern has"),
    ("a pattern of many classes", r"contact.body.matches(r'\pL{100}c')", "the pattern has"),
    ("a pattern with hidden counts", r"contact.body.matches('a\x7b900\x7d')", "write the pattern out"),
    ("a pattern from the contact", "contact.body.matches(contact.subject)", "write the pattern out"),
    ("a pattern as a function", "matches(contact.body, 'a')", "write the pattern out"),
    ("a pattern that is none", "contact.body.matches('(a')", "missing )"),
    ("a pattern of too many states", "contact.body.matches('[ab]*a[ab]{60}c')", "repeat classes such as"),
    ("too many patterns", " || ".join(f"contact.body.matches('{'[ab]' * 30}{n}')" for n in range(20)),
     "times the work"),
    ("deep parentheses", "(" * 1_500 + "true" + ")" * 1_500, "nested more than 32 deep"),
    ("deep lists", "[" * 1_500 + "]" * 1_500 + " == []", "nested more than 32 deep"),
    ("a huge literal", f"contact.body == '{'x' * 5_000}'", "the limit is 4000"),
    ("an endless sum", "+".join(["1"] * 1_500) + " == 1", "32"),
    ("an unknown name", "contact.customer.tire == 'gold'", "Known names: at, case.number"),
    ("a wrong type", "contact.channel == 1", "no matching overload"),
    ("no yes or no", "contact.channel", "not true or false"),
    ("an unknown zone", "at.getHours('Europe/Dubin') < 9", "no time zone 'Europe/Dubin'"),
    ("nothing", " ", "Syntax error"),
]  # fmt: skip


@pytest.mark.parametrize(("when", "told"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_is_refused_with_what_to_do(when: str, told: str) -> None:
    with pytest.raises(rules.RulesetError) as refused:
        upload(when)
    [problem] = refused.value.problems
    assert problem.rule == "hostile"
    assert told in problem.problem


BODIES = {
    "one letter": "a" * BODY_CHARACTERS,
    "two letters": "ab" * (BODY_CHARACTERS // 2),
    "letters at random": f"{3**11_000:b}"[:BODY_CHARACTERS].translate({48: "a", 49: "b"}),
    "words": "payout missing " * 1_000,
    "all that is looked for": ("payout missing " * 1_000 + " ".join(f"w{n}" for n in range(300)))[-BODY_CHARACTERS:],
}
ACCEPTED = [
    "contact.attributes.a.all(x, contact.attributes.a.all(y, x == x))",
    "['a', 'refund', 'q'].exists(w, contact.body.lowerAscii().contains(w))",
    "contact.tags.exists(t, contact.subject.contains(t))",
    f"contact.body.contains('{'a' * 3_800}b')",
    "contact.body.matches('(a+)+$b')",
    "contact.body.matches('(x+x+)+y')",
    "contact.subject.matches('[ab]*a[ab]{60}c')",
    "contact.body.matches('(.*)(.*)(.*)(.*)(.*)c')",
    "!" * 3_000 + "true",
    "contact.attributes.filter(k, k != 'a').map(k, k.upperAscii()).exists(k, k.size() > 99)",
]


def worst_contact(body: str) -> ContactFacts:
    attributes = {"a": list(range(10_000)), "b": ["q" * 1_000] * 500} | {f"k{n}": n for n in range(1_000)}
    return ContactFacts.model_validate(
        {"at": MONDAY, "channel": "chat", "subject": body, "body": body, "tags": ["q" * 9] * 500,
         "attributes": attributes}
    )  # fmt: skip


@pytest.mark.parametrize("when", ACCEPTED)
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_what_is_accepted_decides_or_is_cut_off(when: str, body: str) -> None:
    """`make bench` measures for how long; here: it ends, the next rule is tried, and it says why it did not match."""
    compiled = ruleset((when, "hostile"), ("true", "next"))
    found = rules.match(compiled, worst_contact(body))
    assert found.team in ("hostile", "next")
    told = rules.explain(compiled, worst_contact(body)).rules
    assert [said.rule for said in told] == ([] if found.team == "hostile" else ["r1"])


def test_rules_that_together_could_hold_everybody_up_are_refused() -> None:
    one = "contact.subject.matches('[ab]*a[ab]{60}c')"
    compiled = ruleset(*((f"{one} && contact.subject != '{n}'", "x") for n in range(60)))
    with pytest.raises(rules.RulesetError, match="all rules together could take") as refused:
        rules.check_work(compiled)
    assert [each.rule for each in refused.value.problems] == ["r1", "r2", "r3"]
    conditions = [weakref.ref(rule.condition) for rule in compiled.rules]
    cast(list[Any], compiled.rules).clear()
    assert not any(each() for each in conditions), "the error keeps them, and frees thousands at once when it goes"
    rules.check_work(rules.compile(1, thousand.ruleset(seed=1)))


def test_an_endless_loop_is_cut_off_with_that_reason() -> None:
    contact = ContactFacts.model_validate({"at": MONDAY, "channel": "chat", "attributes": {"a": list(range(200))}})
    when = "contact.attributes.a.all(x, contact.attributes.a.all(y, x == x))"
    [said] = rules.explain(upload(when), contact).rules
    assert "too many steps" in said.because


@pytest.mark.parametrize(
    ("pattern", "written_out"),
    [("abc", 3), ("a{3}", 7), ("[0-9]{4}-[0-9]{4}", 25), ("(a{2}b){10}", 130), ("(a{,5}){2}{3}", 108), ("a{1,}", 6)],
)
def test_a_patterns_size_counts_its_repetitions(pattern: str, written_out: int) -> None:
    assert size(pattern) == written_out


def test_ordinary_patterns_are_far_from_the_limit() -> None:
    for pattern in (
        r"(?i)\b(refund|chargeback|payout)s?\b",
        r"^\[?(TICKET|CASE)[-# ]?\d{4,8}\]?",
        r"\b[A-Z]{2}\d{2}[A-Z0-9]{4}\d{7}",
    ):
        assert size(pattern) < MAX_PATTERN / 2


def test_texts_that_are_searched_for_count_though_the_index_cannot_leave_them_out() -> None:
    with pytest.raises(rules.RulesetError, match="all rules together could take"):
        rules.check_work(ruleset(*((f"!contact.body.contains('aaa{n}')", "x") for n in range(300))))


@pytest.mark.parametrize(
    ("when", "count"),
    [("contact.body.contains('word{n}')", 1_000), ("contact.body.lowerAscii().contains('word{n}')", 1_000),
     ("contact.subject.contains('word{n}') || contact.body.contains('word{n}')", 600)],
)  # fmt: skip
def test_very_many_rules_may_each_look_for_a_word_of_their_own(when: str, count: int) -> None:
    rules.check_work(ruleset(*((when.format(n=n), "x") for n in range(count))))


def test_words_that_the_index_has_no_room_for_count_in_full() -> None:
    with pytest.raises(rules.RulesetError, match="all rules together could take"):
        rules.check_work(ruleset(*((f"contact.body.contains('{'w' * 35}{n:05}')", "x") for n in range(1_000))))


def test_long_texts_that_are_searched_for_count_by_their_length() -> None:
    """A body of equal letters is held against all of such a text, at each of its letters."""
    long = f"contact.body.contains('{'a' * 3_800}b')"
    rules.check_work(ruleset((long, "x")))
    with pytest.raises(rules.RulesetError, match="all rules together could take"):
        rules.check_work(ruleset(*((f"{long} && contact.subject != '{n}'", "x") for n in range(60))))


@pytest.mark.parametrize("items", [32, 33, 300])
def test_a_macro_over_a_long_list_is_read_only_so_far_and_decides_the_same(items: int) -> None:
    words = ", ".join(f"'w{n}'" for n in range(items))
    compiled = ruleset((f"[{words}].exists(w, ['a', w].exists(v, contact.reason == v))", "x"))
    teams = [rules.match(compiled, facts(reason=reason)).team for reason in ("a", f"w{items - 1}", "b", None)]
    assert teams == ["x", "x", "frontline", "frontline"]
