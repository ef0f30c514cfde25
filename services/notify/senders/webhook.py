"""Webhooks by the Standard Webhooks specification: a stable id, a timestamp, and a signature over both and the body."""

from datetime import UTC

import httpx
import orjson
from standardwebhooks import Webhook

from services.notify.model import Purpose
from services.notify.model.commands import Outcome
from services.notify.model.specs import WebhookSpec
from services.notify.senders import Parcel
from services.notify.senders.answers import of_status
from shared.egress import Egress, Refused

CONNECT_S = 5.0
MAX_CONNECTIONS = 64


class WebhookSender:
    def __init__(self, timeout_s: float, egress: Egress) -> None:
        self._egress = egress
        self._timeout = httpx.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s))
        self._client: httpx.AsyncClient | None = None

    async def send(self, parcel: Parcel) -> Outcome:
        spec = parcel.address
        if not isinstance(spec, WebhookSpec):
            raise TypeError(f"{spec.kind} is not sent by webhook")
        if spec.secret is None:
            return Outcome("refused", "the destination has no secret: PUT it with one")
        content = body(parcel)
        try:
            async with self._connected().stream(
                "POST", spec.url, content=content, headers=headers(parcel, spec.secret, content)
            ) as answer:
                status, retry_after = answer.status_code, answer.headers.get("retry-after")
        except Refused as refused:
            return Outcome("refused", str(refused))
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return Outcome("later", f"the webhook cannot be reached: {type(error).__name__}")
        except httpx.HTTPError as error:
            return Outcome("lost", f"the connection to the webhook broke before its answer: {type(error).__name__}")
        refusal = of_status("the webhook", status, retry_after, parcel.at)
        return refusal or Outcome("sent", f"the webhook answered {status}")

    def _connected(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = self._egress.client(self._timeout, MAX_CONNECTIONS)
        return self._client

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


def body(parcel: Parcel) -> bytes:
    message = parcel.message
    kind = "page.call" if message.purpose == Purpose.CALL else "page.withdrawn"
    data = {
        "delivery_id": str(parcel.key),
        "headline": message.headline,
        "text": message.lock,
        "fields": dict(message.fields),
        "acknowledge_url": parcel.act_url,
        **message.facts,
    }
    return orjson.dumps({"type": kind, "timestamp": parcel.at.astimezone(UTC).isoformat(), "data": data})


def headers(parcel: Parcel, secret: str, content: bytes) -> dict[str, str]:
    at = parcel.at.astimezone(UTC)  # the library takes any other zone for UTC
    return {
        "content-type": "application/json",
        "user-agent": "Tocsin",
        "webhook-id": str(parcel.key),
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(str(parcel.key), at, content.decode()),
    }
