"""Slack, as far as Tocsin calls it, on a free port of this machine: messages, edits, history, and pressed buttons.

Shapes: https://docs.slack.dev/reference/methods/chat.postMessage and
https://docs.slack.dev/reference/interaction-payloads/block_actions-payload
"""

import hashlib
import hmac
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import aiohttp
from aiohttp import web

from services.demo import blocks, browser
from services.demo.received import Received
from shared.clock import Clock
from shared.ids import secret

TEAM = {"id": "T0DEMO", "domain": "acme"}
YOU = "U0YOU"  # the person at the browser
HISTORY_LIMIT = 100
STRUCTURED = ("blocks", "attachments", "metadata")


@dataclass(frozen=True, slots=True)
class Post:
    """One call that put words in front of people; ``edited`` where it changed earlier ones."""

    ts: str
    channel: str
    payload: dict[str, Any]
    arrived_at: datetime
    edited: bool = False

    def mentions(self, number: str) -> bool:
        """Whether it is about this case."""
        words = [str(self.payload.get("text", "")), *(line.text for line in blocks.lines(self.payload))]
        return any(re.search(rf"(?<![\w-]){re.escape(number)}(?!\w)", each) for each in words)


class SlackStandIn:
    """Keeps the messages of every channel."""

    def __init__(self, clock: Clock) -> None:
        self.received: Received[Post] = Received()
        self.token, self.signing_secret = secret("xoxb"), secret("demo")
        self.url = ""  # of the page for people; the API is under /api/
        self.interactions_url = ""  # where pressed buttons go
        self._clock = clock
        self._standing: dict[str, Post] = {}  # by ts: what each message says now
        self._last = 0

    @property
    def api_url(self) -> str:
        return f"{self.url}/api/"

    def standing(self) -> list[Post]:
        """Every message as it reads now, oldest first."""
        return [self._standing[ts] for ts in sorted(self._standing)]

    async def call(self, request: web.Request) -> web.Response:
        """One method of the Web API. Slack answers 200 also where it refuses."""
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"ok": False, "error": "invalid_auth"})
        body = await _body(request)
        match request.match_info["method"]:
            case "chat.postMessage":
                answer = await self._post(body)
            case "chat.update":
                answer = await self._edit(str(body.get("ts")), body)
            case "conversations.history" | "conversations.replies":
                channel = body.get("channel")
                here = [p for p in reversed(self.standing()) if channel in (p.channel, _id_of(p.channel))]
                messages = [{"type": "message", "ts": p.ts, **p.payload} for p in here[:HISTORY_LIMIT]]
                answer = {"messages": messages, "has_more": False}
            case "conversations.open":
                answer = {"channel": {"id": f"D{body.get('users', '')}"}}
            case "auth.test":
                answer = {
                    "url": self.url,
                    "user": "tocsin",
                    "team_id": TEAM["id"],
                    "user_id": "U0TOCSIN",
                }
            case _:
                answer = {"ok": False, "error": "unknown_method"}
        return web.json_response({"ok": True} | answer)

    async def _post(self, body: dict[str, Any]) -> dict[str, Any]:
        now = self._clock.now()
        self._last = max(self._last + 1, int(now.timestamp() * 1_000_000))
        ts = f"{self._last // 1_000_000}.{self._last % 1_000_000:06}"
        channel = next((p.channel for p in self._standing.values() if _id_of(p.channel) == body.get("channel")), None)
        post = Post(ts, channel or str(body.get("channel")), body, now)
        self._standing[ts] = post
        await self.received.add(post)
        return {"channel": _id_of(post.channel), "ts": ts, "message": {"type": "message", "ts": ts, **body}}

    async def _edit(self, ts: str, body: dict[str, Any]) -> dict[str, Any]:
        before = self._standing.get(ts)
        if before is None:
            return {"ok": False, "error": "message_not_found"}
        post = Post(ts, before.channel, {**before.payload, **body}, self._clock.now(), edited=True)
        self._standing[ts] = post
        await self.received.add(post)
        return {"channel": _id_of(post.channel), "ts": ts, "text": body.get("text", "")}

    async def show(self, _request: web.Request) -> web.Response:
        return web.Response(text=browser.render(self.standing()), content_type="text/html")

    async def pressed(self, request: web.Request) -> web.Response:
        """A person pressed a button on the page: tell Tocsin as Slack would, then show the page again."""
        form = await request.post()
        post = self._standing.get(str(form.get("ts")))
        offered = blocks.buttons(post.payload) if post else []
        found = [button for button in offered if button.action.get("action_id") == form.get("action")]
        if post is None or not found:
            return web.Response(text="This message has no such button any more.", status=404)
        status = await self.press(post, found[0])
        if status >= 400:
            return web.Response(text=f"Tocsin answered {status}. Look at the terminal.", status=502)
        raise web.HTTPSeeOther("/")

    async def press(self, post: Post, button: blocks.Button) -> int:
        """Send a signed ``block_actions`` payload; gives the status of the answer."""
        you = {"id": YOU, "username": "you", "name": "you", "team_id": TEAM["id"]}
        channel = {"id": _id_of(post.channel), "name": post.channel.lstrip("#")}
        payload = {
            "type": "block_actions",
            "user": you,
            "team": TEAM,
            "channel": channel,
            "container": {"type": "message", "message_ts": post.ts, "channel_id": channel["id"], "is_ephemeral": False},
            "message": {"type": "message", "ts": post.ts, **post.payload},
            "response_url": f"{self.url}/respond/{post.ts}",
            "actions": [{**button.action, "action_ts": f"{self._clock.now().timestamp():.6f}"}],
        }
        body = urlencode({"payload": json.dumps(payload)}).encode()
        headers = self._signed(body) | {"Content-Type": "application/x-www-form-urlencoded"}
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session,
            session.post(self.interactions_url, data=body, headers=headers) as answer,
        ):
            return answer.status

    def _signed(self, body: bytes) -> dict[str, str]:
        """https://docs.slack.dev/authentication/verifying-requests-from-slack"""
        at = str(int(self._clock.now().timestamp()))
        digest = hmac.new(self.signing_secret.encode(), f"v0:{at}:".encode() + body, hashlib.sha256).hexdigest()
        return {"X-Slack-Request-Timestamp": at, "X-Slack-Signature": f"v0={digest}"}

    async def respond(self, request: web.Request) -> web.Response:
        """What Slack's ``response_url`` takes: a new text for the message whose button was pressed."""
        body = await _body(request)
        if body.get("replace_original"):
            await self._edit(request.match_info["ts"], body)
        return web.json_response({"ok": True})


def _id_of(channel: str) -> str:
    """Slack's own name of a channel, made from ours."""
    return f"C{hashlib.sha256(channel.encode()).hexdigest()[:9].upper()}" if channel.startswith("#") else channel


async def _body(request: web.Request) -> dict[str, Any]:
    """JSON, or a form whose structured values are JSON: Slack takes both."""
    if request.content_type == "application/json":
        found: dict[str, Any] = await request.json()
        return found
    form = {**request.query, **await request.post()}
    return {name: json.loads(str(value)) if name in STRUCTURED else value for name, value in form.items()}


@asynccontextmanager
async def slack_stand_in(clock: Clock) -> AsyncIterator[SlackStandIn]:
    """Slack on a free port of this machine."""
    slack = SlackStandIn(clock)
    app = web.Application()
    app.router.add_route("*", "/api/{method}", slack.call)
    app.router.add_get("/", slack.show)
    app.router.add_post("/press", slack.pressed)
    app.router.add_post("/respond/{ts}", slack.respond)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        slack.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield slack
    finally:
        await runner.cleanup()
