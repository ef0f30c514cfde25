"""What intake keeps: the tables, and loading and saving case files for the unit of work. The only SQL of intake."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from services.intake.model import Activity, CaseFile, Filed, Standing
from services.intake.store import tables
from services.intake.store.customers import THEIRS
from services.intake.store.tables import metadata
from shared import bulk, telemetry
from shared.batch import Change
from shared.contracts.contacts import Customer
from shared.contracts.envelope import Because
from shared.contracts.words import Channel, Status
from shared.db import Tx, from_json, to_json

__all__ = ["IntakeStore", "metadata"]


class IntakeStore:
    """Bulk, a fixed number of statements each."""

    async def load(self, tx: Tx, case_ids: Sequence[UUID], now: datetime) -> Mapping[UUID, CaseFile]:
        rows = await tx.rows(
            "SELECT * FROM case_file WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id", ids=sorted(set(case_ids))
        )
        found = {row.id: _case(row) for row in rows}
        return {case_id: found.get(case_id) or CaseFile(case_id) for case_id in case_ids}

    async def save(self, tx: Tx, changes: Sequence[Change[CaseFile]], now: datetime) -> None:
        for filed in (filed for c in changes for filed in c.after.contacts):
            telemetry.count_redactions(filed.contact.redactions)
        contacts = [_contact_row(c.case_id, filed) for c in changes for filed in c.after.contacts]
        activities = [_activity_row(c.case_id, each) for c in changes for each in c.after.activities]
        opened = [_case_row(c.after, now) for c in changes if c.before.number is None and c.after.number is not None]
        changed = [c.after for c in changes if c.before.number is not None and _kept(c.after) != _kept(c.before)]
        await bulk.append(tx, tables.case_file, opened)
        await bulk.upsert(tx, tables.case_file, [_case_row(file, now) for file in changed])
        await bulk.append(tx, tables.contact, contacts)
        await bulk.append(tx, tables.activity, activities)
        for known_as in {c.after.erased for c in changes if c.after.erased}:
            await _erase(tx, [c for c in changes if c.after.erased == known_as], known_as, now)


def _kept(case: CaseFile) -> tuple[Any, ...]:
    """What a row of ``case_file`` holds of it."""
    described = (case.number, case.url, case.subject, case.customer, case.participants)
    return (*described, case.opened_at, case.standing, case.merged_into)


def _case(row: Row[Any]) -> CaseFile:
    return CaseFile(
        id=row.id,
        number=row.number,
        channel=Channel(row.channel),
        source=row.source,
        thread=row.thread,
        url=row.url,
        subject=row.subject,
        customer=Customer.model_validate(from_json(row.customer)),
        participants=tuple(from_json(row.participants)),
        opened_at=row.opened_at,
        standing=Standing(Status(row.said), row.said_at, row.contacted_at, row.handled_at),
        follows=row.follows,
        merged_into=row.merged_into,
    )


def _case_row(case: CaseFile, now: datetime) -> dict[str, Any]:
    return {
        "id": case.id,
        "number": case.number,
        "channel": case.channel,
        "source": case.source,
        "thread": case.thread,
        "url": case.url,
        "subject": case.subject,
        **_customer_columns(case.customer),
        "participants": list(case.participants),
        "opened_at": case.opened_at,
        "status": case.status,
        "said": case.standing.said,
        "said_at": case.standing.said_at,
        "contacted_at": case.standing.contacted_at,
        "handled_at": case.standing.handled_at,
        "follows": case.follows,
        "merged_into": case.merged_into,
        "updated_at": now,
    }


def _customer_columns(customer: Customer) -> dict[str, Any]:
    return {
        "customer": {name: value for name, value in vars(customer).items() if value is not None},
        "customer_id": customer.id,
        "customer_email": customer.email,
        "customer_phone": customer.phone,
    }


def _contact_row(case_id: UUID, filed: Filed) -> dict[str, Any]:
    contact = filed.contact
    return {
        "id": filed.id,
        "case_id": case_id,
        "opened_case": filed.opened_case,
        "channel": contact.channel,
        "source": contact.source,
        "external_id": contact.external_id,
        "thread": contact.thread,
        "url": contact.url,
        "occurred_at": contact.occurred_at,
        "stated_at": contact.stated_at,
        "received_at": contact.received_at,
        **_customer_columns(contact.customer),
        "subject": contact.subject,
        "body": contact.body,
        "quoted": contact.quoted,
        "signature": contact.signature,
        "language": contact.language,
        "reason": contact.reason,
        "tags": contact.tags,
        "attributes": contact.attributes,
        "attachments": [each.model_dump() for each in contact.attachments],
        "mail": contact.mail.model_dump() if contact.mail else None,
        "automated": contact.automated,
        "history": contact.history,
        "redactions": contact.redactions,
        "remarks": contact.remarks,
        "because": vars(filed.because),
    }


def _activity_row(case_id: UUID, activity: Activity) -> dict[str, Any]:
    return {
        "id": activity.id,
        "case_id": case_id,
        "kind": activity.kind,
        "occurred_at": activity.occurred_at,
        "stated_at": activity.stated_at,
        "received_at": activity.received_at,
        "source": activity.source,
        "thread": activity.thread,
        "external_id": activity.external_id,
        "actor": activity.actor,
        "public": activity.public,
        "automated": activity.automated,
        "status": activity.status,
        "priority": activity.priority,
        "tags": activity.tags,
        "score": activity.score,
        "scale": activity.scale,
        "text": activity.text,
        "history": activity.history,
        "reason": activity.reason,
        "attributes": activity.attributes,
    }


async def _erase(tx: Tx, changes: Sequence[Change[CaseFile]], known_as: frozenset[str], now: datetime) -> None:
    """Blank identity and text of a customer's contacts, and what was written on the cases that are theirs."""
    await tx.run(
        "UPDATE contact SET customer = '{}', customer_id = NULL, customer_email = NULL, customer_phone = NULL,"
        " subject = '', body = '', quoted = '', signature = '', url = NULL, tags = '[]', attributes = '{}',"
        " attachments = '[]', mail = NULL,"
        " remarks = '[]', because = CAST(:because AS jsonb), erased_at = :now"
        f" WHERE case_id = ANY(CAST(:cases AS uuid[])) AND {THEIRS}",
        now=now,
        because=to_json(Because(text="Erased.")),
        cases=[c.case_id for c in changes],
        who=sorted(known_as),
    )
    await tx.run(
        "UPDATE activity SET text = '', reason = NULL, attributes = '{}',"
        " actor = CASE WHEN kind = 'customer_replied' THEN NULL ELSE actor END"
        " WHERE case_id = ANY(CAST(:cases AS uuid[]))",
        cases=[c.case_id for c in changes if c.before.customer != c.after.customer],
    )
