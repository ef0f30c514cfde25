"""Transactions that begin at the driver: a connection that broke, or cannot begin, is nobody's any more."""

import asyncio

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError

from shared.db import Database, is_transient


async def _terminated(database_url: str, pid: int) -> None:
    other = await asyncpg.connect(database_url.replace("postgresql+asyncpg://", "postgresql://"))
    await other.execute("SELECT pg_terminate_backend($1)", pid)
    await other.close()
    await asyncio.sleep(0.2)


@pytest.mark.parametrize("how", ["transaction", "reading"])
async def test_a_connection_that_was_ended_fails_one_use_and_no_other(database_url: str, how: str) -> None:
    """Nothing is rolled back after a reading, so nobody else would notice: a ticker asked a dead one for ever."""
    db = Database(database_url, "public", pool_size=1)
    use = db.transaction if how == "transaction" else db.reading
    async with use() as tx:
        [(pid,)] = await tx.records("SELECT pg_backend_pid()")
    await _terminated(database_url, pid)
    with pytest.raises(DBAPIError) as away:
        async with use() as tx:
            await tx.records("SELECT 1")
    assert is_transient(away.value)
    async with use() as tx:
        assert [tuple(row) for row in await tx.records("SELECT 1")] == [(1,)]
    await db.close()


async def test_what_another_left_open_is_never_committed_for_us(database_url: str) -> None:
    """A BEGIN that was cut off may have been heard: whoever gets that connection must not go on in it."""
    db = Database(database_url, "public", pool_size=1)
    async with db.transaction() as tx:
        await tx.send("CREATE TABLE IF NOT EXISTS kept (n int)")
    async with db.engine.connect() as connection:
        raw = await connection.get_raw_connection()
        driver = raw.driver_connection
        assert driver is not None
        await driver.execute("BEGIN")
    with pytest.raises(DBAPIError):
        async with db.transaction() as tx:
            await tx.send("INSERT INTO kept VALUES (1)")
    async with db.transaction() as tx:
        await tx.send("INSERT INTO kept VALUES (2)")
    other = Database(database_url, "public", pool_size=1)
    async with other.transaction() as tx:
        assert await tx.records("SELECT n FROM kept ORDER BY n") == [(2,)]
        await tx.send("DROP TABLE kept")
    await other.close()
    await db.close()


async def test_a_statement_that_was_cancelled_leaves_nothing_behind(database_url: str) -> None:
    db = Database(database_url, "public", pool_size=1)
    async with db.transaction() as tx:
        await tx.send("CREATE TABLE IF NOT EXISTS cut (n int)")

    async def slow() -> None:
        async with db.transaction() as tx:
            await tx.send("INSERT INTO cut VALUES (1)")
            await tx.send("SELECT pg_sleep(30)")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await slow()
    async with db.transaction() as tx:
        assert await tx.records("SELECT n FROM cut") == []
        await tx.send("DROP TABLE cut")
    await db.close()
