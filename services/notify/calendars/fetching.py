"""Fetching a calendar from its address: little of it, briefly, and from nowhere that a stranger should lead us to."""

import asyncio
from dataclasses import dataclass

import httpx

from shared.egress import Egress, Refused

MAX_BYTES = 2 * 1_048_576
LONGEST_S = 15.0
MAX_REDIRECTS = 3  # each of them is judged as the first address is
MAX_CONNECTIONS = 10
HEADERS = {"user-agent": "Tocsin", "accept": "text/calendar, text/plain;q=0.5", "accept-encoding": "identity"}


class Unreachable(Exception):
    """The calendar did not come. The text says why."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A calendar as it came. ``body`` is None where it is as it was."""

    body: str | None
    etag: str | None = None
    modified: str | None = None


class Fetcher:
    def __init__(self, egress: Egress) -> None:
        self._client = egress.client(httpx.Timeout(LONGEST_S), MAX_CONNECTIONS)
        self._client.max_redirects = MAX_REDIRECTS

    async def fetch(self, url: str, etag: str | None, modified: str | None) -> Copy:
        """The calendar, unless it is as it was. Raises ``Unreachable``."""
        asked = {"if-none-match": etag, "if-modified-since": modified}
        headers = HEADERS | {name: value for name, value in asked.items() if value}
        try:
            async with (
                asyncio.timeout(LONGEST_S),
                self._client.stream("GET", url, headers=headers, follow_redirects=True) as answer,
            ):
                if answer.status_code == 304:
                    return Copy(None, etag, modified)
                if answer.status_code != 200:
                    raise Unreachable(f"its server answered {answer.status_code}")
                if answer.headers.get("content-encoding", "identity") != "identity":
                    raise Unreachable("it is compressed, though we asked for it as it is")  # little can become much
                body = bytearray()
                async for chunk in answer.aiter_bytes():
                    body += chunk
                    if len(body) > MAX_BYTES:
                        raise Unreachable(f"it has more than {MAX_BYTES // 1_048_576} MiB")
                text = body.decode(errors="replace")
                return Copy(text.replace("\x00", ""), answer.headers.get("etag"), answer.headers.get("last-modified"))
        except Refused as refused:
            raise Unreachable(str(refused)) from None
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, TimeoutError) as wrong:
            raise Unreachable(f"its server cannot be reached: {type(wrong).__name__}") from None

    async def close(self) -> None:
        await self._client.aclose()
