"""``python -m tests.chaos --rounds 20 --seed 1``: crash everything under load, then say whether anything was lost.

``--all --minutes 30 --replicas 2``: every fault of ``faults.py`` at least three times, and whether anything was late.
Prints a table and, as its last line, JSON. Exit code 1 where anything is wrong.
"""

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from tests.chaos import crews
from tests.chaos.judge import Verdict, judge
from tests.chaos.load import Clients
from tests.chaos.rounds import STEADY_A_SECOND, Options, Run, run
from tests.e2e.client import Routes
from tests.e2e.stack import SERVICES, Apart


def crash(stack: Apart, options: Options) -> tuple[Run, Verdict]:
    """Run and judge on a stack that has nothing in it yet."""
    tocsin = stack.client()
    crews.set_up(tocsin)

    async def load() -> Run:
        with (stack.folder / "answers.jsonl").open("a") as log:
            routes, unanswered = Routes(stack.documents()), 9 if options.all_faults else 3
            clients = Clients(routes, stack.key, f"s{options.seed}", log, stack.replicas, unanswered)
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
    parser.add_argument("--all", action="store_true", help="every fault, with calm in between; needs --minutes")
    parser.add_argument("--rate", type=float, help="contacts a second; 50 with --all, else 20 beside the bursts")
    arguments = parser.parse_args()
    if arguments.all and not arguments.minutes:
        parser.error("--all needs --minutes, such as --minutes 30")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # also then, end what we started
    rate = arguments.rate or (50.0 if arguments.all else STEADY_A_SECOND)
    kills = (arguments.seed, arguments.rounds, arguments.minutes, arguments.together, arguments.freeze)
    options = Options(*kills, all_faults=arguments.all, a_second=rate)
    started = time.monotonic()
    with Apart(replicas=dict.fromkeys(SERVICES, arguments.replicas)) as stack:
        done, verdict = crash(stack, options)
        kept = stack.keep(Path(tempfile.mkdtemp(prefix="tocsin-chaos-"))) if verdict.wrong else None
    print("\nround  fault                      down  without a team   in flight  all have one after")
    for each in done.rounds:
        figures = f"{each.unplaced:>14} {each.in_flight:>11} {each.placed_after_s:>18.1f} s"
        print(f"{each.number:>5}  {each.how + ' ' + ' and '.join(each.parts):<24} {each.down_s:>4.1f} s  {figures}")
    often = Counter(each.how + " " + each.parts[0].partition("-")[0] for each in done.rounds)
    print("\n" + ", ".join(f"{fault} {times} times" for fault, times in sorted(often.items())))
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
