"""Rounds of a crash test: a Tocsin that runs apart on Kafka, under load, and one fault after the other."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from random import Random
from statistics import fmean

from tests.chaos import faults
from tests.chaos.faults import Fault
from tests.chaos.load import Clients, Item
from tests.e2e import scene
from tests.e2e.stack import Apart

BURST = 300
IN_FLIGHT = 100  # at least, at every kill of a burst
STEADY_A_SECOND = 20.0  # beside the bursts
WARM_UP_S = (0.5, 1.5)
AIM_S = (0.0, 0.25)  # from the burst to the kill
SETTLE_S = 1.5


@dataclass
class Round:
    """One moment at which parts were killed. The judge counts what was in flight then."""

    number: int
    parts: list[str]
    how: str
    at: datetime
    down_s: float  # until everything was started and ready again
    sent: list[Item]  # until then
    unplaced: int = 0  # of those, without a team yet
    in_flight: int = 0  # of those, with a promise neither kept nor broken yet
    placed_after_s: float = 0.0  # until the last of those had a team, from the kill

    @property
    def over(self) -> datetime:
        return self.at + timedelta(seconds=self.down_s)


@dataclass
class Run:
    """What was done, for the judge."""

    clients: Clients
    bursts: bool = True  # a fault finds hundreds of contacts on their way
    rounds: list[Round] = field(default_factory=list)
    died: list[str] = field(default_factory=list)  # processes that ended although nobody killed them


@dataclass(frozen=True)
class Options:
    """Kills in the midst of bursts, ``rounds`` of them or as many as fit into ``minutes``; or, with ``all_faults``,
    every fault over ``minutes``, with calm between them, so that lateness can be judged."""

    seed: int = 1
    rounds: int = 20
    minutes: float | None = None
    together: int = 1  # parts killed at the same moment
    freeze: bool = False
    all_faults: bool = False
    a_second: float = STEADY_A_SECOND  # contacts


async def run(stack: Apart, clients: Clients, options: Options, say: Callable[[str], None]) -> Run:
    """All rounds, under load all the time; ends when everything that was posted is answered."""
    chance, done = Random(options.seed), Run(clients, bursts=not options.all_faults)
    until = time.monotonic() + 60 * options.minutes if options.minutes else None
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(_steady(clients, options.a_second, stop, group))
        for number, fault in enumerate(_faults(stack, options), 1):
            if number > options.rounds if until is None else time.monotonic() > until:
                break
            if until is not None and options.all_faults:
                down_s = fmean(each.down_s for each in done.rounds) if done.rounds else 0.0
                await asyncio.sleep(faults.calm_s(until - time.monotonic(), len(done.rounds), down_s, chance))
            else:
                await asyncio.sleep(chance.uniform(*WARM_UP_S))
                group.create_task(_many(clients, group))
                await asyncio.sleep(chance.uniform(*AIM_S))
            made = await _round(stack, clients, number, fault)
            done.rounds.append(made)
            done.died += await asyncio.to_thread(_revive, stack)
            say(f"round {number}: {fault}, down {made.down_s:.1f} s, {len(clients.items)} contacts")
        await asyncio.sleep(SETTLE_S)
        stop.set()
    return done


def _faults(stack: Apart, options: Options) -> Iterator[Fault]:
    if options.all_faults:
        return faults.everything(options.seed, list(stack.programs))
    return faults.kills(options.seed, options.together, options.freeze)


async def _steady(clients: Clients, a_second: float, stop: asyncio.Event, group: asyncio.TaskGroup) -> None:
    """Contacts one by one, some of them posted by two clients at once."""
    began = time.monotonic()
    for number in count(1):
        if stop.is_set():
            return
        group.create_task(_one(clients, twice=number % 7 == 0))
        await asyncio.sleep(max(0.0, began + number / a_second - time.monotonic()))


async def _one(clients: Clients, twice: bool) -> None:
    item = await clients.contact(twice)
    if item.replies:
        await clients.reply(item)


async def _many(clients: Clients, group: asyncio.TaskGroup) -> None:
    for item in await clients.burst(BURST):
        if item.replies:
            group.create_task(clients.reply(item))


async def _round(stack: Apart, clients: Clients, number: int, fault: Fault) -> Round:
    at, sent = scene.now(), list(clients.items.values())
    await faults.begin(stack, fault)
    await asyncio.sleep(fault.seconds)
    await faults.end(stack, fault)
    return Round(number, list(fault.parts), fault.how, at, (scene.now() - at).total_seconds(), sent)


def _revive(stack: Apart) -> list[str]:
    """What ended by itself is a finding; it is started again, as a supervisor would."""
    ended = [program for program in stack.programs.values() if program.died()]
    found = [f"{program.name}: {program.died()}" for program in ended]
    for program in ended:
        program.start()
    return found
