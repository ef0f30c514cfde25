"""The first second of ``tocsin``."""

import signal
import subprocess
import sys
import time

import pytest

BEGIN = "import services.start; print('here', flush=True); services.start.main()"


@pytest.mark.parametrize("after_s", [0.05, 0.2, 0.5])
def test_ctrl_c_while_it_imports_ends_it_quietly(after_s: float) -> None:
    command = [sys.executable, "-c", BEGIN, "ledger", "--url", "http://127.0.0.1:9"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        assert started.stdout and started.stdout.readline() == "here\n"
        time.sleep(after_s)
        started.send_signal(signal.SIGINT)
        _, told = started.communicate(timeout=60)
    if started.returncode == -signal.SIGINT:  # it was importing still
        assert told == ""


def test_an_interrupt_that_is_ignored_stays_so() -> None:
    """As of what nohup starts."""
    ignoring = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); {BEGIN}"
    command = [sys.executable, "-c", ignoring, "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        assert started.stdout and started.stdout.readline() == "here\n"
        time.sleep(0.05)
        started.send_signal(signal.SIGINT)
        told, _ = started.communicate(timeout=60)
    assert started.returncode == 0 and "escalation" in told
