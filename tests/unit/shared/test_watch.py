"""A service sees where its own reading stands still."""

from shared.watch import SILENT_S, Standstill

FIRST, OTHER = ("contacts", 0), ("contacts", 1)


def test_a_partition_that_stands_still_is_seen_though_another_goes_on() -> None:
    look = Standstill().look
    for second in range(int(SILENT_S) + 1):
        assert look({FIRST: second, OTHER: 5}, {FIRST: 100, OTHER: 9}, second) == []
    assert look({FIRST: 50, OTHER: 5}, {FIRST: 100, OTHER: 9}, SILENT_S + 1) == [OTHER]
    assert look({FIRST: 51, OTHER: 5}, {FIRST: 100, OTHER: 9}, SILENT_S + 2) == [], "it has as long again"


def test_where_nothing_is_unread_nothing_stands_still() -> None:
    look = Standstill().look
    assert look({FIRST: 5}, {FIRST: 5, OTHER: 0}, 0) == []
    assert look({FIRST: 5}, {FIRST: 5, OTHER: 0}, SILENT_S) == []
    assert look({FIRST: 5}, {FIRST: 6, OTHER: 0}, SILENT_S + 1) == [], "it came just now"
    assert look({FIRST: 5}, {FIRST: 6, OTHER: 0}, 2 * SILENT_S + 1) == [FIRST]
