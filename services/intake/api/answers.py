"""What intake answers."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from fastapi import Response
from pydantic import JsonValue
from sqlalchemy import Row

from services.intake.model import Attachment
from services.intake.store.customers import Known
from shared.contracts.contacts import Customer
from shared.contracts.envelope import Because
from shared.contracts.numbers import case_number
from shared.contracts.words import ActivityKind, Channel, Priority, Status
from shared.db import from_json, to_json
from shared.http import Answer, Ready
from shared.idempotency import EXPIRES


def answered(answer: tuple[dict[str, Any], datetime | None]) -> Response:
    """202, and until when its Idempotency-Key gives it again."""
    body, expires_at = answer
    headers = [(EXPIRES.lower().encode(), expires_at.isoformat().encode())] if expires_at else []
    return Ready(to_json(body).encode(), headers)


class ContactAccepted(Answer):
    """Committed. ``duplicate``: it was accepted before, and this is the answer it got."""

    contact_id: UUID
    case_id: UUID
    case_number: str
    opened_case: bool
    duplicate: bool = False


class Quarantined(Answer):
    """Kept, but no contact until a person releases it."""

    quarantined: Literal[True] = True
    id: UUID
    reason: str
    detail: str


class ActivityRecorded(Answer):
    """Committed. ``waiting``: no contact of its thread has come yet; it will be on the case of the first one."""

    activity_id: UUID
    case_id: UUID | None
    waiting: bool
    duplicate: bool = False


class ContactAnswer(Answer):
    id: UUID
    case_id: UUID
    case_number: str
    opened_case: bool
    channel: Channel
    source: str | None
    external_id: str | None
    thread: str | None
    url: str | None
    occurred_at: datetime
    stated_at: str | None
    received_at: datetime
    customer: Customer
    subject: str
    body: str
    quoted: str
    signature: str
    language: str | None
    reason: str | None
    tags: list[str]
    attributes: dict[str, JsonValue]
    attachments: list[Attachment]
    automated: str | None
    history: bool
    redactions: dict[str, int]
    remarks: list[str]
    because: Because
    erased_at: datetime | None

    @classmethod
    def of(cls, row: Row[Any]) -> "ContactAnswer":
        stored = ("customer", "tags", "attributes", "attachments", "redactions", "remarks", "because")
        values = {name: value for name, value in row._mapping.items() if name in cls.model_fields}
        read = {name: from_json(values[name]) for name in stored}
        return cls.model_validate(values | read | {"case_number": case_number(row.number)})


class ActivityAnswer(Answer):
    id: UUID
    case_id: UUID
    kind: ActivityKind
    occurred_at: datetime
    received_at: datetime
    source: str | None
    thread: str | None
    external_id: str | None
    actor: str | None
    public: bool
    automated: bool
    status: Status | None
    priority: Priority | None
    tags: list[str] | None
    score: int | None
    scale: int | None
    text: str
    history: bool
    reason: str | None
    attributes: dict[str, JsonValue]

    @classmethod
    def of(cls, row: Row[Any]) -> "ActivityAnswer":
        values = {name: value for name, value in row._mapping.items() if name in cls.model_fields}
        read = {"tags": from_json(row.tags) if row.tags is not None else None, "attributes": from_json(row.attributes)}
        return cls.model_validate(values | read)


class CaseLine(Answer):
    """A case in a list."""

    id: UUID
    number: str
    status: Status
    channel: Channel
    source: str | None
    thread: str | None
    url: str | None
    subject: str
    customer: Customer
    opened_at: datetime
    follows: UUID | None
    merged_into: UUID | None

    @classmethod
    def of(cls, row: Row[Any]) -> "CaseLine":
        return cls.model_validate(_case_values(cls, row))


class CaseAnswer(CaseLine):
    """A case with its newest contacts and activities, oldest first, and how many of each there are in all.

    ``token`` names it in an address (``help+TOKEN@desk.example``) or a subject (``[TOKEN]``) of what a desk sends.
    """

    token: str

    contacts: list[ContactAnswer]
    contacts_total: int
    activities: list[ActivityAnswer]
    activities_total: int

    @classmethod
    def whole(
        cls,
        row: Row[Any],
        contacts: Sequence[Row[Any]],
        activities: Sequence[Row[Any]],
        totals: tuple[int, int],
        token: str,
    ) -> "CaseAnswer":
        parts = {
            "token": token,
            "contacts": [ContactAnswer.of(each) for each in contacts],
            "contacts_total": totals[0],
            "activities": [ActivityAnswer.of(each) for each in activities],
            "activities_total": totals[1],
        }
        return cls.model_validate(_case_values(cls, row) | parts)


def _case_values(model: type[Answer], row: Row[Any]) -> dict[str, Any]:
    values = {name: value for name, value in row._mapping.items() if name in model.model_fields}
    return values | {"number": case_number(row.number), "customer": from_json(row.customer)}


class Merged(Answer):
    case_id: UUID
    merged_into: UUID
    number: str


class CustomerMerge(Answer):
    """Somebody said that ``source`` is ``target``; undone where ``undone_at`` is set."""

    id: UUID
    source: str
    target: str
    merged_by: str
    reason: str | None
    merged_at: datetime
    undone_by: str | None
    undone_at: datetime | None

    @classmethod
    def of(cls, row: Row[Any]) -> "CustomerMerge":
        return cls.model_validate(dict(row._mapping))


class CustomerAnswer(Answer):
    """A customer as all channels know them. ``shared``: other customers who were given the same address or number."""

    id: str
    ids: list[str]
    emails: list[str]
    phones: list[str]
    shared: dict[str, list[str]]
    name: str | None
    tier: str | None
    country: str | None
    contacts_total: int
    first_contact_at: datetime | None
    last_contact_at: datetime | None
    cases: list[CaseLine]
    merges: list[CustomerMerge]

    @classmethod
    def whole(
        cls, known: Known, latest: Row[Any], cases: Sequence[Row[Any]], merges: Sequence[Row[Any]]
    ) -> "CustomerAnswer":
        described = Customer.model_validate(from_json(latest.customer) if latest.customer else {})
        directory = known.directory
        own = {name for name in known.names if name in directory.ids}
        given = {name for name, ids in directory.claims.items() if not own.isdisjoint(ids)} | {known.name}
        return cls(
            id=known.name,
            ids=sorted(own),
            emails=sorted(known.emails),
            phones=sorted(known.phones),
            shared={name: list(others) for name in sorted(given) if (others := directory.shared(name))},
            name=described.name,
            tier=described.tier,
            country=described.country,
            contacts_total=latest.contacts,
            first_contact_at=latest.first_at,
            last_contact_at=latest.last_at,
            cases=[CaseLine.of(row) for row in cases],
            merges=[CustomerMerge.of(row) for row in merges],
        )


class Erased(Answer):
    """What was blanked. Counts and times stay; topics forget by retention."""

    cases: int
    quarantined: int


class QuarantineItem(Answer):
    """Something that is no contact. ``readable``: it can be released as one."""

    id: UUID
    state: str
    received_at: datetime
    channel: str
    source: str | None
    mailbox: str
    sender: str | None
    reason: str
    detail: str
    size: int
    sha256: str | None
    readable: bool
    subject: str | None
    body: str | None
    raw: str | None
    settled_at: datetime | None
    settled_by: str | None
    settled_why: str | None
    contact_id: UUID | None

    @classmethod
    def of(cls, row: Row[Any], whole: bool = False) -> "QuarantineItem":
        values = {name: value for name, value in row._mapping.items() if name in cls.model_fields}
        salvage = from_json(row.salvage) if row.salvage is not None else None
        return cls.model_validate(
            values
            | {
                "sha256": bytes(row.sha256).hex() if row.sha256 is not None else None,
                "readable": salvage is not None,
                "subject": salvage["subject"] if salvage else None,
                "body": salvage["body"] if salvage and whole else None,
                "raw": bytes(row.raw).decode("utf-8", "replace") if row.raw is not None and whole else None,
            }
        )


class WaitingActivity(Answer):
    """An activity of a thread that no contact has come of. It waits until ``waits_until``, and is then given up."""

    id: UUID
    source: str
    thread: str
    received_at: datetime
    waits_until: datetime
    kind: ActivityKind

    @classmethod
    def of(cls, row: Row[Any], waits_for: timedelta) -> "WaitingActivity":
        return cls(
            id=row.id,
            source=row.source,
            thread=row.thread,
            received_at=row.received_at,
            waits_until=row.received_at + waits_for,
            kind=from_json(row.activity)["kind"],
        )


class VolumeAnswer(Answer):
    date: date
    active_customers: int | None
    transactions: int | None
    updated_at: datetime
