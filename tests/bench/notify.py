"""From a deadline to a webhook receiver at a steady rate, and what a kill -9 loses; Alertmanager the same beside it.

``python -m tests.bench.notify``: embedded, then the four services on a real Kafka, then Alertmanager (the Debian
package ``prometheus-alertmanager``), all in one run with one receiver. Load, servers and receiver share this machine.
Contacts are there before, as in life: what is measured begins with deadlines that pass, as Alertmanager's with an
alert that is posted. ``--hops`` says where the time went, ``--steady`` leaves out the kills.
"""

import argparse
import asyncio
import contextlib
import json
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp

from tests.bench.figures import quantile
from tests.bench.hops import cpu_seconds, hops
from tests.e2e import scene
from tests.e2e.client import Client, until
from tests.e2e.programs import Program, free_port, python
from tests.e2e.sinks import listens
from tests.e2e.stack import KINDS, SERVICES, Stack

TEAMS = tuple(f"team-{number:02}" for number in range(20))
A_SECOND = 200
WARM_S, SECONDS = 15, 30  # as steady before, not counted: interpreters, compilers and caches have seen it all by then
LEAD = timedelta(seconds=60)  # from now to the first deadline: until then everything has its clock
PROMISE = LEAD + timedelta(seconds=WARM_S + SECONDS)
KILLED = 500  # accepted before the kill
SETTLED = timedelta(seconds=3)
SOON_S, LOSS_WAIT_S = 90.0, 15.0
STARTED_S = 30.0
ALERTMANAGER = "prometheus-alertmanager"
LINES = {"Content-Type": "application/x-ndjson"}


@dataclass
class Figures:
    """One system: seconds from due to received, and what came of what it had accepted when it was killed."""

    name: str
    late: list[float] = field(default_factory=list)
    accepted: int = 0
    arrived: int = 0
    repeated: int = 0
    hops: dict[str, list[float]] = field(default_factory=dict)  # seconds after due at which each was done
    cpu_ms: dict[str, float] = field(default_factory=dict)  # of each process, for one message


class Receiver:
    """The stand-in as a process, and what reached it."""

    def __init__(self, folder: Path) -> None:
        self.port, self._log = free_port(), folder / "received.jsonl"
        command = python("-m", "tests.stand_ins.receiver", "--port", str(self.port), "--log", str(self._log))
        self.program = Program("receiver", command, folder, {})
        self._read = 0  # lines

    def start(self) -> None:
        self.program.start()
        until(lambda: listens(self.port), STARTED_S, "the receiver listens")

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    def lines(self) -> list[dict[str, Any]]:
        """Whole lines only: others are in the writing, or were when the receiver was killed."""
        text = self._log.read_bytes().splitlines(keepends=True)
        return [json.loads(line) for line in text if line.endswith(b"}\n")]


def set_up(tocsin: Client, kind: str, receiver: Receiver) -> None:
    """Each team is told by a webhook of its own, at once, and by nothing else."""
    for team in TEAMS:
        tocsin.put(f"/v1/teams/{team}", {})
        url = receiver.url(f"{kind}/{team}")
        tocsin.put(f"/v1/destinations/{team}", {"kind": "webhook", "url": url, "secret": f"whsec_{'c2VjcmV0' * 4}"})
        steps = [{"notify": [{"destination": team}]}]
        repeat = {"every": "PT1H", "times": 0}
        tocsin.put(f"/v1/escalation-policies/{team}", {"teams": [team], "steps": steps, "repeat": repeat})
    scene.route(tocsin, TEAMS)
    scene.promise(tocsin, PROMISE)


def post(tocsin: Client, first_due: datetime, count: int) -> dict[str, datetime]:
    """Contacts whose promises come due at a steady rate from then on: case id → due."""
    spaced = [first_due + timedelta(seconds=number / A_SECOND) for number in range(count)]
    made: dict[str, datetime] = {}
    for start in range(0, count, 500):
        part = spaced[start : start + 500]
        bodies = [
            scene.payout_missing(TEAMS[number % len(TEAMS)], occurred_at=(due - PROMISE).isoformat())
            for number, due in enumerate(part)
        ]
        text = "\n".join(map(json.dumps, bodies))
        answer = tocsin.send("POST", "/v1/contacts/batch", content=text, headers=LINES)
        for line, due in zip(answer.text.splitlines(), part, strict=True):
            fate = json.loads(line)
            assert fate["status"] == 202, fate
            made[fate["case_id"]] = due
    return made


def first_arrivals(receiver: Receiver, path: str) -> dict[str, datetime]:
    """By the name of what was told."""
    found: dict[str, datetime] = {}
    for line in receiver.lines():
        if line["path"].startswith(path):
            for name in _names(line["body"]):
                found.setdefault(name, scene.at(line["at"]))
    return found


def _names(body: dict[str, Any]) -> list[str]:
    """Of ours the case's id, of Alertmanager's the alerts' own label."""
    if "alerts" in body:
        return [alert["labels"]["number"] for alert in body["alerts"]]
    return [body["data"]["case_id"]]


def ours(kind: str, receiver: Receiver, hop_by_hop: bool, kills: bool) -> Figures:
    """One Tocsin: at a steady rate, then killed between accepting and sending."""
    figures = Figures(kind)
    with KINDS[kind]({"TOCSIN_EGRESS_ALLOW": "127.0.0.1"}) as stack:
        tocsin = stack.client()
        set_up(tocsin, kind, receiver)
        first = scene.now() + LEAD
        due = post(tocsin, first, A_SECOND * (WARM_S + SECONDS))
        _sleep_until(first)
        due = {case_id: at for case_id, at in due.items() if at >= first + timedelta(seconds=WARM_S)}
        _sleep_until(min(due.values()))
        before = cpu_seconds()
        _sleep_until(max(due.values()) + SETTLED)  # looking would take part of the machine
        spent = {name: seconds - before.get(name, 0.0) for name, seconds in cpu_seconds().items()}
        figures.cpu_ms = {name: 1000 * seconds / len(due) for name, seconds in spent.items() if seconds > 0}
        told = until(
            lambda: found if (found := first_arrivals(receiver, f"/{kind}/")).keys() >= due.keys() else None,
            SOON_S, "everything due is told",
        )  # fmt: skip
        figures.late = [(told[case_id] - at).total_seconds() for case_id, at in due.items()]
        assert min(figures.late) >= 0, "early"
        if hop_by_hop:
            figures.hops = hops(stack, due)
        for services in ({"notify"}, set(SERVICES)) if kills else ():
            _kill(figures, stack, tocsin, receiver, services)
    return figures


def _kill(figures: Figures, stack: Stack, tocsin: Client, receiver: Receiver, services: set[str]) -> None:
    """kill -9 when contacts are accepted and nobody was told; what of them is told after all."""
    receiver.program.kill()
    accepted = post(tocsin, scene.now() + timedelta(seconds=1), KILLED)
    programs = {program.name: program for program in map(stack.program, sorted(services))}
    for program in programs.values():
        program.kill()
    receiver.start()
    for program in programs.values():
        program.start()
    stack.wait_ready(services)
    path = f"/{figures.name}/"
    with contextlib.suppress(AssertionError):  # counted below
        until(lambda: first_arrivals(receiver, path).keys() >= accepted.keys(), SOON_S, "all of them are told")
    _count(figures, receiver, path, set(accepted))


def _sleep_until(at: datetime) -> None:
    left = (at - scene.now()).total_seconds()
    assert left > 0, "setting up took too long for this machine: nothing was measured"
    time.sleep(left)


def _count(figures: Figures, receiver: Receiver, path: str, accepted: set[str]) -> None:
    arrived = Counter(
        name for line in receiver.lines() if line["path"].startswith(path) for name in _names(line["body"])
    )
    figures.accepted += len(accepted)
    figures.arrived += sum(arrived[name] > 0 for name in accepted)
    figures.repeated += sum(max(0, arrived[name] - 1) for name in accepted)


CONFIG = """
route: {{receiver: hook, group_by: ['...'], group_wait: 0s, group_interval: 5m, repeat_interval: 4h}}
receivers: [{{name: hook, webhook_configs: [{{url: '{url}', send_resolved: false}}]}}]
"""


@contextmanager
def alertmanager(receiver: Receiver, folder: Path) -> Iterator[tuple[Program, str]]:
    config, port = folder / "alertmanager.yml", free_port()
    config.write_text(CONFIG.format(url=receiver.url("alertmanager")))
    found = shutil.which(ALERTMANAGER)
    assert found, f"install the package {ALERTMANAGER}"
    command = [
        found, f"--config.file={config}", f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=", "--log.level=error",
    ]  # fmt: skip
    program = Program("alertmanager", command, folder, {})
    program.start()
    try:
        until(lambda: listens(port), STARTED_S, "alertmanager listens")
        yield program, f"http://127.0.0.1:{port}/api/v2/alerts"
    finally:
        program.kill()


async def _alerts(url: str, prefix: str, count: int, paced: bool) -> dict[str, datetime]:
    """Post alerts one by one: name → when each was to be posted. All of them are answered 200."""
    due: dict[str, datetime] = {}
    started, began = time.monotonic(), scene.now()
    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:

        async def send(name: str) -> None:
            alert = {"labels": {"alertname": "PayoutMissing", "number": name}, "annotations": {"team": "payments"}}
            async with http.post(url, json=[alert]) as answer:
                assert answer.status == 200, await answer.text()

        for number in range(count):
            at = number / A_SECOND if paced else 0.0
            await asyncio.sleep(max(0.0, started + at - time.monotonic()))
            name = f"{prefix}-{number}"
            due[name] = began + timedelta(seconds=at)
            group.create_task(send(name))
    return due


def theirs(receiver: Receiver, folder: Path, kills: bool) -> Figures:
    """Alertmanager with ``group_wait: 0s``, each alert a group of its own: told as soon as it can be."""
    figures = Figures("alertmanager")
    with alertmanager(receiver, folder) as (program, url):
        asyncio.run(_alerts(url, "warm", A_SECOND * WARM_S, paced=True))
        due = asyncio.run(_alerts(url, "steady", A_SECOND * SECONDS, paced=True))
        time.sleep(SETTLED.total_seconds())
        told = until(
            lambda: found if (found := first_arrivals(receiver, "/alertmanager")).keys() >= due.keys() else None,
            SOON_S, "every alert is told",
        )  # fmt: skip
        figures.late = [(told[name] - at).total_seconds() for name, at in due.items()]
        if not kills:
            return figures
        receiver.program.kill()
        accepted = asyncio.run(_alerts(url, "killed", KILLED, paced=False))
        program.kill()
        receiver.start()
        program.start()
        time.sleep(LOSS_WAIT_S)
        _count(figures, receiver, "/alertmanager", set(accepted))
    return figures


def _late(seconds: list[float]) -> str:
    return f"{len(seconds):>6} " + " ".join(f"{quantile(seconds, percent):>8.1f}" for percent in (50, 99, 100))


def main() -> None:
    parser = argparse.ArgumentParser(description="From due to received.")
    parser.add_argument("--only", choices=[*KINDS, "alertmanager"], help="one of them")
    parser.add_argument("--hops", action="store_true", help="where the time went")
    parser.add_argument("--steady", action="store_true", help="without the kills")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # also then, end what we started
    folder = Path(tempfile.mkdtemp(prefix="tocsin-bench-notify-"))
    receiver, rows = Receiver(folder), []
    receiver.start()
    try:
        for kind in KINDS:
            if arguments.only in (None, kind):
                rows.append(ours(kind, receiver, arguments.hops, not arguments.steady))
                print(kind, _late(rows[-1].late), flush=True)
        if arguments.only in (None, "alertmanager"):
            rows.append(theirs(receiver, folder, not arguments.steady))
    finally:
        receiver.program.kill()
        shutil.rmtree(folder, ignore_errors=True)
    report(rows)


def report(rows: Sequence[Figures]) -> None:
    print(f"\n{A_SECOND} a second for {SECONDS} s: from due to received, ms")
    print(f"then {KILLED} accepted, and kill -9 before any is sent: of notify, and again of everything\n")
    print(f"{'':<14} {'told':>6} {'p50':>8} {'p99':>8} {'most':>8} {'accepted':>9} {'lost':>6} {'repeated':>9}")
    for row in rows:
        lost = row.accepted - row.arrived
        print(f"{row.name:<14} {_late(row.late)} {row.accepted:>9} {lost:>6} {row.repeated:>9}")
        for name, late in row.hops.items():
            print(f"  {name:<12} {_late(late)}")
        if row.cpu_ms:
            each = ", ".join(f"{name} {ms:.2f}" for name, ms in sorted(row.cpu_ms.items()))
            print(f"  CPU-ms a message: {sum(row.cpu_ms.values()):.2f}: {each}")
    print(json.dumps([{"name": row.name, "p50_ms": quantile(row.late, 50), "p99_ms": quantile(row.late, 99),
                       "accepted": row.accepted, "lost": row.accepted - row.arrived, "repeated": row.repeated}
                      for row in rows]))  # fmt: skip


if __name__ == "__main__":
    main()
