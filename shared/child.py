"""A child process that dies with this one, also by kill -9, with a bounded log and its last lines at hand."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

LOG_LIMIT = 5_000_000  # bytes of the log file before it becomes ``<name>.old``
LINE_LIMIT = 8_192
TAIL_LINES = 20
LET_GO = b"x"
WATCH_EVERY_S = 0.2
LEASH = Path(__file__).with_name("leash.py")
NATIVE = sys.platform == "linux"


class ChildEnded(Exception):
    """The process ended without being asked to; the text has its last log lines."""


@dataclass(frozen=True, slots=True)
class Account:
    """The user to run as; None for the current one."""

    uid: int
    gid: int


class Child:
    """One run of one command.

    A thread of its own forks the process and then waits for it: Linux sends the parent-death signal when the thread
    that forked ends, so this one must live as long as the process. Therefore ``start`` may be called from any thread.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        on_parent_death: signal.Signals,
        account: Account | None = None,
        environment: Mapping[str, str] | None = None,
        native: bool = NATIVE,
    ) -> None:
        self.name = Path(command[0]).name
        self._log = log
        self._environment = environment
        uid, gid = (str(account.uid), str(account.gid)) if account else ("-", "-")
        tie = "native" if native else "watchdog"
        self._arguments = [
            *(sys.executable, "-I", "-S", str(LEASH), str(os.getpid())),
            *(str(int(on_parent_death)), uid, gid, tie, *command),
        ]
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._started: Future[subprocess.Popen[bytes]] = Future()
        self._ended: Future[int] = Future()
        self._asked = False

    def start(self) -> int:
        """Start it, and give its process id."""
        threading.Thread(target=self._keep, name=f"keeper of {self.name}", daemon=True).start()
        return self._started.result().pid

    @property
    def running(self) -> bool:
        return self._started.done() and not self._ended.done()

    def tail(self) -> str:
        return "\n".join(self._tail)

    def signal(self, number: signal.Signals, asked: bool = True) -> None:
        """Send a signal; ``asked`` where ending by it is meant, so that ``watch`` does not complain."""
        self._asked = self._asked or asked
        if self.running:
            self._started.result().send_signal(number)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the end; False where it still runs."""
        return bool(wait([self._ended], timeout_s).done)

    def failure(self) -> ChildEnded:
        status = self._ended.result()
        how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        return ChildEnded(f"{self.name} {how}. Its last lines (all of them in {self._log}):\n{self.tail()}")

    async def watch(self) -> None:
        """Returns after an end that was asked for; raises ``ChildEnded`` after any other."""
        while not self._ended.done():  # noqa: ASYNC110 - a callback from the keeper may outlive the loop
            await asyncio.sleep(WATCH_EVERY_S)
        self.check()

    def check(self) -> None:
        """Raises ``ChildEnded`` where it ended without being asked to."""
        if self._ended.done() and not self._asked:
            raise self.failure()

    def _keep(self) -> None:
        try:
            process = subprocess.Popen(
                self._arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd="/",  # the folder we stand in may be closed to the other user
                start_new_session=True,  # Ctrl-C in the terminal is for us; we end the child when we are done with it
            )
        except OSError as error:
            self._started.set_exception(error)
            return
        assert process.stdin
        assert process.stdout
        reader = threading.Thread(target=self._read, args=(process.stdout,), name=f"log of {self.name}", daemon=True)
        reader.start()
        self._started.set_result(process)
        status = process.wait()
        reader.join(timeout=1)  # grandchildren may hold the pipe a little longer
        try:
            process.stdin.write(LET_GO)
            process.stdin.close()
        except BrokenPipeError:
            pass  # nobody watches: the tie is the kernel's
        self._ended.set_result(status)

    def _read(self, lines: BinaryIO) -> None:
        log = self._log.open("ab", buffering=0)
        try:
            while line := lines.readline(LINE_LIMIT):
                self._tail.append(line.decode(errors="replace").rstrip())
                try:
                    log.write(line)
                    if log.tell() > LOG_LIMIT:
                        self._log.replace(self._log.with_name(self._log.name + ".old"))
                        log.close()
                        log = self._log.open("ab", buffering=0)
                except OSError:
                    continue  # a full disk costs us the line; a reader that stops would block the child
        finally:
            lines.close()
            log.close()
