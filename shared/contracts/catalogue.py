"""Which event types exist and on which topic; how an event is written to and read from the wire.

Wire format: CloudEvents 1.0, Kafka protocol binding, binary content mode. To add an event, add its class to the
module of its publisher and a line here; the AsyncAPI document and the contract tests follow.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from shared.contracts import assignments, clocks, contacts, pages
from shared.contracts.envelope import Encoded, Event, EventData, Outgoing

TOPICS: Mapping[str, tuple[type[EventData], ...]] = {
    "contacts": (
        contacts.ContactReceived,
        contacts.CaseActivity,
        contacts.CaseMerged,
        contacts.CaseAbsorbed,
        contacts.CustomerErased,
    ),
    "assignments": (assignments.CaseAssigned, assignments.CaseHandedOff, assignments.CaseTaken),
    "clocks": (
        clocks.ClockStarted,
        clocks.ClockPaused,
        clocks.ClockResumed,
        clocks.ClockRescheduled,
        clocks.ClockWarned,
        clocks.ClockBreached,
        clocks.ClockOverdue,
        clocks.ClockMet,
        clocks.ClockCancelled,
        clocks.ClockWithdrawn,
    ),
    "pages": (
        pages.PageOpened,
        pages.PageEscalated,
        pages.PageSent,
        pages.PageFailed,
        pages.PageAcknowledged,
        pages.HandoverAsked,
        pages.PageResolved,
        pages.PageExhausted,
    ),
}

PUBLISHERS: Mapping[str, str] = {"contacts": "intake", "assignments": "routing", "clocks": "sla", "pages": "notify"}
# Which topics each service reads; its card says the same, and a test holds them together.
CONSUMES: Mapping[str, tuple[str, ...]] = {
    "intake": (),
    "routing": ("contacts", "pages", "clocks"),
    "sla": ("contacts", "assignments", "pages"),
    "notify": ("clocks", "assignments", "contacts"),
}

_PREFIX, _SUFFIX = "dev.tocsin.", ".v1"
_BY_CE_TYPE: dict[str, tuple[str, type[EventData]]] = {
    f"{_PREFIX}{model.TYPE}{_SUFFIX}": (topic, model) for topic, models in TOPICS.items() for model in models
}

Headers = list[tuple[str, bytes]]


class UnknownEvent(ValueError):
    """The bytes are not an event of the catalogue; the text says which header or field is wrong."""


def ce_type(data: EventData | Encoded | type[EventData]) -> str:
    return f"{_PREFIX}{data.TYPE}{_SUFFIX}"


def headers(event: Event | Outgoing) -> list[tuple[str, str]]:
    """What stands beside the body of an event on the wire."""
    data = event.data
    case = str(data.case_id)
    found = [
        ("ce_specversion", "1.0"),
        ("ce_id", str(event.id)),
        ("ce_source", event.source),
        ("ce_type", ce_type(data)),
        ("ce_time", data.occurred_at.isoformat()),
        ("ce_subject", case),
        ("ce_partitionkey", case),
        ("ce_sequence", f"{event.sequence:020d}"),
        ("ce_recordedtime", event.recorded_at.isoformat()),
        ("content-type", "application/json"),
    ]
    if event.traceparent:
        found.append(("traceparent", event.traceparent))
    return found


def encode(event: Event | Outgoing) -> tuple[Headers, bytes]:
    """Headers and JSON body of one event. The key on the wire is the case id."""
    return [(name, value.encode()) for name, value in headers(event)], event.data.to_json()


def forgotten(topic: str, headers: Sequence[Sequence[str]], body: bytes) -> bytes:
    """The body of an event without identity and text; nothing of one that cannot be read."""
    try:
        event = decode(topic, [(name, value.encode()) for name, value in headers], body)
    except UnknownEvent:
        return b"{}"
    return event.data.without_person().model_dump_json().encode()


def identified(headers: Headers) -> tuple[bytes, UUID] | None:
    """The ``ce_type`` and the id of an event whose body need not be read; None where they cannot be read."""
    found = dict(headers)
    try:
        return found["ce_type"], UUID(found["ce_id"].decode())
    except (KeyError, ValueError):
        return None


def decode(topic: str, headers: Headers, body: bytes) -> Event:
    """Read one event. Raises ``UnknownEvent`` (pydantic's ``ValidationError`` is one of its causes)."""
    found = dict(headers)
    try:
        model = _BY_CE_TYPE[found["ce_type"].decode()][1]
        return Event(
            id=UUID(found["ce_id"].decode()),
            source=found["ce_source"].decode(),
            topic=topic,
            sequence=int(found["ce_sequence"]),
            recorded_at=datetime.fromisoformat(found["ce_recordedtime"].decode()),
            data=model.model_validate_json(body),
            traceparent=found["traceparent"].decode() if "traceparent" in found else None,
        )
    except KeyError as missing:
        raise UnknownEvent(f"{topic}: header or event type {missing} is missing or unknown") from missing
    except ValueError as wrong:
        raise UnknownEvent(f"{topic}: {wrong}") from wrong
