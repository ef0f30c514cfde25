"""What each request passes before it reaches a route: a request id, a limit on its body, a measured duration."""

import re
import time
from collections.abc import Mapping

import structlog
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import telemetry
from shared.errors import Problem
from shared.http import problem_response
from shared.ids import Ids

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Gate:
    """ASGI middleware. ``limits`` gives the most bytes of a body by path; ``""`` is the default."""

    def __init__(self, app: FastAPI, ids: Ids, limits: Mapping[str, int]) -> None:
        self._app: ASGIApp = app
        self._ids, self._limits = ids, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.monotonic(), 500
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = given if _REQUEST_ID.fullmatch(given) else str(self._ids.new())
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        limit = self._limits.get(scope["path"], self._limits[""])
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
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request_id.encode())]
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
                await self._app(scope, measured_receive, stamped_send)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            telemetry.HTTP_DURATION.labels(scope["method"], route, str(status)).observe(time.monotonic() - started)


def _too_large(limit: int) -> str:
    return f"The body has more than {limit} bytes, which is the limit here. Send less, or split it."
