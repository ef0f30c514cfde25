"""The toy service on a real Postgres and its log, at a time that a test moves."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from shared.clock import ManualClock
from shared.db import Database
from shared.log.postgres import PostgresLog
from shared.runtime import Runtime
from tests.contract.platform.toy import Toy, make_runtime

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
async def runtime(database_url: str, clock: ManualClock) -> AsyncIterator[Runtime[Toy]]:
    log = PostgresLog(Database(database_url, "log"), clock, 4, alone=True)
    await log.start()
    made = await make_runtime(database_url, log, clock, "toy", fire_grace_s=10)
    yield made
    await made.db.close()
    await log.stop()
