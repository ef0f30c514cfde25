"""Slack, as far as Tocsin uses it: it checks what it is sent as Slack would, keeps it, and can misbehave.

In a test: ``async with Slack() as slack: … slack.url … slack.posts``, and ``slack.behave("429", retry_after=2)``.
Apart: ``python -m tests.stand_ins.slack --port 9000 --log slack.jsonl``; every post that it took is one JSON line,
written before it is answered, and says whether it will be. ``POST /behave`` with ``{"mode": "500", "channel": "#x",
"times": 3}`` changes it while it runs; ``any`` fails a share of the calls in any of the ways, by a seed.
"""

import argparse
import asyncio
import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any, Literal, Self, TextIO, cast, get_args

from aiohttp import web

from shared.clock import SystemClock
from tests.stand_ins.blocks import complaints

Mode = Literal["ok", "slow", "429", "500", "hang", "hang_after", "drop_before", "drop_after", "any"]
FAULTS: tuple[Mode, ...] = ("429", "500", "hang", "hang_after", "drop_before", "drop_after")
POSTED_FIRST = ("hang_after", "drop_after")  # the message arrives, its answer does not
LONG_S = 3600.0
SLOW_S = 3.0
STRUCTURED = ("blocks", "attachments", "metadata")


@dataclass(frozen=True)
class Post:
    """One message that arrived."""

    at: datetime
    channel: str
    delivery_id: str
    body: dict[str, Any]


@dataclass
class Behaviour:
    mode: Mode = "ok"
    times: int | None = None  # then it is well again; None: until told otherwise
    retry_after: float = 1.0
    share: float = 0.5  # of calls that fail, where the mode is any
    chance: Random = field(default_factory=Random)

    def now(self) -> Mode:
        if self.mode != "any":
            return self.mode
        return self.chance.choice(FAULTS) if self.chance.random() < self.share else "ok"


@dataclass
class Slack:
    log: TextIO | None = None
    posts: list[Post] = field(default_factory=list)
    replies: list[Post] = field(default_factory=list)  # in threads only, unseen in the channel
    updates: list[Post] = field(default_factory=list)
    whispers: list[dict[str, Any]] = field(default_factory=list)  # answers to a press that one person sees
    refused: list[str] = field(default_factory=list)  # what Slack would not have taken, and why
    calls: int = 0
    without_history: bool = False  # it lacks the scope
    behaviours: dict[str, Behaviour] = field(default_factory=dict)  # by channel; "" for the others

    def __post_init__(self) -> None:
        self._clock, self._last = SystemClock(), 0
        self._messages: dict[str, list[dict[str, Any]]] = {}
        self._threads: dict[str, list[dict[str, Any]]] = {}
        self._runner: web.AppRunner | None = None
        self.url = ""

    def behave(
        self,
        mode: Mode,
        channel: str = "",
        times: int | None = None,
        retry_after: float = 1.0,
        share: float = 0.5,
        seed: str = "",
    ) -> None:
        if mode not in get_args(Mode):
            raise ValueError(f"mode: one of {', '.join(get_args(Mode))}")
        self.behaviours[channel] = Behaviour(mode, times, retry_after, share, Random(seed))

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/behave", self._told_to_behave)
        app.router.add_post("/respond", self._respond)
        app.router.add_route("*", "/api/{method}", self._answer)
        return app

    async def __aenter__(self) -> Self:
        self._runner = web.AppRunner(self.app(), shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/api/"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _told_to_behave(self, request: web.Request) -> web.Response:
        self.behave(**await request.json())
        return web.json_response({"ok": True})

    async def _respond(self, request: web.Request) -> web.Response:
        self.whispers.append(await request.json())
        return web.json_response({"ok": True})

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.calls += 1
        method, body = request.match_info["method"], await _body(request)
        behaviour = self._behaviour(str(body.get("channel", "")))
        mode = behaviour.now()
        if mode == "429":
            headers = {"Retry-After": f"{behaviour.retry_after:g}"}
            return web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers=headers)
        if mode == "500":
            return web.Response(status=500, text="upstream connect error")
        if mode == "slow":
            await asyncio.sleep(SLOW_S)
        if mode in ("hang", "drop_before"):
            return await self._leave(request, mode == "hang")
        if wrong := _complaint(request, method, body) or self._unknown(method, body):
            self.refused.append(wrong)
            self._write({"method": "refused", "called": method, "why": wrong})
            error, _, details = wrong.partition(": ")
            more = {"response_metadata": {"messages": [f"[ERROR] {details}"]}} if details else {}
            return web.json_response({"ok": False, "error": error, **more})
        self._write({"method": method, "answered": mode not in POSTED_FIRST, **body})
        answer = getattr(self, "_" + method.replace(".", "_"), _anything)(body)
        if mode in POSTED_FIRST:
            return await self._leave(request, mode == "hang_after")
        return web.json_response({"ok": True, **answer})

    def _unknown(self, method: str, body: dict[str, Any]) -> str:
        """Why there is nothing to change or to answer."""
        stamps = {message["ts"] for message in self._messages.get(str(body.get("channel")), [])}
        if method == "chat.update" and body.get("ts") not in stamps:
            return "message_not_found"
        return "thread_not_found" if body.get("thread_ts") and body["thread_ts"] not in stamps else ""

    def _behaviour(self, channel: str) -> Behaviour:
        found = self.behaviours.get(channel) or self.behaviours.get("") or Behaviour()
        if found.times is not None:
            if found.times <= 0:
                return Behaviour()
            found.times -= 1
        return found

    async def _leave(self, request: web.Request, hang: bool) -> web.StreamResponse:
        if hang:
            await asyncio.sleep(LONG_S)
        if request.transport is not None:
            request.transport.close()
        return web.Response(status=500)

    def _chat_postMessage(self, body: dict[str, Any]) -> dict[str, Any]:
        at = self._clock.now()
        self._last = max(self._last + 1, int(at.timestamp() * 1_000_000))
        stamp = f"{self._last // 1_000_000}.{self._last % 1_000_000:06d}"
        channel, metadata = str(body["channel"]), cast("dict[str, Any]", body.get("metadata") or {})
        key = str(metadata.get("event_payload", {}).get("delivery_id", ""))
        unseen = body.get("thread_ts") and str(body.get("reply_broadcast", "")).lower() not in ("1", "true")
        (self.replies if unseen else self.posts).append(Post(at, channel, key, body))
        message = {**body, "ts": stamp, "type": "message"}
        if unseen:
            self._threads.setdefault(str(body["thread_ts"]), []).append(message)
            return {"channel": channel, "ts": stamp, "message": message}
        self._messages.setdefault(channel, []).append(message)
        return {"channel": channel, "ts": stamp, "message": message}

    def _chat_update(self, body: dict[str, Any]) -> dict[str, Any]:
        channel, metadata = str(body["channel"]), cast("dict[str, Any]", body.get("metadata") or {})
        key = str(metadata.get("event_payload", {}).get("delivery_id", ""))
        self.updates.append(Post(self._clock.now(), channel, key, body))
        for message in self._messages.get(channel, []):
            if message["ts"] == body.get("ts"):
                message.update(body)
        return {"channel": channel, "ts": body.get("ts")}

    def standing(self, channel: str) -> list[dict[str, Any]]:
        """The messages of a channel as they look now, the oldest first."""
        return self._messages.get(channel, [])

    def _conversations_history(self, body: dict[str, Any]) -> dict[str, Any]:
        if self.without_history:
            return {"ok": False, "error": "missing_scope"}
        return {"messages": self._messages.get(str(body.get("channel", "")), [])[::-1], "has_more": False}

    def _conversations_replies(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"messages": self._threads.get(str(body.get("ts")), []), "has_more": False}

    def _write(self, line: dict[str, Any]) -> None:
        if self.log is not None:
            self.log.write(json.dumps({"at": self._clock.now().isoformat(), **line}) + "\n")
            self.log.flush()


def _complaint(request: web.Request, method: str, body: dict[str, Any]) -> str:
    """Why Slack would not take this: its error code, with details after a colon; empty where it would."""
    authorization = request.headers.get("Authorization", "")
    if not authorization.startswith("Bearer xox"):
        return "invalid_auth" if authorization else "not_authed"
    if method not in ("chat.postMessage", "chat.update"):
        return ""
    if not body.get("channel"):
        return "channel_not_found"
    if not body.get("text"):
        return "no_text"
    wrong = complaints(body)
    return f"invalid_blocks: {wrong[0]}" if wrong else ""


def _anything(_body: dict[str, Any]) -> dict[str, Any]:
    return {}


async def _body(request: web.Request) -> dict[str, Any]:
    """JSON, or a form whose structured values are JSON, as Slack takes both."""
    if request.content_type == "application/json":
        found: dict[str, Any] = await request.json()
        return found
    form = {**request.query, **await request.post()}
    return {name: _value(str(value)) if name in STRUCTURED else value for name, value in form.items()}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--mode", choices=get_args(Mode), default="ok")
    arguments = parser.parse_args()
    with arguments.log.open("a") as log:
        slack = Slack(log)
        slack.behave(arguments.mode)
        web.run_app(
            slack.app(), host="127.0.0.1", port=arguments.port, access_log=None, print=None,
            shutdown_timeout=0.1, handler_cancellation=True,
        )  # fmt: skip


if __name__ == "__main__":
    main()
