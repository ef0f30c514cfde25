"""Silences: kept for good, with what each held or suppressed. Newest first, a total order everywhere."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from services.notify.model import Silence
from services.notify.store.reads import After
from shared.db import Tx, to_json

_SILENCE = (
    "SELECT s.*, (SELECT count(*) FROM delivery d WHERE d.muted_by = s.id) AS holds,"
    " (SELECT count(*) FROM delivery d WHERE d.silenced_by = s.id) AS held,"
    " (SELECT count(*) FROM delivery d WHERE d.silenced_by = s.id AND d.state = 'suppressed') AS suppressed"
    " FROM silence s"
)


async def listing(tx: Tx, after: After | None, limit: int) -> Sequence[Row[Any]]:
    """With how many messages each holds, ever held, and suppressed."""
    return await tx.rows(
        f"{_SILENCE} WHERE (CAST(:at AS timestamptz) IS NULL OR (s.created_at, s.id) < (:at, CAST(:id AS uuid)))"
        " ORDER BY s.created_at DESC, s.id DESC LIMIT :limit",
        at=after[0] if after else None,
        id=after[1] if after else None,
        limit=limit,
    )


async def one(tx: Tx, silence_id: UUID) -> Row[Any] | None:
    return await tx.one(f"{_SILENCE} WHERE s.id = :id", id=silence_id)


async def kept_back(tx: Tx, silence_id: UUID, limit: int) -> list[UUID]:
    """The messages that it held or suppressed."""
    rows = await tx.rows(
        "SELECT id FROM delivery WHERE silenced_by = :id ORDER BY created_at DESC, id DESC LIMIT :limit",
        id=silence_id,
        limit=limit,
    )
    return [row.id for row in rows]


async def add(tx: Tx, silence: Silence, now: datetime) -> None:
    await tx.run(
        "INSERT INTO silence (id, team, case_id, destination, person, metric, tag, effect, reason, author, start,"
        ' "end", during, created_at)'
        " VALUES (:id, :team, :case_id, :destination, :person, :metric, :tag, :effect, :reason, :author,"
        " :start, :end, CAST(:during AS jsonb), :now)",
        **{each.name: getattr(silence, each.name) for each in fields(silence) if each.name != "during"},
        during=to_json(silence.during) if silence.during is not None else None,
        now=now,
    )


async def end(tx: Tx, silence_id: UUID, now: datetime) -> bool:
    """It stays on record, and ends now. False where there is none."""
    return bool(await tx.run('UPDATE silence SET "end" = least("end", :now) WHERE id = :id', id=silence_id, now=now))


async def muted_cases(tx: Tx, silence_id: UUID, now: datetime, limit: int) -> list[UUID]:
    """Cases with messages that still wait for a silence."""
    rows = await tx.rows(
        "SELECT DISTINCT case_id FROM delivery WHERE muted_by = :id AND state = 'held' AND next_at > :now"
        " ORDER BY case_id LIMIT :limit",
        id=silence_id,
        now=now,
        limit=limit,
    )
    return [row.case_id for row in rows]
