"""Postgres: an engine per service, and the one way to run SQL (``Tx``)."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any, cast
from uuid import UUID

import orjson
from asyncpg import InterfaceError, InternalClientError, PostgresError
from sqlalchemy import Row, TextClause, text
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from shared import points
from shared.sealing import Seal

POOL_SIZE = 12
POOL_OVERFLOW = 8
POOL_TIMEOUT_S = 10
SPARE = 3  # connections kept for readings
# The driver's own error is of a connection whose server was ending it just then: its last message was half read.
FAILURES = (PostgresError, InterfaceError, InternalClientError, OSError)
# What is raised where the database is away; a ``DBAPIError`` may also say that the data is at fault.
AWAY = (DBAPIError, PendingRollbackError, PoolTimeout, InternalClientError, OSError, TimeoutError)
STATEMENT_TIMEOUT_MS = 30_000
IDLE_IN_TRANSACTION_TIMEOUT_MS = 30_000
# A plan is kept until the table is analyzed anew, and one that was made while a queue was empty would read all of it.
BY_INDEX = {"enable_seqscan": "off"}
PLANNED_ONCE = {
    "plan_cache_mode": "force_generic_plan",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "work_mem": "16MB",
}


@lru_cache(maxsize=1024)
def _prepared(sql: str) -> TextClause:
    return text(sql)


@lru_cache(maxsize=1024)
def _positional(sql: str) -> tuple[str, tuple[str, ...]]:
    """The statement with ``$1`` for ``:name``, and the names in order."""
    compiled = text(sql).compile(dialect=asyncpg.dialect())
    return str(compiled), tuple(compiled.positiontup or ())


class Tx:
    """One open transaction. ``:name`` binds a parameter; write casts as ``CAST(:ids AS uuid[])``, never ``:ids::``."""

    def __init__(self, connection: AsyncConnection, sealing: Seal | None, alone: bool = False) -> None:
        self._connection, self._sealing, self._alone = connection, sealing, alone
        self._raw: Any = None  # the driver's connection, once it was asked for

    @property
    def seal(self) -> Seal:
        """For what is stored sealed."""
        if self._sealing is None:
            raise LookupError("this database was opened without the key that seals stored secrets")
        return self._sealing

    async def rows(self, sql: str, **parameters: Any) -> Sequence[Row[Any]]:
        await points.reach("db.statement")
        result = await self._connection.execute(_prepared(sql), parameters)
        return result.fetchall()

    async def records(self, sql: str, **parameters: Any) -> Sequence[Sequence[Any]]:
        """Rows as the driver gives them, as tuples: for many rows, where it shows."""
        driver = await self._driver()
        statement, names = _positional(sql)
        try:
            found: Sequence[Sequence[Any]] = await driver.fetch(statement, *[parameters[name] for name in names])
        except FAILURES as wrong:
            raise await self._failed(sql, wrong) from wrong
        return found

    async def named(self, sql: str, **parameters: Any) -> Sequence[Mapping[str, Any]]:
        """``records`` by the names of their columns."""
        found: Any = await self.records(sql, **parameters)  # the driver's own rows, which are both
        return cast("Sequence[Mapping[str, Any]]", found)

    async def send(self, sql: str, **parameters: Any) -> None:
        """``run`` as the driver does it, at half the cost: for statements that run all day long."""
        driver = await self._driver()
        statement, names = _positional(sql)
        try:
            await driver.execute(statement, *[parameters[name] for name in names])
        except FAILURES as wrong:
            raise await self._failed(sql, wrong) from wrong

    async def _failed(self, sql: str, wrong: Exception) -> DBAPIError:
        """As the engine would raise it; a connection that is gone leaves the pool, as the engine sees to by itself."""
        driver = self._raw.driver_connection if self._raw is not None else None
        if driver is None or driver.is_closed() or isinstance(wrong, InternalClientError):
            await self._connection.invalidate(wrong)
        return DBAPIError(sql, None, wrong)

    async def _driver(self) -> Any:
        """The driver, in the transaction."""
        await points.reach("db.statement")
        if self._raw is None:
            self._raw = await self._connection.get_raw_connection()
        if not self._alone and self._raw.dbapi_connection._transaction is None:
            try:  # as the engine does before a first statement of its own, and knows of it
                await self._raw.dbapi_connection._start_transaction()
            except BaseException as wrong:  # also where we are cancelled: nobody knows whether it began
                await self._connection.invalidate(wrong)
                if isinstance(wrong, Exception):
                    raise DBAPIError("BEGIN", None, wrong) from wrong
                raise
        return self._raw.driver_connection

    async def close(self) -> None:
        """Give the connection back."""
        await self._connection.close()

    async def table(self, sql: str, limit: int) -> tuple[list[str], list[tuple[Any, ...]]]:
        """What a person asks, as it is written: names of columns, and up to ``limit`` rows."""
        result = await self._connection.exec_driver_sql(sql)
        if not result.returns_rows:
            return [], []
        return list(result.keys()), [tuple(row) for row in result.fetchmany(limit)]

    async def run(self, sql: str, **parameters: Any) -> int:
        """Run a statement and give the number of rows it changed."""
        await points.reach("db.statement")
        result = await self._connection.execute(_prepared(sql), parameters)
        return result.rowcount

    async def copy(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Append rows, in order, at a fraction of the cost of an INSERT. None of them may be there already."""
        driver = await self._driver()
        try:
            await driver.copy_records_to_table(table, columns=columns, records=rows)
        except FAILURES as wrong:
            raise await self._failed(f"COPY {table}", wrong) from wrong

    async def one(self, sql: str, **parameters: Any) -> Row[Any] | None:
        found = await self.rows(sql, **parameters)
        return found[0] if found else None

    async def scalar(self, sql: str, **parameters: Any) -> Any:
        row = await self.one(sql, **parameters)
        return None if row is None else row[0]


class Database:
    """The schema of one service. Every connection has it as its ``search_path``."""

    def __init__(
        self, url: str, schema: str, pool_size: int = POOL_SIZE, seal: Seal | None = None, repeats: bool = False
    ) -> None:
        """``repeats``: it is asked the same few things all day: each is planned once, and not each time.

        By keys only, for a plan that was made while the tables were empty is used when they are full.
        """
        self.schema, self._seal = schema, seal
        self._url = url
        self._connect = {
            "timeout": 10,
            "server_settings": {
                "search_path": schema,
                "application_name": f"tocsin-{schema}",
                "statement_timeout": str(STATEMENT_TIMEOUT_MS),
                "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_TIMEOUT_MS),
                "timezone": "UTC",
                "jit": "off",
                **BY_INDEX,
                **(PLANNED_ONCE if repeats else {}),
            },
        }
        self.engine: AsyncEngine = create_async_engine(
            url,
            pool_size=pool_size,
            max_overflow=POOL_OVERFLOW,
            pool_timeout=POOL_TIMEOUT_S,
            json_deserializer=_as_text,
            hide_parameters=True,  # they are people's words, and errors are logged
            connect_args=self._connect,
        )
        self._alone = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._spare: list[Tx] = []  # for readings: to take one from the pool costs more than most readings

    @property
    def url(self) -> str:
        """With its password: for a process of ours, never to be shown."""
        return self._url

    def reflecting(self) -> AsyncEngine:
        """An engine for looking at the schema itself: SQLAlchemy reads the catalogue's JSON. Dispose of it."""
        return create_async_engine(self._url, poolclass=NullPool, connect_args=self._connect)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """Commit at the end of the block, roll back on any exception."""
        await points.reach("db.begin")
        async with self.engine.connect() as connection, connection.begin() as transaction:
            yield Tx(connection, self._seal)
            await points.reach("db.commit")
            await transaction.commit()
            await points.reach("db.committed")

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Tx]:
        """Statements that only read, each on its own: without the way there and back that a transaction costs."""
        await points.reach("db.begin")
        tx = self._spare.pop() if self._spare else Tx(await self._alone.connect(), self._seal, alone=True)
        try:
            yield tx
        except BaseException:
            await tx.close()
            raise
        if len(self._spare) < SPARE:
            self._spare.append(tx)
        else:
            await tx.close()

    async def close(self) -> None:
        while self._spare:
            await self._spare.pop().close()
        await self.engine.dispose()


def _as_text(json: str | bytes) -> str | bytes:
    """``jsonb`` stays text until ``from_json``, whatever the driver does with columns it knows."""
    return json


def to_json(value: Any) -> str:
    """A value as JSON text, for a ``jsonb`` parameter."""
    return orjson.dumps(value, default=_jsonable, option=orjson.OPT_NON_STR_KEYS).decode()


def to_json_bytes(value: Any) -> bytes:
    """The same as bytes, with UTC written as ``Z``: for what goes out."""
    return orjson.dumps(value, default=_jsonable, option=orjson.OPT_UTC_Z)


def from_json(value: str | bytes) -> Any:
    return orjson.loads(value)


def _jsonable(value: Any) -> Any:
    if isinstance(value, UUID):  # a subclass of the driver's
        return str(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def sqlstate(error: BaseException) -> str | None:
    """The five characters that say what Postgres found wrong, or None when it is not an error of Postgres."""
    original = error.orig if isinstance(error, DBAPIError) else error
    return getattr(original, "sqlstate", None) or getattr(getattr(original, "__cause__", None), "sqlstate", None)


def is_data_error(error: BaseException) -> bool:
    """True where the data is at fault (class 22, 23): repeating cannot help."""
    return (sqlstate(error) or "")[:2] in ("22", "23")


def is_transient(error: BaseException) -> bool:
    """True where the database is away, full, locked, read-only or restarting: wait and repeat."""
    if is_data_error(error):
        return False
    return isinstance(error, AWAY)
