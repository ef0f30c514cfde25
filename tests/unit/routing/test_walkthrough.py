"""What the walk-through of docs/lab.md shows is what happens: its commands, on a server of routing.

A block of ``console`` is commands with what they print, one of ``diff`` an edit of a file. What the document posts with
curl is taken here as routing takes it from the log.
"""

import asyncio
import contextlib
import json
import re
import shlex
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn
from typer.testing import CliRunner

from services import cli
from services.config_files import cli as files_cli
from services.config_files import trials_cli
from services.routing.app import assemble
from shared.http import create_app
from tests.unit.architecture.source import ROOT
from tests.unit.routing.conftest import Routing, contact
from tests.unit.routing.test_trials_api import looking

WALK = (ROOT / "docs" / "lab.md").read_text().partition("## A walk-through\n")[2]
BLOCK = re.compile(r"^```(console|diff)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OF_OTHER_SERVICES = re.compile(r"^  (calendars|destinations|escalation-policies|policies)/.*\n", re.MULTILINE)
CONTACTS = [json.loads(line) for line in (ROOT / "examples" / "contacts.ndjson").read_text().splitlines()]
WIDTH = 110


@dataclass(frozen=True)
class Step:
    """A command with what it prints, or an edit, whose text is the patch."""

    text: str
    printed: str = ""
    edit: bool = False


def steps(walk: str) -> Iterator[Step]:
    for kind, body in BLOCK.findall(walk):
        if kind == "diff":
            yield Step(body, edit=True)
            continue
        for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
            command = re.match(r"(?:.*\\\n)*.*\n", part)
            assert command
            yield Step(command[0].rstrip("\n"), OF_OTHER_SERVICES.sub("", part[command.end() :]))


class Reader:
    """Who follows the document, in the folder at hand."""

    def __init__(self, routing: Routing, address: str, key: str) -> None:
        self._routing, self._cases = routing, 0
        self._environment = {"TOCSIN_PUBLIC_URL": address, "TOCSIN_API_KEY": key}

    async def take(self, step: Step) -> str:
        """What it prints."""
        if step.edit:
            return (await asyncio.to_thread(_shell, "patch -p1", step.text)) and ""
        if step.text.startswith("tocsin "):
            arguments = shlex.split(step.text)[1:]
            done = await asyncio.to_thread(CliRunner().invoke, cli.app, arguments, env=self._environment)
            return done.output
        if step.text.startswith("curl "):
            return f"{await self._posted()}\n"
        return await asyncio.to_thread(_shell, step.text)

    async def _posted(self) -> int:
        posted = [contact(self._cases + n, **given) for n, given in enumerate(CONTACTS, 1)]
        self._cases += len(posted)
        await self._routing.take(*posted)
        for _ in range(len(posted) // 100):
            await looking(self._routing).step()  # one that has judged nothing yet, so it does so at once
        return len(posted)


def _shell(command: str, given: str = "") -> str:
    done = subprocess.run(["bash", "-c", command], input=given, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture
async def reader(routing: Routing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Reader]:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    for module in (files_cli, trials_cli):
        monkeypatch.setattr(module.out, "width", WIDTH)
    app = create_app("routing", [assemble(routing.runtime).router], routing.keys, 1_000_000)
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]
    key = await routing.keys.create("admin", ["admin"])
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve(sockets=[listening]))
        yield Reader(routing, f"http://127.0.0.1:{listening.getsockname()[1]}", key)
        server.should_exit = True


def words(printed: str) -> str:
    """Without numbers, which chance and time change, and without the width of columns."""
    return " ".join(re.sub(r"\d[\d,.]*", "#", printed).split())


async def test_the_walk_through_of_the_lab_prints_what_it_shows(reader: Reader) -> None:
    taken = list(steps(WALK))
    assert len(taken) >= 20
    for step in taken:
        assert words(await reader.take(step)) == words(step.printed), step.text
