"""How a poll is shared out between partitions."""

from hypothesis import given
from hypothesis import strategies as st

from shared.log.fairness import fair

waitings = st.dictionaries(st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 7)), st.integers(0, 2000))


@given(waitings, st.integers(1, 600), st.integers(0, 100))
def test_a_poll_reads_as_much_as_it_may_and_never_more(waiting, limit, turn):
    counts = fair(waiting, limit, turn)
    assert sum(counts.values()) == min(limit, sum(waiting.values()))
    assert all(0 < count <= waiting[each] for each, count in counts.items())


@given(waitings, st.integers(16, 600), st.integers(0, 100))
def test_no_partition_waits_while_another_has_more_than_its_part(waiting, limit, turn):
    counts = fair(waiting, limit, turn)
    for each, records in waiting.items():
        got = counts.get(each, 0)
        if got < records:
            assert got >= max(counts.values()) - 1


@given(waitings.filter(lambda waiting: any(waiting.values())), st.integers(1, 3))
def test_each_partition_has_its_turn_even_when_a_poll_is_small(waiting, limit):
    served = {each for turn in range(16) for each in fair(waiting, limit, turn)}
    assert served == {each for each, records in waiting.items() if records}
