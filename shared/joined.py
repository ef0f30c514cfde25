"""HTTP as uvicorn speaks it, but for one thing: the head and the body of an answer leave together.

Each write is a way to the kernel and a packet that wakes the caller; uvicorn makes two for each answer.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HELD_BYTES = 65_536  # at most; more is passed on at once, so that the flow stays under control


class Joined:
    """A transport that passes on together what is written in one turn of the loop."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._held: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._held:
            self._loop.call_soon(self._pass_on)
        self._held.append(data)
        self._size += len(data)
        if self._size > HELD_BYTES:
            self._pass_on()

    def close(self) -> None:
        self._pass_on()
        self._transport.close()

    def _pass_on(self) -> None:
        if self._held:
            data = b"".join(self._held)
            self._held.clear()
            self._size = 0
            self._transport.write(data)


class Protocol(HttpToolsProtocol):
    """For ``uvicorn.Config(http=…)``."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        joined = Joined(cast(asyncio.Transport, transport), self.loop)
        super().connection_made(cast(asyncio.Transport, joined))
