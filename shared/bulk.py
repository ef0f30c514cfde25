"""Write any number of rows of one table in one statement: arrays in, rows out of ``unnest``; new ones by ``COPY``."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB

from shared.db import Tx, to_json


async def upsert(tx: Tx, table: Table, rows: Sequence[Mapping[str, Any]], keep: tuple[str, ...] = ()) -> None:
    """Insert the rows, in order, or overwrite the given columns of those with the same primary key, but for ``keep``.

    All rows have the same columns. Values of ``jsonb`` columns are anything that JSON can say, or JSON as bytes.
    """
    await _write(tx, table, rows, True, keep)


async def insert_new(tx: Tx, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert those of the rows whose primary key is not there."""
    await _write(tx, table, rows, False)


async def update(tx: Tx, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Overwrite the given columns of the rows with these primary keys. Cheaper than ``upsert`` for a few columns."""
    if rows:
        await tx.send(_update(table, tuple(rows[0])), **_arrays(table, rows))


class Together:
    """Writes to several tables as one statement: on a busy machine the way there and back costs more than they do.

    They happen in no order, and none may write a row that another writes.
    """

    def __init__(self) -> None:
        self._statements: list[str] = []
        self._parameters: dict[str, list[Any]] = {}

    def upsert(self, table: Table, rows: Sequence[Mapping[str, Any]], keep: tuple[str, ...] = ()) -> None:
        if rows:
            self._add(_statement(table, tuple(rows[0]), True, keep), _arrays(table, rows))

    def insert_new(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        if rows:
            self._add(_statement(table, tuple(rows[0]), False, ()), _arrays(table, rows))

    def update(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        if rows:
            self._add(_update(table, tuple(rows[0])), _arrays(table, rows))

    async def send(self, tx: Tx) -> None:
        if self._statements:
            *others, last = self._statements
            first = ", ".join(f"w{nth} AS ({statement})" for nth, statement in enumerate(others))
            await tx.send(f"WITH {first} {last}" if first else last, **self._parameters)

    def _add(self, statement: str, arrays: Mapping[str, list[Any]]) -> None:
        own = f"p{len(self._statements)}_"
        self._statements.append(statement.replace(":p_", f":{own}"))
        self._parameters |= {own + name.removeprefix("p_"): values for name, values in arrays.items()}


async def append(tx: Tx, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows whose primary keys are new for certain, as fresh ids are."""
    if not rows:
        return
    columns = tuple(rows[0])
    json = _json_places(table, columns)
    values = [list(row.values()) for row in rows]
    for each in values:
        for place in json:
            if each[place] is not None:
                each[place] = to_json(each[place])
    await tx.copy(table.name, columns, values)


@lru_cache(maxsize=256)
def _json_places(table: Table, columns: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(place for place, name in enumerate(columns) if isinstance(table.c[name].type, JSONB))


async def _write(
    tx: Tx, table: Table, rows: Sequence[Mapping[str, Any]], overwrite: bool, keep: tuple[str, ...] = ()
) -> None:
    if rows:
        await tx.send(_statement(table, tuple(rows[0]), overwrite, keep), **_arrays(table, rows))


def _arrays(table: Table, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    values: dict[str, list[Any]] = {}
    for name in rows[0]:
        found = [row[name] for row in rows]
        json = isinstance(table.c[name].type, JSONB)
        values[f"p_{name}"] = [_text(each) for each in found] if json else found
    return values


def _text(value: Any) -> str | None:
    return None if value is None else value.decode() if isinstance(value, bytes) else to_json(value)


@lru_cache(maxsize=256)
def _statement(table: Table, columns: tuple[str, ...], overwrite: bool, keep: tuple[str, ...]) -> str:
    arrays, selected = _unnested(table, columns)
    listed = ", ".join(f'"{name}"' for name in columns)
    keys = [column.name for column in table.primary_key.columns]
    updates = ", ".join(f'"{name}" = excluded."{name}"' for name in columns if name not in (*keys, *keep))
    return (
        f"INSERT INTO {table.name} ({listed}) SELECT {', '.join(selected)}"
        f" FROM unnest({arrays}) WITH ORDINALITY AS n ({listed}, nth_) ORDER BY nth_"
        f" ON CONFLICT ({', '.join(keys)}) DO {f'UPDATE SET {updates}' if overwrite and updates else 'NOTHING'}"
    )


@lru_cache(maxsize=256)
def _update(table: Table, columns: tuple[str, ...]) -> str:
    arrays, selected = _unnested(table, columns, "n_")
    keys = [column.name for column in table.primary_key.columns]
    changes = [f'"{name}" = {value}' for name, value in zip(columns, selected, strict=True) if name not in keys]
    found = [f'{table.name}."{name}" = "n_{name}"' for name in keys]
    # Said twice, so that rows are found by their keys whatever the planner believes of the table.
    found.append(f'{table.name}."{keys[0]}" = ANY({_array(table, keys[0])})')
    listed = ", ".join(f'"n_{name}"' for name in columns)
    return (
        f"UPDATE {table.name} SET {', '.join(changes)} FROM unnest({arrays}) AS n ({listed})"
        f" WHERE {' AND '.join(found)}"
    )


def _unnested(table: Table, columns: tuple[str, ...], prefix: str = "") -> tuple[str, list[str]]:
    """Arrays of parameters, and how each column of theirs is read."""
    quoted = {name: f'"{prefix}{name}"' for name in columns}
    selected = [f"CAST({q} AS jsonb)" if isinstance(table.c[name].type, JSONB) else q for name, q in quoted.items()]
    return ", ".join(_array(table, name) for name in columns), selected


def _array(table: Table, name: str) -> str:
    kind = table.c[name].type
    return f"CAST(:p_{name} AS {'text' if isinstance(kind, JSONB) else kind.compile(postgresql.dialect())}[])"
