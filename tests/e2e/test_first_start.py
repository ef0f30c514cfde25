"""A fresh folder, `tocsin up`, one curl: a page on the console."""

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.e2e.client import until
from tests.e2e.programs import ROOT, Program, free_port, python

SOON_S = 60.0


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="tocsin-first-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@contextmanager
def server(folder: Path, **settings: str) -> Iterator[tuple[Program, int]]:
    """`tocsin up` in an empty folder, until it says that it is up."""
    port = free_port()
    settings |= {"TOCSIN_DATA_DIR": str(folder / ".tocsin"), "TOCSIN_PORT": str(port)}
    started = Program("tocsin", python("-m", "services.cli", "up"), folder, settings)
    started.start()
    try:
        until(lambda: f"http://127.0.0.1:{port}" in started.tail(), SOON_S, "the server is up")
        yield started, port
    except AssertionError as failed:
        raise AssertionError(f"{failed}\n{started.tail()}") from failed
    finally:
        assert started.stop(), "it drains within its bound"


def test_the_commands_of_readme_end_in_a_page_on_the_console(folder: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    key = re.search(r"TOCSIN_ADMIN_KEY=(\S+) make up", readme)
    assert key
    curl = next(block for block in re.findall(r"```sh\n(.*?)```", readme, re.S) if block.startswith("curl"))
    with server(folder, TOCSIN_ADMIN_KEY=key[1]) as (tocsin, port):
        command = ["bash", "-ec", curl.replace(":8080", f":{port}")]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30, check=True)
        number = json.loads(done.stdout)["case_number"]
        shown = rf"(?s)={{80}}\s+First reply .* late: Payout missing\s+{number} .*frontline.*={{80}}"
        until(lambda: re.search(shown, tocsin.log.read_text()), SOON_S, f"{number} is on the console")


def test_the_commands_of_the_document_about_sources_work_as_printed(folder: Path) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "sources.md").read_text(), re.S)
    with server(folder, TOCSIN_ADMIN_KEY="try-tocsin") as (_, port):
        command = ["sh", "-ec", "\necho\n".join(blocks).replace(":8080", f":{port}")]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=True)
        answers = re.findall(r'"outcome":"(\w+)"', done.stdout)
        assert answers == ["accepted"] * 4, done.stdout + done.stderr


def test_without_a_key_of_ours_a_first_start_makes_one_for_its_owner_alone(folder: Path) -> None:
    with server(folder) as (_, port):
        made = folder / ".tocsin" / "admin-key"
        assert made.stat().st_mode & 0o777 == 0o600
        headers = {"Authorization": f"Bearer {made.read_text().strip()}"}
        assert httpx.get(f"http://127.0.0.1:{port}/v1/teams", headers=headers).json()["items"][0]["name"] == "frontline"
