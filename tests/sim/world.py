"""One run's world: its database, its time, the processes in it, and what happened to them."""

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from unittest import mock

import asyncpg

from shared import leases, points
from shared.clock import ManualClock
from shared.contracts.catalogue import TOPICS
from shared.db import Database, is_transient
from shared.log import LogUnavailable
from shared.log.postgres import PostgresLog
from shared.runtime import Runtime
from tests.sim import wiring, work
from tests.sim.fronts import Answer, Front
from tests.sim.ground import Ground
from tests.sim.loop import StillLoop
from tests.sim.model import REPLIES, Model, Seen, Violation
from tests.sim.sinks import Sinks
from tests.sim.steps import Plan, Step, Steps
from tests.sim.template import BEGAN, SEAL
from tests.sim.wiring import FarLog, NearLog, Replica, StepIds, Wire

HELD = timedelta(seconds=60)  # a ticker that sleeps for less waits for a timer, or for what is unread
ALL_LOOPS = ("relay", "ticker", "claims", "desk", "worker", "record", "send", "replan", "effect")
REPLICAS = ("intake/1", "routing/1", "routing/2", "sla/1", "sla/2", "notify/1", "notify/2")


class Row:
    """A row whose columns are attributes."""

    def __init__(self, record: Any) -> None:
        self._record = record

    def __getattr__(self, name: str) -> Any:
        try:
            return self._record[name]
        except KeyError:
            raise AttributeError(name) from None

    def __repr__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self._record.items())


class World:
    """``steps`` are the only way that anything of Tocsin moves."""

    def __init__(self, ground: Ground, fronts: dict[str, Front], name: str, seed: int, grace_s: float) -> None:
        self.ground, self.fronts, self.name, self.seed = ground, fronts, name, seed
        self.clock, self.wire, self.model = ManualClock(BEGAN), Wire(), Model()
        self.sinks = Sinks(self.clock)
        self.label, self.inner = "0", 0  # of the action that is under way, and how many steps it took
        loop = asyncio.get_running_loop()
        assert isinstance(loop, StillLoop)
        self.steps = Steps(loop, lambda: ground.waiting(name), self._crash, self.trace)
        self.digest, self.lines = hashlib.blake2b(digest_size=16), list[str]()
        self._settings = wiring.settings(fire_grace_s=grace_s)
        url = ground.url(name)
        self.databases = {each: Database(url, each, seal=SEAL) for each in (*fronts, "log")}
        self.ids = StepIds(self.clock, seed, self._maker)
        lease_s = self._settings.lease_s
        log = PostgresLog(self.databases["log"], self.clock, wiring.PARTITIONS, lease_s=lease_s)
        self.log = (NearLog if seed % 5 < 2 else FarLog)(self.wire, log)
        self.replicas: dict[str, Replica] = {}
        self.down: list[str] = []  # processes that crashed and were not started again
        self.frozen = set[str]()  # processes that stand still, and do not know it
        self.fruitful = ""  # the group that acted last on what it read
        self.passed: dict[tuple[str, str], dict[str, int]] = {}  # by a loop of a service, when it last had work
        self.work: work.Work = {}
        self._crashed: list[str] = []
        self._eye: asyncpg.Connection | None = None
        self._looks_at = ""
        self._ends: dict[tuple[str, int], int] = {}
        for each, front in fronts.items():
            front.lend(self.databases[each], self.clock, self.ids, self.log)
        for each in REPLICAS:
            self.start(each)

    def start(self, name: str) -> None:
        """Start a process. What it published is a step of its own, before its timers fire."""
        service = name.partition("/")[0]
        made = wiring.fresh_service(service)
        runtime: Runtime[Any] = Runtime(self._settings, made, self.databases[service], self.clock, self.ids, self.log)
        self.replicas[name] = wiring.replica(name, runtime, self.sinks)
        if name in self.down:
            self.down.remove(name)

    def _crash(self, name: str) -> None:
        self._crashed.append(name)

    async def _bury(self) -> None:
        """What crashed has no other step either, and no memory."""
        while self._crashed:
            name = self._crashed.pop()
            await self.steps.kill(name)
            if name in self.replicas and name not in self.down:
                self.down.append(name)
                self.frozen.discard(name)
                del self.replicas[name]
            self.wake(name.partition("/")[0])

    async def crash(self, name: str) -> None:
        self._crash(name)
        await self._bury()

    def trace(self, line: str) -> None:
        self.digest.update(line.encode() + b"\n")

    def note(self, line: str) -> None:
        """One line of the story."""
        self.trace(line)
        self.lines.append(f"{self.clock.now():%d %H:%M:%S} {line}")

    def _maker(self) -> str:
        step = self.steps.current()
        return step.label if step else "nobody"

    # Steps

    async def run(self, replica: str, loop: str, plan: Plan) -> None:
        """One step of a loop of a process."""
        found = self.replicas[replica].loops[loop]
        await self._begin(
            f"{replica} {loop}", replica, found.step, lambda pause: found.took(pause, self.clock.now()), plan
        )

    async def request(
        self,
        service: str,
        name: str,
        call: Callable[[], Coroutine[Any, Any, Answer]],
        told: Callable[[Answer], None],
        plan: Plan,
    ) -> None:
        """One request. Where the process is gone before it answers, nobody hears anything."""
        await self._begin(f"{service}/api {name}", f"{service}/api", call, told, plan)

    def under_way(self, name: str) -> bool:
        return any(each.name.endswith(f" {name}") for each in self.steps.open)

    async def _begin(
        self,
        name: str,
        replica: str,
        body: Callable[[], Coroutine[Any, Any, Any]],
        then: Callable[[Any], bool | None],
        plan: Plan,
    ) -> None:
        self.inner += 1
        await self.steps.begin(Step(name, replica, plan, f"{self.label}.{self.inner}", then), body)
        await self._ended()

    def under_way_loop(self, replica: str, loop: str) -> bool:
        """A loop takes one step at a time; only senders are many."""
        return loop != "send" and any(each.name == f"{replica} {loop}" for each in self.steps.open)

    async def finish_open(self) -> None:
        """Let every step that stands still go on to its end."""
        for _ in range(100):
            if not self.steps.open:
                return
            parked = [number for number, each in enumerate(self.steps.open) if each.parked]
            if parked:
                await self.resume(parked[0])
            else:
                await self.steps.unblock()
                await self._ended()
        raise AssertionError(f"steps that never end: {[each.name for each in self.steps.open]}")

    async def drop_connections(self, service: str) -> None:
        """What a service has under way in its database fails, as over a network that breaks."""
        await self.ground.drop_connections(self.name, f"tocsin-{service}")
        if service in self.fronts:
            self.wake(service)

    async def resume(self, number: int) -> None:
        await self.steps.resume(self.steps.open[number])
        await self._ended()

    async def _ended(self) -> None:
        await self._bury()
        while self.steps.ended:
            step = self.steps.ended.pop(0)
            service, clean = step.replica.partition("/")[0], step.outcome() == "ok"
            assert step.task is not None
            wrong = None if clean or step.killed else step.task.exception()
            asked = "/api" in step.name  # whatever happens, a client is answered in words
            if wrong is not None and (asked or not (is_transient(wrong) or isinstance(wrong, LogUnavailable))):
                raise Violation(f"error: {step.name} raises {type(wrong).__name__}: {wrong}")
            if clean and step.then(step.task.result()) is not False:
                self.passed[service, step.name.split()[1] if not asked else "api"] = dict(step.passed)
            acted = self._woken(service, everything=not clean or bool(step.plan.what))
            if clean and step.name.endswith("worker"):
                self.fruitful = service if acted else self.fruitful
                self._more_is_known(service)
        await self.observe()

    def wake(self, service: str, *loops: str, sure: bool = True) -> None:
        for each in self.replicas.values():
            if each.service == service:
                each.wake(*loops, sure=sure)

    def _more_is_known(self, service: str) -> None:
        """Timers may have waited for what was read."""
        for each in self.replicas.values():
            ticker = each.loops["ticker"] if each.service == service else None
            if ticker is not None and ticker.due is not None and ticker.due < self.clock.now() + HELD:
                ticker.woken(sure=True)

    def _woken(self, service: str, everything: bool) -> bool:
        """Pass on who was woken, to all processes of the service: they would have looked soon. True: somebody was."""
        names: list[str] = []
        for runtime in [self.fronts[service].runtime, *(r.runtime for r in self.replicas.values())]:
            if runtime.service.card.name != service:
                continue
            for name, event in (
                ("relay", runtime.wake_relay), ("ticker", runtime.wake_ticker), ("sender", runtime.wake_sender)
            ):  # fmt: skip
                if event.is_set():
                    names.append(name)
                    event.clear()
        for name in dict.fromkeys(names):
            self.wake(service, *{"relay": ("relay",), "ticker": ("ticker",), "sender": ("claims", "desk")}[name])
        if everything:
            self.wake(service, *ALL_LOOPS, sure=False)
        return bool(names)

    async def observe(self) -> None:
        """What became visible on the log."""
        rows = await self._new_records()
        if not rows:
            return
        for row in rows:
            self._ends[row.topic, row.partition] = row.position + 1
            self.trace(f"{row.topic}/{row.partition}/{row.position} {bytes(row.body).hex()}")
        self.model.told([Seen.of(row) for row in rows], self.clock.now())
        topics = {row.topic for row in rows}
        for each in self.replicas.values():
            if topics.intersection(each.runtime.service.card.consumes):
                each.wake("worker")

    async def _new_records(self) -> Any:
        if not self.log.touched:
            return []
        self.log.touched = any(each.parked or each.blocked for each in self.steps.open)
        places = sorted((topic, number) for topic in TOPICS for number in range(wiring.PARTITIONS))
        return await self.look(
            "SET search_path = log",
            "SELECT r.topic, r.partition, r.position, r.headers, r.body FROM record r JOIN"
            " unnest(CAST($1 AS text[]), CAST($2 AS int[]), CAST($3 AS bigint[]))"
            " AS n (topic, partition, start) ON r.topic = n.topic AND r.partition = n.partition"
            " AND r.position >= n.start ORDER BY r.topic, r.partition, r.position",
            [topic for topic, _ in places],
            [number for _, number in places],
            [self._ends.get(each, 0) for each in places],
        )

    async def look(self, schema: str, sql: str, *values: Any) -> Any:
        """Read as nobody else does: over a connection that no simulated fault touches."""
        if self._eye is None:
            self._eye = await asyncpg.connect(self.ground.url(self.name).replace("+asyncpg", ""))
        if schema != self._looks_at:
            await self._eye.execute(schema)
            self._looks_at = schema
        return [Row(each) for each in await self._eye.fetch(sql, *values)]

    async def look_around(self) -> None:
        """Where work waits."""
        [row] = await self.look("SET search_path = public", work.SQL, self.clock.now())
        self.work = dict(zip(work.NAMES, row.found, strict=True))

    def until_due(self) -> timedelta:
        """To just behind the next timer that a process knows of, or the next deadline that the log does."""
        known = [each.runtime.ticker_sleeps.until for each in self.replicas.values()]
        return self._until([each for each in known if each is not None] + self.model.deadlines())

    def until_promise(self) -> timedelta:
        """To just behind the next time at which a reply is due, as far as the log tells."""
        return self._until(self.model.deadlines(REPLIES))

    def _until(self, known: list[datetime]) -> timedelta:
        now = self.clock.now()
        return min((at - now for at in known if at > now), default=timedelta(seconds=60)) + timedelta(milliseconds=10)

    def advance(self, by: timedelta) -> None:
        self.clock.advance(by)
        for each in self.replicas.values():
            for loop in each.loops.values():
                loop.passed(self.clock.now())

    def counts(self) -> dict[str, int]:
        """How much happened, to show that it was something."""
        model = self.model
        return {
            "contacts": len(model.told_contacts),
            "activities": len(model.told_activities),
            "breaches": sum(each.state == "breached" for each in model.clocks.values()),
            "pages": len(model.pages),
            "messages": len(self.sinks.arrived),
        }

    async def close(self) -> None:
        for each in self.replicas.values():
            await self.steps.kill(each.name)
        for name in self.fronts:
            await self.steps.kill(f"{name}/api")
        for db in self.databases.values():
            await db.close()
        if self._eye is not None:
            await self._eye.close()


@asynccontextmanager
async def world(ground: Ground, fronts: dict[str, Front], seed: int) -> AsyncIterator[World]:
    """A world on a fresh database, which is dropped in the end."""
    owners = (f"owner-{number:05d}" for number in itertools.count())
    name = await ground.fresh()
    grace_s = 30.0 if seed % 4 == 0 else 86_400.0
    with mock.patch.object(leases, "secret", side_effect=owners):
        made = World(ground, fronts, name, seed, grace_s)
        try:
            with points.install(made.steps.reach):
                yield made
        finally:
            await made.close()
            await ground.drop(name)
