"""How many contacts came, by day and by what they have in common."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import Row

from shared.contracts.words import WATCHER
from shared.db import Tx

COLUMNS = {"reason": "reason", "channel": "channel", "source": "source"}


async def contacts(tx: Tx, since: datetime, until: datetime, zone: str, by: str, groups: int) -> Sequence[Row[Any]]:
    """Counts by day of the zone and by group, the biggest groups by name and the rest of them together.

    ``named`` is false for the rest. Mail that a machine wrote, and the watcher's own contacts, do not count. ``cases``:
    how many of them opened one.
    """
    column = COLUMNS[by]
    return await tx.rows(
        f"WITH found AS (SELECT CAST(timezone(:zone, occurred_at) AS date) AS day, {column} AS name, opened_case"
        " FROM contact WHERE occurred_at >= :since AND occurred_at < :until AND automated IS NULL"
        " AND source IS DISTINCT FROM :watcher),"
        " biggest AS (SELECT name FROM found GROUP BY name ORDER BY count(*) DESC, name NULLS LAST LIMIT :groups),"
        " grouped AS (SELECT day, f.opened_case, EXISTS (SELECT 1 FROM biggest b WHERE b.name IS NOT DISTINCT FROM"
        " f.name) AS named, f.name FROM found f)"
        " SELECT day, named, CASE WHEN named THEN name END AS name, count(*) AS contacts,"
        " count(*) FILTER (WHERE opened_case) AS cases FROM grouped GROUP BY 1, 2, 3"
        " ORDER BY day, named DESC, contacts DESC, name NULLS LAST",
        since=since,
        until=until,
        zone=zone,
        groups=groups,
        watcher=WATCHER,
    )


async def volumes(tx: Tx, first: date, last: date) -> Sequence[Row[Any]]:
    """The volumes of these days, both included, where they are known."""
    return await tx.rows(
        "SELECT day, active_customers, transactions FROM volume WHERE day >= :first AND day <= :last ORDER BY day",
        first=first,
        last=last,
    )
