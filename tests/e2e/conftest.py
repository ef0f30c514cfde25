"""The stacks that the stories run on, what their processes said when one fails, and the figures they measured."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import MEASURED
from tests.e2e import scene
from tests.e2e.client import Client
from tests.e2e.stack import KINDS, Stack


@pytest.fixture(scope="session", params=list(KINDS))
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A running Tocsin, embedded and then on Kafka, with the scene set."""
    with KINDS[request.param]() as running:
        scene.set_up(running.client())
        yield running


@pytest.fixture
def tocsin(stack: Stack) -> Client:
    return stack.client()


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Says a line that is printed at the end of the run."""
    return lambda line: request.node.user_properties.append((MEASURED, line))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome: Any = yield
    report = outcome.get_result()
    used = getattr(item, "funcargs", {}).values()
    if report.failed:
        for stack in (each for each in used if isinstance(each, Stack)):
            report.sections += [(f"the last lines of {name}", text) for name, text in stack.logs()]
