"""A load generator that costs little: raw HTTP/1.1 over kept connections, so that the server is what is measured."""

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"content-length: *(\d+)", re.I)


@dataclass
class Answers:
    """What came back."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)  # seconds, of the accepted
    bodies: list[bytes] = field(default_factory=list)
    refused: list[bytes] = field(default_factory=list)

    @property
    def a_second(self) -> float:
        return len(self.latencies) / self.seconds

    def take(self, header: bytes, body: bytes, seconds: float) -> None:
        if header.startswith(b"HTTP/1.1 2"):
            self.latencies.append(seconds)
            self.bodies.append(body)
        else:
            self.refused.append(body)


class Connection(asyncio.Protocol):
    """One request at a time; ``answered`` gets the head and body of each answer."""

    def __init__(self, answered: Callable[["Connection", bytes, bytes], None]) -> None:
        self._answered = answered
        self._got = b""
        self.sent_at = 0.0
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass

    def send(self, request: bytes, at: float | None = None) -> None:
        """``at``: when it should have been sent, on the monotonic clock."""
        self.sent_at = at or time.monotonic()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._got += data
        end = self._got.find(b"\r\n\r\n")
        if end < 0:
            return
        found = _LENGTH.search(self._got, 0, end)
        whole = end + 4 + (int(found[1]) if found else 0)
        if len(self._got) >= whole:
            header, body, self._got = self._got[:end], self._got[end + 4 : whole], self._got[whole:]
            self._answered(self, header, body)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(None)


def head(url: str, key: str, content_type: str = "application/json") -> bytes:
    """The request, up to its length."""
    parts = urlsplit(url)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    lines = (f"POST {path} HTTP/1.1", f"host: {parts.netloc}", f"authorization: Bearer {key}")
    return "\r\n".join((*lines, f"content-type: {content_type}", "content-length: ")).encode()


def request(begin: bytes, body: bytes) -> bytes:
    return begin + b"%d\r\n\r\n" % len(body) + body


async def open_to(url: str, answered: Callable[[Connection, bytes, bytes], None]) -> Connection:
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Connection(answered), parts.hostname, parts.port or 80)
    return connection


async def flood(url: str, key: str, bodies: Iterator[bytes], connections: int, seconds: float) -> Answers:
    """Post as fast as answers come, on so many connections at once."""
    answers, begin = Answers(), head(url, key)

    def answered(connection: Connection, header: bytes, body: bytes) -> None:
        now = time.monotonic()
        answers.take(header, body, now - connection.sent_at)
        if now < until:
            connection.send(request(begin, next(bodies)))
        else:
            connection.transport.close()

    opened = [await open_to(url, answered) for _ in range(connections)]
    started = time.monotonic()
    until = started + seconds
    for each in opened:
        each.send(request(begin, next(bodies)))
    await asyncio.gather(*(each.lost for each in opened))
    answers.seconds = time.monotonic() - started
    return answers


async def paced(url: str, key: str, bodies: Iterator[bytes], a_second: float, seconds: float) -> Answers:
    """Post at a steady pace, whatever the answers do; latency counts from when a request was due."""
    answers, begin = Answers(), head(url, key)
    free: list[Connection] = []
    opened: list[Connection] = []

    def answered(connection: Connection, header: bytes, body: bytes) -> None:
        answers.take(header, body, time.monotonic() - connection.sent_at)
        free.append(connection)

    for _ in range(8):
        opened.append(await open_to(url, answered))
    free.extend(opened)
    started = time.monotonic()
    for number in range(int(a_second * seconds)):
        due = started + number / a_second
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        if not free:
            opened.append(await open_to(url, answered))
            free.append(opened[-1])
        free.pop().send(request(begin, next(bodies)), due)
    while len(free) < len(opened):
        await asyncio.sleep(0.01)
    answers.seconds = time.monotonic() - started
    for each in opened:
        each.transport.close()
    return answers
