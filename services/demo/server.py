"""The demo's own server: ``tocsin up`` as a child process on a folder of its own, which may be killed."""

import asyncio
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from services.demo.claims import Failed
from shared.child import Child, ChildEnded
from shared.ids import secret

START_WITHIN_S = 60.0
STOP_WITHIN_S = 15.0
LOOK_EVERY_S = 0.05  # readiness is asked for; nothing tells of it
PREFIX = "TOCSIN_"


class OwnServer:
    """One data folder, one port and one key, over any number of runs. ``settings``: names without their prefix."""

    def __init__(self, data: Path, settings: dict[str, str]) -> None:
        self.key, self.port = secret("demo"), _free_port()
        self.data = data
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        self.environment |= {
            f"{PREFIX}DATA_DIR": str(data),
            f"{PREFIX}PORT": str(self.port),
            f"{PREFIX}ADMIN_KEY": self.key,
            f"{PREFIX}PUBLIC_URL": self.url,
            **{f"{PREFIX}{name}": value for name, value in settings.items()},
        }
        self._child: Child | None = None
        self._pid = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.data / "server.log"

    async def start(self) -> float:
        """Start it and wait until it is ready; gives the seconds that took. Raises ``Failed`` with its last lines."""
        began = time.monotonic()
        self._child = Child(
            [sys.executable, "-m", "services.cli", "up"],
            log=self.log,
            on_parent_death=signal.SIGTERM,
            environment=self.environment,
        )
        self._pid = self._child.start()
        async with aiohttp.ClientSession() as session:
            while not await _ready(session, self.url):
                if not self._child.running:
                    raise Failed(f"The server did not start. Its last lines:\n{self._child.tail()}")
                if time.monotonic() - began > START_WITHIN_S:
                    raise Failed(f"The server is not ready after {START_WITHIN_S:.0f} s.\n{self._child.tail()}")
                await asyncio.sleep(LOOK_EVERY_S)
        return time.monotonic() - began

    async def kill(self) -> int:
        """kill -9 of the whole process: nothing of it gets a last word. Gives its process id, once it is gone."""
        if self._child is None:
            raise Failed("The server was never started.")
        self._child.signal(signal.SIGKILL)
        if not await asyncio.to_thread(self._child.wait, STOP_WITHIN_S):
            raise Failed(f"Process {self._pid} survived kill -9 for {STOP_WITHIN_S:.0f} s.")
        return self._pid

    async def watch(self) -> None:
        """Returns when this run ended as asked; raises ``Failed`` with its last lines where it ended by itself."""
        if self._child is not None:
            try:
                await self._child.watch()
            except ChildEnded as ended:
                raise Failed(f"The server ended by itself. Its last lines:\n{self._child.tail()}") from ended

    async def stop(self) -> None:
        """End it in order, else at once. Harmless where it does not run."""
        if self._child is None or not self._child.running:
            return
        self._child.signal(signal.SIGTERM)
        if not await asyncio.to_thread(self._child.wait, STOP_WITHIN_S):
            self._child.signal(signal.SIGKILL)
            await asyncio.to_thread(self._child.wait, STOP_WITHIN_S)


@asynccontextmanager
async def own_server(settings: dict[str, str]) -> AsyncIterator[OwnServer]:
    """A server on a temporary folder; both are gone afterwards, however it ends."""
    data = Path(tempfile.mkdtemp(prefix="tocsin-demo-"))
    data.chmod(0o711)  # the user that Postgres runs as, where we are root, must pass through
    server = OwnServer(data, settings)
    try:
        yield server
    finally:
        await server.stop()
        shutil.rmtree((data / "postgres").resolve(), ignore_errors=True)  # elsewhere, where this is a link
        shutil.rmtree(data, ignore_errors=True)


async def _ready(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(f"{url}/readyz", timeout=aiohttp.ClientTimeout(total=2)) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])
