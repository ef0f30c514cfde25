"""Webhooks by the Standard Webhooks specification: a stable id, a timestamp, and a signature over both and the body."""

from datetime import UTC

import orjson
from standardwebhooks import Webhook

from services.notify.message import Message
from services.notify.model import Purpose
from services.notify.model.commands import Outcome
from services.notify.model.specs import WebhookSpec
from services.notify.senders import Parcel
from services.notify.senders.posting import Poster
from shared.contracts.words import PageState

_STANDING = {PageState.ACKNOWLEDGED: "page.acknowledged", PageState.RESOLVED: "page.resolved"}


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
        said = headers(parcel, spec.secret, content)
        return await self._poster.post("the webhook", spec.url, content, said, parcel.at, said["webhook-id"])

    async def close(self) -> None:
        await self._poster.close()


def body(parcel: Parcel) -> bytes:
    message = parcel.message
    data = {
        "delivery_id": str(parcel.key),
        "headline": message.headline,
        "text": message.body or message.lock,
        "fields": dict(message.fields),
        "acknowledge_url": parcel.act_url,
        **message.facts,
    }
    return orjson.dumps({"type": kind(message), "timestamp": parcel.at.astimezone(UTC).isoformat(), "data": data})


def kind(message: Message) -> str:
    """``page.call`` for attention; then what became of the page, as it stands when the message leaves."""
    if message.purpose != Purpose.UPDATE:
        return f"page.{message.purpose}"
    return _STANDING.get(PageState(message.facts["state"]), "page.updated")


def headers(parcel: Parcel, secret: str, content: bytes) -> dict[str, str]:
    at = parcel.at.astimezone(UTC)  # the library takes any other zone for UTC
    return {
        "webhook-id": str(parcel.key),
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(str(parcel.key), at, content.decode()),
    }
