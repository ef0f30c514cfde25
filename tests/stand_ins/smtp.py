"""A mail server: it keeps every message that it accepts, and can misbehave.

In a test: ``with Mail() as mail: … mail.url … mail.inbox``, and ``mail.mode = "451"``.
Apart: ``python -m tests.stand_ins.smtp --port 2525 --log mail.jsonl``; every message is one JSON line, written before
it is answered.
"""

import argparse
import asyncio
import json
import signal
import socket
import time
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Literal, Self, TextIO, get_args

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from shared.clock import SystemClock

Mode = Literal["ok", "slow", "451", "550", "drop_before", "drop_after"]
PATIENCE_S = 5.0
SLOW_S = 3.0
LOOK_EVERY_S = 0.1


@dataclass
class Mail:
    log: TextIO | None = None
    port: int = 0
    mode: Mode = "ok"
    inbox: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._clock = SystemClock()
        self._controller: Controller | None = None

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.port = self.port or _free_port()
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()

    def stop(self) -> None:
        if self._controller is not None:
            self._controller.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait(self, messages: int = 1) -> list[dict[str, Any]]:
        """The messages, once there are as many."""
        deadline = time.monotonic() + PATIENCE_S
        while len(self.inbox) < messages and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.inbox

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self.mode == "550":
            return "550 5.1.1 No such user here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:
        if self.mode == "slow":
            await asyncio.sleep(SLOW_S)
        if self.mode == "451":
            return "451 4.7.1 Greylisted, try again later"
        if self.mode != "drop_before":
            self._keep(envelope)
        if self.mode in ("drop_before", "drop_after") and server.transport is not None:
            server.transport.close()
        return "250 OK"

    def _keep(self, envelope: Envelope) -> None:
        content = envelope.content
        raw = content if isinstance(content, bytes) else (content or "").encode()
        message = message_from_bytes(raw, policy=policy.default)
        line = {
            "at": self._clock.now().isoformat(),
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "headers": {name.lower(): str(value) for name, value in message.items()},
            **{kind: _part(message, kind) for kind in ("plain", "html")},
        }
        self.inbox.append(line)
        if self.log is not None:
            self.log.write(json.dumps(line) + "\n")
            self.log.flush()


def _part(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    return "" if part is None else str(part.get_content()).replace("\r\n", "\n")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--behave", type=Path, help="a file whose word is the mode, as soon as it is there")
    parser.add_argument("--mode", choices=get_args(Mode), default="ok")
    arguments = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])
    with arguments.log.open("a") as log, Mail(log, arguments.port, arguments.mode) as mail:
        while signal.sigtimedwait([signal.SIGTERM, signal.SIGINT], LOOK_EVERY_S) is None:
            told = arguments.behave.read_text() if arguments.behave and arguments.behave.exists() else mail.mode
            mail.mode = told if told in get_args(Mode) else mail.mode


if __name__ == "__main__":
    main()
