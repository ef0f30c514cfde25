"""A load generator that costs little: raw HTTP/1.1 over kept connections, so that the server is what is measured."""

import asyncio
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
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


async def flood(url: str, key: str, bodies: Iterator[bytes], connections: int, seconds: float) -> Answers:
    """Post as fast as answers come, on so many connections at once."""
    parts, answers = urlsplit(url), Answers()
    lines = (f"POST {parts.path} HTTP/1.1", f"host: {parts.netloc}", f"authorization: Bearer {key}")
    head = "\r\n".join((*lines, "content-type: application/json", ""))
    started = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(_one(parts.hostname or "", parts.port or 80, head, bodies, started + seconds, answers))
    answers.seconds = time.monotonic() - started
    return answers


async def _one(host: str, port: int, head: str, bodies: Iterator[bytes], until: float, answers: Answers) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        while time.monotonic() < until:
            body = next(bodies)
            sent = time.monotonic()
            writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            header = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(header)
            answer = await reader.readexactly(int(length[1]) if length else 0)
            if header.startswith(b"HTTP/1.1 2"):
                answers.latencies.append(time.monotonic() - sent)
                answers.bodies.append(answer)
            else:
                answers.refused.append(answer)
    finally:
        writer.close()
        await writer.wait_closed()
