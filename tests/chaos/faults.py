"""What can go wrong, one fault at a time: how each begins and ends, and in which seeded order they come."""

import asyncio
import resource
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from tests.e2e.stack import SERVICES, Apart

GROUNDS = ("postgres", "kafka")
SINKS = ("slack", "smtp")
DOWN_S = (0.2, 2.5)
FROZEN_S = (6.0, 8.0)  # longer than a lease and a session: others take over, and then it wakes
WEATHER_S = (4.0, 8.0)  # of a provider
OFTEN = 3  # each fault at least, in a run of many minutes
CALM_S = 5.0  # at least, between two faults


@dataclass(frozen=True)
class Fault:
    """``how``: kill (-9), freeze (SIGSTOP), restart (in order), full disk; or how a provider misbehaves."""

    how: str
    parts: tuple[str, ...]
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.how} {' and '.join(self.parts)}"


KILLS = tuple(Fault("kill", (part,)) for part in (*SERVICES, *GROUNDS))
ALL = (
    *KILLS,
    *(Fault("freeze", (part,)) for part in SERVICES),
    *(Fault("restart", (part,)) for part in (*SERVICES, *GROUNDS)),
    Fault("full disk", ("kafka",)),
    *(Fault(how, ("slack",)) for how in ("slow", "429", "500", "hang", "hang_after", "drop_before", "drop_after")),
    *(Fault(how, ("smtp",)) for how in ("slow", "451", "drop_before", "drop_after")),
)


def kills(seed: int, together: int, freeze: bool) -> Iterator[Fault]:
    """Every part once before any again, in a seeded order, so many at once; services are frozen now and then."""
    chance = Random(seed)
    while True:
        parts = [*SERVICES, *GROUNDS]
        chance.shuffle(parts)
        for start in range(0, len(parts), together):
            chosen = tuple(parts[start : start + together])
            frozen = freeze and set(chosen) <= set(SERVICES) and chance.random() < 0.25
            yield _lasting(Fault("freeze" if frozen else "kill", chosen), chance)


def everything(seed: int, replicas: Sequence[str]) -> Iterator[Fault]:
    """Every fault once before any again, in a seeded order; of a service's replicas one, by chance."""
    chance = Random(seed)
    while True:
        for fault in chance.sample(ALL, len(ALL)):
            part = fault.parts[0]
            same = [name for name in replicas if name == part or name.startswith(f"{part}-")]
            yield _lasting(replace(fault, parts=(chance.choice(same),)) if same else fault, chance)


def calm_s(left_s: float, begun: int, down_s: float, chance: Random) -> float:
    """How long to wait for the next fault, so that in the time left each comes ``OFTEN`` times.

    ``begun`` faults came already, and lasted ``down_s`` each.
    """
    mean = max(CALM_S, left_s / max(1, OFTEN * len(ALL) - begun) - down_s)
    return chance.uniform(0.6 * mean, 1.4 * mean)


async def begin(stack: Apart, fault: Fault) -> None:
    if fault.parts[0] in SINKS:
        await asyncio.to_thread(stack.sinks.behave, fault.parts[0], fault.how)
        return
    match fault.how:
        case "freeze":
            for part in fault.parts:
                stack.programs[part].freeze()
        case "full disk":  # what the broker writes from now on fails, as on a disk without room
            _, most = resource.prlimit(stack.kafka.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(stack.kafka.pid, resource.RLIMIT_FSIZE, (0, most))
        case "restart" if fault.parts == ("postgres",):  # what depends on it finds it again where it was
            await asyncio.to_thread(stack.postgres.kill, signal.SIGINT)
        case "restart":
            await _each(stack, fault, "stop")
        case _:
            await _each(stack, fault, "kill")


async def end(stack: Apart, fault: Fault) -> None:
    """Everything as it was, and whatever was started is ready."""
    if fault.parts[0] in SINKS:
        await asyncio.to_thread(stack.sinks.behave, fault.parts[0], "ok")
        return
    if fault.how == "freeze":
        for part in fault.parts:
            stack.programs[part].resume()
    else:
        if fault.how == "full disk":
            await _each(stack, fault, "kill")  # it has ended by itself, or cannot do anything
        await _each(stack, fault, "start")
    await asyncio.to_thread(stack.wait_ready, [part for part in fault.parts if part in SERVICES])


async def _each(stack: Apart, fault: Fault, act: str) -> None:
    things = [stack.grounds.get(part) or stack.programs[part] for part in fault.parts]
    acts: list[Callable[[], object]] = [getattr(thing, act) for thing in things]
    await asyncio.gather(*(asyncio.to_thread(each) for each in acts))


def _lasting(fault: Fault, chance: Random) -> Fault:
    weather = fault.parts[0] in SINKS or fault.how == "full disk"
    return replace(
        fault, seconds=chance.uniform(*(FROZEN_S if fault.how == "freeze" else WEATHER_S if weather else DOWN_S))
    )
