"""Which replicas are there, and which versions of the ruleset each has ready: so that none compiles in a batch."""

from collections.abc import Sequence
from datetime import datetime

from shared.db import Tx


async def want(tx: Tx, version: int, now: datetime) -> None:
    """Every replica is to make this version ready."""
    await tx.run("UPDATE ruleset SET wanted_at = :now WHERE version = :version", version=version, now=now)


async def wanted(tx: Tx, since: datetime, limit: int) -> list[int]:
    """The versions asked for since then, newest first."""
    rows = await tx.rows(
        "SELECT version FROM ruleset WHERE wanted_at > :since ORDER BY wanted_at DESC, version DESC LIMIT :limit",
        since=since,
        limit=limit,
    )
    return [row.version for row in rows]


async def tell(tx: Tx, replica: str, ready: Sequence[int], now: datetime, forget: datetime) -> None:
    """This replica is there, and has these. Those that were last there before ``forget`` are forgotten."""
    await tx.run(
        "INSERT INTO replica (name, seen_at, ready) VALUES (:name, :now, CAST(:ready AS int[]))"
        " ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at, ready = excluded.ready",
        name=replica,
        now=now,
        ready=list(ready),
    )
    await tx.run("DELETE FROM replica WHERE seen_at < :forget", forget=forget)


async def leave(tx: Tx, replica: str) -> None:
    await tx.run("DELETE FROM replica WHERE name = :name", name=replica)


async def behind(tx: Tx, version: int, since: datetime, besides: str) -> int:
    """How many of the other replicas that were there since then do not have this version ready."""
    return int(
        await tx.scalar(
            "SELECT count(*) FROM replica WHERE seen_at > :since AND name <> :besides"
            " AND NOT CAST(:version AS int) = ANY(ready)",
            version=version,
            since=since,
            besides=besides,
        )
    )
