"""The runner: one TaskGroup of api, workers, relays, tickers and loops; ordered start, bounded graceful drain.

``serve`` runs any number of services in one process: one alone in distributed mode, all four in embedded mode.
A part that dies ends the process with a non-zero code; a step that fails is repeated with growing pauses.
"""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog
import uvicorn
from fastapi import APIRouter

from shared import telemetry
from shared.aside import Wake, aside
from shared.clock import SAMPLE_EVERY_S, DatabaseClock
from shared.db import Database, Tx
from shared.gate import Shortcut
from shared.health import Health
from shared.joined import Protocol
from shared.leases import Leases
from shared.ledger import Entry
from shared.log import Neighbour
from shared.relay import NAMES, Relay
from shared.retention import Retention
from shared.runtime import Runtime
from shared.settings import Settings
from shared.ticker import Ticker
from shared.watch import Watch
from shared.worker import Worker

REST_S = 0.004  # of a relay after a step that is not full, or as long as it took: under load more goes with each
# Of a ticker between rounds that are not large: a round costs the same for one timer as for ten, and most of all where
# it asks a log elsewhere what is unread.
TICK_REST_S, ASKING_REST_S = 0.003, 0.015
LARGE_ROUND = 100  # timers
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 5.0  # after a failed step
REBUILD_AFTER = 4  # failures of a worker in a row

log = structlog.get_logger()


@dataclass(frozen=True)
class Loop:
    """A loop around one ``step``, which gives the seconds to sleep before the next (0: at once)."""

    name: str
    step: Callable[[], Awaitable[float]]
    wake: Wake = field(default_factory=Wake)
    close: Callable[[], Awaitable[None]] | None = None
    failed: Callable[[int], None] = lambda _times: None
    apart: bool = False  # in a thread of its own, with nothing that belongs to another
    rest_s: float = 0.0  # after a step that asks for another at once: what comes meanwhile shares its cost


@dataclass(frozen=True)
class Assembly:
    """What a service's ``app.py`` puts together for the runner."""

    router: APIRouter
    ledger: Callable[[Tx], Awaitable[list[Entry]]]
    loops: Sequence[Loop] = ()
    shortcuts: Mapping[str, Shortcut] = field(default_factory=dict)  # by path: the ways past the framework


@dataclass(frozen=True)
class Part:
    """One running service."""

    runtime: Runtime[Any]
    assembly: Assembly
    ticking: Runtime[Any]  # the same for the ticker's thread: wakes and is woken by the other, shares no connection


Assemble = Callable[[Runtime[Any]], Assembly]


class Server(uvicorn.Server):
    """Uvicorn without its own signal handling: the runner orders the drain."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def platform_loops(part: Part) -> tuple[list[Loop], Loop]:
    """The loops that every service has, and apart from them its relay, which stops last."""
    runtime, name = part.runtime, part.runtime.service.card.name
    settings = runtime.settings
    relay = Relay(runtime, Leases(runtime.db, NAMES, settings.lease_s))
    loops = []
    worker = Worker(runtime) if runtime.service.card.consumes else None
    if worker is not None:

        async def work() -> float:
            await worker.step()
            return worker.rest

        def failed(times: int) -> None:
            if times % REBUILD_AFTER == 0:
                worker.rebuild()

        loops.append(Loop(f"{name} worker", work, close=worker.stop, failed=failed))
        ticker = Ticker(part.ticking)
        tick_rest_s = TICK_REST_S if isinstance(part.ticking.log, Neighbour) else ASKING_REST_S

        async def tick() -> float:
            pause = await ticker.step()
            return tick_rest_s if 0 < ticker.fired < LARGE_ROUND else pause

        loops.append(Loop(f"{name} ticker", tick, runtime.wake_ticker, ticker.stop, apart=True))
    loops.append(Loop(f"{name} retention", Retention(runtime).step))
    loops.append(Loop(f"{name} watch", Watch(runtime, worker).step))

    async def publish() -> float:
        began = time.monotonic()
        published = await relay.step()
        if 0 < published < settings.batch_size:
            await asyncio.sleep(max(REST_S, time.monotonic() - began))
        return 0.0 if published >= settings.batch_size else settings.relay_sleep_s

    return loops, Loop(f"{name} relay", publish, runtime.wake_relay, relay.stop)


class Runner:
    """Runs parts until told to stop, or until one of them dies."""

    def __init__(self, settings: Settings, parts: Sequence[Part], clock_db: Database) -> None:
        self._settings, self._parts, self._clock_db = settings, parts, clock_db
        self.health = Health(settings.stall_s)
        self.stop = asyncio.Event()

    async def run(self, app: Any, listening: socket.socket, died: Awaitable[None] | None = None) -> None:
        """Serve until ``stop`` is set. ``died`` raises when something that we stand on is gone."""
        config = uvicorn.Config(
            app, http=Protocol, log_config=None, access_log=False, lifespan="off", timeout_keep_alive=30,
            timeout_graceful_shutdown=int(self._settings.drain_s), server_header=False,
            proxy_headers=bool(self._settings.trusted_proxies), forwarded_allow_ips=self._settings.trusted_proxies,
        )  # fmt: skip
        server = Server(config)
        loops, relays = [], []
        for part in self._parts:
            own, relay = platform_loops(part)
            loops += [*own, *part.assembly.loops]
            relays.append(relay)
        async with asyncio.TaskGroup() as group:
            clock = group.create_task(self._forever(Loop("clock", self._sample_clock)))
            watched = group.create_task(self._until(died)) if died is not None else None
            api = group.create_task(server.serve(sockets=[listening]))
            await self._publish_left_over(relays)
            running = [group.create_task(self._run(loop), name=loop.name) for loop in loops]
            publishing = [group.create_task(self._forever(loop), name=loop.name) for loop in relays]
            self.health.ready = True
            await self.stop.wait()
            log.info("draining")
            self.health.ready = False
            server.should_exit = True
            await self._drain([api], running)
            await self._drain([], publishing)
            for task in (clock, watched):
                if task is not None:
                    task.cancel()

    async def _publish_left_over(self, relays: Sequence[Loop]) -> None:
        """What a run before us accepted and did not publish comes first, so that no timer of ours fires without it."""
        for relay in relays:
            try:
                async with asyncio.timeout(self._settings.drain_s):
                    while await relay.step() == 0.0:
                        pass
            except Exception as wrong:  # whatever it is, the relay's own loop begins next, repeats the step, and tells
                log.warning(
                    "not all published at start", loop=relay.name, error=f"{type(wrong).__name__}: {wrong}"[:500]
                )

    async def _drain(self, finishing: list[asyncio.Task[None]], loops: list[asyncio.Task[None]]) -> None:
        """Let what is under way end, within the bound; each loop ends after its step."""
        if finishing:
            await asyncio.wait(finishing, timeout=self._settings.drain_s)
        self._wake_all()
        _, left = await asyncio.wait(loops, timeout=self._settings.drain_s)
        for task in left:
            log.warning("stopped before its step ended", loop=task.get_name())
            task.cancel()

    def _wake_all(self) -> None:
        for part in self._parts:
            part.runtime.wake_relay.set()
            part.runtime.wake_ticker.set()
            part.runtime.wake_sender.set()

    async def _until(self, died: Awaitable[None]) -> None:
        await died

    async def _run(self, loop: Loop) -> None:
        if loop.apart:
            await aside(loop.name, lambda: self._forever(loop))
        else:
            await self._forever(loop)

    async def _forever(self, loop: Loop) -> None:
        failures = 0
        loop.wake.live_here()
        self.health.started(loop.name)
        try:
            while not self.stop.is_set():
                pause = 0.0
                try:
                    pause = await loop.step()
                    failures = 0
                    self.health.progressed(loop.name, pause)
                except Exception as wrong:  # a step is repeatable by design; liveness and a metric tell of it
                    failures += 1
                    service = loop.name.split()[0]
                    telemetry.STEP_FAILURES.labels(service, loop.name).inc()
                    log.warning(
                        "step failed, repeating",
                        loop=loop.name,
                        times=failures,
                        error=f"{type(wrong).__name__}: {wrong}"[:1000],
                        exc_info=wrong if failures in (1, 10) else None,
                    )
                    loop.failed(failures)
                    pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(failures, 10))
                if pause > 0:
                    await self._sleep(loop.wake, pause)
                else:
                    await asyncio.sleep(loop.rest_s)
        finally:
            if loop.close is not None:
                await self._close(loop.name, loop.close)

    async def _close(self, name: str, close: Callable[[], Awaitable[None]]) -> None:
        try:
            async with asyncio.timeout(self._settings.drain_s):
                await close()
        except Exception as wrong:  # what is left is durable and goes on at the next start
            log.warning("did not close cleanly", loop=name, error=f"{type(wrong).__name__}: {wrong}"[:500])

    async def _sleep(self, wake: asyncio.Event, pause: float) -> None:
        """Until woken or told to stop, at most ``pause``; wakes at least each second, to see ``stop``."""
        until = time.monotonic() + pause
        while not self.stop.is_set() and not wake.is_set() and (left := until - time.monotonic()) > 0:
            await wait_any(wake, min(left, 1.0))
        wake.clear()

    async def _sample_clock(self) -> float:
        clock = self._parts[0].runtime.clock
        if isinstance(clock, DatabaseClock):
            async with self._clock_db.transaction() as tx:
                asked_at = time.monotonic()
                clock.sample(await tx.scalar("SELECT clock_timestamp()"), asked_at, time.monotonic())
        return SAMPLE_EVERY_S


async def wait_any(event: asyncio.Event, timeout_s: float) -> None:
    """Wait for the event without clearing it."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass
