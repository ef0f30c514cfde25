"""Group commit: who shares a transaction, who is told to repeat, and who pays for bad data."""

import asyncio
from collections.abc import Callable, Hashable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import DBAPIError

from shared.errors import Problem, conflict
from shared.group_commit import Bounds, GroupCommit

BOUNDS = Bounds(requests=100, bytes=1_000, wait_s=5.0, group=10)


class BadData(Exception):
    sqlstate = "22021"


class Commits:
    """Remembers what was committed together; each waits for its turn where ``held``."""

    def __init__(self, bounds: Bounds = BOUNDS, apart: Callable[[str], Hashable] = lambda _item: None) -> None:
        self.groups: list[list[str]] = []
        self.go = asyncio.Event()
        self.go.set()
        self.begun = asyncio.Event()
        self.wrong: dict[str, Exception] = {}
        self.lane = GroupCommit[str, str]("test", self._commit, bounds, apart)

    async def _commit(self, items: Sequence[str]) -> Sequence[str | Problem]:
        self.begun.set()
        await self.go.wait()
        await asyncio.sleep(0)
        if guilty := [item for item in items if item in self.wrong]:
            raise self.wrong[guilty[0]]
        self.groups.append(list(items))
        return [conflict("no", item) if item.startswith("no") else item.upper() for item in items]

    async def under_way(self, item: str) -> asyncio.Task[str]:
        """One whose commit waits for ``go``."""
        self.go.clear()
        task = asyncio.create_task(self.lane.submit(item))  # noqa: TID251
        await self.begun.wait()
        return task

    async def together(self, *items: str) -> list[str | BaseException]:
        return await asyncio.gather(*(self.lane.submit(item) for item in items), return_exceptions=True)


async def test_one_alone_is_committed_at_once() -> None:
    commits = Commits()
    assert await commits.lane.submit("a") == "A"
    assert commits.groups == [["a"]]


async def test_what_comes_during_a_commit_is_the_next_group_in_order() -> None:
    commits = Commits()
    first = await commits.under_way("a")
    rest = asyncio.gather(*(commits.lane.submit(item) for item in "bcd"))
    await asyncio.sleep(0)
    commits.go.set()
    assert [await first, *await rest] == ["A", "B", "C", "D"]
    assert commits.groups == [["a"], ["b", "c", "d"]]


async def test_who_comes_in_the_next_turns_of_the_loop_is_in_the_group() -> None:
    commits = Commits()

    async def later(item: str, turns: int) -> str:
        for _ in range(turns):
            await asyncio.sleep(0)
        return await commits.lane.submit(item)

    assert await asyncio.gather(later("a", 0), later("b", 1), later("c", 2), later("d", 9)) == ["A", "B", "C", "D"]
    assert commits.groups == [["a", "b", "c"], ["d"]]


async def test_a_group_is_bounded() -> None:
    commits = Commits(Bounds(100, 1_000, 5.0, group=2))
    await commits.together(*"abcde")
    assert commits.groups == [["a", "b"], ["c", "d"], ["e"]]


async def test_each_gets_its_own_problem() -> None:
    [a, no, b] = await Commits().together("a", "no", "b")
    assert (a, b) == ("A", "B")
    assert isinstance(no, Problem)
    assert no.status == 409


async def test_a_full_queue_says_when_to_repeat_and_takes_nothing() -> None:
    commits = Commits(Bounds(requests=2, bytes=1_000, wait_s=5.0, group=10))
    first = await commits.under_way("a")
    waiting = asyncio.gather(commits.lane.submit("b"), commits.lane.submit("c"))
    await asyncio.sleep(0)
    with pytest.raises(Problem) as full:
        await commits.lane.submit("d")
    assert (full.value.status, full.value.headers["Retry-After"]) == (503, "1")
    commits.go.set()
    await asyncio.gather(first, waiting)
    assert commits.groups == [["a"], ["b", "c"]]
    assert await commits.lane.submit("d") == "D", "there is room again"


async def test_large_requests_fill_the_queue_before_it_has_many() -> None:
    commits = Commits(Bounds(requests=100, bytes=10, wait_s=5.0, group=10))
    first = await commits.under_way("a")
    large = asyncio.create_task(commits.lane.submit("large", size=11))  # noqa: TID251
    await asyncio.sleep(0)
    with pytest.raises(Problem, match="wait to be stored"):
        await commits.lane.submit("b", size=1)
    commits.go.set()
    assert [await first, await large] == ["A", "LARGE"]


async def test_who_waited_too_long_is_told_so_and_not_committed_later() -> None:
    commits = Commits(Bounds(requests=100, bytes=1_000, wait_s=0.02, group=10))
    first = await commits.under_way("a")
    with pytest.raises(Problem, match="Nothing was accepted") as late:
        await commits.lane.submit("b")
    assert (late.value.status, late.value.headers["Retry-After"]) == (503, "1")
    with pytest.raises(Problem, match="may or may not"):
        await first
    commits.go.set()
    assert await commits.lane.submit("c") == "C"
    assert commits.groups == [["a"], ["c"]]


async def test_a_caller_that_goes_away_takes_nothing_with_it() -> None:
    commits = Commits()
    first = await commits.under_way("a")
    second = asyncio.create_task(commits.lane.submit("b"))  # noqa: TID251
    third = asyncio.create_task(commits.lane.submit("c"))  # noqa: TID251
    await asyncio.sleep(0)
    first.cancel()
    second.cancel()
    await asyncio.wait([first, second])
    commits.go.set()
    assert await third == "C"
    assert commits.groups == [["a"], ["b", "c"]]


async def test_bad_data_fails_alone() -> None:
    commits = Commits()
    commits.wrong["bad"] = DBAPIError("INSERT", {}, BadData())
    [a, bad, b] = await commits.together("a", "bad", "b")
    assert (a, b) == ("A", "B")
    assert isinstance(bad, DBAPIError)
    assert commits.groups == [["a"], ["b"]]


async def test_while_the_database_is_away_all_are_told_to_repeat() -> None:
    commits = Commits()
    commits.wrong["b"] = ConnectionRefusedError()
    answers = await commits.together(*"abc")
    assert [answer.status for answer in answers if isinstance(answer, Problem)] == [503, 503, 503]
    del commits.wrong["b"]
    assert await commits.together(*"abc") == ["A", "B", "C"]


async def test_the_same_key_never_twice_in_a_group() -> None:
    commits = Commits(apart=lambda item: item[0] if item[0] == "k" else None)
    assert await commits.together("k1", "a", "k2", "b", "k3") == ["K1", "A", "K2", "B", "K3"]
    assert commits.groups == [["k1", "a", "b"], ["k2"], ["k3"]]


@given(
    st.lists(st.tuples(st.sampled_from(["submit", "cancel", "turn"]), st.integers(0, 5)), max_size=40),
    st.integers(1, 3),
    st.integers(1, 4),
)
def test_whatever_happens_each_is_committed_once(steps: list[tuple[str, int]], at_once: int, group: int) -> None:
    async def story() -> None:
        commits = Commits(
            Bounds(requests=50, bytes=1_000, wait_s=5.0, group=group, at_once=at_once),
            apart=lambda item: item.split("-")[1],
        )
        tasks: list[asyncio.Task[str]] = []
        for number, (step, value) in enumerate(steps):
            if step == "submit":
                tasks.append(asyncio.create_task(commits.lane.submit(f"{number}-{value}")))  # noqa: TID251
                await asyncio.sleep(0)
            elif step == "cancel" and tasks:
                tasks[value % len(tasks)].cancel()
            else:
                await asyncio.sleep(0)
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(10 * len(tasks)):  # turns of the loop, for those whose caller went
            await asyncio.sleep(0)
        submitted = [f"{number}-{value}" for number, (step, value) in enumerate(steps) if step == "submit"]
        assert sorted(item for group in commits.groups for item in group) == sorted(submitted)
        for together in commits.groups:
            keys = [item.split("-")[1] for item in together]
            assert len(keys) == len(set(keys)) <= group

    asyncio.run(asyncio.wait_for(story(), 20))
