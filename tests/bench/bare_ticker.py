"""The least that firing a timer on time can cost: select, update, insert, commit. Nothing is decided."""

import asyncio
import time
from datetime import datetime, timedelta

import asyncpg

FAR_AHEAD = timedelta(days=30)
SCHEMA = """
CREATE SCHEMA IF NOT EXISTS bare;
CREATE TABLE IF NOT EXISTS bare.timer (id bigserial PRIMARY KEY, due_at timestamptz NOT NULL, state text NOT NULL);
CREATE INDEX IF NOT EXISTS bare_due ON bare.timer (due_at) WHERE state = 'running';
CREATE TABLE IF NOT EXISTS bare.outbox (id bigint PRIMARY KEY, body bytea NOT NULL);
TRUNCATE bare.timer, bare.outbox;
"""
BODY = b"x" * 1_500


async def lateness(url: str, clocks: int, a_second: int, seconds: float) -> list[float]:
    """Fire so many a second out of so many; seconds from due to committed, by the database's own clock."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        await connection.execute(SCHEMA)
        start: datetime = await connection.fetchval("SELECT clock_timestamp()") + timedelta(seconds=2)
        await connection.execute(
            "INSERT INTO bare.timer (due_at, state) SELECT CAST($1 AS timestamptz) + n * interval '1 second', 'running'"
            " FROM generate_series(1, CAST($2 AS int)) n",
            start + FAR_AHEAD,
            clocks,
        )
        await connection.execute("VACUUM ANALYZE bare.timer")
        start = await connection.fetchval("SELECT clock_timestamp()") + timedelta(seconds=0.5)
        await connection.execute(
            "INSERT INTO bare.timer (due_at, state) SELECT CAST($1 AS timestamptz)"
            " + n * CAST($3 AS float8) * interval '1 second', 'running' FROM generate_series(1, CAST($2 AS int)) n",
            start,
            int(a_second * seconds),
            1 / a_second,
        )
        ahead = await connection.fetchval("SELECT clock_timestamp()")
        offset = ahead.timestamp() - time.monotonic()
        fired = 0
        while fired < int(a_second * seconds):
            now = datetime.fromtimestamp(time.monotonic() + offset, tz=start.tzinfo)
            async with connection.transaction():
                due = await connection.fetch(
                    "SELECT id FROM bare.timer WHERE state = 'running' AND due_at <= $1 ORDER BY due_at LIMIT 500", now
                )
                ids = [row["id"] for row in due]
                if ids:
                    await connection.execute("UPDATE bare.timer SET state = 'fired' WHERE id = ANY($1)", ids)
                    await connection.execute("INSERT INTO bare.outbox SELECT unnest($1::bigint[]), $2", ids, BODY)
            fired += len(ids)
            await asyncio.sleep(0.0005)
        rows = await connection.fetch(
            "SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin) - due_at) AS late FROM bare.timer"
            " WHERE state = 'fired'"
        )
        return [float(row["late"]) for row in rows]
    finally:
        await connection.close()
