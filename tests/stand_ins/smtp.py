"""A mail server: every message it accepts is written to a file as one JSON line, before it is answered.

``python -m tests.stand_ins.smtp --port 2525 --log mail.jsonl``
"""

import argparse
import json
import signal
from email import message_from_bytes, policy
from pathlib import Path
from typing import TextIO

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from shared.clock import SystemClock


class Mailbox:
    """Takes everything for everybody."""

    def __init__(self, log: TextIO) -> None:
        self._log, self._clock = log, SystemClock()

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        content = envelope.content
        message = message_from_bytes(content if isinstance(content, bytes) else (content or "").encode(), policy=policy.default)
        line = {
            "at": self._clock.now().isoformat(),
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "headers": {name.lower(): str(value) for name, value in message.items()},
            **{kind: part.get_content() for kind in ("plain", "html") if (part := message.get_body((kind,)))},
        }
        self._log.write(json.dumps(line) + "\n")
        self._log.flush()
        return "250 OK"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", type=Path, required=True)
    arguments = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])
    with arguments.log.open("a") as log:
        server = Controller(Mailbox(log), hostname="127.0.0.1", port=arguments.port)
        server.start()
        signal.sigwait([signal.SIGTERM, signal.SIGINT])
        server.stop()


if __name__ == "__main__":
    main()
