"""What admins configured, now and at any time before; and the objects of a first start."""

from datetime import datetime

from services.sla.calendar import LIBRARIES
from services.sla.decide import policies
from services.sla.decide.policies import ALWAYS_NAME, Stored
from services.sla.model import Configuration
from services.sla.model.spec import ALWAYS, DEFAULT_POLICY
from services.sla.store import compliance
from shared import resources
from shared.db import Tx, from_json
from shared.resources import Snapshot

CALENDAR, POLICY = "calendar", "policy"
DEFAULT_NAME = "default"
FIRST_BY = "first start"


async def build(tx: Tx, snapshot: Snapshot) -> Configuration:
    """Every version that there ever was: clocks are judged by what was in force at the time."""
    rows = await tx.rows(
        "SELECT kind, name, version, body, updated_at FROM resource_version WHERE kind IN ('calendar', 'policy')"
        " ORDER BY updated_at, kind, name, version"
    )
    return policies.configuration(
        snapshot.version,
        [
            Stored(row.updated_at, row.kind, row.name, row.version, from_json(row.body) if row.body else None)
            for row in rows
        ],
    )


async def first_start(tx: Tx, now: datetime) -> None:
    """Make calendar ``24x7`` and the last policy where nothing was ever configured; idempotent.

    Where this program counts with other time zone or holiday data than the one before it, the configuration moves,
    so that open clocks are planned again.
    """
    version = await resources.version(tx, "FOR UPDATE")
    if version == 0:
        await resources.touch(tx)  # the row that a second replica waits for
    if not await tx.scalar("SELECT count(*) FROM resource_version"):
        always = ALWAYS.model_dump(mode="json", by_alias=True, exclude_unset=True)
        last = DEFAULT_POLICY.model_dump(mode="json", by_alias=True, exclude_unset=True)
        await resources.put(tx, CALENDAR, ALWAYS_NAME, always, FIRST_BY, now)
        await resources.put(tx, POLICY, DEFAULT_NAME, last, FIRST_BY, now)
    await compliance.let_read(tx)
    before = await tx.scalar("SELECT versions FROM libraries WHERE one")
    if before != LIBRARIES:
        await tx.run(
            "INSERT INTO libraries (one, versions) VALUES (true, :versions)"
            " ON CONFLICT (one) DO UPDATE SET versions = excluded.versions",
            versions=LIBRARIES,
        )
        await resources.touch(tx)
