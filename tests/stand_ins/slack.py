"""Slack, as far as Tocsin uses it: every call is written to a file as one JSON line, before it is answered.

``python -m tests.stand_ins.slack --port 9000 --log slack.jsonl``
"""

import argparse
import json
from pathlib import Path
from typing import Any, TextIO

from aiohttp import web

from shared.clock import SystemClock

EXISTS = {"ok": True}


class Slack:
    """The Web API. Messages are kept, so that they can be looked up and updated."""

    def __init__(self, log: TextIO) -> None:
        self._log, self._clock = log, SystemClock()
        self._messages: dict[str, list[dict[str, Any]]] = {}  # by channel, oldest first
        self._last = 0

    async def answer(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        body = await _body(request)
        line = {"at": self._clock.now().isoformat(), "method": method, **body}
        self._log.write(json.dumps(line) + "\n")
        self._log.flush()
        return web.json_response(getattr(self, "_" + method.replace(".", "_"), self._anything)(body))

    def _chat_postMessage(self, body: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - Slack's name
        self._last = max(self._last + 1, int(self._clock.now().timestamp() * 1_000_000))
        stamp = f"{self._last // 1_000_000}.{self._last % 1_000_000:06d}"
        message = {**body, "ts": stamp, "type": "message"}
        self._messages.setdefault(body.get("channel", ""), []).append(message)
        return EXISTS | {"channel": body.get("channel"), "ts": stamp, "message": message}

    def _chat_update(self, body: dict[str, Any]) -> dict[str, Any]:
        return EXISTS | {"channel": body.get("channel"), "ts": body.get("ts")}

    def _conversations_open(self, body: dict[str, Any]) -> dict[str, Any]:
        return EXISTS | {"channel": {"id": f"D{body.get('users', '')}"}}

    def _conversations_history(self, body: dict[str, Any]) -> dict[str, Any]:
        return EXISTS | {"messages": self._messages.get(body.get("channel", ""), [])[::-1], "has_more": False}

    def _anything(self, _body: dict[str, Any]) -> dict[str, Any]:
        return EXISTS


async def _body(request: web.Request) -> dict[str, Any]:
    """JSON, or a form whose structured values are JSON, as Slack takes both."""
    if request.content_type == "application/json":
        found: dict[str, Any] = await request.json()
        return found
    form = {**request.query, **await request.post()}
    return {name: _value(str(value)) if name in ("blocks", "attachments", "metadata") else value for name, value in form.items()}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", type=Path, required=True)
    arguments = parser.parse_args()
    with arguments.log.open("a") as log:
        app = web.Application()
        app.router.add_route("*", "/api/{method}", Slack(log).answer)
        web.run_app(app, host="127.0.0.1", port=arguments.port, access_log=None, print=None)


if __name__ == "__main__":
    main()
