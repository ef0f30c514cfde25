"""How many mails one sender may send before we take it for a machine: two desks that answer each other say nothing of
it in their headers. Pure.

Counted over a sliding hour, from the counts of this hour and the one before. What is over is kept on its case, marked.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256

from services.intake.model import Contact

WINDOW = timedelta(hours=1)
LIMIT = 60  # mails in a window


@dataclass(frozen=True, slots=True)
class Spent:
    """Of one sender to one mailbox: how many mails in the window that began at ``since``, and in the one before."""

    name: bytes
    since: datetime
    mails: int = 0
    before: int = 0


def name_of(contact: Contact) -> bytes | None:
    """Who spends, as a hash, so that no address outlives an erasure; None for what has no budget."""
    mail = contact.mail
    if mail is None or mail.sender is None or contact.history or contact.automated:
        return None
    return sha256(f"{mail.mailbox}\n{mail.sender}".encode()).digest()


def spend(spent: Spent, now: datetime) -> Spent:
    """One mail more."""
    windows = max(0, (now - spent.since) // WINDOW)
    if windows:
        before = spent.mails if windows == 1 else 0
        spent = replace(spent, since=spent.since + windows * WINDOW, mails=0, before=before)
    return replace(spent, mails=spent.mails + 1)


def recent(spent: Spent, now: datetime) -> float:
    """Mails within the last hour, those of the window before taken as evenly spread."""
    share = min(1.0, max(0.0, (now - spent.since) / WINDOW))
    return spent.mails + spent.before * (1 - share)


def judged(contact: Contact, spent: Spent, now: datetime) -> Contact:
    """The contact as it is filed: marked as automatic where its sender is over the limit."""
    if recent(spent, now) <= LIMIT:
        return contact
    return contact.model_copy(
        update={"automated": f"over budget: more than {LIMIT} mails of its sender within an hour"}
    )
