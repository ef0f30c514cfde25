"""What is forgotten, and when: the inbox after the log, answers after their expiry. In small batches."""

from datetime import timedelta
from typing import Any

from shared.log import LogUnavailable
from shared.runtime import Runtime

BATCH = 5_000
EVERY_S = 600.0


class Retention:
    """The cleaning loop of one service."""

    def __init__(self, runtime: Runtime[Any]) -> None:
        self._runtime = runtime

    async def step(self) -> float:
        """Clean one batch of each; gives how long to sleep."""
        now, settings = self._runtime.clock.now(), self._runtime.settings
        async with self._runtime.db.transaction() as tx:
            forgotten = await tx.run(
                "WITH old AS (SELECT event_id FROM inbox WHERE claimed_at < :before ORDER BY claimed_at, event_id"
                " LIMIT :batch), gone AS (DELETE FROM inbox i USING old WHERE i.event_id = old.event_id"
                " RETURNING i.topic) INSERT INTO inbox_forgotten (topic, events)"
                " SELECT topic, count(*) FROM gone GROUP BY topic"
                " ON CONFLICT (topic) DO UPDATE SET events = inbox_forgotten.events + excluded.events",
                before=now - timedelta(days=settings.inbox_days),
                batch=BATCH,
            )
        async with self._runtime.db.transaction() as tx:
            expired = await tx.run(
                "DELETE FROM idempotency WHERE (principal, key) IN (SELECT principal, key FROM idempotency"
                " WHERE expires_at < :now ORDER BY expires_at, principal, key LIMIT :batch)",
                now=now,
                batch=BATCH,
            )
        try:
            trimmed = await self._runtime.log.trim(now - timedelta(days=settings.log_days))
        except LogUnavailable:
            trimmed = 0
        return 0.0 if max(expired, trimmed) >= BATCH or forgotten else EVERY_S
