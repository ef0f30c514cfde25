"""What each request passes before it reaches a route: a request id, a limit on its body, a measured duration.

The busiest routes have a way past the framework, whose parsing, dependencies and serialization cost more than all of
their own work. It takes only what is plainly good; anything else goes the ordinary way, so that errors are one thing.
"""

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import structlog
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import telemetry
from shared.auth import Principal
from shared.errors import Problem
from shared.http import REQUEST_ID, authorized, problem_response, response_to
from shared.ids import Ids

_NO_STORE = (b"cache-control", b"no-store")  # of customers' words
_NO_SNIFF = (b"x-content-type-options", b"nosniff")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True)
class Shortcut:
    """A POST of JSON without a query, for callers with ``scope``. ``read`` gives None for what is not plainly good;
    ``answer`` does it: who calls, what was read, its size in bytes, and the Idempotency-Key."""

    scope: str
    read: Callable[[bytes], Any | None]
    answer: Callable[[Principal, Any, int, str | None], Awaitable[Response]]


class Gate:
    """ASGI middleware. ``limits`` gives the most bytes of a body by path, or by the beginning of one
    (``/v1/rulesets``); ``""`` is the default."""

    def __init__(
        self,
        app: FastAPI,
        ids: Ids,
        limits: Mapping[str, int],
        shortcuts: Mapping[str, Shortcut] = MappingProxyType({}),
    ) -> None:
        self._fastapi, self._app = app, cast(ASGIApp, app)
        self._ids, self._limits, self._shortcuts = ids, limits, shortcuts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.monotonic(), 500
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = given if _REQUEST_ID.fullmatch(given) else str(self._ids.new())
        scope[REQUEST_ID] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        path: str = scope["path"]
        limit = self._limits.get(path) or self._limits.get("/".join(path.split("/", 3)[:3]), self._limits[""])
        seen = 0

        async def measured_receive() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise HTTPException(413, _too_large(limit))
            return message

        async def stamped_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                said = message.get("headers", [])
                kept = () if any(name == b"cache-control" for name, _ in said) else (_NO_STORE,)
                message["headers"] = [*said, *kept, _NO_SNIFF, (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            announced = headers.get(b"content-length", b"0")
            if announced.isdigit() and int(announced) > limit:
                response = problem_response(Problem(413, "too-large", _too_large(limit), {"Connection": "close"}))
                await response(scope, receive, stamped_send)
                return
            with telemetry.span(
                f"{scope['method']} {scope['path']}", parent=headers.get(b"traceparent", b"").decode("latin-1")
            ):
                shortcut = self._shortcuts.get(scope["path"])
                if shortcut is None or not _is_plain(scope, headers):
                    await self._app(scope, measured_receive, stamped_send)
                else:
                    await self._past(shortcut, headers, scope, measured_receive, stamped_send)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            telemetry.http_duration(scope["method"], route, status).observe(time.monotonic() - started)

    async def _past(
        self, shortcut: Shortcut, headers: Mapping[bytes, bytes], scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Past the framework, or back to it with the body that was read."""
        scope["app"] = self._fastapi
        body, response = None, None
        try:
            authorization = headers.get(b"authorization", b"").decode("latin-1")
            principal = await authorized(scope, authorization, shortcut.scope)
            body = await _body(receive)
            what = shortcut.read(body) if body is not None else None
            if what is not None:
                scope["route"] = _Route(scope["path"])
                key = headers.get(b"idempotency-key")
                said = key.decode("latin-1") if key else None
                response = await shortcut.answer(principal, what, len(body or b""), said)
        except Exception as error:  # as the framework does: every error becomes a problem document
            response = await response_to(error, Request(scope))
        if response is not None:
            await response(scope, receive, send)
        else:  # out here: the framework answers its own errors
            await self._app(scope, _again(body, receive), send)


class _Route(NamedTuple):
    path: str


def _is_plain(scope: Scope, headers: Mapping[bytes, bytes]) -> bool:
    json = headers.get(b"content-type", b"").partition(b";")[0].strip().lower() == b"application/json"
    key = headers.get(b"idempotency-key")
    return bool(
        scope["method"] == "POST" and not scope["query_string"] and json and (key is None or 0 < len(key) < 256)
    )


async def _body(receive: Receive) -> bytes | None:
    """None where the client has gone."""
    parts = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _again(body: bytes | None, receive: Receive) -> Receive:
    """Gives a body that was read already."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}] if body is not None else []

    async def read() -> Message:
        return messages.pop() if messages else await receive()

    return read


def _too_large(limit: int) -> str:
    return f"The body has more than {limit} bytes, which is the limit here. Send less, or split it."
