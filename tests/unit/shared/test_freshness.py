"""When may a timer fire? Only when everything that stood in the log at its due time has been read."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.ticker import Freshness

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def at(seconds: int) -> datetime:
    return START + timedelta(seconds=seconds)


def test_a_partition_that_was_read_to_its_end_is_fresh_as_of_then() -> None:
    freshness = Freshness(1, ["contacts"])
    freshness.note(at(0), {("contacts", 0): 7}, {("contacts", 0): 7})
    assert freshness.until == {0: at(0)}


def test_unread_events_keep_a_partition_stale_and_leave_the_others_alone() -> None:
    freshness = Freshness(2, ["contacts"])
    ends = {("contacts", 0): 7, ("contacts", 1): 3}
    freshness.note(at(0), ends, {("contacts", 0): 6, ("contacts", 1): 3})
    assert freshness.until == {1: at(0)}


def test_every_consumed_topic_counts() -> None:
    freshness = Freshness(1, ["contacts", "pages"])
    freshness.note(at(0), {("contacts", 0): 1, ("pages", 0): 1}, {("contacts", 0): 1})
    assert freshness.until == {}


def test_under_constant_load_freshness_still_advances() -> None:
    """The end moves on at every look, and the reader is always one behind: as of the look before, it is whole."""
    freshness = Freshness(1, ["contacts"])
    for second in range(10):
        freshness.note(at(second), {("contacts", 0): second + 1}, {("contacts", 0): second})
    assert freshness.until[0] == at(8)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=40))
def test_never_fresh_beyond_what_was_read(moves: list[tuple[int, int]]) -> None:
    """Whatever is appended and read: all that stood in the log at ``until`` has been read."""
    freshness = Freshness(1, ["contacts"])
    end, read, stood = 0, 0, {}
    for second, (appended, taken) in enumerate(moves):
        end += appended
        read = min(end, read + taken)
        stood[at(second)] = end
        freshness.note(at(second), {("contacts", 0): end}, {("contacts", 0): read})
        if 0 in freshness.until:
            assert stood[freshness.until[0]] <= read
        if read == end:
            assert freshness.until[0] == at(second)
