"""``python -m tests.bench.storm [--replicas 3] [--kafka]``: breaches by the thousand in one second, over 20 teams.

Notify in processes of its own, fed with what sla would publish; a Slack that writes down what it took, and when. Each
figure has a target and a verdict. Load, server and Slack share this machine.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tests.e2e.client import JSON, until
from tests.e2e.stack import Apart
from tests.e2e.storms import TEAMS, Seen, break_all, log_of, look, set_up, team_of

FIRST_WITHIN_S = 2.0
A_SECOND_APART_S = 0.99  # by the clock of the Slack stand-in
ALL_WITHIN_S = 180.0


@dataclass(frozen=True)
class Row:
    name: str
    figure: float
    unit: str
    target: str = ""
    holds: bool | None = None


def rows(seen: Seen, broke: Sequence[datetime]) -> list[Row]:
    count, first = len(broke), {}
    for number, at in enumerate(broke):
        first.setdefault(team_of(number), at)
    told = {team: min(times) for team in TEAMS if (times := seen.calls.get(f"#{team}"))}
    waits = [(at - first[team]).total_seconds() for team, at in told.items()]
    gaps = [
        (later - at).total_seconds()
        for times in seen.calls.values()
        for at, later in zip(sorted(times), sorted(times)[1:], strict=False)
    ]
    late = max((seen.named[f"C-{n}"] - at).total_seconds() for n, at in enumerate(broke) if f"C-{n}" in seen.named)
    missing = count - len({f"C-{n}" for n in range(count)} & seen.named.keys())
    return [
        Row("teams that were told", len(waits), "", f"= {len(TEAMS)}", len(waits) == len(TEAMS)),
        _at_most("a team's first message after its first breach, at worst", max(waits), "s", FIRST_WITHIN_S),
        Row("between two messages in one channel, at least", min(gaps), "s", "≥ 1", min(gaps) >= A_SECOND_APART_S),
        _at_most("cases that no message names", missing, "", 0),
        Row("the last case is named after its breach", late, "s"),
        Row("messages posted", seen.posts, ""),
        Row("calls of Slack, changes in place included", sum(map(len, seen.calls.values())), ""),
    ]


def cpu_s(stack: Apart) -> dict[str, float]:
    """Seconds of processor that notify and Postgres have used. Linux only."""
    used: dict[str, float] = defaultdict(float)
    postmaster = int(next(stack.folder.rglob("postmaster.pid")).read_text().split()[0])
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            pid, parent, seconds = _times(stat.read_text())
            owner = next((name for name, program in stack.programs.items() if pid == program.pid), None)
            if owner or parent == postmaster:
                used["notify" if owner else "Postgres"] += seconds
    return used


def _times(stat: str) -> tuple[int, int, float]:
    fields = stat.rpartition(")")[2].split()
    return int(stat.split()[0]), int(fields[1]), (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _at_most(name: str, figure: float, unit: str, limit: float) -> Row:
    return Row(name, figure, unit, f"≤ {limit:g}", figure <= limit)


def measure(stack: Apart, count: int) -> list[Row]:
    tocsin = stack.client()
    set_up(tocsin)
    time.sleep(2)  # the first assignment of partitions is over
    cpu = cpu_s(stack)
    broke = asyncio.run(break_all(log_of(stack), count))

    def told() -> bool:
        return len(look(stack.sinks).named) >= count

    try:
        until(told, ALL_WITHIN_S, "every case is named")
    except AssertionError as never:
        print(never)
    used = cpu_s(stack)
    found = rows(look(stack.sinks), broke)
    time.sleep(2)
    lines = tocsin.get("/v1/ledger")["lines"]
    [hop] = [line for line in lines if line["hop"] == "pages→deliveries"]
    found.append(_at_most("difference in the ledger, from pages to deliveries", abs(hop["difference"]), "", 0))
    found.append(_at_most("breaches that have no page", count - _paged(lines), "", 0))
    for name in used:
        found.append(Row(f"CPU of {name}, a case", 1e6 * (used[name] - cpu[name]) / count, "µs"))
    return found


def _paged(lines: Sequence[JSON]) -> int:
    [hop] = [line for line in lines if line["hop"] == "clocks→pages"]
    return int(hop["terms"]["done"])


def show(found: Sequence[Row]) -> bool:
    for row in found:
        verdict = "" if row.holds is None else "holds" if row.holds else "MISSED"
        print(f"  {row.name:<58} {row.figure:>10,.2f} {row.unit:<3} {row.target:>6} {verdict}", flush=True)
    return all(row.holds is not False for row in found)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make storm", description="Measure a storm.")
    parser.add_argument("--breaches", type=int, default=5_000)
    parser.add_argument("--replicas", type=int, default=1, help="of notify")
    parser.add_argument("--kafka", action="store_true", help="on a real Kafka; else the log in Postgres")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # also then, end what we started
    with Apart({"TOCSIN_LOG_LEVEL": "WARNING"}, {"notify": arguments.replicas}, arguments.kafka) as stack:
        kind = "Kafka" if arguments.kafka else "the log in Postgres"
        print(f"{arguments.breaches:,} breaches in one second, {arguments.replicas} × notify on {kind}", flush=True)
        found = measure(stack, arguments.breaches)
        held = show(found)
    figures = {row.name: row.figure for row in found}
    print(json.dumps({"kind": "storm", "breaches": arguments.breaches, "replicas": arguments.replicas, **figures}))
    raise SystemExit(0 if held else 1)


if __name__ == "__main__":
    main()
