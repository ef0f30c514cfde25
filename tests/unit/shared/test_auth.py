"""Keys: what is known of one is asked for once, whoever waits for it."""

import asyncio

from shared import points
from shared.auth import Keys
from shared.clock import SystemClock
from shared.db import Database
from shared.ids import Ids


async def test_requests_that_come_together_ask_for_their_key_once(database_url: str) -> None:
    clock, db = SystemClock(), Database(database_url, "auth", pool_size=2)
    keys = Keys(db, clock, Ids(clock))
    await keys.migrate()
    key = await keys.create("ana", ["admin"])
    asked: list[str] = []

    async def note(point: str) -> None:
        asked.append(point)

    with points.install(note):
        found = await asyncio.gather(*(keys.authenticate(f"Bearer {key}") for _ in range(50)))
    assert {each.name for each in found} == {"ana"}
    assert asked.count("db.begin") == 1
    await db.close()
