"""What the log in Postgres shares between appending and reading: errors as the contract names them, and headers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
from sqlalchemy.exc import TimeoutError as PoolTimeout

from shared.contracts.catalogue import Headers
from shared.db import Database, Tx, is_transient
from shared.log import LogUnavailable


@asynccontextmanager
async def available(timeout_s: float | None = None) -> AsyncIterator[None]:
    """A database that is away becomes ``LogUnavailable``."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except Exception as error:
        if is_transient(error) or isinstance(error, PoolTimeout):
            raise LogUnavailable(f"the database of the log: {error}") from error
        raise


@asynccontextmanager
async def transaction(db: Database, timeout_s: float | None = None) -> AsyncIterator[Tx]:
    async with available(timeout_s), db.transaction() as tx:
        yield tx


def pack(headers: Headers) -> bytes:
    """Any bytes as JSON: Latin-1 gives each byte its own character."""
    return orjson.dumps([(name, value.decode("latin-1")) for name, value in headers])


def unpack(packed: bytes) -> Headers:
    return [(name, value.encode("latin-1")) for name, value in orjson.loads(packed)]
