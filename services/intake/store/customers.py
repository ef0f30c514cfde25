"""What is known of customers: found by any of their names, merged by people, and forgotten."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from services.intake.customers import Directory
from services.intake.store import tables
from shared import bulk
from shared.db import Tx, to_json

NAMES_LIMIT = 10_000  # addresses and ids looked at for one customer
_WHO = "CAST(:who AS text[])"
# Whose a contact or a case is: by the most telling of its names, so a shared number gives nobody away.
THEIRS = (
    f"(customer_id = ANY({_WHO}) OR (customer_id IS NULL AND customer_email = ANY({_WHO}))"
    f" OR (customer_id IS NULL AND customer_email IS NULL AND customer_phone = ANY({_WHO})))"
)
_ADDRESSES = (("customer_email", "email"), ("customer_phone", "phone"))


@dataclass(frozen=True, slots=True)
class Known:
    """One customer."""

    name: str
    directory: Directory
    names: frozenset[str]  # every id, address and number that is theirs alone
    emails: frozenset[str]
    phones: frozenset[str]


async def find(tx: Tx, who: Sequence[str]) -> list[Known]:
    """The customers that a name, in any of these spellings, stands for; none where nobody is known by it."""
    claimants = await _claims(tx, who)
    seen = await _seen(tx, who)
    family = await _family(tx, {*who, *(each for of in claimants.values() for each in of)})
    addresses = await _addresses(tx, {name for pair in family.items() for name in pair} | {*who} | _all(claimants))
    every = {*addresses, *family, *family.values(), *who}
    claims = await _claims(tx, sorted(every))
    merges = await _family(tx, every | _all(claims))
    ids = frozenset(_all(claims) | {name for name in every if addresses.get(name) == "id"})
    directory = Directory(ids, claims, merges)
    among = every | set(merges) | set(merges.values()) | _all(claims)
    found = []
    for customer in sorted(
        {directory.customer(name) for name in who if name in seen | set(merges) | set(merges.values())}
    ):
        names = directory.names(customer, among)
        kinds = {kind: frozenset(n for n in names if addresses.get(n) == kind) for kind in ("email", "phone")}
        found.append(Known(customer, directory, names, kinds["email"], kinds["phone"]))
    return found


def _all(claims: dict[str, frozenset[str]]) -> set[str]:
    return {each for of in claims.values() for each in of}


async def _seen(tx: Tx, who: Sequence[str]) -> set[str]:
    arms = (
        f"(SELECT {column} AS name FROM {table} WHERE {column} = ANY({_WHO}) LIMIT 1)"
        for table in ("contact", "case_file")
        for column in ("customer_id", "customer_email", "customer_phone")
    )
    rows = await tx.rows(" UNION ".join(arms) + " ORDER BY name", who=list(who))
    return {row.name for row in rows}


async def _claims(tx: Tx, addresses: Iterable[str]) -> dict[str, frozenset[str]]:
    """For each address and number, the ids that upstreams gave it with."""
    arms = (
        f"SELECT {column} AS name, customer_id FROM contact WHERE {column} = ANY({_WHO}) AND customer_id IS NOT NULL"
        for column, _ in _ADDRESSES
    )
    rows = await tx.rows(
        f"{' UNION '.join(arms)} ORDER BY name, customer_id LIMIT :limit", who=sorted(set(addresses)), limit=NAMES_LIMIT
    )
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row.name, set()).add(row.customer_id)
    return {name: frozenset(ids) for name, ids in found.items()}


async def _addresses(tx: Tx, names: set[str]) -> dict[str, str]:
    """What is known of the ids among the names: themselves, and the addresses and numbers given with them, by kind."""
    arms = (
        f"SELECT DISTINCT {column} AS name, '{kind}' AS kind FROM contact WHERE {{}} AND {column} IS NOT NULL"
        for column, kind in (*_ADDRESSES, ("customer_id", "id"))
    )
    wheres = (f"customer_id = ANY({_WHO})", f"customer_email = ANY({_WHO})", f"customer_phone = ANY({_WHO})")
    by_id = [arm.format(wheres[0]) for arm in arms]
    alone = [
        f"SELECT DISTINCT {column} AS name, '{kind}' AS kind FROM contact WHERE {where}"
        for (column, kind), where in zip(_ADDRESSES, wheres[1:], strict=True)
    ]
    rows = await tx.rows(
        f"{' UNION '.join((*by_id, *alone))} ORDER BY name, kind DESC LIMIT :limit",
        who=sorted(names),
        limit=NAMES_LIMIT,
    )
    found: dict[str, str] = {}
    for row in rows:  # an id that is written as an address counts as the address
        if row.kind != "id" or row.name not in found:
            found[row.name] = row.kind
    return found


async def _family(tx: Tx, names: Iterable[str]) -> dict[str, str]:
    """The merges that stand among those who were merged with any of the names, however far."""
    rows = await tx.rows(
        f"WITH RECURSIVE family AS (SELECT unnest({_WHO}) AS name UNION"
        " SELECT CASE WHEN m.source = f.name THEN m.target ELSE m.source END FROM customer_merge m JOIN family f"
        " ON f.name IN (m.source, m.target) WHERE m.undone_at IS NULL)"
        " SELECT m.source, m.target FROM customer_merge m JOIN family f ON f.name = m.source"
        " WHERE m.undone_at IS NULL ORDER BY m.source",
        who=sorted(set(names)),
    )
    return {row.source: row.target for row in rows}


async def latest(tx: Tx, names: frozenset[str]) -> Row[Any] | None:
    """The customer as the newest contact that says anything has them, and how many contacts there are."""
    return await tx.one(
        "SELECT (SELECT customer FROM contact WHERE " + THEIRS + " ORDER BY occurred_at DESC, id DESC LIMIT 1) AS"
        " customer, count(*) AS contacts, min(occurred_at) AS first_at, max(occurred_at) AS last_at FROM contact WHERE "
        + THEIRS,
        who=sorted(names),
    )


async def cases(tx: Tx, names: frozenset[str], limit: int) -> Sequence[Row[Any]]:
    """Their newest cases: those they opened or wrote on."""
    return await tx.rows(
        f"SELECT * FROM case_file WHERE id IN (SELECT case_id FROM contact WHERE {THEIRS}"
        f" UNION SELECT id FROM case_file WHERE {THEIRS}) ORDER BY number DESC LIMIT :limit",
        who=sorted(names),
        limit=limit,
    )


async def merges(tx: Tx, names: frozenset[str], limit: int) -> Sequence[Row[Any]]:
    """Merges that concern the names, undone ones too, newest first."""
    return await tx.rows(
        f"SELECT * FROM customer_merge WHERE source = ANY({_WHO}) OR target = ANY({_WHO})"
        " ORDER BY merged_at DESC, id DESC LIMIT :limit",
        who=sorted(names),
        limit=limit,
    )


async def lock_merges(tx: Tx) -> None:
    """One merge at a time, so that two cannot make a circle."""
    await tx.run("LOCK TABLE customer_merge IN SHARE ROW EXCLUSIVE MODE")


async def merge(tx: Tx, merge_id: UUID, source: str, target: str, by: str, reason: str | None, now: datetime) -> None:
    row = {"id": merge_id, "source": source, "target": target, "merged_by": by, "reason": reason, "merged_at": now}
    await bulk.insert_new(tx, tables.customer_merge, [row])


async def unmerge(tx: Tx, source: str, by: str, now: datetime) -> Row[Any] | None:
    """Undo the merge of ``source``; None where it is not merged."""
    return await tx.one(
        "UPDATE customer_merge SET undone_at = :now, undone_by = :by WHERE source = :source AND undone_at IS NULL"
        " RETURNING *",
        now=now,
        by=by,
        source=source,
    )


# Erasure


async def cases_of(tx: Tx, names: frozenset[str], limit: int) -> list[UUID]:
    """Cases that still hold something of the customer, and those that such cases were merged into."""
    rows = await tx.rows(
        "WITH RECURSIVE theirs AS (SELECT DISTINCT id FROM ("
        f" SELECT case_id AS id FROM contact WHERE {THEIRS} UNION SELECT id FROM case_file WHERE {THEIRS}"
        " ) found ORDER BY id LIMIT :limit),"
        " wider AS (SELECT id FROM theirs UNION SELECT f.merged_into FROM case_file f JOIN wider w ON f.id = w.id"
        " WHERE f.merged_into IS NOT NULL)"
        " SELECT id FROM wider ORDER BY id",
        who=sorted(names),
        limit=limit,
    )
    return [row.id for row in rows]


async def taking_part(tx: Tx, names: frozenset[str], limit: int) -> list[UUID]:
    """Cases in which the customer takes part, whosever they are."""
    rows = await tx.rows(
        f"SELECT id FROM case_file WHERE participants ?| {_WHO} ORDER BY id LIMIT :limit",
        who=sorted(names),
        limit=limit,
    )
    return [row.id for row in rows]


async def leave(tx: Tx, case_ids: Sequence[UUID], names: frozenset[str]) -> None:
    """Take the customer's addresses out of cases, of the mails on them, and of what the customer did there."""
    these, who = {"cases": list(case_ids), "who": sorted(names)}, _WHO
    await tx.run(
        f"UPDATE case_file SET participants = participants - {who} WHERE id = ANY(CAST(:cases AS uuid[]))", **these
    )
    await tx.run(
        f"UPDATE contact SET mail = jsonb_set(mail, '{{participants}}', (mail->'participants') - {who})"
        f" WHERE case_id = ANY(CAST(:cases AS uuid[])) AND mail->'participants' ?| {who}",
        **these,
    )
    await tx.run(
        "UPDATE activity SET actor = NULL, text = '', reason = NULL, attributes = '{}'"
        " WHERE case_id = ANY(CAST(:cases AS uuid[]))"
        f" AND actor = ANY({who})",
        **these,
    )


async def forget(tx: Tx, names: frozenset[str], now: datetime) -> int:
    """Drop what is quarantined of a customer, blank activities that wait and are theirs, and forget their merges.

    Gives how many were dropped from quarantine.
    """
    who = sorted(names)
    salvaged = (
        "jsonb_build_array(salvage->'customer'->'id', salvage->'customer'->'email', salvage->'customer'->'phone')"
    )
    dropped = await tx.run(
        "UPDATE quarantine SET state = 'dropped', settled_at = :now, settled_why = 'The customer asked to be"
        " forgotten.', raw = NULL, salvage = NULL, sender = NULL WHERE state = 'open'"
        f" AND (sender = ANY({_WHO}) OR {salvaged} ?| {_WHO})",
        now=now,
        who=who,
    )
    await tx.run(
        "UPDATE waiting_activity w SET activity = w.activity || CAST(:blank AS jsonb) WHERE w.activity->>'actor' ="
        f" ANY({_WHO}) OR EXISTS (SELECT 1 FROM unnest({_WHO}) AS n (name) WHERE length(n.name) >= :least"
        " AND strpos(lower(w.activity->>'text'), lower(n.name)) > 0)",
        blank=to_json({"text": "", "actor": None, "reason": None, "attributes": {}}),
        who=who,
        least=5,
    )
    await tx.run(f"DELETE FROM customer_merge WHERE source = ANY({_WHO}) OR target = ANY({_WHO})", who=who)
    return dropped
