"""A large ruleset holds nobody up: what takes long is done rule by rule, or beside the event loop.

`python -m tests.bench.uploads` measures for how long.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from services.routing import lab, rules
from services.routing.api import rulesets
from shared import pace
from tests.unit.routing.conftest import Routing, contact
from tests.unit.routing.test_api import FALLBACK, PAYOUT, VIP, post_ruleset, url

MANY = [VIP | {"id": f"r{n}", "then": {"team": "frontline"}} for n in range(60)]


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """Whether what goes through a whole ruleset at once ran in the thread of the event loop, by name."""
    seen: dict[str, bool] = {}

    def told(name: str, does: Callable[..., Any]) -> Callable[..., Any]:
        def doing(*given: Any) -> Any:
            seen[name] = seen.get(name, False) or threading.current_thread() is threading.main_thread()
            return does(*given)

        return doing

    for where, name in ((rules, "assemble"), (rules, "explain"), (lab, "evaluate"), (rulesets, "lint")):
        monkeypatch.setattr(where, name, told(name, getattr(where, name)))
    return seen


async def test_what_goes_through_all_rules_at_once_runs_beside_the_event_loop(
    routing: Routing, threads: dict[str, bool]
) -> None:
    await post_ruleset(routing, *MANY)
    assert (await routing.client.post("/v1/rulesets/2/activate")).status_code == 200
    await routing.take(contact(1, **PAYOUT))
    await routing.client.get(url(1))
    trial = {"channel": "email", "ruleset": {"rules": MANY, "fallback": FALLBACK}}
    assert (await routing.client.post("/v1/rulesets/evaluate", json=trial)).status_code == 200
    assert (await routing.client.post("/v1/rulesets/2/evaluate", json={"channel": "email"})).status_code == 200
    assert (await routing.client.post("/v1/rulesets/2/lint")).status_code == 200
    assert threads == dict.fromkeys(("assemble", "explain", "evaluate", "lint"), False)


async def test_others_have_their_turn_between_any_two_rules_that_are_compiled(
    routing: Routing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "SLICE_S", 0.0)
    compiled, turns = 0, set[int]()
    compile_one = rules.ENVIRONMENT.compile

    def count(source: str) -> Any:
        nonlocal compiled
        compiled += 1
        return compile_one(source)

    monkeypatch.setattr(rules.ENVIRONMENT, "compile", count)

    async def look() -> None:
        while True:
            turns.add(compiled)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as together:
        looking = together.create_task(look())
        await post_ruleset(routing, *MANY)
        looking.cancel()
    assert turns == set(range(len(MANY) + 1))
