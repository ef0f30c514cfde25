"""Many rows in one statement: arrays in, rows out of ``unnest``."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

from shared.db import Tx, to_json

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


async def insert(tx: Tx, table: Table, rows: Sequence[Mapping[str, Any]], update: tuple[str, ...] = ()) -> None:
    """Insert rows that all have the same columns, in order; ``update`` names what to overwrite where the id exists."""
    if not rows:
        return
    columns = tuple(rows[0])
    jsonb = {name for name in columns if _type(table, name) == "JSONB"}
    await tx.run(
        _insert(table, columns, update),
        **{
            f"p_{name}": [to_json(row[name]) if name in jsonb and row[name] is not None else row[name] for row in rows]
            for name in columns
        },
    )


@cache
def _insert(table: Table, columns: tuple[str, ...], update: tuple[str, ...]) -> str:
    def array(name: str) -> str:
        kind = _type(table, name)
        return f"CAST(:p_{name} AS {'TEXT' if kind == 'JSONB' else kind}[])"

    def value(name: str) -> str:
        return f"CAST({name} AS JSONB)" if _type(table, name) == "JSONB" else name

    listed = ", ".join(columns)
    sql = (
        f"INSERT INTO {table.name} ({listed}) SELECT {', '.join(map(value, columns))}"
        f" FROM unnest({', '.join(map(array, columns))}) WITH ORDINALITY AS n ({listed}, place) ORDER BY place"
    )
    if update:
        sql += f" ON CONFLICT (id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in update)}"
    return sql


def _type(table: Table, column: str) -> str:
    return str(table.c[column].type.compile(dialect=_DIALECT))
