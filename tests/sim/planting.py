"""Known bugs are planted, and the simulator has to find each within so many steps: ``make sim-bugs``."""

import pytest

from tests.sim.conftest import Play
from tests.sim.planted import BUGS

STEPS, WITHIN = 250, 10_000  # of one run; over seeds 1, 2, 3, …

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("bug", BUGS)
def test_a_known_bug_is_found(play: Play, bug: str) -> None:
    with BUGS[bug]():
        runs = play(lambda simulator: simulator.until_broken(STEPS, WITHIN))
    steps, wrong = sum(run.steps for run in runs), runs[-1].wrong
    assert wrong is not None, f"{bug} shows nowhere in {steps} steps"
    print(f"{bug}: in seed {runs[-1].seed}, after {steps} steps, {wrong[:200]}")
