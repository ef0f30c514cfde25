"""Child processes of a test: started, killed, frozen, restarted; each with its log, none left behind.

A child ends with the process that started it, also by kill -9 of that one (``shared/child.py``).
"""

import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from shared.child import Child

ROOT = Path(__file__).parents[2]
STOP_WITHIN_S = 30.0
TAIL_LINES = 60


class Program:
    """One command that may be run again and again, always with the same environment and log file."""

    def __init__(self, name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._command = list(command)
        self._environment = dict(os.environ) | {"PYTHONPATH": str(ROOT)} | dict(environment)
        self._child: Child | None = None
        self._frozen = False
        self._pid: int | None = None

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.running

    @property
    def pid(self) -> int | None:
        return self._pid if self.running else None

    def start(self) -> None:
        assert not self.running, f"{self.name} runs already"
        self._child = Child(self._command, self.log, signal.SIGKILL, environment=self._environment)
        self._pid = self._child.start()

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self._end(signal.SIGKILL)

    def stop(self) -> bool:
        """SIGTERM, and wait for the drain; False where it had to be killed."""
        self.resume()
        if self._end(signal.SIGTERM):
            return True
        self.kill()
        return False

    def freeze(self) -> None:
        """SIGSTOP: it keeps its connections and leases, and does nothing."""
        assert self._child
        self._child.signal(signal.SIGSTOP, asked=False)
        self._frozen = True

    def resume(self) -> None:
        if self._child and self._frozen:
            self._child.signal(signal.SIGCONT, asked=False)
        self._frozen = False

    def wait(self, timeout_s: float) -> bool:
        """Wait until it ends by itself."""
        return self._child is None or self._child.wait(timeout_s)

    def died(self) -> str | None:
        """How it ended, where it does not run although it was started and nobody ended it."""
        if self._child is None or self._child.running:
            return None
        return str(self._child.failure())

    def tail(self) -> str:
        if not self.log.exists():
            return ""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(line[:600] for line in lines[-TAIL_LINES:])

    def _end(self, number: signal.Signals) -> bool:
        child = self._child
        if child is None:
            return True
        child.signal(number)
        if not child.wait(STOP_WITHIN_S):
            return False
        self._child, self._frozen = None, False
        return True


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
