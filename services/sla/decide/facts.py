"""What happened to a case: events become facts, each with the instant it counts at. Pure."""

import dataclasses
from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any

from services.sla.model import Fact, FactKind, Opening
from shared.contracts.assignments import CaseAssigned, CaseHandedOff
from shared.contracts.contacts import CaseAbsorbed, CaseActivity, CaseMerged, ContactReceived
from shared.contracts.envelope import Event
from shared.contracts.pages import PageAcknowledged
from shared.contracts.words import ActivityKind

OLDEST = timedelta(days=3650)  # a contact is taken to have happened at most this long before it was received

_RANK = {"contacts": 0, "assignments": 1, "pages": 2}  # of topics, where instants are equal


def opening(event: Event) -> Opening | None:
    """What to remember of the contact that opened the case; None for any other event."""
    data = event.data
    if not isinstance(data, ContactReceived) or not data.opened_case:
        return None
    who = data.customer
    return Opening(
        number=data.case_number,
        opened_at=max(min(data.occurred_at, data.received_at), data.received_at - OLDEST),
        received_at=data.received_at,
        channel=data.channel,
        source=data.source,
        language=data.language,
        reason=data.reason,
        tags=data.tags,
        attributes=data.attributes,
        customer_id=who.id,
        customer_email=who.email,
        customer_name=who.name,
        customer_tier=who.tier,
        customer_country=who.country,
        subject=data.subject,
        excerpt=data.excerpt,
        url=data.url,
        history=data.history,
    )


def erased(opened: Opening) -> Opening:
    """Without identity and text; what policies and reports count by stays."""
    return dataclasses.replace(
        opened,
        customer_id=None,
        customer_email=None,
        customer_name=None,
        subject="",
        excerpt="",
        url=None,
        attributes={},
        erased=True,
    )


def fact(event: Event) -> Fact | None:
    """The fact in an event, or None where no clock could ever depend on it: notes, ratings, automated mail."""
    data = event.data

    def made(kind: FactKind, known_at: datetime = event.recorded_at, **more: Any) -> Fact:
        return Fact(event.topic, event.sequence, kind, data.occurred_at, known_at, **more)

    match data:
        case ContactReceived():
            return None if data.automated else made(FactKind.CONTACTED, data.received_at, history=data.history)
        case CaseActivity():
            kind, more = _activity(data)
            return None if kind is None else made(kind, data.received_at, history=data.history, **more)
        case CaseAssigned() | CaseHandedOff():
            by = data.by if isinstance(data, CaseHandedOff) else None
            return made(
                FactKind.PLACED, team=data.team, priority=data.priority, tags=data.tags, routed=data.because, by=by
            )
        case PageAcknowledged():
            return made(FactKind.PICKED_UP, by=data.by)
        case CaseMerged():
            return made(FactKind.MERGED, other=data.into_number)
        case CaseAbsorbed():
            return made(FactKind.ABSORBED, since=data.earliest_unanswered_at, other=data.source_number)
    return None


def _activity(data: CaseActivity) -> tuple[FactKind | None, dict[str, Any]]:
    match data.kind:
        case ActivityKind.AGENT_REPLIED if data.public and not data.automated:
            return FactKind.REPLIED, {"by": data.actor}
        case ActivityKind.CUSTOMER_REPLIED if data.public and not data.automated:
            return FactKind.CUSTOMER_REPLIED, {}
        case ActivityKind.PICKED_UP if not data.automated:
            return FactKind.PICKED_UP, {"by": data.actor}
        case ActivityKind.STATUS_CHANGED if data.status is not None:
            return FactKind.STATUS, {"status": data.status, "by": data.actor}
        case ActivityKind.PRIORITY_CHANGED if data.priority is not None:
            return FactKind.PRIORITY, {"priority": data.priority}
        case ActivityKind.TAGS_CHANGED if data.tags is not None:
            return FactKind.TAGS, {"tags": data.tags}
    return None, {}


def added(facts: tuple[Fact, ...], new: Fact) -> tuple[Fact, ...]:
    """The facts with one more, or the same tuple where it is known already. Kept by topic and sequence."""
    key = attrgetter("topic", "sequence")
    at = bisect_left(facts, key(new), key=key)
    if at < len(facts) and key(facts[at]) == key(new):
        return facts
    return (*facts[:at], new, *facts[at:])


def began(opened: Opening, facts: Sequence[Fact]) -> datetime:
    """When the case opened: with its earliest contact, also where that one arrived later."""
    contacts = [each for each in facts if each.kind is FactKind.CONTACTED]
    return min([opened.opened_at, *(max(_happened(each), each.known_at - OLDEST) for each in contacts)])


def ordered(facts: Sequence[Fact], first: datetime) -> list[tuple[datetime, Fact]]:
    """Facts with the instants they count at, in order: none before the case, none after it was known."""
    placed = [(max(_happened(each), first), each) for each in facts]
    return sorted(placed, key=lambda each: (each[0], _RANK[each[1].topic], each[1].sequence))


def _happened(each: Fact) -> datetime:
    return min(each.occurred_at, each.known_at)
