"""Timers that came due, many at once: a few columns of each clock in, its event as JSON out.

Says and changes what ``decide`` would of the whole case; a test holds the two together. What is not plain (an edit
still to be planned, a clock that moved on) is left to it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from orjson import Fragment, loads

from services.sla.decide.firing import Announcement, Due, announcement, because
from services.sla.store import rows
from shared.batch import Announced
from shared.contracts import clocks as events
from shared.contracts import duration
from shared.contracts.decision import Fired, SetTimer
from shared.contracts.envelope import Encoded
from shared.db import Tx, to_json_bytes
from shared.pace import gently


class _Row(NamedTuple):
    id: UUID
    case_id: UUID
    metric: str
    instance: int
    state: str
    started_at: datetime
    due_at: datetime | None
    team: str | None
    policy: str | None
    policy_version: int | None
    within: Any
    calendar: str
    zone: str
    history: bool
    version: int
    warned: float | None
    overdue: float | None
    levels: str
    overdue_at: str
    said: str
    facts: str
    words: str


_COLUMNS = (
    *("id", "case_id", "metric", "instance", "state", "started_at", "due_at", "team", "policy", "policy_version"),
    *("within", "calendar", "zone", "history", "version"),
)
_FOUND = (
    "WITH v AS MATERIALIZED (SELECT version FROM configuration WHERE one FOR SHARE)"
    f" SELECT {', '.join(f'c.{name}' for name in _COLUMNS)},"
    " CASE WHEN c.warned_at IS NOT NULL THEN c.warned_share END, c.overdue,"
    " CAST(c.levels AS text), CAST(c.overdue_at AS text), c.because->>'text', CAST(c.because->'facts' AS text),"
    " CAST(f.words AS text)"
    " FROM v CROSS JOIN clock c JOIN case_facts f ON f.case_id = c.case_id LEFT JOIN replan r ON r.version = v.version"
    " WHERE c.id = ANY(CAST(:clocks AS uuid[])) AND f.words IS NOT NULL"
    # An edit that waits to be planned for the case goes first.
    " AND (f.planned_with >= v.version OR r.finished_at IS NOT NULL OR c.calendar <> ALL (r.calendars))"
)
_TOLD = "version = c.version + 1, announced = true"
_BREACHED = (
    "UPDATE clock c SET state = 'breached', breached_at = c.due_at, breach_announced_at = c.due_at,"
    f" breach_fired_at = :now, because = jsonb_set(c.because, '{{text}}', to_jsonb(n.said)), {_TOLD}"
    " FROM unnest(CAST(:ids AS uuid[]), CAST(:said AS text[])) AS n (id, said) WHERE c.id = n.id"
)
_WARNED = (
    f"UPDATE clock c SET warned_at = n.at, warned_share = n.share, warned_fired_at = :now, {_TOLD} FROM"
    " unnest(CAST(:ids AS uuid[]), CAST(:at AS timestamptz[]), CAST(:shares AS float8[])) AS n (id, at, share)"
    " WHERE c.id = n.id"
)
_OVERDUE = (
    f"UPDATE clock c SET overdue = n.over, overdue_share = n.over, overdue_fired_at = :now, {_TOLD} FROM"
    " unnest(CAST(:ids AS uuid[]), CAST(:over AS float8[])) AS n (id, over) WHERE c.id = n.id"
)


async def announce(tx: Tx, fired: Sequence[Fired], now: datetime) -> Announced:
    """Write and give what the timers have to say. Their cases are locked."""
    found = {row[0]: _Row(*row) for row in await tx.records(_FOUND, clocks=[each.subject for each in fired])}
    made = Announced()
    told: list[tuple[_Row, Announcement]] = []
    async for each in gently(fired):
        row = found.get(each.subject)
        said = announcement(_due(row), now) if row is not None and row.version == each.version else None
        if row is None or said is None:
            made.rest.append(each)
            continue
        told.append((row, said))
        made.events.append(_event(row, said, each.lagging, now))
        if said.following is not None:
            made.timers.append((row.case_id, SetTimer(row.id, *said.following, row.version + 1)))
    await _save(tx, told, now)
    return made


def _due(row: _Row) -> Due:
    levels = () if row.levels == "[]" else rows.levels(row.levels)
    overdue_at = () if row.overdue_at == "[]" else loads(row.overdue_at)
    return Due(row.metric, row.state, row.due_at, levels, row.warned, row.overdue, row.within, overdue_at, row.said)


def _event(row: _Row, told: Announcement, lagging: bool, now: datetime) -> Encoded:
    fields = {
        "case_id": str(row.case_id),
        "occurred_at": told.at,
        "clock_id": str(row.id),
        "metric": row.metric,
        "instance": row.instance,
        "version": row.version + 1,
        "started_at": row.started_at,
        "due_at": row.due_at,
        "team": row.team,
        "policy": row.policy,
        "policy_version": row.policy_version,
        "within": duration.text(row.within),
        "calendar": row.calendar,
        "time_zone": row.zone,
        "history": row.history,
        "because": because(told, loads(row.facts), lagging, now),
        **told.more,
        "fired_at": now,
        "lagging": lagging,
        "summary": Fragment(row.words),
    }
    return Encoded(told.kind.TYPE, row.case_id, told.at, to_json_bytes(fields))


async def _save(tx: Tx, told: Sequence[tuple[_Row, Announcement]], now: datetime) -> None:
    """At most three statements."""
    breached = [(row.id, each.said) for row, each in told if each.kind is events.ClockBreached]
    warned = [(row.id, each.at, each.share) for row, each in told if each.kind is events.ClockWarned]
    overdue = [(row.id, each.share) for row, each in told if each.kind is events.ClockOverdue]
    if breached:
        ids, said = zip(*breached, strict=True)
        await tx.send(_BREACHED, ids=ids, said=said, now=now)
    if warned:
        ids, at, shares = zip(*warned, strict=True)
        await tx.send(_WARNED, ids=ids, at=at, shares=shares, now=now)
    if overdue:
        ids, over = zip(*overdue, strict=True)
        await tx.send(_OVERDUE, ids=ids, over=over, now=now)
