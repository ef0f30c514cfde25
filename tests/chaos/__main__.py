"""``python -m tests.chaos --rounds 20 --seed 1``: crash everything under load, then say whether anything was lost.

Prints a table and, as its last line, JSON. Exit code 1 where anything is wrong.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from tests.chaos import crews
from tests.chaos.judge import Verdict, judge
from tests.chaos.load import Clients
from tests.chaos.rounds import Run, run
from tests.e2e.client import Routes
from tests.e2e.stack import Apart


def crash(
    stack: Apart, seed: int, rounds: int, freeze: bool = False, minutes: float | None = None
) -> tuple[Run, Verdict]:
    """Run and judge on a stack that has nothing in it yet."""
    tocsin = stack.client()
    crews.set_up(tocsin)

    async def load() -> Run:
        with (stack.folder / "answers.jsonl").open("a") as log:
            clients = Clients(Routes(stack.documents()), stack.key, f"s{seed}", log)
            async with clients.open():
                return await run(stack, clients, seed, rounds, freeze, lambda line: print(line, flush=True), minutes)

    done = asyncio.run(load())
    return done, judge(stack, tocsin, done)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make chaos", description="Crash every part of Tocsin under load.")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--minutes", type=float, help="go on for so long, instead of a number of rounds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--replicas", type=int, default=1, help="of each service")
    parser.add_argument("--freeze", action="store_true", help="also stop services for longer than their leases")
    arguments = parser.parse_args()
    started = time.monotonic()
    rounds = 10_000 if arguments.minutes else arguments.rounds
    with Apart(replicas=arguments.replicas) as stack:
        done, verdict = crash(stack, arguments.seed, rounds, arguments.freeze, arguments.minutes)
        kept = stack.keep(Path(tempfile.mkdtemp(prefix="tocsin-chaos-"))) if verdict.wrong else None
    print(f"\nseed {arguments.seed}, {time.monotonic() - started:.0f} s")
    for name, count in verdict.counts.items():
        print(f"  {name:<20} {count:>8}")
    for line in verdict.wrong[:50]:
        print(f"WRONG: {line[:1000]}")
    if kept:
        print(f"{len(verdict.wrong)} wrong; the logs are in {kept}")
    rounds_done = [
        {"part": each.part, "how": each.how, "down_s": round(each.down_s, 2), "in_flight": len(each.in_flight)}
        for each in done.rounds
    ]
    print(json.dumps({"seed": arguments.seed, "rounds": rounds_done, **asdict(verdict)}))
    sys.exit(bool(verdict.wrong))


if __name__ == "__main__":
    main()
