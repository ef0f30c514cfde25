"""``Idempotency-Key``: the same request again gives the first answer; another request with the same key is refused.

Claimed in the transaction of the effect, so the loser of a race waits for the winner and gets its answer. A request
that is refused leaves its key free.
"""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import Header

from shared.db import Tx, from_json, to_json
from shared.errors import Problem

EXPIRES = "Idempotency-Expires"  # header of an answer: until when the same request gets it again, RFC 3339
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        max_length=255,
        description="Repeat a request safely. Kept for 7 days, or what TOCSIN_IDEMPOTENCY_DAYS says; the answer's"
        f" {EXPIRES} tells until when.",
    ),
]
EXPIRES_HEADER = {
    EXPIRES: {
        "description": "Where an Idempotency-Key came: until when it gives this answer again",
        "schema": {"type": "string", "format": "date-time"},
    }
}


@dataclass(frozen=True, slots=True)
class Named:
    """A request that may be repeated: whose, by which key, and what makes it the same."""

    principal: UUID
    key: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    status: int
    body: Any
    expires_at: datetime


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
    request = Named(principal, key, print_of_request)
    stored = (await _claim(tx, [request], now, now + timedelta(days=days))).get(request)
    if isinstance(stored, Problem):
        raise stored
    return stored


async def remember(tx: Tx, principal: UUID, key: str, status: int, answer: Any) -> None:
    """Keep the answer, in the same transaction."""
    await _remember(tx, [(Named(principal, key, b""), status, answer)])


async def each_once(
    tx: Tx,
    requests: Sequence[Named | None],
    now: datetime,
    days: int,
    do: Callable[[Sequence[int]], Awaitable[Sequence[dict[str, Any] | Problem]]],
) -> list[tuple[dict[str, Any], datetime | None] | Problem]:
    """Do the requests that were not answered before, whose places ``do`` gets, in order. First in the transaction.

    Gives for each its answer and when that expires, the first answer with ``duplicate`` where it came before, or its
    problem. None is a request without a key. No two are of one key.
    """
    named = [request for request in requests if request is not None]
    expires = now + timedelta(days=days)
    stored = await _claim(tx, named, now, expires)
    new = [place for place, request in enumerate(requests) if request is None or request not in stored]
    made = dict(zip(new, await do(new), strict=True))
    mine = [(request, made[place]) for place, request in enumerate(requests) if request and place in made]
    await _remember(tx, [(request, 202, body) for request, body in mine if not isinstance(body, Problem)])
    await _release(tx, [request for request, body in mine if isinstance(body, Problem)])
    answers: list[tuple[dict[str, Any], datetime | None] | Problem] = []
    for place, request in enumerate(requests):
        found = made[place] if request is None or place in made else stored[request]
        if isinstance(found, StoredAnswer):
            answers.append(({**found.body, "duplicate": True}, found.expires_at))
        else:
            answers.append(found if isinstance(found, Problem) else (found, expires if request else None))
    return answers


async def _claim(
    tx: Tx, requests: Sequence[Named], now: datetime, expires: datetime
) -> dict[Named, StoredAnswer | Problem]:
    """Claim keys in sorted order; gives what is known of those that came before."""
    if not requests:
        return {}
    ordered = sorted(requests, key=lambda request: (str(request.principal), request.key))
    rows = await tx.rows(
        "INSERT INTO idempotency (principal, key, fingerprint, expires_at)"
        " SELECT who, key, print, :expires FROM unnest(CAST(:whos AS text[]), CAST(:keys AS text[]),"
        " CAST(:prints AS bytea[])) WITH ORDINALITY AS n (who, key, print, place) ORDER BY place"
        " ON CONFLICT (principal, key) DO UPDATE SET fingerprint = excluded.fingerprint, status = NULL,"
        " answer = NULL, expires_at = excluded.expires_at WHERE idempotency.expires_at <= :now"
        " RETURNING principal, key",
        whos=[str(request.principal) for request in ordered],
        keys=[request.key for request in ordered],
        prints=[request.fingerprint for request in ordered],
        expires=expires,
        now=now,
    )
    won = {(row.principal, row.key) for row in rows}
    lost = {name: request for request in ordered if (name := (str(request.principal), request.key)) not in won}
    if not lost:
        return {}
    rows = await tx.rows(
        "SELECT i.principal, i.key, i.fingerprint, i.status, i.answer, i.expires_at FROM idempotency i"
        " JOIN unnest(CAST(:whos AS text[]), CAST(:keys AS text[])) AS n (who, key)"
        " ON i.principal = n.who AND i.key = n.key ORDER BY i.principal, i.key",
        whos=[who for who, _ in lost],
        keys=[key for _, key in lost],
    )
    found: dict[Named, StoredAnswer | Problem] = {request: _reused() for request in lost.values()}
    for row in rows:
        request = lost[row.principal, row.key]
        if bytes(row.fingerprint) == request.fingerprint:
            found[request] = StoredAnswer(row.status, from_json(row.answer), row.expires_at)
    return found


def _reused() -> Problem:
    detail = "This Idempotency-Key came with another request before. Use a new key for a new request."
    return Problem(422, "idempotency-key-reused", detail)


async def _remember(tx: Tx, answers: Sequence[tuple[Named, int, Any]]) -> None:
    if not answers:
        return
    await tx.run(
        "UPDATE idempotency i SET status = n.status, answer = CAST(n.answer AS jsonb)"
        " FROM unnest(CAST(:whos AS text[]), CAST(:keys AS text[]), CAST(:statuses AS smallint[]),"
        " CAST(:answers AS text[])) AS n (who, key, status, answer) WHERE i.principal = n.who AND i.key = n.key"
        " AND i.key = ANY(CAST(:keys AS text[]))",
        whos=[str(request.principal) for request, _, _ in answers],
        keys=[request.key for request, _, _ in answers],
        statuses=[status for _, status, _ in answers],
        answers=[to_json(answer) for _, _, answer in answers],
    )


async def _release(tx: Tx, requests: Sequence[Named]) -> None:
    if not requests:
        return
    await tx.run(
        "DELETE FROM idempotency i USING unnest(CAST(:whos AS text[]), CAST(:keys AS text[])) AS n (who, key)"
        " WHERE i.principal = n.who AND i.key = n.key AND i.key = ANY(CAST(:keys AS text[]))",
        whos=[str(request.principal) for request in requests],
        keys=[request.key for request in requests],
    )
