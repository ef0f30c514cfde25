"""API keys: SHA-256 of high-entropy secrets, in one small ``auth`` schema that every service reads."""

import asyncio
import hashlib
import os
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import MetaData
from sqlalchemy.schema import CreateTable

from shared import audit, tables
from shared.audit import Act, Actor, Principal
from shared.clock import Clock
from shared.db import Database
from shared.errors import Problem, not_found
from shared.ids import Ids, secret

__all__ = ["SCOPES", "Keys", "Principal"]

SCOPES = ("contacts:write", "cases:write", "config:write", "pages:write", "read", "admin")
CACHE_S = 5.0  # a revoked key works for at most this long
CACHE_SIZE = 10_000
STRANGERS_A_S = 50.0  # keys that were never seen to be good that this process looks up: guessing costs others nothing
AT_START = Actor("tocsin", "start")
FIRST_KEY = "first admin key"

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS api_key (id uuid PRIMARY KEY, name text NOT NULL, sha256 bytea NOT NULL UNIQUE,"
    " scopes text[] NOT NULL, created_at timestamptz NOT NULL, expires_at timestamptz, revoked_at timestamptz)"
)
_SECRETS = "CREATE TABLE IF NOT EXISTS shared_secret (name text PRIMARY KEY, value text NOT NULL)"


class Keys:
    """The API keys of this installation."""

    def __init__(self, db: Database, clock: Clock, ids: Ids) -> None:
        self._db, self._clock, self._ids = db, clock, ids
        self._cache: dict[bytes, tuple[float, Principal | None]] = {}
        self._good: set[bytes] = set()
        self._looking: set[bytes] = set()
        self._strangers = (STRANGERS_A_S, time.monotonic())
        self._asking = asyncio.Lock()

    async def migrate(self) -> None:
        async with self._db.transaction() as tx:
            await tx.rows("SELECT pg_advisory_xact_lock(7014000)")
            await tx.run("CREATE SCHEMA IF NOT EXISTS auth")
            await tx.run(_SCHEMA)
            await tx.run(_SECRETS)
            table = CreateTable(tables.acts(MetaData()), if_not_exists=True)
            await tx.run(str(table.compile(dialect=self._db.engine.dialect)))

    async def authenticate(self, authorization: str | None) -> Principal:
        """The principal of an ``Authorization: Bearer <key>`` header. Raises a 401 problem."""
        kind, _, key = (authorization or "").partition(" ")
        if kind.lower() != "bearer" or not key.strip():
            raise _unauthorized("Send the header 'Authorization: Bearer <key>'. `tocsin keys create` makes a key.")
        digest = hashlib.sha256(key.strip().encode()).digest()
        cached = self._cache.get(digest)
        if cached is None or cached[0] < time.monotonic():
            cached = await self._known(digest)
        if cached[1] is None:
            raise _unauthorized("This key is unknown, expired or revoked. `tocsin keys create` makes a new one.")
        return cached[1]

    def _may_look(self) -> bool:
        left, since = self._strangers
        now = time.monotonic()
        left = min(STRANGERS_A_S, left + (now - since) * STRANGERS_A_S)
        self._strangers = (max(0.0, left - 1), now)
        return left >= 1

    async def _known(self, digest: bytes) -> tuple[float, Principal | None]:
        """Looked up once, however many requests came while what was known ran out."""
        async with self._asking:
            found = self._cache.get(digest)
            if found is None or found[0] < time.monotonic():
                if digest not in self._good and not self._may_look():
                    detail = "Too many unknown keys are tried. Wait, then repeat."
                    raise Problem(429, "too-many-requests", detail, {"Retry-After": "1"})
                if len(self._cache) >= CACHE_SIZE:
                    self._cache.clear()
                    self._good.clear()
                found = time.monotonic() + CACHE_S, await self._look_up(digest)
                self._cache[digest] = found
                if found[1] is not None:
                    self._good.add(digest)
        return found

    async def _look_up(self, digest: bytes) -> Principal | None:
        async with self._db.transaction() as tx:
            row = await tx.one(
                "SELECT id, name, scopes FROM api_key WHERE sha256 = :digest AND revoked_at IS NULL"
                " AND (expires_at IS NULL OR expires_at > :now)",
                digest=digest,
                now=self._clock.now(),
            )
        return None if row is None else Principal(row.id, row.name, frozenset(row.scopes))

    async def create(
        self,
        name: str,
        scopes: Sequence[str],
        expires_at: datetime | None = None,
        key: str | None = None,
        by: Actor = AT_START,
    ) -> str:
        """Make a key and give it, once: only its hash is kept."""
        if unknown := sorted(set(scopes) - set(SCOPES)):
            raise Problem(422, "invalid", f"Unknown scope {unknown[0]!r}. Scopes are: {', '.join(SCOPES)}.")
        key, key_id, now = key or secret("tocsin"), self._ids.new(), self._clock.now()
        async with self._db.transaction() as tx:
            made = await tx.run(
                "INSERT INTO api_key (id, name, sha256, scopes, created_at, expires_at)"
                " VALUES (:id, :name, :digest, CAST(:scopes AS text[]), :now, :expires_at) ON CONFLICT DO NOTHING",
                id=key_id,
                name=name,
                digest=hashlib.sha256(key.encode()).digest(),
                scopes=list(scopes),
                now=now,
                expires_at=expires_at,
            )
            if made:
                facts = {"name": name, "scopes": list(scopes), "expires_at": expires_at}
                await audit.write(tx, by, Act("made", "key", str(key_id), facts=facts), now)
        return key

    async def shared_secret(self, name: str) -> str:
        """A secret that all services of this installation share, sealed; made when it is first asked for."""
        async with self._db.transaction() as tx:
            stored = await tx.scalar(
                "INSERT INTO shared_secret AS s (name, value) VALUES (:name, :value)"
                " ON CONFLICT (name) DO UPDATE SET value = s.value RETURNING value",
                name=name,
                value=tx.seal.seal(secret(name)),
            )
            opened = tx.seal.open(str(stored))
        if opened is None:
            raise SystemExit("A secret that services share was sealed with another key: add it to TOCSIN_SECRET_KEY.")
        return opened

    async def listing(self) -> list[dict[str, Any]]:
        async with self._db.transaction() as tx:
            rows = await tx.rows(
                "SELECT id, name, scopes, created_at, expires_at, revoked_at FROM api_key ORDER BY created_at, id"
            )
        return [dict(row._mapping) for row in rows]

    async def revoke(self, key_id: UUID, by: Actor) -> None:
        now = self._clock.now()
        async with self._db.transaction() as tx:
            if not await tx.one("SELECT 1 FROM api_key WHERE id = :id", id=key_id):
                raise not_found("key", key_id)
            ended = "UPDATE api_key SET revoked_at = :now WHERE id = :id AND revoked_at IS NULL"
            if await tx.run(ended, now=now, id=key_id):
                await audit.write(tx, by, Act("revoked", "key", str(key_id)), now)
        self._cache.clear()

    async def audited(self, search: audit.Search, limit: int, after: audit.Place | None) -> list[audit.Entry]:
        """Who made and revoked keys."""
        async with self._db.transaction() as tx:
            return await audit.listing(tx, "auth", search, limit, after)

    async def first_start(self, given: str | None, data_dir: Path, distributed: bool) -> None:
        """Make sure that an admin key exists: the one given, else a new one.

        A new one is printed only to a terminal; elsewhere it is written 0600 under ``data_dir``.
        """
        if given:
            await self.create(FIRST_KEY, ["admin"], key=given)
            return
        async with self._db.transaction() as tx:
            if await tx.one("SELECT 1 FROM api_key WHERE revoked_at IS NULL LIMIT 1"):
                return
        if distributed:
            raise SystemExit("Set TOCSIN_ADMIN_KEY (or TOCSIN_ADMIN_KEY_FILE): distributed mode makes no key itself.")
        key = await self.create(FIRST_KEY, ["admin"])
        if sys.stderr.isatty():
            print(f"\n  Your admin key, shown once:  {key}\n", file=sys.stderr)
            return
        await asyncio.to_thread(_write_private, data_dir / "admin-key", key)


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
    print(f"Wrote the admin key to {path}", file=sys.stderr)


def _unauthorized(detail: str) -> Problem:
    return Problem(401, "unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})
