"""``python -m tests.chaos --rounds 20 --seed 1``: crash everything under load, then say whether anything was lost.

Prints a table and, as its last line, JSON. Exit code 1 where anything is wrong.
"""

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from tests.chaos import crews
from tests.chaos.judge import Verdict, judge
from tests.chaos.load import Clients
from tests.chaos.rounds import Options, Run, run
from tests.e2e.client import Routes
from tests.e2e.stack import Apart


def crash(stack: Apart, options: Options) -> tuple[Run, Verdict]:
    """Run and judge on a stack that has nothing in it yet."""
    tocsin = stack.client()
    crews.set_up(tocsin)

    async def load() -> Run:
        with (stack.folder / "answers.jsonl").open("a") as log:
            clients = Clients(Routes(stack.documents()), stack.key, f"s{options.seed}", log)
            async with clients.open():
                return await run(stack, clients, options, lambda line: print(line, flush=True))

    done = asyncio.run(load())
    return done, judge(stack, tocsin, done)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make chaos", description="Crash every part of Tocsin under load.")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--minutes", type=float, help="go on for so long, instead of a number of rounds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--together", type=int, default=1, help="how many parts are killed at the same moment")
    parser.add_argument("--freeze", action="store_true", help="also stop services for longer than their leases")
    parser.add_argument("--replicas", type=int, default=1, help="of each service")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # also then, end what we started
    options = Options(arguments.seed, arguments.rounds, arguments.minutes, arguments.together, arguments.freeze)
    started = time.monotonic()
    with Apart(replicas=arguments.replicas) as stack:
        done, verdict = crash(stack, options)
        kept = stack.keep(Path(tempfile.mkdtemp(prefix="tocsin-chaos-"))) if verdict.wrong else None
    print("\nround  killed                     down  without a team   in flight  all have one after")
    for each in done.rounds:
        what = " and ".join(each.parts) + (" (frozen)" if each.how == "freeze" else "")
        figures = f"{each.unplaced:>14} {each.in_flight:>11} {each.placed_after_s:>18.1f} s"
        print(f"{each.number:>5}  {what:<24} {each.down_s:>4.1f} s  {figures}")
    print(f"\nseed {options.seed}, {time.monotonic() - started:.0f} s")
    for name, count in verdict.counts.items():
        print(f"  {name:<20} {count:>8}")
    for line in verdict.wrong[:20]:
        print(f"WRONG: {line[:1000]}")
    print(f"{len(verdict.wrong)} wrong" + (f"; the logs are in {kept}" if kept else ""))
    told = ("parts", "how", "down_s", "unplaced", "in_flight", "placed_after_s")
    rounds = [{name: getattr(each, name) for name in told} for each in done.rounds]
    print(json.dumps({"seed": options.seed, "rounds": rounds, **asdict(verdict)}))
    sys.exit(bool(verdict.wrong))


if __name__ == "__main__":
    main()
