"""The channels by which contacts come in, one adapter a file. To add one, write its file and add its line here."""

from collections.abc import Mapping
from dataclasses import replace

from services.intake import language, redact
from services.intake.channels import api, email
from services.intake.channels.adapter import Adapter, Received, Rejected
from services.intake.model import Contact
from services.intake.model.posted import BODY_LIMIT, SUBJECT_LIMIT

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
    """Masked first and cut to the limits after, so that no number is cut in two to escape."""
    if isinstance(outcome, Contact):
        return _told(_cut(redact.contact(outcome)))
    salvage = _told(_cut(redact.contact(outcome.salvage))) if outcome.salvage else None
    return replace(outcome, detail=redact.text(outcome.detail).text, salvage=salvage)


def _told(contact: Contact) -> Contact:
    """With its language, where nobody said."""
    found = None if contact.language else language.detect(contact.subject, contact.body)
    return contact.model_copy(update={"language": found}) if found else contact


def _cut(contact: Contact) -> Contact:
    limits = {"subject": SUBJECT_LIMIT, "body": BODY_LIMIT}
    texts = {name: text for name in limits if len(text := getattr(contact, name)) > limits[name]}
    if not texts:
        return contact
    remarks = (f"the {name} was cut at {limits[name]:,} characters" for name, text in texts.items())
    shorter = {name: text[: limits[name]] for name, text in texts.items()}
    return contact.model_copy(update={**shorter, "remarks": (*contact.remarks, *remarks)})
