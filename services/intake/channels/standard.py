"""Anybody's Standard Webhooks: ``{"type": "contact", "data": …}`` or ``{"type": "activity", "data": …}``. Pure.

``data`` is what ``POST /v1/contacts`` and ``POST /v1/activities`` take; what they do not know is passed over.
"""

from services.intake.channels import signatures
from services.intake.channels.adapter import Received
from services.intake.channels.hook import Delivery, Draft, Hook, Ignored, Unreadable
from services.intake.channels.shape import Shape, by_now, cleaned, lenient, parsed
from services.intake.model.posted import NewActivity, NewContact
from services.intake.model.sources import SourceSpec
from shared.contracts.words import Channel


def _read(delivery: Delivery, received: Received, source: SourceSpec) -> tuple[Draft, ...] | Ignored:
    value = Shape.of(parsed(delivery.body))
    kind = value.text("type")
    family = kind.partition(".")[0]
    if family not in ("contact", "activity"):
        return Ignored(kind or "an event without type")
    data = value.at("data")
    if not isinstance(data, dict):
        raise Unreadable("data is no object")
    data = cleaned(data)
    message_id = delivery.headers.get("webhook-id", "")[:300]  # a repeated delivery has the same
    data.setdefault("external_id", message_id or None)
    draft: Draft = lenient(NewContact, data) if family == "contact" else lenient(NewActivity, data)
    return (draft.model_copy(update={"occurred_at": by_now(draft.occurred_at, received)}),)


HOOK = Hook(Channel.API, signatures.standard, signatures.standard_secret, _read)
