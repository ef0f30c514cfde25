"""The JSON of ``POST /v1/contacts`` and of a batch's line. Pure."""

from pydantic import ValidationError

from services.intake import redact
from services.intake.channels.adapter import Received, Rejected
from services.intake.model import Contact, identity
from services.intake.model.posted import AHEAD, NewContact
from shared.contracts.trusted import trusted


def read(raw: bytes, received: Received) -> Contact | Rejected:
    """One line of JSON."""
    try:
        return contact(NewContact.model_validate_json(raw), received)
    except ValidationError as wrong:
        return Rejected("invalid", explain(wrong))


def contact(new: NewContact, received: Received) -> Contact | Rejected:
    stated = new.occurred_at
    if stated and stated > received.at + AHEAD:
        return Rejected("invalid", f"occurred_at is {stated.isoformat()}, in the future. Send the time it happened.")
    return trusted(
        Contact,
        channel=new.channel,
        source=new.source or received.source,
        external_id=new.external_id,
        thread=new.thread,
        url=new.url,
        occurred_at=min(stated, received.at) if stated else received.at,
        stated_at=stated.isoformat() if stated else None,
        received_at=received.at,
        customer=identity.customer(**new.customer.__dict__),
        subject=new.subject.strip(),
        body=new.body.strip(),
        quoted="",
        signature="",
        language=new.language,
        reason=new.reason or None,
        tags=tuple(dict.fromkeys(new.tags)) if new.tags else (),
        attributes=new.attributes,
        attachments=(),
        mail=None,
        automated=None,
        history=received.history,
        redactions={},
        remarks=(),
    )


def explain(wrong: ValidationError) -> str:
    """What is wrong, field by field, in one line."""
    problems = []
    for each in wrong.errors(include_url=False, include_context=False, include_input=False)[:5]:
        where = ".".join(map(str, each["loc"]))
        what = each["msg"].removeprefix("Value error, ")
        problems.append(f"{where}: {what}" if where else what)
    return redact.text("; ".join(problems)).text
