"""``python -m tests.bench.replicas``: what a contact costs with one, two and four processes of every service.

The same load on a real Kafka and one Postgres each time, each time from the start. Beside the cost of a contact's whole
way stands what the processes use while nothing happens: more of them look more often, and share smaller batches.
"""

import argparse
import asyncio
import json
import signal
import statistics
from collections.abc import Sequence

from shared.embedded import EmbeddedPostgres
from tests.bench import processor
from tests.bench.history import SETTINGS, idle
from tests.bench.journey import POSTGRES, Figures, Journey
from tests.bench.notify import Receiver, set_up
from tests.e2e.stack import SERVICES, Apart

REPLICAS = (1, 2, 4)
RATE, CONTACTS = 100, 500
SETTLE_S = 5.0


def run(replicas: int, rounds: int) -> Figures:
    stack = Apart(SETTINGS, dict.fromkeys(SERVICES, replicas))
    stack.postgres = EmbeddedPostgres(stack.folder / "postgres", **POSTGRES)
    receiver = Receiver(stack.folder)
    with stack:
        receiver.start()
        try:
            tocsin = stack.client()
            set_up(tocsin, "replicas", receiver)
            return asyncio.run(measure(Journey(stack, tocsin, receiver, RATE, CONTACTS), rounds))
        finally:
            receiver.program.kill()


async def measure(journey: Journey, rounds: int) -> Figures:
    await asyncio.sleep(SETTLE_S)  # partitions are assigned
    await journey.round(0)
    made = [await journey.round(number) for number in range(1, rounds + 1)]
    figures = {name: statistics.median(each[name] for each in made) for name in made[0]}
    await asyncio.sleep(SETTLE_S)
    resting = await idle(journey.stack)
    memory = processor.resident_mb(journey.stack)
    return figures | resting | {f"memory of {name}, all processes, MB": each for name, each in memory.items()}


def show(counts: Sequence[int], found: Sequence[Figures]) -> None:
    counted = ", ".join(map(str, counts))
    print(f"\n{CONTACTS} contacts at {RATE} a second; {counted} processes of each service, and the last to the first")
    for name in found[0]:
        figures = [each[name] for each in found]
        ratio = figures[-1] / figures[0] if figures[0] else 1.0
        print(f"  {name:<44}" + "".join(f"{figure:>11,.1f}" for figure in figures) + f"{ratio:>8.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.bench.replicas", description="Measure with more and more replicas.")
    parser.add_argument("--replicas", type=int, nargs="+", default=REPLICAS)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # also then, end what we started
    found = []
    for count in asked.replicas:
        found.append(run(count, asked.rounds))
        show(asked.replicas, found)
    print(json.dumps({"kind": "replicas", **{str(n): each for n, each in zip(asked.replicas, found, strict=True)}}))


if __name__ == "__main__":
    main()
