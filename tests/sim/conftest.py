"""One simulator for all of these tests, in its own loop."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from tests.sim.ground import ground
from tests.sim.story import Run, Simulator, loop_factory

Body = Callable[[Simulator], Coroutine[Any, Any, list[Run]]]
Play = Callable[[Body], list[Run]]


@pytest.fixture(scope="module")
def play() -> Iterator[Play]:
    """Does something with the simulator, and gives the runs."""
    with ground() as server, asyncio.Runner(loop_factory=loop_factory) as runner:
        simulator = Simulator(server)
        yield lambda body: runner.run(body(simulator))
        runner.run(server.close())
