"""Rounds of a crash test: under load, kill -9 one part of a Tocsin that runs apart on Kafka, and start it again."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from random import Random

from tests.chaos.load import Clients, Item
from tests.e2e import scene
from tests.e2e.stack import SERVICES, Apart

PARTS = (*SERVICES, "postgres", "kafka")
BURST = 300
IN_FLIGHT = 100  # at least, at every kill
STEADY_A_SECOND = 20.0
WARM_UP_S = (0.5, 1.5)
AIM_S = (0.0, 0.25)  # from the burst to the kill
DOWN_S = (0.2, 2.5)
FROZEN_S = (6.0, 8.0)  # longer than a lease and a session: others take over, and then it wakes
SETTLE_S = 1.5


@dataclass
class Round:
    """One moment at which parts were killed. The judge counts what was in flight then."""

    number: int
    parts: list[str]
    how: str  # kill or freeze
    at: datetime
    down_s: float
    sent: list[Item]  # until then
    unplaced: int = 0  # of those, without a team yet
    in_flight: int = 0  # of those, with a promise neither kept nor broken yet
    placed_after_s: float = 0.0  # until the last of those had a team, from the kill


@dataclass
class Run:
    """What was done, for the judge."""

    clients: Clients
    rounds: list[Round] = field(default_factory=list)
    died: list[str] = field(default_factory=list)  # processes that ended although nobody killed them


def plan(seed: int, together: int, freeze: bool) -> Iterator[tuple[list[str], str]]:
    """Every part once before any again, in a seeded order, so many at once; services are frozen now and then."""
    chance = Random(seed)
    while True:
        parts = list(PARTS)
        chance.shuffle(parts)
        for start in range(0, len(parts), together):
            chosen = parts[start : start + together]
            frozen = freeze and set(chosen) <= set(SERVICES) and chance.random() < 0.25
            yield chosen, "freeze" if frozen else "kill"


@dataclass(frozen=True)
class Options:
    """What to do: ``rounds`` rounds, or as many as fit into ``minutes``."""

    seed: int = 1
    rounds: int = 20
    minutes: float | None = None
    together: int = 1  # parts killed at the same moment
    freeze: bool = False


async def run(stack: Apart, clients: Clients, options: Options, say: Callable[[str], None]) -> Run:
    """All rounds, under load all the time; ends when everything that was posted is answered."""
    chance, done = Random(options.seed), Run(clients)
    until = time.monotonic() + 60 * options.minutes if options.minutes else None
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(_steady(clients, stop, group))
        for number, (parts, how) in enumerate(plan(options.seed, options.together, options.freeze), 1):
            if number > options.rounds if until is None else time.monotonic() > until:
                break
            await asyncio.sleep(chance.uniform(*WARM_UP_S))
            made = await _round(stack, clients, number, parts, how, chance, group)
            done.rounds.append(made)
            done.died += await asyncio.to_thread(_revive, stack)
            say(f"round {number}: {how} {' and '.join(parts)}, down {made.down_s:.1f} s, {len(clients.items)} contacts")
        await asyncio.sleep(SETTLE_S)
        stop.set()
    return done


async def _steady(clients: Clients, stop: asyncio.Event, group: asyncio.TaskGroup) -> None:
    """Contacts one by one, some of them posted by two clients at once."""
    number = 0
    while not stop.is_set():
        number += 1
        group.create_task(_one(clients, twice=number % 7 == 0))
        await asyncio.sleep(1 / STEADY_A_SECOND)


async def _one(clients: Clients, twice: bool) -> None:
    item = await clients.contact(twice)
    if item.replies:
        await clients.reply(item)


async def _many(clients: Clients, group: asyncio.TaskGroup) -> None:
    for item in await clients.burst(BURST):
        if item.replies:
            group.create_task(clients.reply(item))


async def _round(
    stack: Apart, clients: Clients, number: int, parts: list[str], how: str, chance: Random, group: asyncio.TaskGroup
) -> Round:
    group.create_task(_many(clients, group))
    await asyncio.sleep(chance.uniform(*AIM_S))
    down_s = chance.uniform(*(FROZEN_S if how == "freeze" else DOWN_S))
    made = Round(number, parts, how, scene.now(), down_s, list(clients.items.values()))
    programs = [program for part in parts if (program := stack.programs.get(part))]
    grounds = [ground for part, ground in stack.grounds.items() if part in parts]
    if how == "freeze":
        for program in programs:
            program.freeze()
    else:
        await asyncio.gather(*(asyncio.to_thread(each.kill) for each in (*grounds, *programs)))
    await asyncio.sleep(down_s)
    if how == "freeze":
        for program in programs:
            program.resume()
    else:
        await asyncio.gather(*(asyncio.to_thread(each.start) for each in (*grounds, *programs)))
    await asyncio.to_thread(stack.wait_ready, [part for part in parts if part in SERVICES])
    return made


def _revive(stack: Apart) -> list[str]:
    """What ended by itself is a finding; it is started again, as a supervisor would."""
    ended = [program for program in stack.programs.values() if program.died()]
    found = [f"{program.name}: {program.died()}" for program in ended]
    for program in ended:
        program.start()
    return found
