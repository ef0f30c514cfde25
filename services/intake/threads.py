"""Which case a contact joins, or why it opens one. Pure.

A contact has a *mark*: what makes it this one contact (its external id, its Message-ID), and a *trail*: what ties it to
earlier ones (its source's thread, the Message-IDs it answers). The store claims and looks up both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal, NamedTuple
from uuid import UUID

from pydantic import JsonValue

from services.intake.model import Activity, CaseFile, Contact, Mail
from shared.contracts.envelope import Because
from shared.contracts.words import Status

TRAIL_LIMIT = 12  # Message-IDs looked at: the newest, and the root
_ORDER = ("thread", "signed", "message", "address", "subject")  # the surest first
NAME_LIMIT = 400  # bytes of a key, well within a row of an index


class Key(NamedTuple):
    """A name that one row owns. Sorted by these fields, so that all writers claim in one order."""

    kind: str  # marks: activity, external, mail; trails: message, thread; tokens: signed, address, subject
    scope: str  # the source or the mailbox
    name: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a contact goes: the case it joins, or None for a new one, which may follow a closed one."""

    joins: UUID | None = None
    follows: UUID | None = None
    by: Key | None = None  # what led there
    turned_away: UUID | None = None  # the case that it names without taking part there
    forwarded: UUID | None = None  # the case whose mail it forwards
    renamed: UUID | None = None  # the case whose mail it answers, about something else


OPENED = Place()  # where nothing earlier belongs to it


def mark(contact: Contact) -> Key | None:
    """What only this contact may have. The same again is the same contact, or a mistake; None where it has none."""
    if contact.external_id:
        return Key("external", contact.source or "", _short(contact.external_id))
    mail = contact.mail
    if mail and mail.message_id:  # with its sender: whoever repeats another's Message-ID suppresses nothing of theirs
        return Key("mail", mail.mailbox, _hashed(f"{mail.message_id}\n{mail.sender}"))
    if mail and contact.stated_at:  # no Message-ID at all: the same words at the same second are the same mail
        return Key("mail", mail.mailbox, _hashed(contact.fingerprint.hex()))
    return None


def activity_mark(activity: Activity, case_id: UUID | None) -> Key | None:
    """Unique within its source, or within its case where it names no source."""
    if not activity.external_id:
        return None
    return Key("activity", activity.source or (f"case {case_id}" if case_id else ""), _short(activity.external_id))


def thread_key(source: str | None, thread: str) -> Key:
    return Key("thread", source or "", _short(thread))


def trail(contact: Contact) -> tuple[Key, ...]:
    """What ties it to a case, the most telling first."""
    keys = [thread_key(contact.source, contact.thread)] if contact.thread else []
    if mail := contact.mail:
        earlier = mail.answers
        if len(earlier) > TRAIL_LIMIT:
            earlier = (*earlier[: TRAIL_LIMIT - 1], earlier[-1])
        names = (mail.message_id, *earlier) if mail.message_id else earlier
        keys.extend(Key("message", mail.mailbox, _short(name)) for name in names)
    return tuple(dict.fromkeys(keys)) if len(keys) > 1 else tuple(keys)


def _short(name: str) -> str:
    short = 4 * len(name) <= NAME_LIMIT or len(name.encode()) <= NAME_LIMIT
    return name if short else _hashed(name)


def _hashed(name: str) -> str:
    return "sha256:" + sha256(name.encode()).hexdigest()


def tokens(contact: Contact) -> dict[Key, int]:
    """The numbers of the cases that a mail names by something of ours."""
    if contact.mail is None:
        return {}
    found = contact.mail.tokens
    return {Key(token.how, "", f"C-{token.number}"): token.number for token in found}


def place(contact: Contact, holders: Mapping[Key, UUID], files: Mapping[UUID, CaseFile]) -> Place:
    """Choose among the cases that it names: a source's thread, Message-IDs of ours, those it answers, tokens.

    Mail joins only where its sender takes part already: a guessed name opens no door. A forward is a new matter, and so
    is an answer to what is solved under another subject, unless it names its case by a token. A contact that happened
    after its case was closed opens a follow-up.
    """
    if not holders:
        return OPENED
    named = sorted((*trail(contact), *tokens(contact)), key=lambda key: _ORDER.index(key.kind))
    elsewhere = OPENED
    for key in named:
        case_id = holders.get(key)
        if case_id is None:
            continue
        file = files[case_id]
        if key.kind == "thread" or _takes_part(contact.mail, file, key.kind):
            new_matter = _new_matter(contact, file) if key.kind in ("signed", "message") else None
            if new_matter is None:
                closed = _closed_before(file, contact)
                return Place(follows=case_id, by=key) if closed else Place(joins=case_id, by=key)
            if elsewhere == OPENED:
                elsewhere = Place(forwarded=case_id) if new_matter == "forwarded" else Place(renamed=case_id)
        elif elsewhere == OPENED:
            elsewhere = Place(turned_away=case_id)
    return elsewhere


def _takes_part(mail: Mail | None, file: CaseFile, kind: str) -> bool:
    """Its sender does; or whom a delivery report is about; or one of us, who was sent what we signed."""
    if mail is None:
        return False
    if mail.agent and kind in ("signed", "address"):
        return True
    return not {mail.sender, mail.agent, *mail.bounced}.isdisjoint(file.participants)


def _new_matter(contact: Contact, file: CaseFile) -> Literal["forwarded", "renamed"] | None:
    """Why an answer goes on with nothing: it passes a mail on, or somebody reused an old mail to write a new one."""
    mail = contact.mail
    if mail is None or contact.automated:
        return None
    if mail.forwards:
        return "forwarded"
    if file.status is not Status.SOLVED or mail.prefixes or not contact.subject or not file.subject:
        return None
    mine, theirs = _letters(contact.subject), _letters(file.subject)
    return None if mine in theirs or theirs in mine else "renamed"


def _letters(subject: str) -> str:
    """What programs leave of a subject, however they fold and mark it."""
    return "".join(letter for letter in subject.casefold() if letter.isalnum())


def as_filed(contact: Contact, where: Place) -> Contact:
    """A mail of one of us on a case is no customer's word: it is kept there and starts or stops no promise."""
    agent = contact.mail.agent if contact.mail else None
    if agent is None or contact.automated or where.joins is None or contact.customer.email != agent:
        return contact
    return contact.model_copy(update={"automated": f"written by one of us, {agent}"})


def _closed_before(file: CaseFile, contact: Contact) -> bool:
    closed_at = file.standing.said_at
    return file.status is Status.CLOSED and closed_at is not None and contact.occurred_at > closed_at


def rebinds(tied: Sequence[Key], holders: Mapping[Key, UUID], chosen: UUID, follows: UUID | None) -> dict[Key, UUID]:
    """Which keys of a trail lead to the chosen case from now on: those that led nowhere, or to what it follows.

    A key that leads to another case stays: it was somebody else's first.
    """
    return {key: chosen for key in tied if holders.get(key) in (None, follows)}


def explain(where: Place, names: Mapping[UUID, str]) -> Because:
    """Why a contact is where it is. ``names`` are the numbers of the cases concerned."""
    facts: dict[str, JsonValue] = {}
    if where.by:
        facts = {"by": where.by.kind, "name": where.by.name}
    if where.joins:
        return Because(text=f"Joined {names[where.joins]}: {_how(where.by)}.", facts=facts)
    if where.follows:
        closed = names[where.follows]
        return Because(text=f"Opened as a follow-up: {closed} was closed before.", facts={**facts, "follows": closed})
    if where.turned_away:
        other = names[where.turned_away]
        text = f"Opened: it answers a message of {other}, but its sender takes no part there."
        return Because(text=text, facts={"turned_away_from": other})
    if where.forwarded:
        other = names[where.forwarded]
        return Because(text=f"Opened: it forwards a mail of {other}.", facts={"forwards": other})
    if where.renamed:
        other = names[where.renamed]
        text = f"Opened: it answers a mail of {other}, under another subject."
        return Because(text=text, facts={"renamed_from": other})
    return _NOTHING_EARLIER


_NOTHING_EARLIER = Because(text="Opened: nothing earlier belongs to it.", facts={})


def _how(by: Key | None) -> str:
    match by.kind if by else None:
        case "thread":
            return f"the same thread {by.name!r}" if by else ""
        case "signed":
            return "it answers a mail of ours"
        case "address":
            return "it was sent to the address of this case"
        case "subject":
            return "its subject names this case"
    return "it answers a message"


def connected(keys: Sequence[Sequence[Key]]) -> bool:
    """True where one of several contacts may belong to the case of another: by the trail and the tokens of each."""
    every = [key for own in keys for key in own]
    return len(set(every)) < len(every)
