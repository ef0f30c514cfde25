"""``Idempotency-Key``: the same request again gives the first answer; another request with the same key is refused.

Claimed in the transaction of the effect, so the loser of a race waits for the winner and gets its answer.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import Header

from shared.db import Tx, from_json, to_json
from shared.errors import Problem

IdempotencyKey = Annotated[
    str | None, Header(alias="Idempotency-Key", max_length=255, description="Repeat a request safely; kept 7 days")
]


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    status: int
    body: Any


def normalized(key: str) -> str:
    """The key without the quotes that the standard asks for and many clients leave out."""
    stripped = key.strip()
    if len(stripped) >= 2 and stripped[0] == stripped[-1] == '"':
        stripped = stripped[1:-1]
    if not stripped or "\x00" in stripped:
        raise Problem(422, "invalid", "The Idempotency-Key is empty or has a NUL character. Send for example a UUID.")
    return stripped


def fingerprint(*parts: bytes) -> bytes:
    """What makes two requests the same: method, path and body, hashed."""
    return hashlib.sha256(b"\x00".join(parts)).digest()


async def claim(
    tx: Tx, principal: UUID, key: str, print_of_request: bytes, now: datetime, days: int
) -> StoredAnswer | None:
    """Claim the key, first in the transaction. Gives the stored answer where the request was answered before.

    Raises a 422 problem where the key came with another request.
    """
    won = await tx.run(
        "INSERT INTO idempotency (principal, key, fingerprint, expires_at) VALUES (:who, :key, :print, :expires)"
        " ON CONFLICT (principal, key) DO UPDATE SET fingerprint = excluded.fingerprint, status = NULL,"
        " answer = NULL, expires_at = excluded.expires_at WHERE idempotency.expires_at <= :now",
        who=str(principal),
        key=key,
        print=print_of_request,
        expires=now + timedelta(days=days),
        now=now,
    )
    if won:
        return None
    row = await tx.one(
        "SELECT fingerprint, status, answer FROM idempotency WHERE principal = :who AND key = :key",
        who=str(principal),
        key=key,
    )
    if row is None or bytes(row.fingerprint) != print_of_request:
        detail = "This Idempotency-Key came with another request before. Use a new key for a new request."
        raise Problem(422, "idempotency-key-reused", detail)
    return StoredAnswer(row.status, from_json(row.answer))


async def remember(tx: Tx, principal: UUID, key: str, status: int, answer: Any) -> None:
    """Keep the answer, in the same transaction."""
    await tx.run(
        "UPDATE idempotency SET status = :status, answer = CAST(:answer AS jsonb)"
        " WHERE principal = :who AND key = :key",
        status=status,
        answer=to_json(answer),
        who=str(principal),
        key=key,
    )
