"""Overrides and swaps of schedules, what schedules said in the past, and the calendar feeds that are out."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from services.notify.model import rota
from shared import resources
from shared.db import Tx, from_json

MAX_OVERRIDES = 1_000  # of one schedule, under way or to come
MAX_FEEDS = 10_000


async def overrides(tx: Tx) -> dict[str, list[rota.Override]]:
    """Of every schedule, in the order in which they count."""
    rows = await tx.rows('SELECT schedule, person, start, "end" FROM override ORDER BY schedule, created_at, id')
    found: dict[str, list[rota.Override]] = {}
    for row in rows:
        found.setdefault(row.schedule, []).append(rota.Override(row.person, row.start, row.end))
    return found


async def overrides_of(tx: Tx, name: str) -> Sequence[Row[Any]]:
    """The rows of one schedule's overrides, in the order in which they count."""
    return await tx.rows("SELECT * FROM override WHERE schedule = :schedule ORDER BY created_at, id", schedule=name)


async def add_overrides(
    tx: Tx,
    name: str,
    made: Sequence[tuple[UUID, rota.Override]],
    by: str,
    now: datetime,
    swap: UUID | None = None,
) -> bool:
    """False where the schedule has as many as it may. The caller holds the configuration row."""
    ahead = await tx.scalar(
        'SELECT count(*) FROM override WHERE schedule = :schedule AND "end" > :now', schedule=name, now=now
    )
    if ahead + len(made) > MAX_OVERRIDES:
        return False
    await tx.run(
        'INSERT INTO override (id, schedule, person, start, "end", created_at, created_by, swap)'
        " SELECT id, :schedule, person, starts, ends, :now, :by, CAST(:swap AS uuid) FROM"
        " unnest(CAST(:ids AS uuid[]), CAST(:people AS text[]), CAST(:starts AS timestamptz[]),"
        " CAST(:ends AS timestamptz[])) AS made (id, person, starts, ends)",
        schedule=name,
        now=now,
        by=by,
        swap=swap,
        ids=[each for each, _ in made],
        people=[each.person for _, each in made],
        starts=[each.start for _, each in made],
        ends=[each.end for _, each in made],
    )
    await resources.touch(tx)
    return True


async def remove_overrides(
    tx: Tx, name: str, now: datetime, override_id: UUID | None = None, swap: UUID | None = None
) -> bool:
    """Take back one override, or both of a swap. One that is under way ends now: what has been stays."""
    which = {"schedule": name, "id": override_id, "swap": swap}
    where = "schedule = :schedule AND (id = CAST(:id AS uuid) OR swap = CAST(:swap AS uuid))"
    ended = await tx.run(
        f'UPDATE override SET "end" = :now WHERE {where} AND start < :now AND "end" > :now', now=now, **which
    )
    gone = await tx.run(f'DELETE FROM override WHERE {where} AND NOT (start < :now AND "end" = :now)', now=now, **which)
    if ended or gone:
        await resources.touch(tx)
    return bool(ended or gone)


async def versions(tx: Tx, kind: str, since: datetime, until: datetime) -> dict[str, list[tuple[datetime, Any]]]:
    """Every version of each resource of a kind that stood at some time in [since, until): from when, and its body.

    The first of all is given whether it stood then or not. None is the body of what was deleted.
    """
    rows = await tx.rows(
        "SELECT name, body, updated_at FROM (SELECT *, lead(updated_at) OVER of_one AS next_at,"
        " row_number() OVER of_one AS nth"
        " FROM resource_version WHERE kind = :kind WINDOW of_one AS (PARTITION BY name ORDER BY version)) v"
        " WHERE nth = 1 OR (updated_at < :until AND (next_at IS NULL OR next_at > :since)) ORDER BY name, version",
        kind=kind,
        since=since,
        until=until,
    )
    found: dict[str, list[tuple[datetime, Any]]] = {}
    for row in rows:
        body = from_json(row.body) if row.body is not None else None
        found.setdefault(row.name, []).append((row.updated_at, body))
    return found


async def add_feed(tx: Tx, feed_id: UUID, kind: str, name: str, by: str, now: datetime) -> bool:
    """False where there are as many as there may be."""
    if await tx.scalar("SELECT count(*) FROM feed") >= MAX_FEEDS:
        return False
    await tx.run(
        "INSERT INTO feed (id, kind, name, created_at, created_by) VALUES (:id, :kind, :name, :now, :by)",
        id=feed_id,
        kind=kind,
        name=name,
        now=now,
        by=by,
    )
    return True


async def feed(tx: Tx, feed_id: UUID) -> Row[Any] | None:
    return await tx.one("SELECT * FROM feed WHERE id = :id", id=feed_id)


async def feeds(tx: Tx, after: tuple[datetime, UUID] | None, limit: int) -> Sequence[Row[Any]]:
    return await tx.rows(
        "SELECT * FROM feed WHERE CAST(:at AS timestamptz) IS NULL OR (created_at, id) < (:at, CAST(:id AS uuid))"
        " ORDER BY created_at DESC, id DESC LIMIT :limit",
        at=after[0] if after else None,
        id=after[1] if after else None,
        limit=limit,
    )


async def remove_feed(tx: Tx, feed_id: UUID) -> bool:
    return bool(await tx.run("DELETE FROM feed WHERE id = :id", id=feed_id))
