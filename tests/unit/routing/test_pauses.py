"""A large ruleset holds nobody up: what goes through all of it does so in short steps, and others run in between.

Work is counted, not timed: `python -m tests.bench.uploads` measures for how long.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from services.routing import rules
from services.routing.api import checks
from services.routing.lab.shadow import Pair
from services.routing.rules.facts import ENVIRONMENT
from services.routing.rules.lint import lint
from services.routing.spec import RulesetSpec
from services.routing.store import RoutingStore, rulesets
from shared import pace
from shared.conditions import Condition
from tests.unit.routing.conftest import Routing, contact
from tests.unit.routing.test_api import FALLBACK, VIP, post_ruleset, url
from tests.unit.routing.test_rules import facts

MANY = [VIP | {"id": f"r{n}", "then": {"team": "frontline"}} for n in range(60)]
VALUES = ", ".join(f"'v{n}'" for n in range(25))
LARGE = {
    "values": [f"contact.reason in [{VALUES}, '{n}']" for n in range(120)],
    "members": [f"'tag-{n}' in contact.tags && 'tag-{n % 7}' in contact.tags" for n in range(120)],
    "ranges": [f"contact.customer.contacts_24h > {n} && contact.customer.contacts_7d < {2 * n}" for n in range(120)],
    "prefixes": [f"contact.source.startsWith('{'s' * (n % 40)}{n}') || contact.source == '{n}'" for n in range(120)],
    "patterns": [f"contact.subject.matches('(?i)order {n}') || contact.body.contains('{n} euro')" for n in range(120)],
    "terms": [f"contact.attributes.a{n} == 'x' || at.getHours('Etc/GMT+{n % 12}') < {n % 24}" for n in range(120)],
    "alternatives": [
        " || ".join(f"contact.reason == '{n}-{m}' && contact.language == 'l{m}'" for m in range(8)) for n in range(60)
    ],
}
GROWTH = 25  # lines of Python that a step may grow by with each further rule: 2 µs; a whole pass takes hundreds


def lines_by_step(steps: Iterable[Any]) -> list[int]:
    """How many lines of Python each step runs."""
    found, count, end = list[int](), 0, object()

    def line(_frame: Any, event: str, _given: Any) -> Any:
        nonlocal count
        count += event == "line"
        return line

    going = iter(steps)
    while True:
        count, before = 0, sys.gettrace()
        sys.settrace(line)
        try:
            step = next(going, end)
        finally:
            sys.settrace(before)
        found.append(count)
        if step is end:
            return found


def spec_of(conditions: list[str]) -> RulesetSpec:
    made = [{"id": f"r{n}", "when": when, "then": {"team": f"team-{n}"}} for n, when in enumerate(conditions)]
    return RulesetSpec.model_validate({"rules": made, "fallback": FALLBACK})


@pytest.mark.parametrize("kind", LARGE)
def test_no_step_is_longer_in_a_larger_ruleset(kind: str) -> None:
    conditions = LARGE[kind]
    few, many = longest(conditions[: len(conditions) // 3]), longest(conditions)
    more = GROWTH * (len(conditions) - len(conditions) // 3)
    assert {name: (few[name], many[name]) for name in many if many[name] > few[name] + more} == {}


def longest(conditions: list[str]) -> dict[str, int]:
    """Lines of the longest step."""
    spec = spec_of(conditions)
    compiled, other = rules.compile(1, spec), rules.compile(2, spec_of(conditions[::2]))
    unlike = facts(reason="no", tags=["no"], subject="no", attributes={"b": 1})
    whole: dict[str, Iterable[Any]] = {
        "compile": rules.compiling(1, spec),
        "lint": lint(compiled, {"x"}),
        "explain": rules.explaining(compiled, unlike),
        "compare": Pair.of(compiled, other),
    }
    return {name: max(lines_by_step(steps)) for name, steps in whole.items()}


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], AbstractAsyncContextManager[set[int]]]:
    """How often a condition had been compiled, or evaluated, whenever others had their turn."""
    monkeypatch.setattr(pace, "SLICE_S", 0.0)
    done = dict.fromkeys(("compile", "evaluate"), 0)

    def counted(where: Any, method: str, name: str) -> None:
        does = getattr(where, method)

        def doing(*given: Any) -> Any:
            done[name] += 1
            return does(*given)

        monkeypatch.setattr(where, method, doing)

    counted(ENVIRONMENT, "compile", "compile")  # of what is uploaded
    counted(ENVIRONMENT, "accepted", "compile")  # of what is stored
    counted(Condition, "evaluate", "evaluate")

    @asynccontextmanager
    async def looking(name: str) -> AsyncIterator[set[int]]:
        began, seen = done[name], set[int]()

        async def look() -> None:
            while True:
                seen.add(done[name] - began)
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as together:
            task = together.create_task(look())
            yield seen
            task.cancel()

    return looking


EVERY = set(range(len(MANY) + 1))


async def test_others_have_their_turn_between_any_two_rules_that_are_compiled(
    routing: Routing, turns: Callable[[str], AbstractAsyncContextManager[set[int]]]
) -> None:
    async with turns("compile") as seen:
        await post_ruleset(routing, *MANY)
    assert seen == EVERY
    assert (await routing.client.post("/v1/rulesets/2/activate")).status_code == 200
    another = RoutingStore()  # of another replica, which has not seen the upload
    async with turns("compile") as seen, routing.runtime.db.transaction() as tx:
        assert (await another.configuration.read(tx)).ruleset.version == 2
    assert seen == EVERY


async def test_others_have_their_turn_between_any_two_rules_that_are_explained(
    routing: Routing, turns: Callable[[str], AbstractAsyncContextManager[set[int]]]
) -> None:
    await post_ruleset(routing, *MANY)
    assert (await routing.client.post("/v1/rulesets/2/activate")).status_code == 200
    await routing.take(contact(1))
    trial = {"channel": "email", "ruleset": {"rules": MANY, "fallback": FALLBACK}}
    async with turns("evaluate") as seen:
        assert (await routing.client.get(url(1))).status_code == 200
    assert seen >= EVERY
    async with turns("evaluate") as seen:
        assert (await routing.client.post("/v1/rulesets/evaluate", json=trial)).status_code == 200
    assert seen >= EVERY
    async with turns("evaluate") as seen:
        assert (await routing.client.post("/v1/rulesets/2/evaluate", json={"channel": "email"})).status_code == 200
    assert seen >= EVERY


async def test_while_the_configuration_is_held_no_ruleset_is_read(
    routing: Routing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches wait for whoever holds it."""
    await post_ruleset(routing, *MANY)
    await post_ruleset(routing, *MANY[:30])
    read, held = rulesets.ruleset, False

    @asynccontextmanager
    async def holding(runtime: Any) -> AsyncIterator[Any]:
        nonlocal held
        async with configuring(runtime) as tx:
            held = True
            try:
                yield tx
            finally:
                held = False

    async def reading(*given: Any) -> Any:
        assert not held
        return await read(*given)

    configuring = checks.configuring
    monkeypatch.setattr(checks, "configuring", holding)
    monkeypatch.setattr(rulesets, "ruleset", reading)
    client = routing.client
    assert (await client.post("/v1/rulesets/2/activate")).status_code == 200
    overtaken = await client.post("/v1/rulesets/3/activate")
    assert (overtaken.status_code, len(overtaken.json()["diff"]["added"])) == (409, 60)
    assert (await client.post("/v1/rulesets/3/shadow", json={"reason": "try"})).status_code == 201
    canary = {"share": 0.5, "reason": "try", "expected_active": 2}
    assert (await client.post("/v1/rulesets/3/canary", json=canary)).status_code == 201
    assert (await client.post("/v1/rulesets/3/canary/promote", json={"reason": "fine"})).status_code == 200
    assert (await client.post("/v1/rulesets/rollback")).status_code == 200
