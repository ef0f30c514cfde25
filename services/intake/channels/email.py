"""A raw email (RFC 5322, MIME) to a contact. Pure; any bytes give a contact or a named rejection."""

import re
from dataclasses import replace
from datetime import datetime, timedelta

from services.intake import redact
from services.intake.channels import attached, automatic, bodies, quoted, senders, subjects, words
from services.intake.channels.adapter import Received, Rejected
from services.intake.channels.mime import Headers, Part, Unreadable, parse
from services.intake.channels.quoted import Text
from services.intake.channels.senders import PARTICIPANTS_LIMIT, Sender
from services.intake.channels.subjects import Subject
from services.intake.model import Contact, Mail
from services.intake.model.posted import BODY_LIMIT, EARLIEST
from shared.contracts.words import Channel

ANSWERS_LIMIT = 50  # Message-IDs kept of In-Reply-To and References
SIGNATURE_LIMIT = 4_000  # characters
LATE = timedelta(days=7)  # live mail that claims to be older than this has a broken clock
_SPARE = 1_000  # characters read beyond the limit, so that nothing is cut before it is redacted
_SALVAGED = 16_000  # bytes looked at of what is no mail
_SEALED = ("multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime")


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
    return _suspicion(mail, contact) or contact


def _suspicion(mail: Part, contact: Contact) -> Rejected | None:
    if field := automatic.spam(mail.headers):
        detail = f"A filter before us called it spam ({field}). Release it if it is not."
        return Rejected("spam", detail, contact)
    if program := next((each for each in contact.attachments if attached.disguised(each)), None):
        detail = f"The attachment {program.name!r} is a program that goes by the name of something else."
        return Rejected("disguised_program", detail, contact)
    return None


def _contact(mail: Part, received: Received) -> Contact:
    headers = mail.headers
    charset = next((part.parameters["charset"] for part in mail.walk() if part.parameters.get("charset")), "")
    remarks = [f"the header {name!r} was cut" for name in headers.cut]
    subject = subjects.read(words.header(headers.first("subject"), charset=charset))
    raw_text, used = bodies.text_of(mail, automatic.is_report(headers))
    relations = _mail(mail, subject, received)
    if automatic.is_report(headers):
        text = Text(raw_text.strip())
    else:
        text = quoted.split(raw_text, bool(relations.answers or subject.is_reply), subject.is_forward)
    who = senders.sender(headers, charset, received.own)
    if who.agent:
        who, text = _forwarded(mail, who, text, raw_text, subject, remarks)
    if any(part.kind in _SEALED for part in mail.walk()):
        remarks.append("it is encrypted: its text cannot be read")
    forwards = subject.is_forward or bool(text.forwarded and text.forwarded.marked)
    return Contact(
        channel=Channel.EMAIL,
        source=received.source,
        occurred_at=_occurred_at(headers, received, remarks),
        stated_at=words.header(headers.first("date"), 100) or None,
        received_at=received.at,
        customer=who.customer,
        subject=subject.text,
        body=text.new[: BODY_LIMIT + _SPARE],
        quoted=text.quoted[: BODY_LIMIT + _SPARE],
        signature=text.signature[:SIGNATURE_LIMIT],
        attachments=attached.attachments(mail, used, remarks),
        mail=_with(relations, who, headers, received, forwards),
        automated=automatic.reason(mail, who.address, relations.mailbox, received.own),
        history=received.history,
        remarks=tuple(remarks),
    )


def _forwarded(
    mail: Part, who: Sender, text: Text, raw_text: str, subject: Subject, remarks: list[str]
) -> tuple[Sender, Text]:
    """A mail that an agent of ours passes on is its original sender's; the agent's own words are kept beside it."""
    inner = next((p.children[0] for p in mail.walk() if p.kind.startswith("message/") and p.children), None)
    if text.forwarded is None and not (inner and (subject.is_forward or not text.new.strip())):
        return who, text
    customer = senders.original(text.forwarded, inner, "")
    if customer is None:
        return who, text
    remarks.append(f"forwarded by {who.agent}")
    if text.forwarded:
        remarks.extend([f"the original is dated {text.forwarded.date[:100]}"] if text.forwarded.date else [])
        words_of_agent = quoted.covering(raw_text)
        passed_on = quoted.split(text.forwarded.text, answers=True)
    else:
        assert inner is not None
        words_of_agent = "" if raw_text == (inner_text := bodies.text_of(inner)[0]) else raw_text
        passed_on = quoted.split(inner_text, answers=True)
    beside = "\n\n".join(each for each in (words_of_agent, passed_on.quoted) if each.strip())
    return Sender(customer, customer.email, who.agent), replace(text, new=passed_on.new, quoted=beside)


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


def _mail(mail: Part, subject: Subject, received: Received) -> Mail:
    """How it stands among others, but for the people."""
    headers = mail.headers
    own = next(iter(words.message_ids(headers.first("message-id"))), None)
    answers = [each for value in headers.all("in-reply-to") for each in words.message_ids(value)]
    references = [each for value in headers.all("references") for each in words.message_ids(value)]
    about, bounced = automatic.returned(mail) if automatic.is_report(headers) else ([], ())
    earlier = [each for each in dict.fromkeys((*about, *answers, *reversed(references))) if each != own]
    tokens = senders.tokens(headers, earlier, words.header(headers.first("subject")), received)
    if len(earlier) > ANSWERS_LIMIT:  # the newest, and the root
        earlier = [*earlier[: ANSWERS_LIMIT - 1], earlier[-1]]
    return Mail(
        mailbox=senders.mailbox(headers, received),
        message_id=own,
        answers=tuple(earlier),
        tokens=tokens,
        prefixes=subject.prefixes,
        bounced=bounced,
    )


def _with(relations: Mail, who: Sender, headers: Headers, received: Received, forwards: bool) -> Mail:
    ours = {relations.mailbox, received.mailbox, *received.own.mailboxes}
    everyone = dict.fromkeys(each for each in (who.address, *senders.recipients(headers)) if each and each not in ours)
    return relations.model_copy(
        update={
            "sender": who.address,
            "agent": who.agent,
            "participants": tuple(everyone)[: PARTICIPANTS_LIMIT + 1],
            "forwards": forwards,
        }
    )


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
