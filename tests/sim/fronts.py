"""The four APIs in this process, called without a network. Made once: every run lends them its database and time."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from shared.auth import Keys, Principal
from shared.clock import ManualClock
from shared.db import Database
from shared.gate import Gate
from shared.http import create_app
from shared.ids import Ids
from shared.log import Log
from shared.runtime import Runtime
from shared.service import Assembly
from tests.sim import wiring

Json = dict[str, Any]


class AllKeys(Keys):
    """Keys without a database: the secret is the name, and it may do everything."""

    def __init__(self) -> None: ...

    async def authenticate(self, authorization: str | None) -> Principal:
        name = (authorization or "Bearer nobody").removeprefix("Bearer ")
        return Principal(UUID(int=1), name, frozenset(["admin"]))


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Any


class Front:
    """The API of one service."""

    def __init__(self, service: str, clock: ManualClock) -> None:
        self.service = service
        made = wiring.fresh_service(service)
        nothing: Any = None
        self.runtime: Runtime[Any] = Runtime(wiring.settings(), made, nothing, clock, Ids(clock, 0), nothing)
        self.assembly: Assembly = wiring.MEMBERS[service].assemble(self.runtime)
        app = create_app(service, [self.assembly.router], AllKeys(), 1_000_000)
        self._gate = Gate(app, Ids(clock, 0), {"": 1_000_000}, self.assembly.shortcuts)

    def lend(self, db: Database, clock: ManualClock, ids: Ids, log: Log) -> None:
        wiring.forget_caches(self.runtime.service)
        self.runtime.db, self.runtime.clock, self.runtime.ids, self.runtime.log = db, clock, ids, log

    async def call(self, method: str, path: str, body: Any = None, key: str | None = None) -> Answer:
        path, _, query = path.partition("?")
        content = b"" if body is None else json.dumps(body).encode()
        headers = {b"authorization": b"Bearer sim", b"content-type": b"application/json", b"x-request-id": b"sim"}
        headers |= {b"idempotency-key": f'"{key}"'.encode()} if key else {}
        return await _asgi(self._gate, method, path, query, headers, content)


async def _asgi(
    app: Gate, method: str, path: str, query: str, headers: Mapping[bytes, bytes], content: bytes
) -> Answer:
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
        "headers": list(headers.items()), "client": ("192.0.2.1", 1), "server": ("test", 80), "state": {},
    }  # fmt: skip
    incoming: list[Any] = [{"type": "http.request", "body": content, "more_body": False}]
    status, parts = 0, []

    async def receive() -> Any:
        return incoming.pop() if incoming else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            parts.append(message.get("body", b""))

    await app(scope, receive, send)
    text = b"".join(parts)
    return Answer(status, json.loads(text) if text else None)
