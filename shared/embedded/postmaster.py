"""What the server process of a cluster says about itself on disk, and how to end one that an earlier run left."""

import os
import signal
import subprocess
import time
from pathlib import Path

from shared.embedded.binaries import EmbeddedError

OLD_TIMEOUT_S = 10.0  # for the server of an earlier run that is still shutting down
IMMEDIATE_AFTER_S = 5.0  # then it is asked more firmly; committed rows survive that too
LOOK_EVERY_S = 0.01


def _lines(cluster: Path) -> list[str]:
    try:
        return (cluster / "postmaster.pid").read_text().splitlines()
    except OSError:
        return []


def status(cluster: Path, pid: int) -> str:
    """What the server says about itself, in the eighth line of its pid file."""
    lines = _lines(cluster)
    return lines[7].strip() if len(lines) > 7 and lines[0].strip() == str(pid) else ""


def end_old(cluster: Path) -> None:
    """The server of a run that was killed may still be shutting down: wait for it. We hold the lock, so it is ours."""
    lines = _lines(cluster)
    if not lines:
        return
    pid = int(lines[0])
    begun = time.monotonic()
    asked: set[signal.Signals] = set()
    while _is_server_of(pid, cluster):
        waited = time.monotonic() - begun
        if waited > OLD_TIMEOUT_S:
            raise EmbeddedError(
                f"Postgres of an earlier run (process {pid}) still uses {cluster} after {OLD_TIMEOUT_S:.0f} s."
                f" End it with: kill -QUIT {pid}"
            )
        ask = signal.SIGINT if waited < IMMEDIATE_AFTER_S else signal.SIGQUIT
        if ask not in asked:
            asked.add(ask)
            os.kill(pid, ask)
        time.sleep(LOOK_EVERY_S)
    if _exists(pid):  # another program has the process id by now, and Postgres would take it for the old server
        (cluster / "postmaster.pid").unlink(missing_ok=True)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_server_of(pid: int, cluster: Path) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        if Path("/proc/self").exists():
            return False
        command = subprocess.run(
            ["ps", "-o", "command=", "-p", str(pid)], capture_output=True, check=False
        ).stdout.split()
    return os.fsencode(cluster) in command
