"""YAML that says what the API says, and keeps what people wrote around it."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.config_files.documents import Unreadable, read, write

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20) | st.sampled_from(
    ["2026-12-24", "09:00", "on", "yes", "null", "1e3", "a\nb\n", " x", "\r\n", "~", "# no", "<kept on the server>"]
)
VALUES: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT.filter(bool), inner, max_size=3),
    max_leaves=8,
)
BODIES = st.dictionaries(TEXT.filter(bool), VALUES, min_size=1, max_size=4)


@settings(max_examples=50)
@given(BODIES)
def test_what_is_written_is_read_the_same(body: dict[str, Any]) -> None:
    assert read(write(body)).body == body


@settings(max_examples=50)
@given(BODIES, BODIES)
def test_an_edit_of_a_file_gives_exactly_the_new_document(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert read(write(new, read(write(old)))).body == new


def test_comments_stay_where_an_edit_does_not_touch_them() -> None:
    old = "# who\nmembers: [ana]  # by seniority\n# where\ntime_zone: Europe/Dublin\n"
    new = write({"members": ["ana", "li"], "time_zone": "Europe/Madrid"}, read(old))
    assert new == "# who\nmembers: [ana, li] # by seniority\n# where\ntime_zone: Europe/Madrid\n"


@pytest.mark.parametrize(
    ("text", "line"), [("a: 1\na: 2\n", 2), ("a: [1\nb: 2\n", 2), ("- a\n", 1), ("a: !x 1\n1: 2\n", 1)]
)
def test_what_is_no_document_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(Unreadable) as refused:
        read(text)
    assert refused.value.line == line
