"""The public API, as the demo uses it: one key, problems turned into words, lists read to their end."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from services.demo.claims import Refused

PAGE = 500  # items of a list at a time
AT_ONCE = 16  # requests in flight
CALL_WITHIN_S = 30.0

Lost = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError)  # the answer never came


class Client:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def call(
        self, method: str, path: str, body: Any = None, params: dict[str, str] | None = None, ndjson: bool = False
    ) -> Any:
        """The JSON answer. Raises ``Refused`` on a problem, and one of ``Lost`` where no answer came."""
        kind = "application/x-ndjson" if ndjson else "application/json"
        data = None if body is None else (body if ndjson else json.dumps(body)).encode()
        headers = {"Content-Type": kind} if data is not None else {}
        async with self._session.request(method, path, data=data, headers=headers, params=params) as answer:
            text = await answer.text()
            if answer.status >= 400:
                raise Refused(answer.status, f"{method} {path} was answered {answer.status}: {_detail(text)}")
            return _read(text)

    async def get(self, path: str, **params: str) -> Any:
        return await self.call("GET", path, params=params)

    async def put(self, path: str, body: Any) -> Any:
        return await self.call("PUT", path, body)

    async def post(self, path: str, body: Any = None) -> Any:
        return await self.call("POST", path, {} if body is None else body)

    async def lines(self, path: str, items: Iterable[Any]) -> list[Any]:
        """Post NDJSON; gives the result of each line."""
        found = await self.call("POST", path, "".join(json.dumps(item) + "\n" for item in items), ndjson=True)
        return found if isinstance(found, list) else [found]

    async def every(self, path: str, **params: str) -> list[dict[str, Any]]:
        """All items of a list, newest first."""
        found: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            answer = await self.get(path, limit=str(PAGE), **params, **cursor)
            found += answer["items"]
            if not answer["next"]:
                return found
            cursor = {"cursor": answer["next"]}


def _read(text: str) -> Any:
    """One JSON document, or a list of those of NDJSON."""
    try:
        return json.loads(text) if text else None
    except ValueError:
        return [json.loads(line) for line in text.splitlines() if line]


def _detail(text: str) -> str:
    try:
        found = json.loads(text)
    except ValueError:
        return text[:500]
    return str(found.get("detail", text[:500])) if isinstance(found, dict) else text[:500]


@asynccontextmanager
async def client(url: str, key: str) -> AsyncIterator[Client]:
    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    async with aiohttp.ClientSession(
        url, headers={"Authorization": f"Bearer {key}"}, connector=connector,
        timeout=aiohttp.ClientTimeout(total=CALL_WITHIN_S),
    ) as session:  # fmt: skip
        yield Client(session)


async def together(work: Iterable[Any], at_once: int = AT_ONCE) -> None:
    """Await all of these, so many at a time, in order of start. The first error ends the others."""
    waiting = iter(work)

    async def worker() -> None:
        for each in waiting:
            await each

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(worker())
