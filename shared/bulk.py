"""Write any number of rows of one table in one statement: arrays in, rows out of ``unnest``."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB

from shared.db import Tx, to_json


async def upsert(tx: Tx, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows, in order, or overwrite the given columns of those with the same primary key.

    All rows have the same columns. Values of ``jsonb`` columns are anything that JSON can say.
    """
    await _write(tx, table, rows, True)


async def insert_new(tx: Tx, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert those of the rows whose primary key is not there."""
    await _write(tx, table, rows, False)


async def _write(tx: Tx, table: Table, rows: Sequence[Mapping[str, Any]], overwrite: bool) -> None:
    if not rows:
        return
    columns = tuple(rows[0])
    values: dict[str, list[Any]] = {}
    for name in columns:
        found = [row[name] for row in rows]
        json = isinstance(table.c[name].type, JSONB)
        values[f"p_{name}"] = [None if each is None else to_json(each) for each in found] if json else found
    await tx.run(_statement(table, columns, overwrite), **values)


@lru_cache(maxsize=256)
def _statement(table: Table, columns: tuple[str, ...], overwrite: bool) -> str:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    arrays, selected = [], []
    for name in columns:
        json = isinstance(table.c[name].type, JSONB)
        kind = "text" if json else table.c[name].type.compile(dialect)
        arrays.append(f"CAST(:p_{name} AS {kind}[])")
        selected.append(f'CAST("{name}" AS jsonb)' if json else f'"{name}"')
    listed = ", ".join(f'"{name}"' for name in columns)
    keys = [column.name for column in table.primary_key.columns]
    updates = ", ".join(f'"{name}" = excluded."{name}"' for name in columns if name not in keys)
    return (
        f"INSERT INTO {table.name} ({listed}) SELECT {', '.join(selected)}"
        f" FROM unnest({', '.join(arrays)}) WITH ORDINALITY AS n ({listed}, nth_) ORDER BY nth_"
        f" ON CONFLICT ({', '.join(keys)}) DO {f'UPDATE SET {updates}' if overwrite and updates else 'NOTHING'}"
    )
