"""The first requests of a good key, all at once: none is taken for a stranger that tries keys."""

import asyncio
from datetime import UTC, datetime

from shared.auth import STRANGERS_A_S, Keys
from shared.clock import ManualClock
from shared.db import Database
from shared.ids import Ids


async def test_many_at_once_with_one_new_key_are_one_unknown_key(database_url: str) -> None:
    own, clock = Database(database_url, "auth", pool_size=2), ManualClock(datetime(2026, 11, 23, tzinfo=UTC))
    keys = Keys(own, clock, Ids(clock, seed=1))
    await keys.migrate()
    key = await keys.create("upstream", ["contacts:write"])
    many = int(STRANGERS_A_S) * 3
    found = await asyncio.gather(*(keys.authenticate(f"Bearer {key}") for _ in range(many)))
    assert {principal.name for principal in found} == {"upstream"}
    await own.close()
