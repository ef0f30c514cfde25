"""The channels by which contacts come in, one adapter a file. To add one, write its file and add its line here."""

from collections.abc import Mapping
from dataclasses import replace

from services.intake import redact
from services.intake.channels import api, email
from services.intake.channels.adapter import Adapter, Received, Rejected
from services.intake.model import Contact

ADAPTERS: Mapping[str, Adapter] = {
    "api": api.read,
    "email": email.read,
}


def read(channel: str, raw: bytes, received: Received) -> Contact | Rejected:
    """What came in, normalized and redacted. Only what this gives may be stored, logged or published."""
    outcome = ADAPTERS[channel](raw, received)
    if isinstance(outcome, Rejected):
        outcome = replace(outcome, raw=redact.raw(raw))
    return redacted(outcome)


def redacted(outcome: Contact | Rejected) -> Contact | Rejected:
    if isinstance(outcome, Contact):
        return redact.contact(outcome)
    salvage = redact.contact(outcome.salvage) if outcome.salvage else None
    return replace(outcome, detail=redact.text(outcome.detail).text, salvage=salvage)
