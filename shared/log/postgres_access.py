"""What the log in Postgres shares between appending and reading: errors as the contract names them, and headers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson

from shared.contracts.catalogue import Headers
from shared.db import AWAY, Database, Tx, is_data_error
from shared.log import LogUnavailable


@asynccontextmanager
async def available(timeout_s: float | None = None) -> AsyncIterator[None]:
    """A database that is away becomes ``LogUnavailable``."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except AWAY as error:
        if is_data_error(error):
            raise
        raise LogUnavailable(f"the database of the log: {error}") from error


@asynccontextmanager
async def transaction(db: Database, timeout_s: float | None = None) -> AsyncIterator[Tx]:
    async with available(timeout_s), db.transaction() as tx:
        yield tx


def pack(headers: Headers) -> bytes:
    """Any bytes as JSON: Latin-1 gives each byte its own character."""
    return orjson.dumps([(name, value.decode("latin-1")) for name, value in headers])


def unpack(packed: bytes) -> Headers:
    return [(name, value.encode("latin-1")) for name, value in orjson.loads(packed)]
