"""A large version takes over once every replica has it ready, so that contacts wait for its compiling in none."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from services.routing import preparing
from services.routing.app import service
from services.routing.preparing import Preparing
from services.routing.store import RoutingStore
from shared.clock import ManualClock
from shared.runtime import Runtime
from tests.unit.routing.conftest import Routing
from tests.unit.routing.test_api import VIP, post_ruleset

LARGE = [VIP | {"id": f"r{n}", "then": {"team": "frontline"}} for n in range(preparing.SMALL // 60)]


class Replica:
    """Another one, on the same database; ``ago`` is when it lived."""

    def __init__(self, routing: Routing, ago: timedelta = timedelta()) -> None:
        made = service()
        assert isinstance(made.store, RoutingStore)
        beside = routing.runtime
        self.store, clock = made.store, ManualClock(routing.clock.now() - ago)
        runtime: Runtime[Any] = Runtime(beside.settings, made, beside.db, clock, beside.ids, beside.log)
        self.preparing = Preparing(runtime, made.store)


@pytest.fixture
def replica(routing: Routing) -> Replica:
    return Replica(routing)


@pytest.fixture(autouse=True)
def waits_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "WAIT_S", 1_000.0)


async def activate(routing: Routing, version: int) -> int:
    async with asyncio.timeout(100):
        return (await routing.client.post(f"/v1/rulesets/{version}/activate")).status_code


async def test_a_large_version_waits_until_the_other_replica_has_it_ready(routing: Routing, replica: Replica) -> None:
    await replica.preparing.step()
    await post_ruleset(routing, *LARGE)
    async with asyncio.TaskGroup() as together:
        task = together.create_task(activate(routing, 2))
        await asyncio.sleep(0.5)
        assert not task.done()
        active = (await routing.client.get("/v1/rulesets/active")).json()
        assert active["version"] == 1  # contacts are routed by the version before, and do not wait
        await replica.preparing.step()
    assert task.result() == 200
    assert 2 in replica.store.versions.kept


async def test_a_small_version_waits_for_nobody(routing: Routing, replica: Replica) -> None:
    await replica.preparing.step()
    await post_ruleset(routing, VIP | {"then": {"team": "frontline"}})
    assert await activate(routing, 2) == 200


async def test_a_replica_that_left_or_died_is_not_waited_for(routing: Routing, replica: Replica) -> None:
    died = Replica(routing, ago=preparing.GONE + timedelta(seconds=1))
    for each in (replica, died):
        await each.preparing.step()
    await replica.preparing.close()
    await post_ruleset(routing, *LARGE)
    assert await activate(routing, 2) == 200


async def test_a_replica_that_hangs_is_waited_for_so_long_and_no_longer(
    routing: Routing, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing, "WAIT_S", 0.1)
    await replica.preparing.step()
    await post_ruleset(routing, *LARGE)
    assert (await routing.client.post("/v1/rulesets/2/activate")).status_code == 200


async def test_what_is_in_force_is_never_forgotten(routing: Routing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the next change of a team would have a batch wait until it is compiled again."""
    monkeypatch.setattr("services.routing.store.compiled.COMPILED_KEPT", 2)
    store = routing.runtime.service.store
    assert isinstance(store, RoutingStore)
    async with routing.runtime.db.transaction() as tx:
        await store.configuration.read(tx)
    for version in range(2, 6):
        await post_ruleset(routing, VIP | {"id": f"r{version}", "then": {"team": "frontline"}})
        assert (await routing.client.post(f"/v1/rulesets/{version}/lint")).status_code == 200
    assert set(store.versions.kept) == {1, 5}
