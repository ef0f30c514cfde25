"""The contacts of the last days by customer, kept as far as counts need them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from services.routing import recent
from services.routing.model import Heard, Recency
from shared.db import Tx

FORGOTTEN_AT_ONCE = 1_000


async def counts(tx: Tx, brought: Sequence[Heard], now: datetime) -> Mapping[UUID, Recency]:
    """By contact of this batch: how many its customer made, those of the batch included. One statement."""
    if not brought:
        return {}
    rows = await tx.rows(
        "SELECT r.contact_id, r.customer, r.at FROM unnest(CAST(:customers AS text[])) AS c (customer)"
        " CROSS JOIN LATERAL (SELECT contact_id, customer, at FROM recent_contact WHERE customer = c.customer"
        " AND at > :since ORDER BY at DESC, contact_id DESC LIMIT :most) r ORDER BY r.customer, r.at, r.contact_id",
        customers=sorted({each.customer for each in brought}),
        since=now - recent.KEPT,
        most=recent.MAX_HEARD,
    )
    by_customer: dict[str, list[Heard]] = {}
    for each in (*(Heard(row.contact_id, row.customer, row.at) for row in rows), *brought):
        by_customer.setdefault(each.customer, []).append(each)
    found = {each.contact_id: recent.count(each, by_customer[each.customer], now) for each in brought}
    return {contact_id: counted for contact_id, counted in found.items() if counted is not None}


async def save(tx: Tx, brought: Sequence[tuple[UUID, Heard]], now: datetime) -> None:
    """Keep what a batch brought, and forget some of what is too old."""
    kept = [(case_id, each) for case_id, each in brought if each.at > now - recent.KEPT]
    if not kept:
        return
    await tx.run(
        "INSERT INTO recent_contact (contact_id, case_id, customer, at) SELECT * FROM unnest(CAST(:contacts AS uuid[]),"
        " CAST(:cases AS uuid[]), CAST(:customers AS text[]), CAST(:times AS timestamptz[])) ON CONFLICT DO NOTHING",
        contacts=[each.contact_id for _, each in kept],
        cases=[case_id for case_id, _ in kept],
        customers=[each.customer for _, each in kept],
        times=[each.at for _, each in kept],
    )
    await tx.run(
        "DELETE FROM recent_contact WHERE contact_id IN (SELECT contact_id FROM recent_contact WHERE at < :before"
        " ORDER BY at, contact_id LIMIT :most FOR UPDATE SKIP LOCKED)",
        before=now - recent.KEPT,
        most=FORGOTTEN_AT_ONCE,
    )


async def erase(tx: Tx, case_ids: Sequence[UUID]) -> None:
    await tx.run("DELETE FROM recent_contact WHERE case_id = ANY(CAST(:ids AS uuid[]))", ids=list(case_ids))
