"""What a round means: where it hangs, who is told of it, and that nobody is told again and again."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.watch.judgement import Call, Hop, Result, Rules, Seen, Standing, hangs_at, judge, told
from services.watch.memory import MAX_LEFT, Contact, Memory, load, save

START = datetime(2026, 11, 22, 3, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RULES = Rules(failures=2, repeat=timedelta(hours=1))


def test_the_first_step_that_was_not_done_is_where_it_hangs() -> None:
    for number, hop in enumerate(Hop):
        names = [field.name for field in fields(Seen)][number:]
        found, text = hangs_at(Seen(**dict.fromkeys(names, "no answer")))
        assert found == hop
        assert "no answer" in text
    assert hangs_at(Seen()) == (Hop.DELIVERED, "the page was sent, and did not arrive in time")


def play(rounds: str, reached: str = "") -> list[tuple[int, Call]]:
    """A round a minute: ``.`` worked, ``x`` hung. ``reached``: whether people could be told, call by call."""
    standing, calls, ways = Standing(), [], list(reached)
    for number, how in enumerate(rounds):
        at = START + number * MINUTE
        worked = Result(at, timedelta(seconds=1.2))
        hung = Result(at, hop=Hop.ROUTED, text="contacts get no team")
        standing, call = judge(standing, worked if how == "." else hung, RULES)
        if call is not None:
            calls.append((number, call))
            if not ways or ways.pop(0) == "y":
                standing = told(standing, call, at)
    return calls


def test_people_are_called_after_two_rounds_and_told_when_it_is_over() -> None:
    calls = play("..x.xxxx..")
    assert [(number, call.over) for number, call in calls] == [(5, False), (8, True)]
    assert (
        "contacts get no team. 2 rounds in a row failed; the last that worked: 2026-11-22 03:03:00" in calls[0][1].text
    )
    assert calls[1][1].text == "Tocsin works again, after 4 min: a contact became a page in 1.2 s."


def test_while_it_lasts_people_are_called_again_each_hour() -> None:
    assert [number for number, _ in play("x" * 130)] == [1, 61, 121]


def test_who_could_not_be_told_is_told_after_the_next_round() -> None:
    assert [(number, call.over) for number, call in play("xxxx..", "nnyny")] == [
        (1, False), (2, False), (3, False), (4, True), (5, True),
    ]  # fmt: skip


@given(st.text(".x", max_size=200))
def test_calls_and_recoveries_take_turns_but_for_the_hourly_one(rounds: str) -> None:
    over = [call.over for _, call in play(rounds)]
    assert over[:1] != [True]
    for before, after in pairwise(over):
        assert not (before and after)


def test_memory_is_the_same_after_a_restart_and_private(tmp_path: Path) -> None:
    standing = Standing(3, START, START + MINUTE, None)
    kept = (
        Memory("whsec_x", "http://here/page", standing).leave(Contact("one", START)).leave(Contact("two", START, "c"))
    )
    save(tmp_path / "deep" / "state.json", kept)
    assert load(tmp_path / "deep" / "state.json") == kept
    assert (tmp_path / "deep" / "state.json").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"secret": "x"}'])
def test_what_cannot_be_read_is_begun_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)
    assert load(tmp_path / "state.json") is None


def test_what_is_to_be_closed_is_bounded_and_named_once() -> None:
    memory = Memory("whsec_x")
    for number in range(3 * MAX_LEFT):
        memory = memory.leave(Contact(str(number), START)).leave(Contact(str(number), START, "case"))
    assert [each.name for each in memory.left] == [str(number) for number in range(2 * MAX_LEFT, 3 * MAX_LEFT)]
    assert memory.closed(Contact(str(3 * MAX_LEFT - 1), START)).left == memory.left[:-1]
