"""What is in the database, counted: for tests that must see that nothing was half written, or take something away."""

import asyncio
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

OURS = ("intake", "routing", "sla", "notify", "log", "auth")
RESTLESS = ("lease", "progress", "replica", "replan")  # change by themselves, or a second after an edit


def counts(url: str) -> dict[str, int]:
    """How many rows each table has, by ``schema.table``."""
    names = (
        f"SELECT table_schema || '.' || table_name FROM information_schema.tables WHERE table_schema IN {OURS}"
        f" AND table_name NOT IN {RESTLESS} AND table_type = 'BASE TABLE' ORDER BY 1"
    )
    tables = [row[0] for row in run(url, names)[0]]
    found = run(url, *(f"SELECT count(*) FROM {table}" for table in tables))
    return {table: rows[0][0] for table, rows in zip(tables, found, strict=True)}


def run(url: str, *statements: str) -> list[list[Any]]:
    """Run statements in one transaction; the rows of each."""

    async def work() -> list[list[Any]]:
        engine = create_async_engine(url)
        try:
            async with engine.begin() as connection:
                results = [await connection.execute(text(each)) for each in statements]
                return [list(result.fetchall()) if result.returns_rows else [] for result in results]
        finally:
            await engine.dispose()

    return asyncio.run(work())
