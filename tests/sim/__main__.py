"""``make sim``: simulate one seed or many; a run that breaks a promise prints its shortened story."""

import argparse
import asyncio
import os
import sys
import time

from shared import telemetry
from tests.sim.ground import ground
from tests.sim.story import Simulator, loop_factory, tell


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first one")
    parser.add_argument("--runs", type=int, default=1, help="how many seeds, one after another")
    parser.add_argument("--steps", type=int, default=200, help="of each run")
    parser.add_argument("--tries", type=int, default=200, help="to shorten a story that breaks a promise")
    asked = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":  # sets of words have an order of their own in each process otherwise
        os.execve(
            sys.executable, [sys.executable, "-m", "tests.sim", *sys.argv[1:]], os.environ | {"PYTHONHASHSEED": "0"}
        )
    telemetry.configure("sim", "ERROR", None)
    with ground() as made, asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(simulate(Simulator(made), asked))


async def simulate(simulator: Simulator, asked: argparse.Namespace) -> int:
    began, spent, steps = time.monotonic(), time.process_time(), 0
    for seed in range(asked.seed, asked.seed + asked.runs):
        run = await simulator.run(seed, asked.steps)
        steps += run.steps
        print(f"seed {seed}: {run.steps} steps, {run.digest[:12]}, {run.counts}", flush=True)
        if run.wrong is not None:
            print(f"BROKEN {run.wrong}\nseed {seed}, {len(run.actions)} actions; shortening…", flush=True)
            short = await simulator.shorten(run, asked.tries)
            print(f"{tell(short)}\nBROKEN {short.wrong}")
            return 1
    took = time.monotonic() - began
    print(f"{steps} steps, {asked.runs} seeds, {took:.0f} s, {steps / took:.0f} steps/s,"
          f" {(time.process_time() - spent) / max(1, steps) * 1e3:.1f} ms CPU a step (without Postgres)")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
