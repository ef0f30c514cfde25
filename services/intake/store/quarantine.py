"""What could not become a contact by itself, until a person releases or drops it; and who asked to be forgotten."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from services.intake.model import Contact
from services.intake.store import tables
from shared import bulk
from shared.db import Tx, from_json


@dataclass(frozen=True, slots=True)
class Held:
    """One quarantined thing. ``raw`` is set only where it could be redacted, ``sha256`` only where not."""

    id: UUID
    received_at: datetime
    channel: str
    source: str | None
    mailbox: str
    reason: str
    detail: str
    size: int
    raw: bytes | None
    sha256: bytes | None
    salvage: Contact | None
    sender: str | None = None  # whose it is, where there is no salvage that says so: erasure looks for it


async def keep(tx: Tx, held: Sequence[Held]) -> None:
    rows = [
        {
            "id": each.id,
            "received_at": each.received_at,
            "channel": each.channel,
            "source": each.source,
            "mailbox": each.mailbox,
            "sender": each.salvage.customer.email if each.salvage else each.sender,
            "reason": each.reason,
            "detail": each.detail,
            "size": each.size,
            "raw": each.raw,
            "sha256": each.sha256,
            "salvage": each.salvage.model_dump(mode="json") if each.salvage else None,
            "state": "open",
        }
        for each in held
    ]
    await bulk.insert_new(tx, tables.quarantine, rows)


async def listing(tx: Tx, state: str | None, before: tuple[datetime, UUID] | None, limit: int) -> Sequence[Row[Any]]:
    at, last = before or (None, None)
    return await tx.rows(
        "SELECT * FROM quarantine WHERE (CAST(:state AS text) IS NULL OR state = :state) AND (CAST(:at AS timestamptz)"
        " IS NULL OR (received_at, id) < (:at, CAST(:last AS uuid))) ORDER BY received_at DESC, id DESC LIMIT :limit",
        state=state,
        at=at,
        last=last,
        limit=limit,
    )


async def one(tx: Tx, held_id: UUID, lock: bool = False) -> Row[Any] | None:
    return await tx.one(f"SELECT * FROM quarantine WHERE id = :id{' FOR UPDATE' if lock else ''}", id=held_id)


def salvage(row: Row[Any]) -> Contact | None:
    return None if row.salvage is None else Contact.model_validate(from_json(row.salvage))


async def settle(
    tx: Tx, held_id: UUID, state: str, by: str, why: str | None, contact_id: UUID | None, now: datetime
) -> None:
    """Released or dropped: its content goes, what happened to it stays."""
    await tx.run(
        "UPDATE quarantine SET state = :state, settled_at = :now, settled_by = :by, settled_why = :why,"
        " contact_id = :contact_id, raw = NULL, salvage = NULL, sender = NULL WHERE id = :id",
        state=state,
        now=now,
        by=by,
        why=why,
        contact_id=contact_id,
        id=held_id,
    )
