"""Rounds of a crash test: under load, kill -9 one part of a Tocsin that runs apart on Kafka, and start it again."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from tests.chaos.load import Clients, Item
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
    """One kill."""

    number: int
    part: str
    how: str  # kill or freeze
    at: float  # monotonic
    down_s: float
    in_flight: list[Item]  # sent, and not known to have been answered a moment before


@dataclass
class Run:
    """What was done, for the judge."""

    clients: Clients
    rounds: list[Round] = field(default_factory=list)
    died: list[str] = field(default_factory=list)  # processes that ended although nobody killed them


def plan(seed: int, rounds: int, freeze: bool) -> list[tuple[str, str]]:
    """Every part once in each six rounds, in a seeded order; frozen rather than killed now and then."""
    chance = Random(seed)
    order: list[tuple[str, str]] = []
    while len(order) < rounds:
        parts = list(PARTS)
        chance.shuffle(parts)
        order += [
            (part, "freeze" if freeze and part in SERVICES and chance.random() < 0.25 else "kill") for part in parts
        ]
    return order[:rounds]


async def run(
    stack: Apart,
    clients: Clients,
    seed: int,
    rounds: int,
    freeze: bool,
    say: Callable[[str], None],
    minutes: float | None = None,
) -> Run:
    """All rounds, or as many as fit into the minutes; under load all the time; ends when everything is answered."""
    chance, done = Random(seed), Run(clients)
    stop, until = asyncio.Event(), time.monotonic() + 60 * (minutes or 1e9)
    async with asyncio.TaskGroup() as group:
        group.create_task(_steady(clients, stop, group))
        for number, (part, how) in enumerate(plan(seed, rounds, freeze), 1):
            if time.monotonic() > until:
                break
            await asyncio.sleep(chance.uniform(*WARM_UP_S))
            made = await _round(stack, clients, number, part, how, chance, group)
            done.rounds.append(made)
            done.died += await asyncio.to_thread(_revive, stack)
            say(f"round {number}: {how} {part}, {len(made.in_flight)} in flight, down {made.down_s:.1f} s")
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
    stack: Apart, clients: Clients, number: int, part: str, how: str, chance: Random, group: asyncio.TaskGroup
) -> Round:
    known = set(clients.items)
    group.create_task(_many(clients, group))
    await asyncio.sleep(chance.uniform(*AIM_S))
    down_s = chance.uniform(*(FROZEN_S if how == "freeze" else DOWN_S))
    at = time.monotonic()
    fresh = [item for name, item in clients.items.items() if name not in known]
    in_flight = list({item.external_id: item for item in (*clients.unanswered(), *fresh)}.values())
    program = stack.programs.get(part)
    if how == "freeze":
        assert program
        program.freeze()
        await asyncio.sleep(down_s)
        program.resume()
    elif program:
        await asyncio.to_thread(program.kill)
        await asyncio.sleep(down_s)
        program.start()
        await asyncio.to_thread(stack.wait_ready, [part])
    else:
        ground = stack.postgres if part == "postgres" else stack.kafka
        await asyncio.to_thread(ground.kill)
        await asyncio.sleep(down_s)
        await asyncio.to_thread(ground.start)
    return Round(number, part, how, at, down_s, in_flight)


def _revive(stack: Apart) -> list[str]:
    """What ended by itself is a finding; it is started again, as a supervisor would."""
    ended = [program for program in stack.programs.values() if program.died()]
    found = [f"{program.name}: {program.died()}" for program in ended]
    for program in ended:
        program.start()
    return found
