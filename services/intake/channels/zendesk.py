"""Zendesk's webhooks: ticket events, and what a trigger or automation is set up to send. Pure.

https://developer.zendesk.com/api-reference/webhooks/event-types/ticket-events
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from hashlib import sha256
from typing import Any

from services.intake.channels import signatures
from services.intake.channels.adapter import Received
from services.intake.channels.hook import Delivery, Draft, Hook, Ignored, Unreadable
from services.intake.channels.shape import Shape, activity, contact, parsed
from services.intake.model.sources import SourceSpec
from shared.contracts.words import ActivityKind, Channel, Priority, Status

Read = Callable[[Shape, Received], tuple[Draft, ...] | Ignored]
PREFIX = "zen:event-type:"
FIRST_COMMENT = timedelta(minutes=1)  # Zendesk tells of a new ticket twice: as created, and as its first comment

_CHANNELS = {
    Channel.EMAIL: ("email", "mail"),
    Channel.PHONE: ("voice", "phone", "phone_call_inbound", "voicemail"),
    Channel.CHAT: (
        *("chat", "native_messaging", "messaging", "whatsapp", "facebook", "twitter", "sms", "instagram_dm", "line"),
        *("any_channel", "answer_bot_for_web_widget"),
    ),
    Channel.WEB: ("web", "web_widget", "web_form", "help_center", "mobile", "mobile_sdk", "closed_ticket"),
}
_CHANNEL_OF = {name: channel for channel, names in _CHANNELS.items() for name in names}
_STATUSES = {each.value: each for each in Status} | {"hold": Status.ON_HOLD, "on-hold": Status.ON_HOLD}
_PRIORITIES = {each.value: each for each in Priority}


def _read(delivery: Delivery, received: Received, source: SourceSpec) -> tuple[Draft, ...] | Ignored:
    event = Shape.of(parsed(delivery.body))
    kind = event.text("type")
    if kind.startswith(PREFIX):
        read = _EVENTS.get(kind.removeprefix(PREFIX))
        return read(event, received) if read else Ignored(kind)
    if isinstance(event.at("ticket"), dict):
        return _trigger(event, received, sha256(delivery.body).hexdigest()[:32])
    return Ignored(kind or "a body without a type or a ticket")


def _id(theirs: str) -> str:
    """A number of Zendesk's, marked as such: it is no id of another system."""
    return f"zendesk-{theirs}" if theirs else ""


def _created(event: Shape, received: Received) -> tuple[Draft, ...]:
    ticket = event.object("detail")
    return (
        contact(
            received,
            ticket.moment("created_at") or event.moment("time"),
            channel=_CHANNEL_OF.get(ticket.text("via", "channel"), Channel.API),
            external_id=f"ticket-{ticket.need('id')}",
            thread=ticket.need("id"),
            customer={"id": _id(ticket.text("requester_id"))},
            subject=ticket.text("subject"),
            body=ticket.text("description"),
            tags=ticket.texts("tags"),
        ),
    )


def _commented(event: Shape, received: Received) -> tuple[Draft, ...] | Ignored:
    ticket, comment = event.object("detail"), event.object("event", "comment")
    staff = comment.flag("author", "is_staff")
    if staff is None:
        raise Unreadable("event.comment.author.is_staff is missing")
    if _is_first(event):
        return Ignored("the first comment of a staff member's ticket") if staff else _created(event, received)
    thread, mark = ticket.need("id"), f"comment-{comment.need('id')}"
    public = comment.flag("is_public") is not False
    at = event.moment("time") or ticket.moment("updated_at")
    if staff or not public:
        return (
            activity(
                received,
                at,
                text=comment.text("body"),
                kind=ActivityKind.AGENT_REPLIED if public else ActivityKind.NOTE_ADDED,
                thread=thread,
                external_id=mark,
                actor=comment.text("author", "name"),
            ),
        )
    author = comment.text("author", "id") or ticket.text("requester_id")
    who = {"id": _id(author), "name": comment.text("author", "name")}
    return (
        contact(
            received,
            at,
            channel=_CHANNEL_OF.get(ticket.text("via", "channel"), Channel.API),
            external_id=mark,
            thread=thread,
            customer=who,
            subject=ticket.text("subject"),
            body=comment.text("body"),
            tags=ticket.texts("tags"),
        ),
    )


def _is_first(event: Shape) -> bool:
    """Whether the comment is the ticket's own description, told again."""
    opened, at = event.moment("detail", "created_at"), event.moment("time")
    same = event.text("event", "comment", "body") == event.text("detail", "description")
    return bool(same and opened and at and abs(at - opened) <= FIRST_COMMENT)


def _changed(kind: ActivityKind, known: Mapping[str, Status | Priority], field: str) -> Read:
    def read(event: Shape, received: Received) -> tuple[Draft, ...] | Ignored:
        said = event.need("event", "current").lower()
        if said not in known:
            return Ignored(f"{kind} to {said[:60]}")
        return (_change(event, received, kind, **{field: known[said]}),)

    return read


def _tagged(event: Shape, received: Received) -> tuple[Draft, ...]:
    tags = event.at("detail", "tags")
    if not isinstance(tags, list):
        raise Unreadable("detail.tags is missing")
    kept = tuple(tag[:100] for tag in event.texts("detail", "tags"))[:50]
    return (_change(event, received, ActivityKind.TAGS_CHANGED, tags=kept),)


def _change(event: Shape, received: Received, kind: ActivityKind, **to: Any) -> Draft:
    return activity(
        received,
        event.moment("time") or event.moment("detail", "updated_at"),
        kind=kind,
        thread=event.need("detail", "id"),
        external_id=event.need("id"),
        actor=event.text("detail", "actor_id"),
        **to,
    )


_EVENTS: dict[str, Read] = {
    "ticket.created": _created,
    "ticket.comment_added": _commented,
    "ticket.status_changed": _changed(ActivityKind.STATUS_CHANGED, _STATUSES, "status"),
    "ticket.priority_changed": _changed(ActivityKind.PRIORITY_CHANGED, _PRIORITIES, "priority"),
    "ticket.tags_changed": _tagged,
}


def _trigger(event: Shape, received: Received, mark: str) -> tuple[Draft, ...] | Ignored:
    """The body that docs/sources.md gives for triggers. ``mark``: of the body, the same when it is sent again."""
    ticket, kind = event.object("ticket"), event.need("event")
    at, actor = event.moment("at"), event.text("actor")
    if kind == "contact":
        return (
            contact(
                received,
                at,
                channel=_CHANNEL_OF.get(ticket.text("via").lower().replace(" ", "_"), Channel.API),
                external_id=f"trigger-{mark}",
                thread=ticket.need("id"),
                url=ticket.text("url"),
                customer={
                    "id": _id(ticket.text("requester", "id")),
                    **{name: ticket.text("requester", name) for name in ("email", "phone", "name")},
                },
                subject=ticket.text("subject"),
                body=event.text("comment"),
                tags=ticket.texts("tags"),
            ),
        )
    if kind not in set(ActivityKind):
        return Ignored(kind)
    to: dict[str, Any] = {}
    if kind == ActivityKind.STATUS_CHANGED:
        to["status"] = _STATUSES.get(ticket.need("status").lower())
    elif kind == ActivityKind.PRIORITY_CHANGED:
        to["priority"] = _PRIORITIES.get(ticket.need("priority").lower())
    elif kind == ActivityKind.TAGS_CHANGED:
        to["tags"] = tuple(tag[:100] for tag in ticket.texts("tags"))[:50]
    elif kind == ActivityKind.SATISFACTION_RATED:
        to["score"], to["scale"] = int(event.need("rating").lower().startswith("good")), 1
    text = event.text("comment")
    made = activity(
        received, at, text, kind=kind, thread=ticket.need("id"), external_id=f"trigger-{mark}", actor=actor, **to
    )
    return (made,)


HOOK = Hook(Channel.API, signatures.zendesk, signatures.any_secret, _read)
