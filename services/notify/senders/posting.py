"""A JSON document to a configured address, and what its answer means: the same for every provider behind a URL."""

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import datetime

import aiohttp
from yarl import URL

from services.notify.model.commands import Outcome
from services.notify.senders.answers import of_status
from shared.egress import Egress, RefusedAddress

CONNECT_S = 5.0
MAX_CONNECTIONS = 64
MAX_ANSWER, ANSWER_S = 64_000, 1.0  # bytes of an answer that are read, and for how long


class Poster:
    """One client for all addresses of a kind; it goes only where ``egress`` lets it."""

    def __init__(self, timeout_s: float, egress: Egress) -> None:
        self._egress = egress
        connect_s = min(CONNECT_S, timeout_s)
        self._timeout = aiohttp.ClientTimeout(connect=timeout_s, sock_connect=connect_s, sock_read=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def post(
        self, provider: str, url: str, content: bytes, headers: Mapping[str, str], now: datetime, receipt: str | None
    ) -> Outcome:
        """Try once. ``provider`` names it in words; ``receipt`` is its name for what it takes."""
        said = {"content-type": "application/json", "user-agent": "Tocsin", **headers}
        where = URL(url)
        if wrong := self._egress.literal_refusal(where.host or ""):
            return Outcome("refused", wrong)
        try:
            async with self._connected().post(where, data=content, headers=said, allow_redirects=False) as answer:
                status, retry_after = answer.status, answer.headers.get("retry-after")
                await _read(answer)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            cause = getattr(error, "os_error", None)
            if isinstance(cause, RefusedAddress):
                return Outcome("refused", str(cause))
            return Outcome("later", f"{provider} cannot be reached: {type(error).__name__}")
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            return Outcome("lost", f"the connection to {provider} broke before its answer: {type(error).__name__}")
        refusal = of_status(provider, status, retry_after, now)
        return refusal or Outcome("sent", f"{provider} answered {status}", receipt=receipt)

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = self._egress.session(self._timeout, MAX_CONNECTIONS)
        return self._session

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()


async def _read(answer: aiohttp.ClientResponse) -> None:
    """To its end, so that the next message takes the same connection; one that does not end costs its connection."""
    left = MAX_ANSWER
    with contextlib.suppress(aiohttp.ClientError, OSError):  # its status has come: the message is there
        async with asyncio.timeout(ANSWER_S):
            async for piece in answer.content.iter_any():
                left -= len(piece)
                if left < 0:
                    return
