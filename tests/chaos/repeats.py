"""The same contacts posted three times, from four clients at once, in random order, with a kill -9 in the middle.

``python -m tests.chaos.repeats --contacts 10000``: none lost, none twice. A smaller run of it is among the tests.
"""

import argparse
import asyncio
import json
import random
import signal
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree

import aiohttp
import asyncpg
import httpx

from shared.embedded import EmbeddedPostgres
from tests.e2e.client import until
from tests.e2e.programs import Program, free_port, python

TIMES, CLIENTS, CONNECTIONS = 3, 4, 8  # connections of each client
KEY = "repeats-key"


@dataclass
class Story:
    """What the clients were told, and what the database says in the end."""

    answered: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # external id → contact ids
    opened: dict[str, int] = field(default_factory=lambda: defaultdict(int))  # external id → answers of a new contact
    failed: int = 0  # attempts without an answer, each repeated
    killed_after: int = 0
    seconds: float = 0.0
    stored: dict[str, str] = field(default_factory=dict)  # external id → contact id
    contacts: int = 0
    cases: int = 0
    told: int = 0  # events about contacts


@contextmanager
def intake() -> Iterator[tuple[Program, str, str]]:
    """Intake alone as a process, its URL, and that of its database."""
    folder = Path(tempfile.mkdtemp(prefix="tocsin-repeats-"))
    folder.chmod(0o711)
    postgres = EmbeddedPostgres(folder / "postgres")
    with ExitStack() as after:
        after.callback(rmtree, folder, ignore_errors=True)
        postgres.start()
        after.callback(postgres.stop)
        port = free_port()
        environment = {
            "TOCSIN_DATABASE_URL": postgres.url,
            "TOCSIN_ADMIN_KEY": KEY,
            "TOCSIN_SECRET_KEY": "seals what a test stores",
            "TOCSIN_RATE_LIMIT": "100000000",
            "TOCSIN_DATA_DIR": str(folder / "data"),
            "TOCSIN_PORT": str(port),
        }
        migrate = Program("migrate", python("-m", "services.cli", "migrate"), folder, environment)
        migrate.start()
        assert migrate.wait(60), migrate.tail()
        program = Program("intake", python("-m", "services.intake"), folder, environment)
        program.start()
        after.callback(program.stop)
        url = f"http://127.0.0.1:{port}"
        until(lambda: _ready(url, program), 60, "intake is ready")
        yield program, url, postgres.url.replace("postgresql+asyncpg://", "postgresql://")


def _ready(url: str, program: Program) -> bool:
    assert not program.died(), program.tail()
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


async def tell(program: Program, url: str, database: str, contacts: int, seed: int) -> Story:
    chance, story = random.Random(seed), Story()
    bodies = {str(n): _body(n) for n in range(contacts)}
    posts = [name for name in bodies for _ in range(TIMES)]
    chance.shuffle(posts)
    shares = [posts[client::CLIENTS] for client in range(CLIENTS)]
    done, started = 0, time.monotonic()

    async def connection(http: aiohttp.ClientSession, share: list[str]) -> None:
        nonlocal done
        while share:
            name = share.pop()
            while True:
                try:
                    async with http.post(f"{url}/v1/contacts", data=bodies[name]) as answer:
                        if answer.status == 202:
                            body = await answer.json()
                            break
                        assert answer.status == 503, await answer.text()
                except (aiohttp.ClientError, OSError):
                    pass
                story.failed += 1
                await asyncio.sleep(0.05)
            story.answered[name].append(body["contact_id"])
            story.opened[name] += not body["duplicate"]
            done += 1

    async def kill() -> None:
        while done < len(posts) // 2:
            await asyncio.sleep(0.001)
        await asyncio.to_thread(program.kill)
        story.killed_after = done
        program.start()

    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    async with asyncio.TaskGroup() as group:
        group.create_task(kill())
        sessions = [aiohttp.ClientSession(headers=headers) for _ in range(CLIENTS)]
        clients = [
            group.create_task(connection(http, share))
            for http, share in zip(sessions, shares, strict=True)
            for _ in range(CONNECTIONS)
        ]
        await asyncio.gather(*clients)
        for http in sessions:
            await http.close()
    story.seconds = time.monotonic() - started
    await _look(story, database)
    return story


def _body(number: int) -> bytes:
    name = str(number)
    customer = {"email": f"c{number % 97}@shop.example"}
    body = {"source": "desk", "external_id": name, "thread": f"thread {number}", "subject": name, "customer": customer}
    return json.dumps(body | {"body": "Where is my refund? " * 10}).encode()


async def _look(story: Story, database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        rows = await connection.fetch("SELECT external_id, id FROM intake.contact ORDER BY external_id, id")
        story.contacts = len(rows)
        story.stored = {row["external_id"]: str(row["id"]) for row in rows}
        story.cases = await connection.fetchval("SELECT count(*) FROM intake.case_file")
        async with asyncio.timeout(60):  # the relay empties the outbox
            while await connection.fetchval("SELECT EXISTS (SELECT FROM intake.outbox)"):
                await asyncio.sleep(0.05)
        story.told = await connection.fetchval(
            "SELECT count(DISTINCT convert_from(body, 'UTF8')::jsonb ->> 'contact_id')"
            " FROM log.record WHERE topic = 'contacts'"
        )
    finally:
        await connection.close()


def judge(story: Story, contacts: int) -> None:
    """None lost, none twice, every answer true."""
    assert 0 < story.killed_after < TIMES * contacts, "the kill was not in the middle"
    assert story.failed, "nobody noticed the kill"
    assert (story.contacts, story.cases, story.told) == (contacts, contacts, contacts)
    assert {name: len(ids) for name, ids in story.answered.items()} == dict.fromkeys(story.stored, TIMES)
    for name, ids in story.answered.items():
        assert set(ids) == {story.stored[name]}, f"contact {name} was answered with {set(ids)}"
        assert story.opened[name] <= 1, f"contact {name} was new {story.opened[name]} times"


def run(contacts: int, seed: int) -> Story:
    with intake() as (program, url, database):
        story = asyncio.run(tell(program, url, database, contacts, seed))
    judge(story, contacts)
    return story


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contacts", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    story = run(arguments.contacts, arguments.seed)
    lost = sum(story.opened[name] == 0 for name in story.stored)
    print(
        f"{TIMES * arguments.contacts} posts by {CLIENTS} clients in {story.seconds:.1f} s, kill -9 after"
        f" {story.killed_after}: {story.contacts} contacts, {story.cases} cases, {story.told} told;"
        f" {story.failed} attempts failed and were repeated, {lost} contacts were stored but their first answer lost"
    )


if __name__ == "__main__":
    main()
