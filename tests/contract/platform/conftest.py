from collections.abc import Iterator

import pytest

from shared.db import Database
from shared.embedded import EmbeddedPostgres


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    postgres = EmbeddedPostgres(tmp_path_factory.mktemp("platform"))
    yield postgres.start()
    postgres.stop()


@pytest.fixture
async def database_url(embedded: str) -> str:
    """A Postgres with none of our schemas in it."""
    db = Database(embedded, "public")
    async with db.engine.begin() as connection:
        await connection.exec_driver_sql("DROP SCHEMA IF EXISTS toy, log CASCADE")
    await db.close()
    return embedded
