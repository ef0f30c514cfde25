"""The simulator itself: the same seed is the same run, and a story becomes as short as what broke the promise.

``make sim`` runs it over many seeds, ``make sim-bugs`` proves that it finds bugs; docs/simulator.md says how it works.
"""

import pytest

from tests.sim.conftest import Play
from tests.sim.planted import BUGS
from tests.sim.story import Run, Simulator

STEPS = 150  # of one run
SHOWN_SOON = {  # a seed that showed the bug, or one soon after; make sim-bugs looks for all of them from seed 1 on
    "publish_before_commit": 1,
    "skip_the_inbox": 2,
    "skip_the_catch_up": 3,
}

pytestmark = pytest.mark.timeout(300)


def test_the_same_seed_is_the_same_run_statement_by_statement(play: Play) -> None:
    async def thrice(simulator: Simulator) -> list[Run]:
        first = await simulator.run(5, STEPS)
        return [first, await simulator.run(5, STEPS), await simulator.again(5, first.actions)]

    first, second, told_again = play(thrice)
    assert first.wrong is None
    assert first.inner > STEPS / 2
    assert second.actions == first.actions
    assert second.digest == told_again.digest == first.digest


def test_a_story_is_shortened_to_what_breaks_the_same_promise(play: Play) -> None:
    async def shortened(simulator: Simulator) -> list[Run]:
        [*_, broken] = await simulator.until_broken(STEPS, 20 * STEPS)
        return [broken, await simulator.shorten(broken, 12)]

    with BUGS["drop_a_timer"]():
        broken, short = play(shortened)
    assert broken.wrong is not None
    assert short.promise == broken.promise
    assert len(short.actions) < len(broken.actions)


@pytest.mark.parametrize("bug", SHOWN_SOON)
def test_a_known_bug_shows_soon(play: Play, bug: str) -> None:
    with BUGS[bug]():
        [*_, run] = play(lambda simulator: simulator.until_broken(250, 5_000, SHOWN_SOON[bug]))
    assert run.wrong is not None
