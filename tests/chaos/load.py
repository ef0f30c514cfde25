"""The clients of a crash test: they post, repeat until they are answered, and write down every answer.

What a run is judged by begins here: a contact that was answered 202 must be there at the end, once.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from types import MappingProxyType
from typing import Any, NoReturn, TextIO

import aiohttp

from tests.chaos.crews import CREWS
from tests.e2e import scene
from tests.e2e.client import JSON, Routes

CONNECTIONS = 48
ATTEMPT_S = 10.0  # then the request is repeated, as a client does that got no answer
PAUSE_S = 0.1
REPLY_AFTER_S = 0.5
BATCH = 100  # contacts of one request of a burst
REPEATED = (408, 429, 500, 502, 503, 504)


@dataclass
class Item:
    """One contact: what was posted, and what was answered."""

    external_id: str
    team: str
    replies: bool  # whether an agent answers it in time
    posted_at: float  # monotonic
    answers: list[JSON] = field(default_factory=list)  # every 202, the first and the repeated ones
    answered_at: float | None = None
    reply_at: datetime | None = None
    reply_answered: bool = False

    @property
    def case_id(self) -> str | None:
        return self.answers[0]["case_id"] if self.answers else None


class Clients:
    """Posts contacts and replies, and knows what is unanswered."""

    def __init__(
        self,
        routes: Routes,
        key: str,
        prefix: str,
        log: TextIO,
        replicas: Mapping[str, Sequence[str]] = MappingProxyType({}),  # by the base URL of the first
        unanswered: int = 3,  # one contact of so many never gets a reply; shares no factor with the crews
    ) -> None:
        self.items: dict[str, Item] = {}
        self.refused: list[str] = []  # answers that no repetition can mend: none is expected
        self.repeats = 0
        self._routes, self._prefix, self._log = routes, prefix, log
        self._replicas, self._unanswered = replicas, unanswered
        self._turns = count()
        self._headers = {"Authorization": f"Bearer {key}"}
        self._numbers = count(1)
        self._http: aiohttp.ClientSession

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Clients"]:
        timeout = aiohttp.ClientTimeout(total=ATTEMPT_S)
        connector = aiohttp.TCPConnector(limit=CONNECTIONS)
        async with aiohttp.ClientSession(headers=self._headers, timeout=timeout, connector=connector) as self._http:
            yield self

    def unanswered(self) -> list[Item]:
        return [item for item in self.items.values() if item.answered_at is None]

    async def contact(self, twice: bool = False) -> Item:
        """One contact by a request of its own; ``twice``: a second client posts the same at the same time."""
        item, body = self._new()
        posts = [self._until_answered("/v1/contacts", body) for _ in range(2 if twice else 1)]
        for answer in await asyncio.gather(*posts):
            self._answered(item, answer)
        return item

    async def burst(self, size: int) -> list[Item]:
        """Many contacts at once, by batches."""
        new = [self._new() for _ in range(size)]
        await asyncio.gather(*(self._batch(new[start : start + BATCH]) for start in range(0, size, BATCH)))
        return [item for item, _ in new]

    async def reply(self, item: Item) -> None:
        """An agent answers, a moment later. Repeats say the same: it happened when it happened."""
        await asyncio.sleep(REPLY_AFTER_S)
        item.reply_at = scene.now()
        body = scene.replied(str(item.case_id), external_id=f"{item.external_id}-reply")
        body["occurred_at"] = item.reply_at.isoformat()
        await self._until_answered("/v1/activities", body)
        item.reply_answered = True

    def _new(self) -> tuple[Item, JSON]:
        number = next(self._numbers)
        name, crew = f"{self._prefix}-{number}", CREWS[number % len(CREWS)]
        item = Item(name, crew, number % self._unanswered > 0, time.monotonic())
        self.items[item.external_id] = item
        return item, scene.payout_missing(crew, source="chaos", external_id=name, thread=name)

    async def _batch(self, new: list[tuple[Item, JSON]]) -> None:
        """Repeat it whole until every line is accepted: those that were already get their first answer."""
        lines = "\n".join(json.dumps(body) for _, body in new)
        while any(item.answered_at is None for item, _ in new):
            answers = await self._until_answered("/v1/contacts/batch", lines)
            for (item, _), answer in zip(new, answers, strict=True):
                if answer["status"] == 202:
                    self._answered(item, answer)
                elif answer["status"] not in REPEATED:
                    self._refuse(f"a line of a batch gave {answer}")

    def _answered(self, item: Item, answer: JSON) -> None:
        item.answers.append(answer)
        item.answered_at = item.answered_at or time.monotonic()
        self._log.write(json.dumps({"at": scene.now().isoformat(), "external_id": item.external_id, **answer}) + "\n")

    async def _until_answered(self, path: str, body: JSON | str) -> Any:
        """Repeat the same request until it is accepted; a refusal is kept for the judge and raised."""
        how: Mapping[str, Any] = (
            {"data": body, "headers": {"Content-Type": "application/x-ndjson"}}
            if isinstance(body, str)
            else {"json": body}
        )
        while True:
            try:
                async with self._http.post(self._base(path) + path, **how) as answer:
                    text = await answer.text()
                    if answer.status < 300:
                        return _parsed(path, text)
                    if answer.status not in REPEATED:
                        self._refuse(f"{path} gave {answer.status}: {text[:500]}")
            except (aiohttp.ClientError, TimeoutError):
                pass  # no answer: it may have been accepted
            self.repeats += 1
            await asyncio.sleep(PAUSE_S)

    def _base(self, path: str) -> str:
        """One replica after the other, as a gateway would."""
        first = self._routes.base(path)
        same = self._replicas.get(first, (first,))
        return same[next(self._turns) % len(same)]

    def _refuse(self, answer: str) -> NoReturn:
        self.refused.append(answer)
        raise AssertionError(answer)


def _parsed(path: str, text: str) -> Any:
    return [json.loads(line) for line in text.splitlines()] if path.endswith("/batch") else json.loads(text)
