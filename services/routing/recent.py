"""How often a customer contacted us of late: which contacts count as one customer's, and how many there are. Pure."""

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta

from services.routing.model import Heard, Recency
from shared.contracts.contacts import ContactReceived

DAY, WEEK = timedelta(hours=24), timedelta(days=7)
LATE = timedelta(days=1)  # a contact that arrives later than this after it happened is not counted for
KEPT = WEEK + LATE
MAX_HEARD = 500  # of one customer; more are counted as this many


def heard(contact: ContactReceived, now: datetime) -> Heard | None:
    """What is kept of a contact to count by. None of an auto-reply, and where nobody can tell whose it is."""
    customer = contact.customer
    known = [("id", customer.id), ("email", customer.email and customer.email.casefold()), ("phone", customer.phone)]
    named = next((f"{kind}:{value}" for kind, value in known if value), None)
    if named is None or contact.automated:
        return None
    whose = hashlib.sha256(named.encode("utf-8", "replace")).hexdigest()  # short, whatever was posted
    return Heard(contact.contact_id, whose, min(contact.occurred_at, now))


def count(this: Heard, others: Iterable[Heard], now: datetime) -> Recency | None:
    """This contact and the same customer's others in the 24 hours and 7 days before it, each once.

    None for a contact from longer ago than ``LATE``: what came before it is not kept.
    """
    if this.at < now - LATE:
        return None
    before = {
        each.contact_id: this.at - each.at for each in others if each.customer == this.customer and each.at <= this.at
    }
    before[this.contact_id] = timedelta()
    return Recency(*(min(sum(ago < window for ago in before.values()), MAX_HEARD) for window in (DAY, WEEK)))
