"""A JSON document to a configured address, and what its answer means: the same for every provider behind a URL."""

from collections.abc import Mapping
from datetime import datetime

import httpx

from services.notify.model.commands import Outcome
from services.notify.senders.answers import of_status
from shared.egress import Egress, Refused

CONNECT_S = 5.0
MAX_CONNECTIONS = 64


class Poster:
    """One client for all addresses of a kind; it goes only where ``egress`` lets it."""

    def __init__(self, timeout_s: float, egress: Egress) -> None:
        self._egress = egress
        self._timeout = httpx.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s))
        self._client: httpx.AsyncClient | None = None

    async def post(
        self, provider: str, url: str, content: bytes, headers: Mapping[str, str], now: datetime, receipt: str | None
    ) -> Outcome:
        """Try once. ``provider`` names it in words; ``receipt`` is its name for what it takes."""
        said = {"content-type": "application/json", "user-agent": "Tocsin", **headers}
        try:
            async with self._connected().stream("POST", url, content=content, headers=said) as answer:
                status, retry_after = answer.status_code, answer.headers.get("retry-after")
        except Refused as refused:
            return Outcome("refused", str(refused))
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return Outcome("later", f"{provider} cannot be reached: {type(error).__name__}")
        except httpx.HTTPError as error:
            return Outcome("lost", f"the connection to {provider} broke before its answer: {type(error).__name__}")
        refusal = of_status(provider, status, retry_after, now)
        return refusal or Outcome("sent", f"{provider} answered {status}", receipt=receipt)

    def _connected(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = self._egress.client(self._timeout, MAX_CONNECTIONS)
        return self._client

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
