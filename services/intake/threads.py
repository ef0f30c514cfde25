"""Which case a contact joins, or why it opens one. Pure.

A contact has a *mark*: what makes it this one contact (its external id, its Message-ID), and a *trail*: what ties it to
earlier ones (its source's thread, the Message-IDs it answers). The store claims and looks up both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

from pydantic import JsonValue

from services.intake.model import Activity, CaseFile, Contact
from shared.contracts.envelope import Because
from shared.contracts.words import Status

TRAIL_LIMIT = 12  # Message-IDs looked at: the newest, and the root
NAME_LIMIT = 400  # bytes of a key, well within a row of an index


class Key(NamedTuple):
    """A name that one row owns. Sorted by these fields, so that all writers claim in one order."""

    kind: str  # marks: activity, external, mail; trails: message, thread
    scope: str  # the source or the mailbox
    name: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a contact goes: the case it joins, or None for a new one, which may follow a closed one."""

    joins: UUID | None = None
    follows: UUID | None = None
    by: Key | None = None  # what led there
    turned_away: UUID | None = None  # the case whose message it answers without taking part there


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
    return tuple(dict.fromkeys(keys))


def _short(name: str) -> str:
    return name if len(name.encode()) <= NAME_LIMIT else _hashed(name)


def _hashed(name: str) -> str:
    return "sha256:" + sha256(name.encode()).hexdigest()


def place(contact: Contact, holders: Mapping[Key, UUID], files: Mapping[UUID, CaseFile]) -> Place:
    """Choose among the cases that its trail leads to, in the order of the trail.

    Mail joins only where its sender takes part already: a guessed Message-ID opens no door. A contact that happened
    after its case was closed opens a follow-up.
    """
    turned_away: UUID | None = None
    for key in trail(contact):
        case_id = holders.get(key)
        if case_id is None:
            continue
        file = files[case_id]
        if key.kind == "message" and (contact.mail is None or contact.mail.sender not in file.participants):
            turned_away = turned_away or case_id
        elif _closed_before(file, contact):
            return Place(follows=case_id, by=key)
        else:
            return Place(joins=case_id, by=key)
    return Place(turned_away=turned_away)


def _closed_before(file: CaseFile, contact: Contact) -> bool:
    closed_at = file.standing.said_at
    return file.status is Status.CLOSED and closed_at is not None and contact.occurred_at > closed_at


def rebinds(contact: Contact, holders: Mapping[Key, UUID], chosen: UUID, follows: UUID | None) -> dict[Key, UUID]:
    """Which keys of its trail lead to the chosen case from now on: those that led nowhere, or to what it follows.

    A key that leads to another case stays: it was somebody else's first.
    """
    return {key: chosen for key in trail(contact) if holders.get(key) in (None, follows)}


def explain(where: Place, names: Mapping[UUID, str]) -> Because:
    """Why a contact is where it is. ``names`` are the numbers of the cases concerned."""
    facts: dict[str, JsonValue] = {}
    if where.by:
        facts = {"by": where.by.kind, "name": where.by.name}
    if where.joins:
        how = f"the same thread {where.by.name!r}" if where.by and where.by.kind == "thread" else "it answers a message"
        return Because(text=f"Joined {names[where.joins]}: {how}.", facts=facts)
    if where.follows:
        closed = names[where.follows]
        return Because(text=f"Opened as a follow-up: {closed} was closed before.", facts={**facts, "follows": closed})
    if where.turned_away:
        other = names[where.turned_away]
        text = f"Opened: it answers a message of {other}, but its sender takes no part there."
        return Because(text=text, facts={"turned_away_from": other})
    return Because(text="Opened: nothing earlier belongs to it.")


def connected(contacts: Sequence[Contact]) -> bool:
    """True where one of several contacts may belong to the case of another."""
    seen: set[Key] = set()
    for contact in contacts:
        keys = set(trail(contact))
        if not seen.isdisjoint(keys):
            return True
        seen |= keys
    return False
