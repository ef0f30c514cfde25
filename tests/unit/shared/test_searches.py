"""Patterns that we search for ourselves hold exactly where CEL's own runtime says so."""

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from shared.conditions import STRING, Environment

ENVIRONMENT = Environment({"subject": STRING, "body": STRING})

ATOMS = st.sampled_from(
    ["a", "b", "é", ".", "[ab]", "[^a]", r"\\d", r"\\b", "^", "$", "(ab)", "(?:a|é)", "(?i)A", r"\\pL"]
)
REPEATED = st.builds(
    "".join, st.tuples(st.sampled_from(["a", "[ab]", "(ab)", "."]), st.sampled_from(["*", "+?", "{2}"]))
)
PATTERNS = st.lists(ATOMS | REPEATED, min_size=1, max_size=5).map("".join)
TEXTS = st.none() | st.text("abé1 \n", max_size=8)


@given(PATTERNS, PATTERNS, TEXTS, TEXTS)
@example("a", "b", "a", None)
@example("a", "b", None, "x")
@example("a", "b", "\ud800a", None)
def test_a_pattern_holds_where_the_runtime_says_so(one: str, other: str, subject: str | None, body: str | None) -> None:
    values = {"subject": subject, "body": body}
    first, second = f"subject.matches('{one}')", f"body.matches('{other}')"
    for parts in ((first,), (first, second), (first, "body.size() > 3"), ("body == 'a'", second)):
        found = evaluate(" && ".join(parts), values)
        # A comparison with true is nothing that we search for.
        expected = evaluate(" && ".join(f"({part}) == true" for part in parts), values)
        assert found == expected, parts


def test_of_a_pattern_that_is_none_the_runtime_says_why() -> None:
    holds, reason = evaluate("subject.matches('(')", {"subject": "("})
    assert not holds
    assert reason is not None
    assert "missing )" in reason


def evaluate(source: str, values: dict[str, Any]) -> tuple[bool, str | None]:
    outcome = ENVIRONMENT.part(source).evaluate(ENVIRONMENT.activation(values))
    return outcome.holds, outcome.reason
