"""How fast intake accepts, alone: against the route with nothing behind it, and against a plain group commit.

Everything (load, intake, Postgres) shares the cores of one machine; the figures say how many there are. The variants
take turns in each round, and what is judged are medians of each round's ratio.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from shutil import rmtree

import asyncpg
import httpx
import uvloop

from shared.embedded import EmbeddedPostgres
from tests.bench.wire import Connection, flood, head, open_to, paced, request
from tests.e2e import scene
from tests.e2e.client import until
from tests.e2e.programs import Program, free_port, python
from tests.e2e.sinks import listens

CONNECTIONS = 64
FLOOD_S = 4.0
PACE, PACE_S = 200, 10.0
CONTACT_BYTES = 1_400  # as in the floors that we compare with
LINES, REQUESTS = 5_000, 4  # of a batch; batches under way at each process
PROCESSES = 2
KEY = "bench-accept-key"
Figures = dict[str, float]


@dataclass(frozen=True)
class Row:
    """A figure, and what it must be at least, or at most where ``below``."""

    name: str
    figure: float
    target: float | None = None
    below: bool = False

    @property
    def verdict(self) -> str:
        if self.target is None:
            return ""
        return "met" if (self.figure <= self.target if self.below else self.figure >= self.target) else "MISSED"


def bodies(prefix: str, **more: str) -> Iterator[bytes]:
    """Distinct contacts of an upstream, each the first of its thread."""
    for number in count():
        name = f"{prefix}-{number}"
        body = scene.question(source="bench", external_id=name, thread=name, customer={"email": f"{name}@shop.example"})
        room = CONTACT_BYTES - len(json.dumps(body)) - len(', "body": ""')
        yield json.dumps({**body, **more, "body": "refund " * (room // 7)}).encode()


@contextmanager
def servers() -> Iterator[dict[str, str]]:
    """URLs of: the bare route, the prototype, and so many processes of intake, on a Postgres of their own."""
    folder = Path(tempfile.mkdtemp(prefix="tocsin-bench-"))
    folder.chmod(0o711)
    postgres = EmbeddedPostgres(folder / "postgres")
    with ExitStack() as after:
        after.callback(rmtree, folder, ignore_errors=True)
        postgres.start()
        after.callback(postgres.stop)
        environment = {
            "TOCSIN_DATABASE_URL": postgres.url,
            "TOCSIN_ADMIN_KEY": KEY,
            "TOCSIN_SECRET_KEY": "seals what a bench stores",
            "TOCSIN_RATE_LIMIT": "1000000000",
            "TOCSIN_LOG_LEVEL": "WARNING",
            "TOCSIN_DATA_DIR": str(folder / "data"),
        }
        migrate = Program("migrate", python("-m", "services.cli", "migrate"), folder, environment)
        migrate.start()
        assert migrate.wait(60), migrate.tail()
        plain = postgres.url.replace("postgresql+asyncpg://", "postgresql://")
        modules: dict[str, Sequence[str]] = {
            "bare": ("tests.bench.bare",),
            "prototype": ("tests.bench.prototype", "--database", plain),
            **{f"intake-{number}": ("services.intake",) for number in range(PROCESSES)},
        }
        urls = {"postgres": plain}
        for name, command in modules.items():
            port = free_port()
            own = () if command[0] == "services.intake" else ("--port", str(port))
            program = Program(name, python("-m", *command, *own), folder, environment | {"TOCSIN_PORT": str(port)})
            program.start()
            after.callback(program.stop)
            urls[name] = f"http://127.0.0.1:{port}"
            until(lambda url=urls[name], program=program: _is_up(url, program), 60, f"{name} is up")
        yield urls


def _is_up(url: str, program: Program) -> bool:
    if died := program.died():
        raise AssertionError(f"{died}\n{program.tail()}")
    if not listens(int(url.rsplit(":", 1)[1])):
        return False
    try:
        return program.name in ("bare", "prototype") or httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


async def durability(url: str) -> dict[str, str]:
    """As the server itself says."""
    connection = await asyncpg.connect(url)
    try:
        names = ("fsync", "synchronous_commit", "full_page_writes", "server_version")
        return {name: await connection.fetchval(f"SHOW {name}") for name in names}
    finally:
        await connection.close()


async def _all_published(url: str) -> None:
    """Until the relays are quiet, so that they do not disturb what is measured next."""
    connection = await asyncpg.connect(url)
    try:
        while await connection.fetchval("SELECT EXISTS (SELECT FROM intake.outbox)"):
            await asyncio.sleep(0.1)
    finally:
        await connection.close()


def single(urls: Mapping[str, str], round_: int) -> Figures:
    """One contact a request."""
    a_second = {}
    for name in ("bare", "prototype", "intake-0"):
        answers = uvloop.run(flood(f"{urls[name]}/v1/contacts", KEY, bodies(f"{name}-{round_}"), CONNECTIONS, FLOOD_S))
        assert not answers.refused, answers.refused[:3]
        a_second[name] = answers.a_second
        uvloop.run(_all_published(urls["postgres"]))
    steady = uvloop.run(paced(f"{urls['intake-0']}/v1/contacts", KEY, bodies(f"pace-{round_}"), PACE, PACE_S))
    assert not steady.refused, steady.refused[:3]
    ordered = sorted(steady.latencies)
    return {
        "bare route a second": a_second["bare"],
        "prototype a second": a_second["prototype"],
        "accepted a second": a_second["intake-0"],
        "over the bare route": a_second["intake-0"] / a_second["bare"],
        "over the prototype": a_second["intake-0"] / a_second["prototype"],
        "at 200 a second, p50, ms": 1000 * ordered[len(ordered) // 2],
        "at 200 a second, p99, ms": 1000 * ordered[len(ordered) * 99 // 100],
    }


async def batches(urls: Sequence[str], made: Sequence[bytes]) -> float:
    """Lines accepted a second, by all processes together."""
    accepted, waiting = 0, list(made)
    opened: list[Connection] = []

    def answered(connection: Connection, _header: bytes, body: bytes) -> None:
        nonlocal accepted
        accepted += body.count(b'"status":202')
        if waiting:
            connection.send(request(begin, waiting.pop()))
        else:
            connection.transport.close()

    begin = head(f"{urls[0]}/v1/contacts/batch", KEY, "application/x-ndjson")
    for url in urls:
        opened += [await open_to(url, answered) for _ in range(REQUESTS // 2)]
    started = time.monotonic()
    for each in opened:
        each.send(request(begin, waiting.pop()))
    await asyncio.gather(*(each.lost for each in opened))
    seconds = time.monotonic() - started
    assert accepted == sum(each.count(b"\n") + 1 for each in made), "some lines were refused"
    return accepted / seconds


def batch(urls: Mapping[str, str], round_: int) -> Figures:
    given = bodies(f"batch-{round_}", language="en")
    made = [b"\n".join(next(given) for _ in range(LINES)) for _ in range(4 * REQUESTS)]
    a_second = uvloop.run(batches([urls[f"intake-{number}"] for number in range(PROCESSES)], made))
    uvloop.run(_all_published(urls["postgres"]))
    return {"batch contacts a second, two processes": a_second}


def measure(rounds: int) -> list[Row]:
    """Medians of the rounds, with what is required of them."""
    with servers() as urls:
        said = uvloop.run(durability(urls["postgres"]))
        assert (said["fsync"], said["synchronous_commit"]) == ("on", "on"), said
        print(f"{os.cpu_count()} cores for load, servers and Postgres; the server says {said}", flush=True)
        found = []
        for number in range(rounds):
            found.append(single(urls, number) | batch(urls, number))
            print(
                f"accept, round {number + 1}: {json.dumps({k: round(v, 2) for k, v in found[-1].items()})}", flush=True
            )
    targets = {
        "over the bare route": (0.60, False),
        "over the prototype": (0.90, False),
        "at 200 a second, p99, ms": (15.0, True),
        "batch contacts a second, two processes": (10_000.0, False),
    }
    medians = {name: statistics.median(each[name] for each in found) for name in found[0]}
    return [Row(name, figure, *targets.get(name, (None, False))) for name, figure in medians.items()]


def show(rows: Sequence[Row]) -> None:
    for row in rows:
        bound = "" if row.target is None else f"{'at most' if row.below else 'at least'} {row.target:,g}"
        print(f"  {row.name:<40} {row.figure:>10,.2f}  {bound:<18} {row.verdict}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how fast intake accepts, by itself.")
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # also then, end what we started
    rows = measure(rounds)
    print(f"\nintake alone, medians of {rounds} rounds")
    show(rows)
    print(json.dumps({"kind": "accept", "rounds": rounds, **{row.name: row.figure for row in rows}}))


if __name__ == "__main__":
    main()
