"""Calendars that layers of schedules read: their last good copies, and which of them are due."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from services.notify.model.rota import Calendar, CalendarEvent
from shared.db import Tx, from_json, to_json

KEPT_FOR = timedelta(days=400)  # events that are over: reports of the past read them


@dataclass(frozen=True, slots=True)
class Due:
    """A calendar that is to be fetched or read again, with what is known of it."""

    source: str
    url: str | None
    body: str | None
    etag: str | None
    modified: str | None
    read_at: datetime | None = None


async def calendars(tx: Tx, sources: Collection[str]) -> dict[str, Calendar]:
    """Those of the sources that are known."""
    rows = await tx.rows(
        "SELECT source, events, fetched_at, failing_since, error FROM calendar"
        " WHERE source = ANY(CAST(:sources AS text[])) ORDER BY source",
        sources=sorted(sources),
    )
    return {
        row.source: Calendar(row.source, read(from_json(row.events)), row.fetched_at, row.failing_since, row.error)
        for row in rows
    }


def read(events: Sequence[Any]) -> tuple[CalendarEvent, ...]:
    """Events as ``written`` wrote them."""
    return tuple(
        CalendarEvent(datetime.fromisoformat(start), datetime.fromisoformat(end), summary, tuple(attendees))
        for start, end, summary, attendees in events
    )


def written(events: Sequence[CalendarEvent]) -> list[Any]:
    return [[e.start.isoformat(), e.end.isoformat(), e.summary, list(e.attendees)] for e in events]


def onward(before: Sequence[CalendarEvent], after: Sequence[CalendarEvent], now: datetime) -> list[CalendarEvent]:
    """What has been stays as it was read then; what lies ahead is as it is read now. Floating times count as UTC."""
    if not before:
        return list(after)
    past = [replace(e, end=min(_like(e, now), e.end)) for e in before if e.end > _like(e, now - KEPT_FOR)]
    ahead = [replace(e, start=max(_like(e, now), e.start)) for e in after]
    begun = {(e.start, e.summary, e.attendees): e for e in ahead if e.start == _like(e, now) < e.end}
    found = [e for e in ahead if e.start < e.end and e not in begun.values()]
    for event in past:
        goes_on = begun.pop((event.end, event.summary, event.attendees), None)
        found += [replace(event, end=goes_on.end) if goes_on else event] if event.start < event.end else []
    return sorted([*found, *begun.values()], key=lambda e: (e.start.isoformat(), e.end.isoformat(), e.summary))


def _like(event: CalendarEvent, now: datetime) -> datetime:
    return now if event.start.tzinfo is not None else now.astimezone(UTC).replace(tzinfo=None)


async def events_of(tx: Tx, source: str) -> tuple[CalendarEvent, ...]:
    found = await tx.scalar("SELECT events FROM calendar WHERE source = :source", source=source)
    return read(from_json(found)) if found is not None else ()


async def expect(tx: Tx, urls: Sequence[str], now: datetime) -> None:
    """Make room for calendars that are to be fetched."""
    await tx.run(
        "INSERT INTO calendar (source, url, events, next_at) SELECT url, url, '[]', :now"
        " FROM unnest(CAST(:urls AS text[])) AS u (url) ORDER BY url ON CONFLICT DO NOTHING",
        urls=sorted(set(urls)),
        now=now,
    )


async def take_due(
    tx: Tx, sources: Sequence[str], now: datetime, until: datetime, read_before: datetime, limit: int
) -> list[Due]:
    """Those of the sources that are due, ours until ``until``: to be fetched, or read long ago."""
    rows = await tx.rows(
        "WITH due AS (SELECT source FROM calendar WHERE source = ANY(CAST(:sources AS text[])) AND next_at <= :now"
        " AND (url IS NOT NULL OR read_at < :read_before) ORDER BY next_at, source LIMIT :limit FOR UPDATE SKIP LOCKED)"
        " UPDATE calendar c SET next_at = :until FROM due WHERE c.source = due.source"
        " RETURNING c.source, c.url, c.body, c.etag, c.modified, c.read_at",
        sources=list(sources),
        now=now,
        until=until,
        read_before=read_before,
        limit=limit,
    )
    return sorted(
        (Due(r.source, r.url, r.body, r.etag, r.modified, r.read_at) for r in rows), key=lambda due: due.source
    )


async def keep(
    tx: Tx,
    due: Due,
    events: Sequence[CalendarEvent],
    now: datetime,
    next_at: datetime,
) -> bool:
    """Keep a good copy. True where its events are others than before, so that the configuration has moved."""
    before = await events_of(tx, due.source)
    after = onward(before, events, now)
    await tx.run(
        "INSERT INTO calendar (source, url, body, etag, modified, events, read_at, fetched_at, next_at)"
        " VALUES (:source, :url, :body, :etag, :modified, CAST(:events AS jsonb), :now, :now, :next_at)"
        " ON CONFLICT (source) DO UPDATE SET body = excluded.body, etag = excluded.etag, modified = excluded.modified,"
        " events = excluded.events, read_at = excluded.read_at, fetched_at = excluded.fetched_at,"
        " next_at = excluded.next_at, failing_since = NULL, error = NULL",
        source=due.source,
        url=due.url,
        body=due.body,
        etag=due.etag,
        modified=due.modified,
        events=to_json(written(after)),
        now=now,
        next_at=next_at,
    )
    return written(after) != written(before)


async def unchanged(tx: Tx, source: str, now: datetime, next_at: datetime) -> None:
    """The copy that we have is still the good one."""
    await tx.run(
        "UPDATE calendar SET fetched_at = :now, next_at = :next_at, failing_since = NULL, error = NULL"
        " WHERE source = :source",
        source=source,
        now=now,
        next_at=next_at,
    )


async def failed(tx: Tx, source: str, error: str, now: datetime, next_at: datetime) -> None:
    """The last good copy stays."""
    await tx.run(
        "UPDATE calendar SET error = :error, failing_since = coalesce(failing_since, :now), next_at = :next_at"
        " WHERE source = :source",
        source=source,
        error=error,
        now=now,
        next_at=next_at,
    )
