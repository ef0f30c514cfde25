"""The outside world of a test: a Slack and a mail server in processes of their own, and what reached them."""

import json
import re
import socket
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.client import until
from tests.e2e.programs import Program, free_port, python

STARTED_WITHIN_S = 20.0


@dataclass(frozen=True)
class Sent:
    """One message that arrived: when, where, by which key, with which words."""

    at: datetime
    to: str
    key: str  # Tocsin's own for the delivery
    text: str  # everything a person reads, on one line each
    raw: dict[str, Any]

    @property
    def case_number(self) -> str:
        found = re.search(r"\bC-\d+\b", self.text)
        return found[0] if found else ""


class Sinks:
    """Both servers and their logs."""

    def __init__(self, folder: Path) -> None:
        self._slack_port, self._smtp_port = free_port(), free_port()
        self._slack_log, self._smtp_log = folder / "slack.jsonl", folder / "mail.jsonl"
        self._smtp_behaves = folder / "smtp.mode"
        self.programs = [
            Program(name, python("-m", f"tests.stand_ins.{name}", "--port", str(port), "--log", str(log)), folder, {})
            for name, port, log in (
                ("slack", self._slack_port, self._slack_log),
                ("smtp", self._smtp_port, self._smtp_log),
            )
        ]

    @property
    def slack_url(self) -> str:
        return f"http://127.0.0.1:{self._slack_port}/api/"

    @property
    def slack_behaves(self) -> str:
        """Where to post how Slack should behave from now on."""
        return f"http://127.0.0.1:{self._slack_port}/behave"

    @property
    def smtp_url(self) -> str:
        return f"smtp://127.0.0.1:{self._smtp_port}"

    def behave(self, name: str, mode: str) -> None:
        """Let one of them misbehave from now on, or be well again (``ok``)."""
        if name == "slack":
            httpx.post(f"http://127.0.0.1:{self._slack_port}/behave", json={"mode": mode}).raise_for_status()
        else:
            self._smtp_behaves.write_text(mode)

    def start(self) -> None:
        for program in self.programs:
            program.start()
        for port in (self._slack_port, self._smtp_port):
            until(lambda port=port: listens(port), STARTED_WITHIN_S, f"a stand-in listens on {port}")

    def close(self) -> None:
        for program in self.programs:
            program.stop()

    def slack(self) -> list[Sent]:
        """Messages seen in a channel of Slack, oldest first: not what is said in threads only, nor changes of them."""
        return [sent for sent in self._slack() if sent.raw["method"] == "chat.postMessage" and _aloud(sent.raw)]

    def told(self) -> list[Sent]:
        """Every delivery that arrived, also by a digest: that one names many, one a line."""
        found, drawn = [], set()
        for line in _lines(self._slack_log):
            if not line["method"].startswith("chat."):
                continue
            keys = _slack_members(line)
            if not keys:
                found.append(Sent(_at(line), line["channel"], _slack_key(line), _words(line), line))
            elif line["method"] == "chat.update":
                keys = [key for key in keys if key not in drawn]
            drawn |= set(keys)
            found += [Sent(_at(line), line["channel"], key, _words(line), line) for key in keys]
        for line in _lines(self._smtp_log):
            keys = line["headers"].get("x-tocsin-deliveries", "").split()
            rows = re.findall(r"^C-\d+: .*$", line.get("plain", ""), re.MULTILINE)
            texts = rows if len(rows) == len(keys) else [_prose(line)] * len(keys)
            members = list(zip(keys, texts, strict=True)) or [(_mail_key(line), _prose(line))]
            found += [Sent(_at(line), line["to"][0], key, text, line) for key, text in members]
        return found

    def mail(self) -> list[Sent]:
        """Mails, oldest first."""
        return [Sent(_at(line), line["to"][0], _mail_key(line), _prose(line), line) for line in _lines(self._smtp_log)]

    def calls(self) -> list[Sent]:
        """What was posted to Slack or changed there, in the order of arrival."""
        return self._slack()

    def everything(self) -> list[Sent]:
        """Also what is said in threads, and changes of earlier messages."""
        return [*self._slack(), *self.mail()]

    def slack_lines(self) -> list[dict[str, Any]]:
        """Everything that the stand-in for Slack wrote down, oldest first."""
        return _lines(self._slack_log)

    def _slack(self) -> list[Sent]:
        lines = [line for line in self.slack_lines() if line["method"] in ("chat.postMessage", "chat.update")]
        return [Sent(_at(line), line["channel"], _slack_key(line), _words(line), line) for line in lines]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _lines(log: Path) -> list[dict[str, Any]]:
    """Whole lines only: the last may be in the writing."""
    if not log.exists():
        return []
    return [json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]


def _at(line: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(line["at"])


def _aloud(line: dict[str, Any]) -> bool:
    return not line.get("thread_ts") or str(line.get("reply_broadcast")).lower() in ("1", "true")


def _mail_key(line: dict[str, Any]) -> str:
    """``<c-4812.<delivery>.<signature>@host>``"""
    name = str(line["headers"].get("message-id", "")).strip().partition("@")[0].removeprefix("<")
    return name.split(".")[1] if name.count(".") == 2 else name


def _slack_key(line: dict[str, Any]) -> str:
    found = re.search(r'"delivery_id": ?"([^"]+)"', json.dumps(line))
    return found[1] if found else str(line.get("client_msg_id", ""))


def _slack_members(line: dict[str, Any]) -> list[str]:
    payload = (line.get("metadata") or {}).get("event_payload") or {}
    return [str(key) for key in payload.get("deliveries", ())]


def _words(value: Any) -> str:
    """All texts of a Slack message: its own, and those of its blocks."""
    if isinstance(value, dict):
        own = [value["text"]] if isinstance(value.get("text"), str) else []
        return "\n".join(
            [*own, *filter(None, (_words(inner) for inner in value.values() if isinstance(inner, dict | list)))]
        )
    if isinstance(value, list):
        return "\n".join(filter(None, (_words(inner) for inner in value)))
    return ""


def _prose(line: dict[str, Any]) -> str:
    return f"{line['headers'].get('subject', '')}\n{line.get('plain', '')}"
