"""Webhooks by the Standard Webhooks specification: a stable id, a timestamp, and a signature over both and the body."""

from datetime import UTC

import orjson
from standardwebhooks import Webhook

from services.notify.model import Purpose
from services.notify.model.commands import Outcome
from services.notify.model.specs import WebhookSpec
from services.notify.senders import Parcel
from services.notify.senders.posting import Poster


class WebhookSender:
    def __init__(self, poster: Poster) -> None:
        self._poster = poster

    async def send(self, parcel: Parcel) -> Outcome:
        spec = parcel.address
        if not isinstance(spec, WebhookSpec):
            raise TypeError(f"{spec.kind} is not sent by webhook")
        if spec.secret is None:
            return Outcome("refused", "the destination has no secret: PUT it with one")
        content = body(parcel)
        return await self._poster.post(
            "the webhook", spec.url, content, headers(parcel, spec.secret, content), parcel.at, None
        )

    async def close(self) -> None:
        await self._poster.close()


def body(parcel: Parcel) -> bytes:
    message = parcel.message
    kind = "page.call" if message.purpose == Purpose.CALL else "page.withdrawn"
    data = {
        "delivery_id": str(parcel.key),
        "headline": message.headline,
        "text": message.body or message.lock,
        "fields": dict(message.fields),
        "acknowledge_url": parcel.act_url,
        **message.facts,
    }
    return orjson.dumps({"type": kind, "timestamp": parcel.at.astimezone(UTC).isoformat(), "data": data})


def headers(parcel: Parcel, secret: str, content: bytes) -> dict[str, str]:
    at = parcel.at.astimezone(UTC)  # the library takes any other zone for UTC
    return {
        "webhook-id": str(parcel.key),
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(str(parcel.key), at, content.decode()),
    }
