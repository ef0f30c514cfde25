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
from shared.announcing import Announcer, Said
from shared.contracts import clocks as events
from shared.contracts import duration
from shared.contracts.decision import Fired
from shared.contracts.envelope import Encoded
from shared.db import to_json_bytes


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
    configured: int


_COLUMNS = (
    *("id", "case_id", "metric", "instance", "state", "started_at", "due_at", "team", "policy", "policy_version"),
    *("within", "calendar", "zone", "history", "version"),
)
_ASKED = (
    f"SELECT {', '.join(f'c.{name}' for name in _COLUMNS)},"
    " CASE WHEN c.warned_at IS NOT NULL THEN c.warned_share END, c.overdue,"
    " CAST(c.levels AS text), CAST(c.overdue_at AS text), c.because->>'text', CAST(c.because->'facts' AS text),"
    " CAST(f.words AS text), v.version AS configured"
    " FROM clock c JOIN case_facts f ON f.case_id = c.case_id"
    " CROSS JOIN configuration v LEFT JOIN replan r ON r.version = v.version"
    " WHERE c.id = t.subject AND c.version = t.version AND v.one AND f.words IS NOT NULL"
    # An edit that waits to be planned for the case goes first.
    " AND (f.planned_with >= v.version OR r.finished_at IS NOT NULL OR c.calendar <> ALL (r.calendars))"
)
_KINDS: dict[type[events.ClockEvent], str] = {
    events.ClockBreached: "breached",
    events.ClockWarned: "warned",
    events.ClockOverdue: "overdue",
}


def _only(kind: str, **columns: str) -> str:
    """What one kind of announcement changes."""
    return ", ".join(
        f"{name} = CASE n.kind WHEN '{kind}' THEN {value} ELSE c.{name} END" for name, value in columns.items()
    )


_UPDATE = (
    "UPDATE clock c SET version = c.version + 1, announced = true, "
    + _only(
        "breached",
        state="'breached'",
        breached_at="c.due_at",
        breach_announced_at="c.due_at",
        breach_fired_at=":now",
        because="jsonb_set(c.because, '{text}', to_jsonb(n.said))",
    )
    + ", "
    + _only("warned", warned_at="n.at", warned_share="n.share", warned_fired_at=":now")
    + ", "
    + _only("overdue", overdue="n.share", overdue_share="n.share", overdue_fired_at=":now")
    + " FROM taken n JOIN configuration v ON v.version = n.configured"
    " WHERE c.id = n.subject AND c.version = n.version AND v.one"
)


def _say(fired: Fired, columns: Sequence[Any], now: datetime) -> Said | None:
    row = _Row(*columns)
    told = announcement(_due(row), now)
    if told is None or not told.known(fired):
        return None
    carried = (_KINDS[told.kind], told.at, told.share, told.said, row.configured)
    return Said(_event(row, told, fired.lagging, now), told.following, carried)


announcer = Announcer(
    _ASKED,
    _say,
    {"kind": "text", "at": "timestamptz", "share": "float8", "said": "text", "configured": "bigint"},
    _UPDATE,
)


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
