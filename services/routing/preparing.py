"""A large version is compiled in every replica before it takes over, so that contacts wait for that in none.

Whoever activates a version asks for it, and waits until each replica that is there has said that it is ready; within a
bound, since one may have died. Small versions are compiled in a batch, which takes less than deciding it.
"""

import asyncio
import time
from datetime import datetime, timedelta

import structlog

from services.routing.model import CaseState, Compiled
from services.routing.rules import RulesetError
from services.routing.spec import RulesetSpec
from services.routing.store import RoutingStore, preparing
from shared.ids import secret
from shared.runtime import Runtime

LOOK_S = 0.5  # between two looks for versions that are asked for
TELL = timedelta(seconds=3)  # how often a replica says that it is there
GONE, FORGOTTEN = timedelta(seconds=10), timedelta(minutes=5)  # after it last said so
ASKED, AT_ONCE = timedelta(minutes=1), 4  # how long, and how many versions
SMALL = 5_000  # characters of all conditions: compiled in about ten milliseconds
WAIT_S, ASK_AGAIN_S = 15.0, 0.05

log = structlog.get_logger()


class Preparing:
    """One replica, by a name that is new in each run."""

    def __init__(self, runtime: Runtime[CaseState], store: RoutingStore) -> None:
        self._runtime, self._store, self._name = runtime, store, secret("routing")
        self._told: tuple[datetime, list[int]] | None = None
        self._refused: set[int] = set()  # by a newer program; whoever activates it hears why

    async def step(self) -> float:
        """Make ready what is asked for, and say so; gives how many seconds to sleep."""
        now = self._runtime.clock.now()
        async with self._runtime.db.transaction() as tx:
            asked = await preparing.wanted(tx, now - ASKED, AT_ONCE)
        for version in asked:
            if version not in self._store.versions.kept and version not in self._refused:
                await self._prepare(version)
        ready = sorted({*self._store.versions.kept, *self._refused})
        if self._told is None or self._told[1] != ready or now - self._told[0] >= TELL:
            async with self._runtime.db.transaction() as tx:
                await preparing.tell(tx, self._name, ready, now, now - FORGOTTEN)
            self._told = now, ready
        return LOOK_S

    async def _prepare(self, version: int) -> None:
        try:
            async with self._runtime.db.transaction() as tx:
                await self._store.versions.ready(tx, version)
        except RulesetError as wrong:
            self._refused.add(version)
            log.error("a version cannot be compiled", version=version, error=str(wrong)[:500])

    async def close(self) -> None:
        async with self._runtime.db.transaction() as tx:
            await preparing.leave(tx, self._name)

    async def everywhere(self, version: int, spec: RulesetSpec) -> Compiled:
        """The version, compiled here and in every other replica. Raises ``RulesetError``."""
        runtime, compiled = self._runtime, await self._store.versions.compiled(version, spec)
        if sum(len(rule.when) for rules in (spec.rules, spec.hand_off) for rule in rules) <= SMALL:
            return compiled
        async with runtime.db.transaction() as tx:
            await preparing.want(tx, version, runtime.clock.now())
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            async with runtime.db.transaction() as tx:
                if not await preparing.behind(tx, version, runtime.clock.now() - GONE, besides=self._name):
                    return compiled
            await asyncio.sleep(ASK_AGAIN_S)
        log.warning("a replica is not ready for a version, and will compile it in a batch", version=version)
        return compiled
