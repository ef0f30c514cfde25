"""The text of a condition is read as CEL reads it."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.routing.rules.facts import ENVIRONMENT
from shared.conditions import ConditionError
from shared.conditions.reading import Claim, Kind, Op, claim, fields, parts, plain, tokens


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a && b", ["a", "b"]),
        ("(a && (b || c)) && d", ["a", "b || c", "d"]),
        ("a || b && c", ["a || b && c"]),
        ("a ? b && c : d", ["a ? b && c : d"]),
        ("x.exists(t, t && u) && !(a && b)", ["x.exists(t, t && u)", "!(a && b)"]),
        ("a == '&& b' && c == \"it's\"", ["a == '&& b'", 'c == "it\'s"']),
        ("a // && not code\n && b", ["a", "b"]),
        (r"a.matches(r'\') && b", [r"a.matches(r'\')", "b"]),
        ("a == '''it's && ''' && b", ["a == '''it's && '''", "b"]),
        ("(a) && (b)", ["a", "b"]),
    ],
)
def test_parts_joined_by_and_at_the_top_only(source: str, expected: list[str]) -> None:
    assert parts(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("contact.customer.tier == 'gold'", Claim("contact.customer.tier", Op.IS, ("gold",))),
        ("'gold' != contact.customer.tier", Claim("contact.customer.tier", Op.IS_NOT, ("gold",))),
        ("'vip' in contact.tags", Claim("contact.tags", Op.HAS, ("vip",))),
        ("contact.language in ['en', \"ga\"]", Claim("contact.language", Op.ONE_OF, ("en", "ga"))),
        ("contact.subject.startsWith(r'\\d')", Claim("contact.subject", Op.STARTS, ("\\d",))),
        ("contact.attributes['plan'] == 3", Claim("contact.attributes.plan", Op.IS, (3,))),
        ("contact.attributes.big == true", Claim("contact.attributes.big", Op.IS, (True,))),
        ("contact.subject == 'tab\\there'", Claim("contact.subject", Op.IS, ("tab\there",))),
        ("contact.subject == '\\u0041'", None),
        ("contact.subject == b'x'", None),
        ("contact.attributes.none == null", None),
        ("size(contact.tags) == 2", None),
        ("contact.language in []", None),
    ],
)
def test_a_simple_part_is_a_claim_about_one_field(source: str, expected: Claim | None) -> None:
    assert claim(source) == expected


def test_the_fields_that_a_condition_reads() -> None:
    source = "contact.attributes['product'] == 'x' || contact.attributes.a.b > 1 && 'contact.url' in contact.tags"
    known = ["contact.attributes", "contact.tags", "contact.url"]
    assert fields(tokens(source), known) == ("contact.attributes.product", "contact.attributes.a.b", "contact.tags")


@pytest.mark.parametrize("source", ["a == 'open", "a # b", "a\u00a0&& b", "a == 'x\ny'", "a; b"])
def test_what_cannot_be_read_is_refused_with_its_place(source: str) -> None:
    with pytest.raises(ConditionError, match=r"line 1, column \d+: .* cannot be read here"):
        tokens(source)


@given(st.text(st.sampled_from("ab'\"\\rR/&|?()[]. \n"), max_size=12))
@example("'//")
def test_texts_are_read_as_cel_reads_them(source: str) -> None:
    """Where CEL takes a literal for a text, so do we, and it stands for the same."""
    literal = f"'{source}'"
    try:
        condition = ENVIRONMENT.compile(f"contact.subject == {literal}")
    except ConditionError:
        return
    found = tokens(literal)
    assert [token.kind for token in found] == [Kind.TEXT]
    said = plain(found[0].text)  # what follows it may be a comment
    assert said is None or condition.evaluate(ENVIRONMENT.activation({"contact.subject": said})).holds


@given(
    st.lists(
        st.sampled_from(["'a'", "r'\\'", '"b"', "true", "(true)", "&&", "||", "!", "\n", "//x\n", "==", "in", "1"])
    )
)
def test_splitting_keeps_the_meaning(pieces: list[str]) -> None:
    source = " ".join(pieces)
    try:
        whole = ENVIRONMENT.compile(source).evaluate(ENVIRONMENT.activation({}))
    except ConditionError:
        return
    nothing = ENVIRONMENT.activation({})
    assert all(ENVIRONMENT.compile(part).evaluate(nothing).holds for part in parts(source)) == whole.holds
