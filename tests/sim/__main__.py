"""``make sim``: simulate one seed or many; a run that breaks a promise prints its shortened story."""

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter

from shared import telemetry
from tests.sim.ground import ground
from tests.sim.story import Simulator, loop_factory, tell


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first one")
    parser.add_argument("--runs", type=int, default=1, help="how many seeds, one after another")
    parser.add_argument("--steps", type=int, default=200, help="of each run")
    parser.add_argument(
        "--jobs", type=int, default=1, help="processes that share the seeds, each with its own Postgres"
    )
    parser.add_argument("--tries", type=int, default=200, help="to shorten a story that breaks a promise")
    asked = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":  # sets of words have an order of their own in each process otherwise
        os.execve(
            sys.executable, [sys.executable, "-m", "tests.sim", *sys.argv[1:]], os.environ | {"PYTHONHASHSEED": "0"}
        )
    if asked.jobs > 1:
        return share_out(asked)
    telemetry.configure("sim", "ERROR", None)
    with ground() as made, asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(simulate(Simulator(made), asked))


def share_out(asked: argparse.Namespace) -> int:
    """Each process takes a stretch of the seeds; a seed is the same run in any of them. A broken promise ends all."""
    began, shares = (
        time.monotonic(),
        [asked.runs // asked.jobs + (n < asked.runs % asked.jobs) for n in range(asked.jobs)],
    )
    command = [sys.executable, "-m", "tests.sim", "--steps", str(asked.steps), "--tries", str(asked.tries)]
    firsts = [asked.seed + sum(shares[:n]) for n in range(asked.jobs)]
    jobs = [
        subprocess.Popen([*command, "--seed", str(first), "--runs", str(share)])
        for first, share in zip(firsts, shares, strict=True)
        if share
    ]
    while any(each.poll() is None for each in jobs) and not any(each.poll() for each in jobs):
        time.sleep(0.1)
    if any(each.poll() for each in jobs):
        for each in jobs:
            each.send_signal(signal.SIGINT)  # it takes its Postgres down
    codes = [each.wait() for each in jobs]
    took = time.monotonic() - began
    print(f"{asked.runs} seeds of {asked.steps + 1} steps by {len(jobs)} processes: {took:.0f} s; exit codes {codes}")
    return max(map(abs, codes))


async def simulate(simulator: Simulator, asked: argparse.Namespace) -> int:
    began, spent, steps = time.monotonic(), time.process_time(), 0
    happened = Counter[str]()
    for seed in range(asked.seed, asked.seed + asked.runs):
        run = await simulator.run(seed, asked.steps)
        steps += run.steps
        happened.update(run.counts)
        print(f"seed {seed}: {run.steps} steps, {run.digest[:12]}, {run.counts}", flush=True)
        if run.wrong is not None:
            print(f"BROKEN {run.wrong}\nseed {seed}, {len(run.actions)} actions; shortening…", flush=True)
            short = await simulator.shorten(run, asked.tries)
            print(f"{tell(short)}\nBROKEN {short.wrong}")
            return 1
    took = time.monotonic() - began
    print("a run:", ", ".join(f"{count / asked.runs:.1f} {what}" for what, count in happened.items()))
    print(f"{steps} steps, {asked.runs} seeds, {took:.0f} s, {steps / took:.0f} steps/s,"
          f" {(time.process_time() - spent) / max(1, steps) * 1e3:.1f} ms CPU a step (without Postgres)")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
