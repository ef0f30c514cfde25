"""When a policy takes effect later than it was written: the configuration moves, and open clocks are planned again."""

from datetime import datetime

from services.sla.model import Case, Configuration
from shared import resources
from shared.db import Tx
from shared.resources import Configured
from shared.runtime import Runtime

LOOK_EVERY_S = 1.0


class TakingEffect:
    """The loop. Any replica may do it; the configuration's row makes it once."""

    def __init__(self, runtime: Runtime[Case], configuration: Configured[Configuration]) -> None:
        self._runtime, self._configuration = runtime, configuration

    async def step(self) -> float:
        """Move the configuration where a version has taken effect since; gives how long to sleep."""
        now = self._runtime.clock.now()
        async with self._runtime.db.transaction() as tx:
            delayed = (await self._configuration.read(tx)).delayed
            if not delayed or not await self._outstanding(tx, [at for at in delayed if at <= now]):
                return LOOK_EVERY_S
        async with self._runtime.db.transaction() as tx:
            await resources.version(tx, "FOR UPDATE")
            if await self._outstanding(tx, [at for at in delayed if at <= now]):
                await resources.touch(tx)
                await tx.run(
                    "INSERT INTO taken_effect (one, until) VALUES (true, :now)"
                    " ON CONFLICT (one) DO UPDATE SET until = greatest(taken_effect.until, excluded.until)",
                    now=now,
                )
        return 0.0

    async def _outstanding(self, tx: Tx, passed: list[datetime]) -> bool:
        until = await tx.scalar("SELECT until FROM taken_effect WHERE one")
        return any(until is None or at > until for at in passed)
