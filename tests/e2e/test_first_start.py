"""A fresh folder, `tocsin up`, one curl: a page on the console."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

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


def the_curl() -> str:
    """The command that README gives for a first page."""
    readme = (ROOT / "README.md").read_text()
    return next(block for block in re.findall(r"```sh\n(.*?)```", readme, re.S) if "curl" in block)


def test_one_curl_after_the_first_start_ends_in_a_page_on_the_console(folder: Path) -> None:
    port = free_port()
    settings = {"TOCSIN_DATA_DIR": str(folder / ".tocsin"), "TOCSIN_PORT": str(port)}
    server = Program("tocsin", python("-m", "services.cli", "up"), folder, settings)
    server.start()
    try:
        until(lambda: f"http://127.0.0.1:{port}" in server.tail(), SOON_S, f"the server is up\n{server.tail()}")
        assert (folder / ".tocsin" / "admin-key").stat().st_mode & 0o777 == 0o600
        command = the_curl().replace(":8080", f":{port}")
        done = subprocess.run(
            ["bash", "-ec", command],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            env=dict(os.environ),
        )
        assert done.returncode == 0, done.stderr
        number = re.search(r"C-\d+", done.stdout)
        assert number, done.stdout
        shown = rf"(?s){'=' * 80}.*first reply.*late.*{number[0]}.*{'=' * 80}"
        until(lambda: re.search(shown, server.log.read_text(), re.I), SOON_S, f"{number[0]} is on the console")
    except AssertionError as failed:
        raise AssertionError(f"{failed}\n{server.tail()}") from failed
    finally:
        assert server.stop(), "it drains within its bound"
