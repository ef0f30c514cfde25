"""What the API shows: contacts, cases, volumes, waiting activities, and intake's counts for the ledger."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from services.intake.store.contacts import FAMILY
from shared.contracts.numbers import parse_case_number
from shared.db import Tx
from shared.ledger import Entry

Rows = Sequence[Row[Any]]


async def contact(tx: Tx, contact_id: UUID) -> Row[Any] | None:
    return await tx.one(
        "SELECT c.*, f.number FROM contact c LEFT JOIN case_file f ON f.id = c.case_id WHERE c.id = :id", id=contact_id
    )


async def case_id(tx: Tx, reference: str) -> UUID | None:
    """The id of a case that a person named by its id or its number."""
    if (number := parse_case_number(reference)) is not None:
        found: UUID | None = await tx.scalar("SELECT id FROM case_file WHERE number = :number", number=number)
        return found
    try:
        named = UUID(reference)
    except ValueError:
        return None
    existing: UUID | None = await tx.scalar("SELECT id FROM case_file WHERE id = :id", id=named)
    return existing


async def case(tx: Tx, of: UUID) -> Row[Any] | None:
    return await tx.one("SELECT * FROM case_file WHERE id = :id", id=of)


async def contacts_of(tx: Tx, of: UUID, limit: int) -> Rows:
    """The newest contacts of a case and of those merged into it, the oldest of them first."""
    return await tx.rows(
        FAMILY + " SELECT * FROM (SELECT c.*, f.number FROM contact c JOIN case_file f ON f.id = c.case_id"
        " WHERE c.case_id IN (SELECT id FROM family) ORDER BY c.occurred_at DESC, c.id DESC LIMIT :limit) newest"
        " ORDER BY occurred_at, id",
        case_id=of,
        limit=limit,
    )


async def activities_of(tx: Tx, of: UUID, limit: int) -> Rows:
    """The newest activities of a case and of those merged into it, the oldest of them first."""
    return await tx.rows(
        FAMILY + " SELECT * FROM (SELECT * FROM activity WHERE case_id IN (SELECT id FROM family)"
        " ORDER BY occurred_at DESC, id DESC LIMIT :limit) newest ORDER BY occurred_at, id",
        case_id=of,
        limit=limit,
    )


async def counts_of(tx: Tx, of: UUID) -> tuple[int, int]:
    """How many contacts and activities there are of a case and of those merged into it."""
    row = await tx.one(
        FAMILY + " SELECT (SELECT count(*) FROM contact WHERE case_id IN (SELECT id FROM family)) AS contacts,"
        " (SELECT count(*) FROM activity WHERE case_id IN (SELECT id FROM family)) AS activities",
        case_id=of,
    )
    return (row.contacts, row.activities) if row else (0, 0)


async def cases(tx: Tx, status: str | None, customer: Sequence[str], before: int | None, limit: int) -> Rows:
    """Cases by number, newest first. ``customer``: any spelling of an id, address or number; empty for all."""
    wanted, bound = ["true"], dict[str, Any](limit=limit)
    if before is not None:
        wanted.append("number < :before")
        bound["before"] = before
    if status:
        wanted.append("status = :status")
        bound["status"] = status
    if customer:
        # each arm of the union has its own index; an OR over three columns has none
        columns = ("customer_id", "customer_email", "customer_phone")
        arms = (f"SELECT id FROM case_file WHERE {column} = ANY(CAST(:who AS text[]))" for column in columns)
        wanted.append(f"id IN ({' UNION '.join(arms)})")
        bound["who"] = list(customer)
    return await tx.rows(
        f"SELECT * FROM case_file WHERE {' AND '.join(wanted)} ORDER BY number DESC LIMIT :limit", **bound
    )


async def waiting(tx: Tx, before: tuple[datetime, UUID] | None, limit: int) -> Rows:
    """Activities whose thread has no contact yet, newest first."""
    at, last = before or (None, None)
    return await tx.rows(
        "SELECT id, source, thread, received_at, activity FROM waiting_activity WHERE CAST(:at AS timestamptz) IS NULL"
        " OR (received_at, id) < (:at, CAST(:last AS uuid)) ORDER BY received_at DESC, id DESC LIMIT :limit",
        at=at,
        last=last,
        limit=limit,
    )


async def volume(tx: Tx, day: date) -> Row[Any] | None:
    return await tx.one("SELECT * FROM volume WHERE day = :day", day=day)


async def put_volume(
    tx: Tx, day: date, customers: int | None, transactions: int | None, expected: int | None, now: datetime
) -> Row[Any] | None:
    """Write a day's volumes; None where ``expected`` is not its version."""
    return await tx.one(
        "INSERT INTO volume AS v (day, active_customers, transactions, version, updated_at)"
        " SELECT :day, CAST(:customers AS bigint), CAST(:transactions AS bigint), 1, :now"
        " WHERE CAST(:expected AS int) IS NULL OR EXISTS (SELECT 1 FROM volume WHERE day = :day)"
        " ON CONFLICT (day) DO UPDATE SET active_customers = excluded.active_customers,"
        " transactions = excluded.transactions, version = v.version + 1, updated_at = excluded.updated_at"
        " WHERE CAST(:expected AS int) IS NULL OR v.version = :expected RETURNING *",
        day=day,
        customers=customers,
        transactions=transactions,
        expected=expected,
        now=now,
    )


async def ledger(tx: Tx) -> list[Entry]:
    """Where every contact, activity and case of intake is."""
    row = await tx.one(
        "SELECT (SELECT count(*) FROM contact) AS contacts,"
        " (SELECT count(*) FROM contact c JOIN case_file f ON f.id = c.case_id) AS filed,"
        " (SELECT count(*) FROM quarantine WHERE state <> 'released') AS quarantined,"
        " (SELECT count(*) FROM quarantine WHERE state = 'open') AS held,"
        " (SELECT count(*) FROM quarantine WHERE state = 'dropped') AS dropped,"
        " (SELECT count(*) FROM activity) AS activities,"
        " (SELECT count(*) FROM activity a JOIN case_file f ON f.id = a.case_id) AS recorded,"
        " (SELECT count(*) FROM waiting_activity) AS waiting,"
        " (SELECT count(*) FROM case_file) AS cases"
    )
    assert row is not None
    contacts, activities = "contacts: accepted → case", "activities: accepted → case"
    return [
        Entry(contacts, "contact", "in", row.contacts + row.quarantined),
        Entry(contacts, "contact", "done", row.filed),
        Entry(contacts, "contact", "suppressed", row.dropped),
        Entry(contacts, "contact", "open", row.held),
        Entry(activities, "activity", "in", row.activities + row.waiting),
        Entry(activities, "activity", "done", row.recorded),
        Entry(activities, "activity", "open", row.waiting),
        Entry("cases: intake→routing", "case", "in", row.cases),
        Entry("cases: intake→sla", "case", "in", row.cases),
    ]
