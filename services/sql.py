"""``tocsin sql``: ask the database, read-only, as a role that sees kept and broken promises and nothing else."""

import asyncio
import csv
import json
import os
import shutil
import sys
from collections.abc import Sequence
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import DBAPIError

from services.sla.store.compliance import READER, has_reader
from shared.db import Database, Tx

TIMEOUT_MS = 30_000
MAX_ROWS = 10_000
PROMPT, MORE = "tocsin=> ", "tocsin-> "
Format = Literal["table", "csv", "json"]


async def ask(db: Database, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """One statement in a read-only transaction: names of columns, and rows up to ``MAX_ROWS``."""
    async with db.transaction() as tx:
        await tx.run("SET TRANSACTION READ ONLY")
        await tx.run(f"SET LOCAL statement_timeout = {TIMEOUT_MS}")
        await _as_reader(tx)
        return await tx.table(sql, MAX_ROWS)


async def may_read(db: Database) -> bool:
    """Whether the read-only role is there."""
    async with db.transaction() as tx:
        return await has_reader(tx)


async def _as_reader(tx: Tx) -> None:
    if await has_reader(tx):
        await tx.run(f"SET LOCAL ROLE {READER}")
    else:
        print(f"There is no role {READER}: reading with all rights of TOCSIN_DATABASE_URL's user.", file=sys.stderr)


def show(columns: Sequence[str], rows: Sequence[Sequence[Any]], how: Format) -> None:
    if how == "csv":
        writer = csv.writer(sys.stdout)
        writer.writerow(columns)
        writer.writerows(rows)
    elif how == "json":
        print(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], default=str))
    else:
        table = Table(*columns, box=None)
        for row in rows:
            table.add_row(*("" if value is None else str(value) for value in row))
        Console().print(table)
    if len(rows) == MAX_ROWS:
        print(f"Only the first {MAX_ROWS} rows.", file=sys.stderr)


def has_psql() -> bool:
    return shutil.which("psql") is not None


async def psql(url: str, reader: bool) -> None:
    """psql until the person leaves it, with the same limits."""
    limits = f"-c default_transaction_read_only=on -c statement_timeout={TIMEOUT_MS} -c search_path=sla"
    options = f"{limits} -c role={READER}" if reader else limits
    plain = url.replace("postgresql+asyncpg", "postgresql")
    running = await asyncio.create_subprocess_exec("psql", plain, env=os.environ | {"PGOPTIONS": options})
    await running.wait()


async def converse(db: Database, how: Format) -> None:
    """A small prompt, where psql is not installed: statements end with a semicolon, Ctrl-D ends."""
    text = ""
    while True:
        try:
            text += await asyncio.to_thread(input, MORE if text else PROMPT) + "\n"
        except EOFError:
            return
        if text.rstrip().endswith(";"):
            try:
                show(*await ask(db, text), how)
            except DBAPIError as wrong:
                print(str(wrong.orig).splitlines()[0], file=sys.stderr)
            text = ""
