"""What the API, the ledger and the re-plan ask of the tables."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from services.sla import calendar
from services.sla.model import ENDED, Calendar, Clock
from services.sla.model.spec import CalendarSpec
from services.sla.store.rows import CLOCK, clock_of
from shared.contracts.words import ClockState
from shared.db import Tx, from_json
from shared.ledger import Entry


@dataclass(frozen=True, slots=True)
class Wanted:
    """A page of clocks: newest first, or, ``by_due``, those that run out first first."""

    state: ClockState | None = None
    due_before: datetime | None = None
    team: str | None = None
    by_due: bool = False
    after: tuple[datetime, UUID] | None = None  # the last one had already: when it started or is due, and its id
    limit: int = 50


async def listed(tx: Tx, wanted: Wanted) -> list[Clock]:
    """Up to ``limit + 1`` clocks: one more says that there is another page."""
    conditions, order = ["true"], "started_at DESC, id DESC"
    if wanted.by_due:
        conditions, order = ["ended_at IS NULL", "due_at IS NOT NULL"], "due_at, id"
    parameters: dict[str, Any] = {"limit": wanted.limit + 1}
    if wanted.state:
        conditions.append("state = :state")
        if wanted.state not in ENDED:
            conditions.append("ended_at IS NULL")
        parameters["state"] = wanted.state.value
    if wanted.due_before:
        conditions.append("due_at < :due_before")
        parameters["due_before"] = wanted.due_before
    if wanted.team:
        conditions.append("team = :team")
        parameters["team"] = wanted.team
    if wanted.after:
        place, beyond = ("due_at", ">") if wanted.by_due else ("started_at", "<")
        conditions.append(f"({place}, id) {beyond} (CAST(:at AS timestamptz), CAST(:id AS uuid))")
        parameters |= {"at": wanted.after[0], "id": wanted.after[1]}
    rows = await tx.records(
        f"SELECT {CLOCK} FROM clock WHERE {' AND '.join(conditions)} ORDER BY {order} LIMIT :limit", **parameters
    )
    return [clock_of(row) for row in rows]


async def clock(tx: Tx, clock_id: UUID) -> Clock | None:
    rows = await tx.records(f"SELECT {CLOCK} FROM clock WHERE id = :id", id=clock_id)
    return clock_of(rows[0]) if rows else None


async def knows(tx: Tx, case_id: UUID) -> bool:
    """Whether anything of the case has arrived."""
    return bool(await tx.scalar("SELECT count(*) FROM case_facts WHERE case_id = :id", id=case_id))


async def case_id(tx: Tx, number: str) -> UUID | None:
    """The case of a number such as ``C-4812``, once the contact that opened it has arrived."""
    found: UUID | None = await tx.scalar(
        "SELECT case_id FROM case_facts WHERE number = :number ORDER BY case_id LIMIT 1", number=number
    )
    return found


async def clocks_of(tx: Tx, case_id: UUID) -> list[Clock]:
    """All clocks of a case, newest first."""
    rows = await tx.records(
        f"SELECT {CLOCK} FROM clock WHERE case_id = :id ORDER BY started_at DESC, id DESC", id=case_id
    )
    return [clock_of(row) for row in rows]


async def calendar_version(tx: Tx, name: str, version: int) -> Calendar | None:
    """A calendar as it was in a version, with the changes by date up to it; versions are immutable."""
    rows = await tx.rows(
        "SELECT version, body FROM resource_version WHERE kind = 'calendar' AND name = :name AND version <= :version"
        " AND version > (SELECT coalesce(max(version), 0) FROM resource_version WHERE kind = 'calendar'"
        " AND name = :name AND version <= :version AND body IS NULL) ORDER BY version",
        name=name,
        version=version,
    )
    if not rows or rows[-1].version != version:
        return None
    return calendar.evolved(name, ((row.version, CalendarSpec.model_validate(from_json(row.body))) for row in rows))


@dataclass(frozen=True, slots=True)
class Written:
    """One version of a configured document; ``body`` is None where it was deleted."""

    version: int
    at: datetime
    by: str
    body: dict[str, Any] | None


async def versions(tx: Tx, kind: str, name: str, before: int, limit: int) -> list[Written]:
    """Versions below ``before``, newest first."""
    rows = await tx.rows(
        "SELECT version, updated_at, updated_by, body FROM resource_version"
        " WHERE kind = :kind AND name = :name AND version < :before ORDER BY version DESC LIMIT :limit",
        kind=kind,
        name=name,
        before=before,
        limit=limit,
    )
    return [Written(r.version, r.updated_at, r.updated_by, from_json(r.body) if r.body else None) for r in rows]


async def version(tx: Tx, kind: str, name: str, number: int) -> Written | None:
    found = await versions(tx, kind, name, number + 1, 1)
    return found[0] if found and found[0].version == number else None


async def ledger(tx: Tx) -> list[Entry]:
    """Every case that opened has its own clock, every clock ended or is open, and which ones notify hears of."""
    row = await tx.one(
        "SELECT (SELECT count(*) FROM case_facts WHERE opening IS NOT NULL) AS cases,"
        " (SELECT CAST(coalesce(sum(gone_announced), 0) AS bigint) FROM case_facts) AS gone,"
        " count(*) FILTER (WHERE metric = 'unassigned') AS unassigned, count(*) AS clocks,"
        " count(*) FILTER (WHERE state = 'met') AS met,"
        " count(*) FILTER (WHERE state IN ('cancelled', 'withdrawn')) AS dropped,"
        " count(*) FILTER (WHERE ended_at IS NULL) AS open,"
        " count(*) FILTER (WHERE announced) AS announced FROM clock"
    )
    if row is None:
        return []
    known, clocks = "cases: known to sla→unassigned clock", "clocks: started→ended"
    return [
        Entry("cases: intake→sla", "case", "done", row.cases),
        Entry(known, "case", "in", row.cases),
        Entry(known, "case", "done", row.unassigned),
        Entry(clocks, "clock", "in", row.clocks),
        Entry(clocks, "clock", "done", row.met),
        Entry(clocks, "clock", "suppressed", row.dropped),
        Entry(clocks, "clock", "open", row.open),
        Entry("clocks→pages", "clock", "in", row.announced + row.gone),
    ]
