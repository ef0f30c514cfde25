"""A child process ends with its parent, however that ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shared import child as child_module
from shared.child import NATIVE, Child, ChildEnded

TIES = [False, True] if NATIVE else [False]
PARENT = """
import signal, sys, threading, time
from pathlib import Path
from shared.child import Child
made = Child(["/bin/sleep", "600"], Path(sys.argv[1]), signal.SIGTERM, native=sys.argv[2] == "True")
starter = threading.Thread(target=lambda: print(made.start(), flush=True))
starter.start()
starter.join()  # the thread that called start is gone, and the child must live on
time.sleep(600)
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


def gone(pid: int, within_s: float = 10) -> bool:
    give_up = time.monotonic() + within_s
    while alive(pid) and time.monotonic() < give_up:
        time.sleep(0.02)
    return not alive(pid)


@pytest.mark.parametrize("native", TIES)
def test_kill_9_of_the_parent_ends_the_child(tmp_path, native):
    command = [sys.executable, "-c", PARENT, str(tmp_path / "log"), str(native)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        time.sleep(0.3)
        assert alive(pid)
        parent.kill()
        assert gone(pid)


@pytest.mark.parametrize("native", TIES)
async def test_an_end_that_nobody_asked_for_is_told_with_the_last_lines(tmp_path, native):
    made = Child(
        ["/bin/sh", "-c", "echo first; echo last >&2; exit 3"], tmp_path / "log", signal.SIGTERM, native=native
    )
    made.start()
    with pytest.raises(ChildEnded, match=r"status 3(.|\n)*first\nlast"):
        await made.watch()
    assert (tmp_path / "log").read_text() == "first\nlast\n"


@pytest.mark.parametrize("native", TIES)
async def test_an_end_that_was_asked_for_is_none_to_complain_of(tmp_path, native):
    made = Child(["/bin/sleep", "600"], tmp_path / "log", signal.SIGTERM, native=native)
    pid = made.start()
    assert made.running
    made.signal(signal.SIGTERM)
    await made.watch()
    assert made.wait(5)
    assert gone(pid)


def test_a_command_that_is_not_there_says_so(tmp_path):
    made = Child(["/no/such/program"], tmp_path / "log", signal.SIGTERM)
    made.start()
    assert made.wait(10)
    assert "cannot run /no/such/program: No such file" in str(made.failure())


def test_ctrl_c_in_the_terminal_is_not_for_the_child(tmp_path):
    made = Child(["/bin/sleep", "600"], tmp_path / "log", signal.SIGTERM)
    pid = made.start()
    assert os.getpgid(pid) != os.getpgid(0)
    made.signal(signal.SIGKILL)
    assert made.wait(5)


def test_its_log_does_not_grow_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(child_module, "LOG_LIMIT", 1000)
    made = Child(
        ["/bin/sh", "-c", "i=0; while [ $i -lt 500 ]; do echo line $i; i=$((i+1)); done"], tmp_path / "log", 15
    )
    made.start()
    assert made.wait(10)
    assert (tmp_path / "log").stat().st_size <= 1010
    assert (tmp_path / "log.old").stat().st_size <= 1010
    assert "line 499" in made.tail()
