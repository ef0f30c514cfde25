"""Who a mail is from, and whom else it concerns: the customer, whatever stands between. Pure.

The customer is who wrote it: ``From``. Not so where that is one of ours: a contact form or a group that sends in our
name puts the customer into ``Reply-To``; and a mail that an agent of ours forwards is its original sender's. A mail
that a customer forwards stays the customer's: they ask, whoever wrote what they ask about.
"""

import re
from dataclasses import dataclass

from services.intake.channels import words
from services.intake.channels.adapter import Own, Received
from services.intake.channels.mime import Headers, Part
from services.intake.channels.quoted import Forwarded
from services.intake.model import Token, identity
from shared.contracts.contacts import Customer
from shared.contracts.mailids import case_of_message_id, case_of_token

PARTICIPANTS_LIMIT = 50
_ARRIVED = ("delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "to", "cc")
_NOBODY = re.compile(r"(?:no|do[-_.]?not)[-_.]?reply\b", re.IGNORECASE)
_SUBJECT_TOKEN = re.compile(r"\[#?(?:ticket |case )?(c-?\d{1,18}(?:-[a-z2-7]{12})?)\]", re.IGNORECASE)
_CASE = re.compile(r"c-(\d{1,18})", re.IGNORECASE)
_MAILTO = re.compile(r"\[mailto:([^\]\s]{3,320})\]|<mailto:([^>\s]{3,320})>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Sender:
    customer: Customer
    address: str | None  # canonical
    agent: str | None = None  # who of us sent it


def sender(headers: Headers, charset: str, own: Own) -> Sender:
    """Who wrote it: From, or where it names nobody, Sender, Reply-To or Return-Path; Reply-To for one of ours."""
    name = ""
    for field in ("from", "sender", "reply-to", "return-path"):
        for called, address in words.addresses(headers.first(field), 10, charset):
            name = name or called
            if (canonical := identity.canonical_email(address)) is None:
                continue
            front = own.is_agent(canonical) or canonical in own.mailboxes or _NOBODY.match(canonical)
            if front and (behind := _behind(headers, canonical, charset, own)):
                return behind
            agent = canonical if own.is_agent(canonical) else None
            return Sender(identity.customer(email=canonical, name=name or called), canonical, agent)
    return Sender(identity.customer(name=name), None)


def _behind(headers: Headers, front: str, charset: str, own: Own) -> Sender | None:
    """For whom a form, a group or a robot writes."""
    for field in ("reply-to", "x-original-from", "x-original-sender"):
        for called, address in words.addresses(headers.first(field), 10, charset):
            canonical = identity.canonical_email(address)
            if canonical and canonical != front and canonical not in own.mailboxes and not own.is_agent(canonical):
                return Sender(identity.customer(email=canonical, name=called), canonical)
    return None


def original(forwarded: Forwarded | None, inner: Part | None, charset: str) -> Customer | None:
    """Who wrote the mail that is forwarded, in the text or as an attachment; None where it names no address."""
    fields = [inner.headers.first("from")] if inner else []
    if forwarded:
        text = _MAILTO.sub(lambda found: f"<{found[1] or found[2]}>", forwarded.sender)
        fields.insert(0, text.encode())
    for field in fields:
        for called, address in words.addresses(field, 3, charset):
            if canonical := identity.canonical_email(address):
                return identity.customer(email=canonical, name=called.strip(" []*'\""))
    return None


def mailbox(headers: Headers, received: Received) -> str:
    """Where it arrived: as the caller says, else the first of our addresses that it went to. Without a case's token."""
    if received.mailbox:
        return _plain(received.mailbox, received.own)
    for address in recipients(headers, _ARRIVED):
        if (plain := _plain(address, received.own)) in received.own.mailboxes:
            return plain
    return ""


def _plain(address: str, own: Own) -> str:
    local, _, domain = address.rpartition("@")
    name, plus, tag = local.partition("+")
    return f"{name}@{domain}" if plus and case_of_token(tag, own.key) is not None else address


def recipients(headers: Headers, fields: tuple[str, ...] = ("to", "cc", "reply-to")) -> list[str]:
    found = [
        identity.canonical_email(address)
        for field in fields
        for value in headers.all(field)
        for _, address in words.addresses(value, PARTICIPANTS_LIMIT)
    ]
    return [address for address in found if address][:PARTICIPANTS_LIMIT]


def tokens(headers: Headers, answers: list[str], subject: str, received: Received) -> tuple[Token, ...]:
    """The cases it names by something of ours, the surest first: a Message-ID we signed, an address, its subject."""
    key = received.own.key
    found = [("signed", number) for each in answers if (number := case_of_message_id(each, key)) is not None]
    for address in (received.mailbox, *recipients(headers, _ARRIVED)):
        tag = address.rpartition("@")[0].partition("+")[2]
        if tag and (number := case_of_token(tag, key)) is not None:
            found.append(("address", number))
    for text in _SUBJECT_TOKEN.findall(subject)[:3]:
        plain = _CASE.fullmatch(text)
        number = int(plain[1]) if plain else case_of_token(text, key)
        if number is not None:
            found.append(("subject", number))
    return tuple(Token.model_validate({"how": how, "number": number}) for how, number in dict.fromkeys(found))[:5]
