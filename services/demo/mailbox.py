"""A mail server that accepts everything and delivers nothing: a stand-in for yours. RFC 5321, as far as needed."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage

from services.demo.received import Received
from shared.clock import Clock

LINE_LIMIT = 8_192
MAIL_LIMIT = 1_048_576


@dataclass(frozen=True, slots=True)
class Mail:
    message: EmailMessage
    recipients: tuple[str, ...]
    arrived_at: datetime

    @property
    def text(self) -> str:
        """What a person reads: the plain part."""
        part = self.message.get_body(("plain",))
        return "" if part is None else str(part.get_content()).strip()

    def link(self, base: str) -> str | None:
        """The first address in it that begins like this."""
        found = re.search(rf"{re.escape(base)}/[^\s<>\"]+", self.text)
        return found[0].rstrip(".,)") if found else None


class Mailbox:
    """What was mailed, by anybody to anybody."""

    def __init__(self, clock: Clock) -> None:
        self.received: Received[Mail] = Received()
        self.url = ""
        self._clock = clock

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One conversation, until QUIT or the end of the line."""
        try:
            await self._converse(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            pass  # the other side went away, or does not speak SMTP: nothing was promised to it
        finally:
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        recipients: list[str] = []
        writer.write(b"220 demo ready\r\n")
        while True:
            await writer.drain()
            line = (await reader.readuntil(b"\n")).decode(errors="replace").strip()
            verb = line[:4].upper()
            if verb == "EHLO":
                writer.write(f"250-demo\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE {MAIL_LIMIT}\r\n".encode())
            elif verb == "RCPT":
                recipients.append(line.partition("<")[2].partition(">")[0])
                writer.write(b"250 OK\r\n")
            elif verb == "DATA":
                writer.write(b"354 go on, end with a dot\r\n")
                await writer.drain()
                await self._take(await _content(reader), tuple(recipients))
                recipients = []
                writer.write(b"250 OK\r\n")
            elif verb == "QUIT":
                writer.write(b"221 bye\r\n")
                await writer.drain()
                return
            elif verb in ("HELO", "MAIL", "RSET", "NOOP"):
                recipients = [] if verb in ("MAIL", "RSET") else recipients
                writer.write(b"250 OK\r\n")
            else:
                writer.write(b"502 not here\r\n")

    async def _take(self, content: bytes, recipients: tuple[str, ...]) -> None:
        message = message_from_bytes(content, policy=policy.default)
        await self.received.add(Mail(message, recipients, self._clock.now()))


async def _content(reader: asyncio.StreamReader) -> bytes:
    """Up to the line that is a dot; a dot that stands first was doubled for the way."""
    found = bytearray()
    while (line := await reader.readuntil(b"\n")) not in (b".\r\n", b".\n"):
        found += line[1:] if line.startswith(b".") else line
        if len(found) > MAIL_LIMIT:
            raise ValueError("the mail is larger than announced")
    return bytes(found)


@asynccontextmanager
async def mailbox(clock: Clock) -> AsyncIterator[Mailbox]:
    """A mailbox that listens on a free port of this machine."""
    box = Mailbox(clock)
    server = await asyncio.start_server(box.answer, "127.0.0.1", 0, limit=LINE_LIMIT)
    box.url = f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield box
    finally:
        server.close()
