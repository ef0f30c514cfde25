"""A raw email (RFC 5322, MIME) to a contact. Pure; any bytes give a contact or a named rejection."""

import re
from datetime import datetime, timedelta

from services.intake import redact
from services.intake.channels import automatic, markup, words
from services.intake.channels.adapter import Received, Rejected
from services.intake.channels.mime import Headers, Part, Unreadable, parameters, parse
from services.intake.model import Attachment, Contact, Mail, identity
from services.intake.model.posted import BODY_LIMIT, EARLIEST
from shared.contracts.contacts import Customer
from shared.contracts.words import Channel

ANSWERS_LIMIT = 50  # Message-IDs kept of In-Reply-To and References
PARTICIPANTS_LIMIT = 50
ATTACHMENTS_LIMIT = 100
LATE = timedelta(days=7)  # live mail that claims to be older than this has a broken clock
_SPARE = 1_000  # characters read beyond the limit, so that nothing is cut before it is redacted
_SALVAGED = 16_000  # bytes looked at of what is no mail
_TEXTS = ("text/plain", "text/html", "text/enriched", "text/markdown", "text")


def read(raw: bytes, received: Received) -> Contact | Rejected:
    try:
        mail = parse(raw)
    except Unreadable as wrong:
        return Rejected(
            wrong.reason, wrong.detail, _contact(wrong.top, received) if wrong.top else _words(raw, received)
        )
    contact = _contact(mail, received)
    if not (contact.subject or contact.body or contact.attachments or contact.customer.email):
        return Rejected("empty", "The mail has no sender, no subject, no text and no attachment.", contact)
    return contact


def _contact(mail: Part, received: Received) -> Contact:
    headers = mail.headers
    charset = next((part.parameters["charset"] for part in mail.walk() if part.parameters.get("charset")), "")
    remarks = [f"the header {name!r} was cut" for name in headers.cut]
    customer, sender = _sender(headers, charset)
    occurred_at = _occurred_at(headers, received, remarks)
    body, used = _body(mail)
    subject = words.header(headers.first("subject"), charset=charset)
    return Contact(
        channel=Channel.EMAIL,
        source=received.source,
        occurred_at=occurred_at,
        stated_at=words.header(headers.first("date"), 100) or None,
        received_at=received.at,
        customer=customer,
        subject=subject,
        body=body,
        attachments=tuple(_attachments(mail, used)),
        mail=_mail(headers, sender, received),
        automated=automatic.reason(headers, sender, received.mailbox),
        history=received.history,
        remarks=tuple(remarks),
    )


def _sender(headers: Headers, charset: str) -> tuple[Customer, str | None]:
    """Who wrote it: From, or where it names nobody, Sender, Reply-To or Return-Path."""
    name = ""
    for field in ("from", "sender", "reply-to", "return-path"):
        for called, address in words.addresses(headers.first(field), 10, charset):
            name = name or called
            if canonical := identity.canonical_email(address):
                return identity.customer(email=canonical, name=name or called), canonical
    return identity.customer(name=name), None


def _occurred_at(headers: Headers, received: Received, remarks: list[str]) -> datetime:
    """The Date header where it can be true; else the time of arrival."""
    stated = words.date(headers.first("date"))
    if stated is None:
        remarks.append("no date that can be read: the time of arrival counts")
        return received.at
    earliest = EARLIEST if received.history else received.at - LATE
    if stated < earliest or stated > received.at + LATE:
        remarks.append("the date cannot be true: the time of arrival counts")
        return received.at
    return min(stated, received.at)


def _mail(headers: Headers, sender: str | None, received: Received) -> Mail:
    own = next(iter(words.message_ids(headers.first("message-id"))), None)
    answers = [each for value in headers.all("in-reply-to") for each in words.message_ids(value)]
    references = [each for value in headers.all("references") for each in words.message_ids(value)]
    earlier = [each for each in dict.fromkeys((*answers, *reversed(references))) if each != own]
    if len(earlier) > ANSWERS_LIMIT:  # the newest, and the root
        earlier = [*earlier[: ANSWERS_LIMIT - 1], earlier[-1]]
    people = [sender, *_recipients(headers)]
    return Mail(
        mailbox=received.mailbox,
        message_id=own,
        answers=tuple(earlier),
        sender=sender,
        participants=tuple(dict.fromkeys(each for each in people if each and each != received.mailbox)),
    )


def _recipients(headers: Headers) -> list[str]:
    found = [
        identity.canonical_email(address)
        for field in ("to", "cc", "reply-to")
        for value in headers.all(field)
        for _, address in words.addresses(value, PARTICIPANTS_LIMIT)
    ]
    return [address for address in found if address][:PARTICIPANTS_LIMIT]


def _body(mail: Part) -> tuple[str, set[int]]:
    """The text that a person reads, and the parts it was taken from, by id."""
    used: set[int] = set()
    text = _text(mail, used)
    if not text.strip():  # a mail forwarded as an attachment and nothing else
        inner = next((part for part in mail.walk() if part.kind.startswith("message/") and part.children), None)
        text = _text(inner.children[0], used) if inner else text
    return text.strip()[: BODY_LIMIT + _SPARE], used


def _text(part: Part, used: set[int]) -> str:
    if part.kind == "multipart/alternative":
        return _alternative(part, used)
    if part.kind.startswith("multipart/"):
        texts = [_text(child, used) for child in part.children]
        return "\n\n".join(text for text in texts if text.strip())
    if part.kind not in _TEXTS or _is_file(part):
        return ""
    used.add(id(part))
    content = part.content()[: (BODY_LIMIT + _SPARE) * 16]
    text = words.decode(content, part.parameters.get("charset", ""))
    if part.kind in ("text/html", "text/enriched"):
        return markup.to_text(text)
    return re.sub(r"[ \t]+$", "", text.replace("\r\n", "\n").replace("\r", "\n"), flags=re.MULTILINE)


def _alternative(part: Part, used: set[int]) -> str:
    """The plain form where it says anything, else the richest one that does."""
    plain_first = sorted(part.children, key=lambda child: child.kind != "text/plain")
    chosen = ""
    for child in plain_first:
        text = _text(child, used)
        chosen = chosen if chosen.strip() else text
    return chosen


def _is_file(part: Part) -> bool:
    disposition = part.headers.first("content-disposition").partition(b";")[0].strip().lower()
    return disposition == b"attachment" or _name(part) is not None


def _name(part: Part) -> str | None:
    from_disposition = words.file_name(_disposition(part), "filename")
    return from_disposition or words.file_name(part.parameters, "name")


def _disposition(part: Part) -> dict[str, str]:
    return parameters(part.headers.first("content-disposition").decode("latin-1"))


def _attachments(mail: Part, used: set[int]) -> list[Attachment]:
    found: list[Attachment] = []
    waiting = [mail]
    while waiting and len(found) < ATTACHMENTS_LIMIT:
        part = waiting.pop(0)
        if part.kind.startswith("multipart/"):
            waiting[:0] = part.children
        elif id(part) not in used:
            found.append(_attachment(part))
    return [each for each in found if each.size or each.name]


def _attachment(part: Part) -> Attachment:
    name = _name(part)
    if name is None and part.children:  # a mail within a mail goes by its subject
        name = words.header(part.children[0].headers.first("subject"), 250) or None
    disposition = part.headers.first("content-disposition").partition(b";")[0].strip().lower()
    inline = disposition == b"inline" or (not disposition and "content-id" in part.headers)
    return Attachment(name=name, type=part.kind[:120], size=len(part.content()), inline=inline)


def _words(raw: bytes, received: Received) -> Contact | None:
    """What a person can still read in bytes that are no mail; nothing where they may hide what must be masked."""
    plain = redact.raw(raw[:_SALVAGED])
    text = plain.decode("ascii").strip() if plain else ""
    if not text:
        return None
    return Contact(
        channel=Channel.EMAIL,
        source=received.source,
        occurred_at=received.at,
        received_at=received.at,
        subject=re.sub(r"\s+", " ", text)[:100],
        body=text,
        history=received.history,
        mail=Mail(mailbox=received.mailbox),
    )
