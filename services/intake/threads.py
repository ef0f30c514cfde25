"""Which case a contact joins, or why it opens one. Pure.

A contact has *marks*: what makes it this one contact (its external id, its Message-ID), and its *trail*: what ties it
to earlier ones (its source's thread, the Message-IDs it answers). The store claims and looks up both.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

from pydantic import JsonValue

from services.intake.model import Activity, CaseFile, Contact, Mail
from shared.contracts.envelope import Because
from shared.contracts.words import Status

TRAIL_LIMIT = 12  # Message-IDs looked at: the newest, and the root


class Key(NamedTuple):
    """A name that one row owns. Sorted by these fields, so that all writers claim in one order."""

    kind: str  # of MARKS or TRAILS
    scope: str  # the source or the mailbox
    name: str


MARKS = ("activity", "external", "mail")
TRAILS = ("message", "thread")


class Place(NamedTuple):
    """Where a contact goes: an existing case, or a new one (``case`` None), which may follow a closed one."""

    case: CaseFile | None
    follows: UUID | None
    because: Because


def marks(contact: Contact) -> tuple[Key, ...]:
    """What only this contact may have. The same mark again is the same contact, or a mistake."""
    keys = []
    if contact.external_id:
        keys.append(Key("external", contact.source or "", contact.external_id))
    if contact.mail and (name := _mail_name(contact.mail, contact)):
        keys.append(Key("mail", contact.mail.mailbox, name))
    return tuple(keys)


def _mail_name(mail: Mail, contact: Contact) -> str | None:
    """Message-ID and sender: whoever repeats another's Message-ID suppresses nothing of theirs."""
    if mail.message_id:
        return f"{mail.message_id} {mail.sender or ''}"
    if contact.stated_at:  # no Message-ID at all: the same words at the same second are the same mail
        return f"sha256:{sha256(contact.fingerprint).hexdigest()}"
    return None


def activity_mark(activity: Activity, case_id: UUID | None) -> Key | None:
    """Deduplicated within the source, or within the case where no source is given."""
    if not activity.external_id:
        return None
    return Key("activity", activity.source or (f"case {case_id}" if case_id else ""), activity.external_id)


def thread_key(source: str | None, thread: str) -> Key:
    return Key("thread", source or "", thread)


def trail(contact: Contact) -> tuple[Key, ...]:
    """What ties it to a case, the most telling first."""
    keys = [thread_key(contact.source, contact.thread)] if contact.thread else []
    if mail := contact.mail:
        earlier = mail.answers if len(mail.answers) <= TRAIL_LIMIT else (*mail.answers[: TRAIL_LIMIT - 1], mail.answers[-1])
        names = (mail.message_id, *earlier) if mail.message_id else earlier
        keys.extend(Key("message", mail.mailbox, name) for name in names)
    return tuple(dict.fromkeys(keys))


def place(contact: Contact, known: Sequence[tuple[Key, CaseFile]]) -> Place:
    """Choose among the cases that its trail leads to, in the order of the trail.

    Mail joins only where its sender takes part already: a guessed Message-ID opens no door. A contact that happened
    after its case was closed opens a follow-up.
    """
    turned_away: str | None = None
    for key, case in known:
        facts: dict[str, JsonValue] = {key.kind: key.name, "case": case.name}
        if key.kind == "message" and (contact.mail is None or contact.mail.sender not in case.participants):
            turned_away = turned_away or case.name
            continue
        if _closed_before(case, contact):
            text = f"Opened as a follow-up: {case.name} was closed before this came."
            return Place(None, case.id, Because(text=text, facts=facts))
        how = f"the same {key.kind} {key.name!r}" if key.kind == "thread" else "it answers a message there"
        return Place(case, None, Because(text=f"Joined {case.name}: {how}.", facts=facts))
    if turned_away:
        text = f"Opened: it answers a message of {turned_away}, but its sender takes no part there."
        return Place(None, None, Because(text=text, facts={"case": turned_away}))
    return Place(None, None, Because(text="Opened: nothing earlier belongs to it."))


def _closed_before(case: CaseFile, contact: Contact) -> bool:
    closed_at = case.standing.said_at
    return case.status is Status.CLOSED and closed_at is not None and contact.occurred_at > closed_at


def rebinds(contact: Contact, holders: Mapping[Key, UUID], chosen: UUID, follows: UUID | None) -> dict[Key, UUID]:
    """Which keys of its trail lead to the chosen case from now on: those that led nowhere, or to what it follows.

    A key that leads to another case stays: it was somebody else's first.
    """
    return {key: chosen for key in trail(contact) if holders.get(key, follows) in (None, follows)}
