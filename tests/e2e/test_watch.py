"""The watcher beside a real Tocsin: it sees pages come, says where they hang, and by its own way who should know."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chaos.judge import until_quiet
from tests.e2e.client import Client, until
from tests.e2e.programs import Program, free_port, python
from tests.e2e.sinks import listens
from tests.e2e.stack import Stack

ROUNDS = 2  # that fail before people are called
WITHIN_S = 3.0
SOON_S = 60.0
WATCHER = "tocsin-watch"


@dataclass
class Watched:
    """A watcher as a process, and what reached its people and its dead-man's switch."""

    program: Program
    url: str
    log: Path

    def _reached(self, path: str) -> list[Any]:
        lines = self.log.read_bytes().splitlines()
        return [each["body"] for line in lines if line and (each := json.loads(line))["path"] == path]

    def pings(self) -> int:
        return len(self._reached("/ping"))

    def calls(self) -> list[tuple[str, str]]:
        """To people: state and hop."""
        return [(each["state"], each["hop"] or "") for each in self._reached("/people")]

    def metric(self, name: str) -> float:
        lines = httpx.get(f"{self.url}/metrics", timeout=10).text.splitlines()
        return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"tocsin_watch_{name}"))


@pytest.fixture
def watched(stack: Stack, tmp_path: Path) -> Iterator[Watched]:
    hub, port, gateway = free_port(), free_port(), free_port()
    bases = [f"--base={base}" for base in dict.fromkeys(stack.bases.values())]
    log = tmp_path / "received.jsonl"

    def receiver(name: str, at: int, into: Path) -> Program:
        return Program(
            name, python("-m", "tests.stand_ins.receiver", "--port", str(at), "--log", str(into)), tmp_path, {}
        )

    ways = [
        receiver("hub", hub, log),
        Program("gateway", python("-m", "tests.stand_ins.gateway", "--port", str(gateway), *bases), tmp_path, {}),
    ]
    environment = {
        "TOCSIN_WATCH_SERVER": f"http://127.0.0.1:{gateway}",
        "TOCSIN_WATCH_KEY": stack.key,
        "TOCSIN_WATCH_PORT": str(port),
        "TOCSIN_WATCH_STATE": str(tmp_path / "watch.json"),
        "TOCSIN_WATCH_EVERY_S": str(WITHIN_S),
        "TOCSIN_WATCH_WITHIN_S": str(WITHIN_S),
        "TOCSIN_WATCH_FAILURES": str(ROUNDS),
        "TOCSIN_WATCH_PING_URL": f"http://127.0.0.1:{hub}/ping",
        "TOCSIN_WATCH_WEBHOOK_URL": f"http://127.0.0.1:{hub}/people",
    }
    program = Program("watch", python("-m", "services.cli", "watch"), tmp_path, environment)
    for each in ways:
        each.start()
    for number in (hub, gateway):
        until(lambda number=number: listens(number), SOON_S, f"{number} listens")
    program.start()
    yield Watched(program, f"http://127.0.0.1:{port}", log)
    program.stop()
    late = receiver("late", port, tmp_path / "late.jsonl")  # takes what is still on its way to the watcher
    late.start()
    until_quiet(stack, stack.client())
    for each in (late, *ways):
        each.stop()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("stack", ["embedded"], indirect=True)
def test_a_frozen_tocsin_is_told_past_it_and_its_recovery_too(
    stack: Stack, tocsin: Client, watched: Watched, measured: list[str]
) -> None:
    until(lambda: watched.pings() > 0, SOON_S, f"the dead-man's switch hears of a success\n{watched.program.tail()}")
    assert watched.calls() == []
    measured(f"watcher, {stack.name}: age of a page {watched.metric('age_seconds_sum'):.2f} s")
    hop, frozen = "accepted", stack.program("tocsin")
    frozen.freeze()
    pings = watched.pings()
    until(lambda: len(watched.calls()) > 0, SOON_S, "people are called")
    failed = watched.metric(f'rounds_total{{hop="{hop}"}}')
    assert watched.calls() == [("failing", hop)]
    assert failed <= ROUNDS + 1
    assert watched.pings() <= pings + 1, "at most the success that was under way was told"
    assert watched.metric("up") == 0
    watched.program.kill()  # and what it stands for survives
    frozen.resume()
    stack.wait_ready()
    watched.program.start()
    until(lambda: len(watched.calls()) > 1, SOON_S, "people are told that it works again")
    assert watched.calls()[1:] == [("ok", "")]
    until(lambda: watched.metric("open_cases") == 0, SOON_S, "everything of the watcher is closed")
    watched.program.stop()
    left = [case for case in tocsin.every("/v1/cases") if case["status"] != "closed" and _ours(tocsin, case["id"])]
    assert len(left) <= 1, "at most the case of the round that was stopped"


def _ours(tocsin: Client, case_id: str) -> bool:
    found = tocsin.get(f"/v1/cases/{case_id}")
    return any(contact["source"] == WATCHER for contact in found["contacts"])
