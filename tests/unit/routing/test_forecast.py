"""The forecast of breaches is judged by histories whose outcome is known."""

from hypothesis import given
from hypothesis import strategies as st

from services.routing.lab.forecast import Cell, Change, Seen, forecast
from tests.bench.histories import PRIORITIES, TEAMS, history


def test_the_interval_holds_the_truth_in_at_least_35_of_50_histories_and_is_not_absurdly_wide() -> None:
    made = [history(seed) for seed in range(50)]
    held = sum(found.low <= truth <= found.high for found, truth in made)
    moving = [(found, truth) for found, truth in made if found.cases]
    width = sum((found.high - found.low) / found.cases for found, _ in moving) / len(moving)
    assert len(moving) >= 40
    assert held >= 35, held
    assert width < 0.3, width  # of the cases that move


def test_over_many_histories_it_holds_what_it_says_and_leans_to_no_side() -> None:
    made = [(found, truth) for found, truth in map(history, range(1_000, 1_200)) if found.cases]
    held = sum(found.low <= truth <= found.high for found, truth in made)
    assert 0.74 < held / len(made) < 0.88
    assert abs(sum(found.change - truth for found, truth in made) / len(made)) < 2.0


def test_nothing_that_moves_changes_nothing() -> None:
    assert forecast({("a", "normal"): Seen(9, 3)}, {}) == Change(0, 0, 0.0, 0.0, 0.0, ())


def test_a_team_with_little_history_is_named_and_less_is_sure_of_it() -> None:
    cells = {("old", "normal"): Seen(400, 40), ("sales", "normal"): Seen(400, 80)}
    moved = Seen(100, 10)
    known = forecast(cells, {(("old", "normal"), ("sales", "normal")): moved})
    new = forecast(cells, {(("old", "normal"), ("new", "normal")): moved})
    assert (known.thin, new.thin) == ((), ("new normal",))
    assert (new.high - new.low) / (new.before + new.change) > (known.high - known.low) / (known.before + known.change)


counts = st.tuples(st.integers(0, 50), st.integers(0, 50)).map(lambda pair: Seen(sum(pair), pair[0]))
cells = st.tuples(st.sampled_from(TEAMS), st.sampled_from(PRIORITIES))


@given(st.dictionaries(cells, counts), st.dictionaries(st.tuples(cells, cells), counts))
def test_it_never_expects_less_than_none_or_more_than_all(
    seen: dict[Cell, Seen], moved: dict[tuple[Cell, Cell], Seen]
) -> None:
    found = forecast(seen, moved)
    assert found.low <= found.change + 1e-9
    assert found.change <= found.high + 1e-9
    assert found.before + found.low >= -1e-9
    assert found.before + found.high <= found.cases + 1e-9
