"""Intercom's webhooks: conversations, as of API 1.x (``conversation_message``) and 2.x (``source``). Pure.

https://developers.intercom.com/docs/references/2.16/webhooks/webhook-models
"""

from collections.abc import Callable
from typing import Any

from services.intake.channels import markup, signatures
from services.intake.channels.adapter import Received
from services.intake.channels.hook import Delivery, Draft, Hook, Ignored, Unreadable
from services.intake.channels.shape import Shape, activity, contact, parsed
from services.intake.model.sources import SourceSpec
from shared.contracts.words import ActivityKind, Channel, Priority, Status

_CUSTOMERS = ("user", "lead", "contact", "visitor")
_ROBOTS = ("bot", "operator")
_CHANNEL_OF = {"email": Channel.EMAIL, "phone_call": Channel.PHONE, "phone_switch": Channel.PHONE}


def _read(delivery: Delivery, received: Received, source: SourceSpec) -> tuple[Draft, ...] | Ignored:
    event = Shape.of(parsed(delivery.body))
    topic = event.text("topic")
    read = _TOPICS.get(topic)
    return read(event, received) if read else Ignored(topic or "a notification without topic")


def _conversation(event: Shape) -> Shape:
    return event.object("data", "item")


def _opened(event: Shape, received: Received) -> tuple[Draft, ...]:
    item = _conversation(event)
    first = _first(item)
    return (
        contact(
            received,
            item.moment("created_at") or event.moment("created_at"),
            external_id=f"conversation-{item.need('id')}",
            subject=markup.to_text(first.text("subject")).strip() or item.text("title"),
            body=_text(first),
            **_common(item, first.object("author")),
        ),
    )


def _first(item: Shape) -> Shape:
    return item.object("source") if item.at("source") else item.object("conversation_message")


def _common(item: Shape, author: Shape) -> dict[str, object]:
    return {
        "channel": _CHANNEL_OF.get(item.text("source", "type"), Channel.CHAT),
        "thread": item.need("id"),
        "url": item.text("links", "conversation_web"),
        "customer": _customer(item, author),
        "tags": [each.text("name") for each in item.objects("tags", "tags")],
    }


def _customer(item: Shape, author: Shape) -> dict[str, str]:
    """Our customer's own id where Intercom knows it, else Intercom's, marked as such: it is no id of another system."""
    listed = item.objects("contacts", "contacts") or item.objects("contacts")  # a bare list as of API 2.0
    who = listed[0] if listed else item.object("user")
    theirs = who.text("id") or author.text("id")
    return {
        "id": who.text("external_id") or who.text("user_id") or (f"intercom-{theirs}" if theirs else ""),
        "email": author.text("email") or who.text("email"),
        "phone": who.text("phone"),
        "name": author.text("name") or who.text("name"),
    }


def _text(part: Shape) -> str:
    """HTML; plain as of API 2.15, whose lines are its own."""
    body = part.text("body")
    return (markup.to_text(body) if markup.has_tags(body) else body).strip()


def _parts(event: Shape, authors: tuple[str, ...] | None = None) -> list[Shape]:
    """The new parts of the conversation; raises where there is none, which would lose what was said."""
    parts = _conversation(event).objects("conversation_parts", "conversation_parts")
    found = [part for part in parts if authors is None or part.text("author", "type") in authors]
    if not found:
        raise Unreadable("data.item.conversation_parts has no part of them")
    return found


def _customer_replied(event: Shape, received: Received) -> tuple[Draft, ...]:
    item = _conversation(event)
    return tuple(
        contact(
            received,
            part.moment("created_at") or event.moment("created_at"),
            external_id=f"part-{part.need('id')}",
            subject=markup.to_text(_first(item).text("subject")).strip() or item.text("title"),
            body=_text(part),
            **_common(item, part.object("author")),
        )
        for part in _parts(event, _CUSTOMERS)
    )


def _said(event: Shape, received: Received, part: Shape, kind: ActivityKind) -> Draft:
    return activity(
        received,
        part.moment("created_at") or event.moment("created_at"),
        text=_text(part),
        kind=kind,
        thread=event.need("data", "item", "id"),
        external_id=f"part-{part.need('id')}",
        actor=part.text("author", "name") or part.text("author", "id"),
        automated=part.text("author", "type") in _ROBOTS,
    )


def _words(kind: ActivityKind) -> Callable[[Shape, Received], tuple[Draft, ...]]:
    def read(event: Shape, received: Received) -> tuple[Draft, ...]:
        parts = _parts(event, ("admin", "team", *_ROBOTS))
        return tuple(_said(event, received, part, kind) for part in parts)

    return read


def _status(status: Status) -> Callable[[Shape, Received], tuple[Draft, ...]]:
    """A change of state; words said with it are a reply of their own."""

    def read(event: Shape, received: Received) -> tuple[Draft, ...]:
        item = _conversation(event)
        parts = item.objects("conversation_parts", "conversation_parts")
        last = parts[-1] if parts else Shape({})
        changed = activity(
            received,
            last.moment("created_at") or event.moment("created_at"),
            kind=ActivityKind.STATUS_CHANGED,
            status=status,
            thread=item.need("id"),
            external_id=f"status-{last.text('id') or event.need('id')}",
            actor=last.text("author", "name"),
            automated=last.text("author", "type") in _ROBOTS,
        )
        by_us = last.text("author", "type") not in _CUSTOMERS
        reply = (_said(event, received, last, ActivityKind.AGENT_REPLIED),) if by_us and _text(last) else ()
        return *reply, changed

    return read


def _prioritized(event: Shape, received: Received) -> tuple[Draft, ...]:
    item = _conversation(event)
    important = item.need("priority") == "priority"
    return (_change(event, received, ActivityKind.PRIORITY_CHANGED, priority=_PRIORITY_OF[important]),)


_PRIORITY_OF = {True: Priority.HIGH, False: Priority.NORMAL}


def _tagged(event: Shape, received: Received) -> tuple[Draft, ...]:
    item = _conversation(event)
    if not isinstance(item.at("tags", "tags"), list):
        raise Unreadable("data.item.tags is missing")
    names = tuple(name[:100] for each in item.objects("tags", "tags") if (name := each.text("name")))
    return (_change(event, received, ActivityKind.TAGS_CHANGED, tags=names[:50]),)


def _change(event: Shape, received: Received, kind: ActivityKind, **to: Any) -> Draft:
    thread = event.need("data", "item", "id")
    return activity(received, event.moment("created_at"), kind=kind, thread=thread, external_id=event.need("id"), **to)


def _rated(event: Shape, received: Received) -> tuple[Draft, ...]:
    item = _conversation(event)
    rating = item.object("conversation_rating")
    score = rating.need("rating")
    if score not in ("1", "2", "3", "4", "5"):
        raise Unreadable(f"data.item.conversation_rating.rating is {score[:20]}, not 1 to 5")
    return (
        activity(
            received,
            rating.moment("created_at") or event.moment("created_at"),
            text=rating.text("remark"),
            kind=ActivityKind.SATISFACTION_RATED,
            score=int(score),
            scale=5,
            thread=item.need("id"),
            external_id=event.need("id"),
        ),
    )


_TOPICS: dict[str, Callable[[Shape, Received], tuple[Draft, ...]]] = {
    "conversation.user.created": _opened,
    "conversation.contact.created": _opened,
    "conversation.user.replied": _customer_replied,
    "conversation.contact.replied": _customer_replied,
    "conversation.admin.replied": _words(ActivityKind.AGENT_REPLIED),
    "conversation.operator.replied": _words(ActivityKind.AGENT_REPLIED),
    "conversation.admin.noted": _words(ActivityKind.NOTE_ADDED),
    "conversation.admin.closed": _status(Status.SOLVED),
    "conversation.admin.opened": _status(Status.OPEN),
    "conversation.admin.snoozed": _status(Status.PENDING),
    "conversation.admin.unsnoozed": _status(Status.OPEN),
    "conversation.priority.updated": _prioritized,
    "conversation.rating.added": _rated,
    "conversation_part.tag.created": _tagged,
}

HOOK = Hook(Channel.CHAT, signatures.intercom, signatures.any_secret, _read)
