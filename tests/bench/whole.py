"""``python -m tests.bench.whole [--kafka]``: accept rate with everything behind, time to a team, lateness of promises.

Prints a table and, as its last line, JSON. Load and server share this machine: trust ratios, not absolutes.
"""

import argparse
import asyncio
import json
import math
import re
import signal
import statistics
import time
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

import aiohttp
import uvloop

from tests.bench.accept import bodies
from tests.bench.figures import quantile
from tests.bench.wire import flood
from tests.chaos import crews
from tests.chaos.judge import ledger
from tests.e2e import scene
from tests.e2e.client import JSON, Client, until
from tests.e2e.programs import Program, free_port, python
from tests.e2e.sinks import listens
from tests.e2e.stack import KINDS, Stack

CONNECTIONS = 64
FLOOD_S = 5.0
STEADY, STEADY_A_SECOND = 150, 10.0
BY_MAIL = crews.CREWS[::2]  # a Slack channel takes one message a second, which is not what we measure
PROMISE = timedelta(seconds=STEADY / STEADY_A_SECOND + 3)  # all are posted before the first deadline
QUIET_WITHIN_S = 300.0
Figures = dict[str, float]


def accept_rate(stack: Stack, tocsin: Client, round_: int, bare_url: str) -> Figures:
    """As many contacts as are accepted, against the same route with nothing behind it."""
    url = tocsin.routes.base("/v1/contacts") + "/v1/contacts"
    bare = uvloop.run(flood(bare_url, "none", bodies("bare"), CONNECTIONS, FLOOD_S))
    started = time.monotonic()
    ours = uvloop.run(flood(url, stack.key, bodies(f"flood-{round_}"), CONNECTIONS, FLOOD_S))
    assert not ours.refused, ours.refused[:3]
    until_quiet(stack, tocsin)
    return {
        "accepted a second": ours.a_second,
        "the bare route a second": bare.a_second,
        "accepted, % of the bare route": 100 * ours.a_second / bare.a_second,
        "accept p50, ms": quantile(ours.latencies, 50),
        "accept p99, ms": quantile(ours.latencies, 99),
        "through all services a second": len(ours.latencies) / (time.monotonic() - started),
    }


def promises(stack: Stack, tocsin: Client) -> Figures:
    """Contacts at an easy pace: how long until each has a team, and from a broken promise to a mailbox."""
    fired_before = _fire_lag(stack, tocsin)
    posted = asyncio.run(_paced(tocsin, stack.key))
    to_team, due = [], {}
    for each in posted:
        contact = tocsin.get(f"/v1/contacts/{each['contact_id']}")
        assignment = tocsin.get(f"/v1/cases/{each['case_id']}/assignment", wait="PT20S")
        to_team.append((scene.at(assignment["assigned_at"]) - scene.at(contact["received_at"])).total_seconds())
        due[each["case_number"]] = scene.at(scene.clock_started(tocsin, each["case_id"])["due_at"])
    told = until(lambda: _all_told(stack, due.keys()), 60, "every broken promise is told")
    opened = {page["case_id"]: scene.at(page["opened_at"]) for page in tocsin.every("/v1/pages")}
    paged = [(opened[each["case_id"]] - due[each["case_number"]]).total_seconds() for each in posted]
    mailed = [(told[number] - due[number]).total_seconds() for number in due]
    assert min(*paged, *mailed) >= 0, "early"
    fired = {le: count - fired_before.get(le, 0) for le, count in _fire_lag(stack, tocsin).items()}
    for each in posted:
        tocsin.post("/v1/activities", scene.replied(each["case_id"]))
    until_quiet(stack, tocsin)
    return {
        "contact to team p50, ms": quantile(to_team, 50),
        "contact to team p99, ms": quantile(to_team, 99),
        "deadline to breach p50, ms": from_buckets(fired, 0.50),
        "deadline to breach p99, ms": from_buckets(fired, 0.99),
        "deadline to page p50, ms": quantile(paged, 50),
        "deadline to page p99, ms": quantile(paged, 99),
        "deadline to mailbox p50, ms": quantile(mailed, 50),
        "deadline to mailbox p99, ms": quantile(mailed, 99),
    }


def _fire_lag(stack: Stack, tocsin: Client) -> dict[float, float]:
    """sla's own histogram, from the due time of a timer to the commit of its firing: counts by upper bound, seconds."""
    text = tocsin.send_to(stack.bases["sla"], "GET", "/metrics").text
    found = re.findall(r'tocsin_fire_lag_seconds_bucket\{le="([^"]+)",service="sla"\} (\S+)', text)
    return {float(bound): float(count) for bound, count in found}


def from_buckets(counts: Mapping[float, float], share: float) -> float:
    """A quantile in milliseconds, as good as the buckets: a straight line inside the one that holds it."""
    wanted, below, since = share * counts[math.inf], 0.0, 0.0
    for bound in sorted(counts):
        if counts[bound] >= wanted:
            width = 0.0 if math.isinf(bound) else bound - since
            return 1000 * (since + width * (wanted - below) / max(1.0, counts[bound] - below))
        below, since = counts[bound], bound
    return math.inf


def _all_told(stack: Stack, numbers: Collection[str]) -> dict[str, datetime] | None:
    """When the team of each case was first told; None while some are missing."""
    told: dict[str, datetime] = {}
    for message in stack.sinks.mail():
        if message.case_number in numbers:
            told.setdefault(message.case_number, message.at)
    return told if len(told) == len(numbers) else None


async def _paced(tocsin: Client, key: str) -> list[JSON]:
    url = tocsin.routes.base("/v1/contacts") + "/v1/contacts"
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as http:

        async def post(number: int) -> JSON:
            async with http.post(url, json=scene.payout_missing(BY_MAIL[number % len(BY_MAIL)])) as answer:
                found: JSON = await answer.json()
                return found

        async with asyncio.TaskGroup() as group:
            tasks = []
            for number in range(STEADY):
                tasks.append(group.create_task(post(number)))
                await asyncio.sleep(1 / STEADY_A_SECOND)
        return [task.result() for task in tasks]


def until_quiet(stack: Stack, tocsin: Client) -> None:
    def nothing_in_flight() -> bool:
        return not any(line.terms.get("in_flight", 0) for line in ledger(stack, tocsin))

    until(nothing_in_flight, QUIET_WITHIN_S, "everything accepted has gone through")


def measure(stack: Stack, rounds: int) -> Figures:
    """The median of every figure."""
    tocsin, port = stack.client(), free_port()
    crews.set_up(tocsin)
    scene.promise(tocsin, PROMISE)
    bare = Program("bare", python("-m", "tests.bench.bare", "--port", str(port)), stack.folder, {})
    bare.start()
    try:
        until(lambda: listens(port), 20, "the bare route is up")
        found = []
        for number in range(rounds):
            easy = promises(stack, tocsin)
            found.append(accept_rate(stack, tocsin, number, f"http://127.0.0.1:{port}/v1/contacts") | easy)
            print(f"round {number + 1}: {json.dumps({k: round(v, 1) for k, v in found[-1].items()})}", flush=True)
    finally:
        bare.stop()
    return {name: statistics.median(each[name] for each in found) for name in found[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the whole way.")
    parser.add_argument("--kafka", action="store_true", help="the four services apart, on a real Kafka")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # also then, end what we started
    kind = "kafka" if arguments.kafka else "embedded"
    with KINDS[kind]() as stack:
        figures = measure(stack, arguments.rounds)
    print(f"\n{kind}, medians of {arguments.rounds} rounds")
    for name, figure in figures.items():
        print(f"  {name:<32} {figure:>10,.1f}")
    print(json.dumps({"kind": kind, "rounds": arguments.rounds, **figures}))


if __name__ == "__main__":
    main()
