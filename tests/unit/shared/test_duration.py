"""Durations as admins write them and as people read them."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts import duration


@given(st.timedeltas(min_value=timedelta(0), max_value=duration.MAX))
def test_what_is_written_is_read_back(length: timedelta) -> None:
    assert duration.parse(duration.text(length)) == length


@pytest.mark.parametrize("text", ["", "P", "PT", "4h", "PT-1H", "PT1", "P1M", "P1Y", "PT1H ", "P9999999999999D", "１"])
def test_anything_else_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match=r"Write"):
        duration.parse(text)


@pytest.mark.parametrize("text", ["P1D", "P1W", "P1DT2H"])
def test_a_bare_day_is_refused_where_business_time_counts(text: str) -> None:
    assert duration.parse(text) > timedelta(0)
    with pytest.raises(ValueError, match="business day has no fixed length"):
        duration.parse(text, business=True)


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (timedelta(milliseconds=400), "under 1 s"),
        (timedelta(seconds=40), "40 s"),
        (timedelta(minutes=2, seconds=5), "2 min 5 s"),
        (timedelta(minutes=15, seconds=50), "15 min"),
        (timedelta(hours=1, minutes=10), "1 h 10 min"),
        (timedelta(days=3, hours=2), "3 days 2 h"),
    ],
)
def test_words(length: timedelta, words: str) -> None:
    assert duration.words(length) == words
