"""Names that one row owns: external ids, Message-IDs, threads. The loser of a race waits for the winner's answer."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, TypeVar
from uuid import UUID

from services.intake.threads import Key
from shared.db import Tx

T = TypeVar("T")


class Claim(NamedTuple):
    """A name, and who shall own it if it is free."""

    key: Key
    case_id: UUID | None = None
    subject_id: UUID | None = None
    fingerprint: bytes | None = None


async def take(tx: Tx, wanted: Iterable[Claim], now: datetime) -> dict[Key, Claim]:
    """Claim names in one order, the first of equal ones; gives who owns each. One statement.

    Only rows that were there before need to come back: those alone were locked, and ``xmax`` says who locked a row.

    Also locks the rows until the end of the transaction, so that what a thread leads to cannot change meanwhile:
    DO UPDATE waits for a rival's transaction, locks, and returns the row, where DO NOTHING would return none.
    """
    first: dict[Key, Claim] = {}
    for claim in wanted:
        first.setdefault(claim.key, claim)
    if not first:
        return {}
    ordered = [first[key] for key in sorted(first)]
    rows = await tx.records(
        "WITH held AS (INSERT INTO claim AS c (kind, scope, name, case_id, subject_id, fingerprint, claimed_at)"
        " SELECT kind, scope, name, case_id, subject_id, fingerprint, :now FROM unnest(CAST(:kinds AS text[]),"
        " CAST(:scopes AS text[]), CAST(:names AS text[]), CAST(:cases AS uuid[]), CAST(:subjects AS uuid[]),"
        " CAST(:prints AS bytea[])) WITH ORDINALITY AS n (kind, scope, name, case_id, subject_id, fingerprint, place)"
        " ORDER BY place ON CONFLICT (kind, scope, name) DO UPDATE SET claimed_at = c.claimed_at"
        " RETURNING kind, scope, name, case_id, subject_id, fingerprint, xmax)"
        " SELECT kind, scope, name, case_id, subject_id, fingerprint FROM held"
        " WHERE xmax <> CAST('0' AS xid) ORDER BY kind, scope, name",
        kinds=[claim.key.kind for claim in ordered],
        scopes=[claim.key.scope for claim in ordered],
        names=[claim.key.name for claim in ordered],
        cases=_any([claim.case_id for claim in ordered]),
        subjects=_any([claim.subject_id for claim in ordered]),
        prints=_any([claim.fingerprint for claim in ordered]),
        now=now,
    )
    for kind, scope, name, case_id, subject_id, fingerprint in rows:  # what came before
        key = Key(kind, scope, name)
        first[key] = Claim(key, case_id, subject_id, fingerprint)
    return first


def _any(values: list[T]) -> list[T]:
    """Empty where all are None, which ``unnest`` takes for as many nulls, at no cost."""
    return values if any(value is not None for value in values) else []


async def lead(tx: Tx, keys: Mapping[Key, UUID]) -> None:
    """Let names lead to other cases from now on. They must be held by this transaction."""
    if not keys:
        return
    await tx.run(
        "UPDATE claim c SET case_id = n.case_id FROM unnest(CAST(:kinds AS text[]), CAST(:scopes AS text[]),"
        " CAST(:names AS text[]), CAST(:cases AS uuid[])) AS n (kind, scope, name, case_id)"
        " WHERE c.kind = n.kind AND c.scope = n.scope AND c.name = n.name AND c.name = ANY(CAST(:names AS text[]))",
        kinds=[key.kind for key in keys],
        scopes=[key.scope for key in keys],
        names=[key.name for key in keys],
        cases=list(keys.values()),
    )


async def release(tx: Tx, keys: Sequence[Key]) -> None:
    """Give up names that this transaction claimed."""
    if not keys:
        return
    await tx.run(
        "DELETE FROM claim c USING unnest(CAST(:kinds AS text[]), CAST(:scopes AS text[]), CAST(:names AS text[]))"
        " AS n (kind, scope, name) WHERE c.kind = n.kind AND c.scope = n.scope AND c.name = n.name"
        " AND c.name = ANY(CAST(:names AS text[]))",
        kinds=[key.kind for key in keys],
        scopes=[key.scope for key in keys],
        names=[key.name for key in keys],
    )


async def final_cases(tx: Tx, case_ids: Sequence[UUID]) -> dict[UUID, UUID]:
    """For each case that exists, itself, or the one it went into through any number of merges."""
    if not case_ids:
        return {}
    rows = await tx.rows(
        "WITH RECURSIVE chain AS ("
        " SELECT id AS asked, id, merged_into FROM case_file WHERE id = ANY(CAST(:ids AS uuid[]))"
        " UNION ALL SELECT c.asked, f.id, f.merged_into FROM chain c JOIN case_file f ON f.id = c.merged_into)"
        " SELECT asked, id FROM chain WHERE merged_into IS NULL ORDER BY asked",
        ids=sorted(set(case_ids)),
    )
    return {row.asked: row.id for row in rows}


async def numbered(tx: Tx, numbers: Sequence[int]) -> dict[int, UUID]:
    """The cases of these numbers; of a closed one, the newest that goes on from it."""
    if not numbers:
        return {}
    rows = await tx.rows(
        "WITH RECURSIVE line AS ("
        " SELECT number, id, said, 0 AS depth FROM case_file WHERE number = ANY(CAST(:numbers AS bigint[]))"
        " UNION ALL SELECT l.number, f.id, f.said, l.depth + 1 FROM line l JOIN case_file f ON f.follows = l.id"
        " WHERE l.said = 'closed')"
        " SELECT DISTINCT ON (number) number, id FROM line ORDER BY number, depth DESC, id DESC",
        numbers=sorted(set(numbers)),
    )
    return {row.number: row.id for row in rows}
