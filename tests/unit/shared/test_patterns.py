"""What a pattern could take: few states are cheap, and those that must remember many characters are foreseen."""

import pytest

from shared.conditions.patterns import FEW, MORE, QUICK, SLOW, remembered, size, weight

ORDINARY = (
    r"(?i)\b(refund|chargeback|payout)s?\b",
    r"^\[?(TICKET|CASE)[-# ]?\d{4,8}\]?",
    r"\b[A-Z]{2}\d{2}[A-Z0-9]{4}\d{7}",
    r"\d{16}",
    r"card *[0-9]{13,19}",
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    r"(?i)(order|invoice) *#?[0-9]{6,10}",
    r"(?i)ref: [A-Z0-9]{12}",
    r"[\w.+-]+@[\w-]+\.[\w.]+",
    r"^(?i)(re|fwd): (?s)your.order",
    "grüße|[äöü]{3}",
)
# Each takes RE2 10 ms or more on 16,000 letters a and b at random, where others take a tenth of a millisecond.
SLOWEST = (
    r"[ab]*a[ab]{60}c",
    r"a*.{18}c",
    r"b?a.\w{19}c",
    r"([^c]{19}a+){5}b.c",
    r"(\w{16}a){3}c",
    r"(b.{7}|ba?){7}([^c]?)[^c]c",
    r"([^c]?|a?a*.{17})c",
    r"([^c]{13}a|a+.{14})?ba{14}c",
    "(a|b)*a" + "(a|b)" * 20 + "c",
)
UNREAD = (r"\pL{3}x", r"\Qa.b\E", r"\x{41}b", r"[\pN]a", "a(b", "a)b", "(?i)a(?-i:b)")


@pytest.mark.parametrize("pattern", ORDINARY)
def test_ordinary_patterns_are_sure_to_be_quick(pattern: str) -> None:
    assert remembered(pattern) <= FEW
    assert weight(pattern) <= QUICK + FEW * MORE


@pytest.mark.parametrize("pattern", SLOWEST)
def test_patterns_that_take_long_are_foreseen(pattern: str) -> None:
    assert remembered(pattern) > FEW
    assert weight(pattern) == SLOW * size(pattern)


@pytest.mark.parametrize("pattern", UNREAD)
def test_what_only_the_library_reads_counts_whole(pattern: str) -> None:
    assert remembered(pattern) == size(pattern)


@pytest.mark.parametrize(
    ("pattern", "characters"),
    [("[ab]{20}", 0), ("a[ab]{20}", 20), ("a:[ab]{20}", 0), ("(a|c:)[ab]{20}", 20), ("(a:|c:)[ab]{20}", 0),
     ("(x?)[ab]{20}", 20), ("(a[ab]{5}){3}", 15), ("a{20}", 0), ("(?i)A[ab]{20}", 20), ("A[ab]{20}", 0),
     ("(?i)aaaaaaaaaaaaaaaaaaaa", 0), ("A(?i:a){20}", 20)],
)  # fmt: skip
def test_a_repeated_class_counts_where_a_match_can_begin_within(pattern: str, characters: int) -> None:
    assert remembered(pattern) == characters
