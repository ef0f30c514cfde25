"""The channels by which contacts come in, one adapter a file. To add one, write its file and add its line here."""

from collections.abc import Mapping
from dataclasses import replace

from pydantic import ValidationError

from services.intake import language, redact
from services.intake.channels import api, chat, email, intercom, phone, standard, twilio, web, zendesk
from services.intake.channels.adapter import Adapter, Received, Rejected
from services.intake.channels.hook import Delivery, Hook, Outcome, Unreadable
from services.intake.channels.shape import keepable
from services.intake.model import Contact
from services.intake.model.posted import BODY_LIMIT, SUBJECT_LIMIT, TAGS_LIMIT, NewContact
from services.intake.model.sources import SourceSpec

ADAPTERS: Mapping[str, Adapter] = {
    "api": api.read,
    "email": email.read,
}

HOOKS: dict[str, Hook] = {
    "phone": phone.HOOK,
    "chat": chat.HOOK,
    "web": web.HOOK,
    "standard": standard.HOOK,
    "zendesk": zendesk.HOOK,
    "intercom": intercom.HOOK,
    "twilio": twilio.HOOK,
}


def read(channel: str, raw: bytes, received: Received) -> Contact | Rejected:
    """What came in, normalized and redacted. Only what this gives may be stored, logged or published."""
    outcome = ADAPTERS[channel](raw, received)
    if isinstance(outcome, Rejected):
        outcome = replace(outcome, raw=redact.raw(raw))
    return redacted(outcome)


def read_hook(hook: Hook, delivery: Delivery, received: Received, source: SourceSpec) -> Outcome:
    """What a webhook says. Its drafts are not redacted yet."""
    try:
        return hook.read(delivery, received, source)
    except Unreadable as wrong:
        detail = str(wrong)
    except ValidationError as wrong:
        detail = api.explain(wrong)
    detail = redact.text(f"A known event that cannot be read: {detail}.").text
    return Rejected("unreadable", detail, raw=keepable(delivery.body))


def completed(new: NewContact, name: str | None, source: SourceSpec, received: Received) -> Contact | Rejected:
    """A draft as a contact of its source, with what the source says of all; redacted."""
    customer = new.customer
    if source.country and not customer.country:
        customer = customer.model_copy(update={"country": source.country})
    known = {
        "source": name,
        "customer": customer,
        "tags": tuple(dict.fromkeys((*new.tags, *source.tags)))[: TAGS_LIMIT + len(source.tags)],
        "attributes": {**source.attributes, **new.attributes},
        "url": new.url or source.address(new.thread, new.external_id),
    }
    return redacted(api.contact(new.model_copy(update=known), received))


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
    limits = {"subject": SUBJECT_LIMIT, "body": BODY_LIMIT, "quoted": BODY_LIMIT}
    texts = {name: text for name in limits if len(text := getattr(contact, name)) > limits[name]}
    if not texts:
        return contact
    remarks = (f"the {name} was cut at {limits[name]:,} characters" for name, text in texts.items())
    shorter = {name: text[: limits[name]] for name, text in texts.items()}
    return contact.model_copy(update={**shorter, "remarks": (*contact.remarks, *remarks)})
