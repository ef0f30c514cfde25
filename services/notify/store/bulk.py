"""Write any number of rows of one table in one statement."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

from shared.db import Tx, to_json


async def upsert(tx: Tx, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows, or overwrite those with the same primary key. Keys of a row are the table's columns."""
    if rows:
        await tx.run(_statement(table, True), rows=to_json([_written(row) for row in rows]))


async def insert_new(tx: Tx, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert those of the rows that are not there."""
    if rows:
        await tx.run(_statement(table, False), rows=to_json([_written(row) for row in rows]))


def _written(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _text(value) for name, value in row.items()}


def _text(value: Any) -> Any:
    """Ids as text: those that the driver reads are of a class of its own, which JSON does not know."""
    if isinstance(value, UUID):
        return str(value)
    return [_text(each) for each in value] if isinstance(value, tuple) else value


@lru_cache(maxsize=64)
def _statement(table: Table, overwrite: bool) -> str:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    columns = [f'"{column.name}"' for column in table.columns]
    types = ", ".join(f'"{column.name}" {column.type.compile(dialect)}' for column in table.columns)
    keys = [f'"{column.name}"' for column in table.primary_key.columns]
    updates = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in keys)
    return (
        f"INSERT INTO {table.name} ({', '.join(columns)}) SELECT {', '.join(columns)}"
        f" FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS n ({types}) ORDER BY {', '.join(keys)}"
        f" ON CONFLICT ({', '.join(keys)}) DO {f'UPDATE SET {updates}' if overwrite and updates else 'NOTHING'}"
    )
