"""Write any number of rows of one table in one statement."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB

from shared.db import Tx


async def upsert(tx: Tx, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert whole rows, or overwrite those with the same primary key. Values of JSONB columns are JSON texts."""
    if rows:
        await tx.run(_statement(table), **{f"p_{c.name}": [row[c.name] for row in rows] for c in table.columns})


@lru_cache(maxsize=16)
def _statement(table: Table) -> str:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    names = [column.name for column in table.columns]
    keys = [column.name for column in table.primary_key.columns]
    arrays, values = [], []
    for column in table.columns:
        json = isinstance(column.type, JSONB)
        kind = "text" if json else column.type.compile(dialect)
        arrays.append(f"CAST(:p_{column.name} AS {kind}[])")
        values.append(f"CAST({column.name} AS jsonb)" if json else column.name)
    updates = ", ".join(f"{name} = excluded.{name}" for name in names if name not in keys)
    return (
        f"INSERT INTO {table.name} ({', '.join(names)}) SELECT {', '.join(values)}"
        f" FROM unnest({', '.join(arrays)}) AS n ({', '.join(names)}) ORDER BY {', '.join(keys)}"
        f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {updates}"
    )
