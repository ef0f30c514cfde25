"""How many mails came of whom, for every replica the same."""

from collections.abc import Sequence
from datetime import datetime

from services.intake import budget
from services.intake.budget import Spent
from services.intake.model import Contact
from shared.db import Tx

FORGOTTEN_AT_ONCE = 5_000


async def spend(tx: Tx, contacts: Sequence[Contact], now: datetime) -> list[Contact]:
    """The contacts as they are filed: marked where their sender is over its budget. Two statements, or none."""
    names = [budget.name_of(each) for each in contacts]
    wanted = sorted({name for name in names if name})
    if not wanted:
        return list(contacts)
    rows = await tx.rows(
        "INSERT INTO sender_budget AS b (name, since, mails, before) SELECT name, :now, 0, 0"
        " FROM unnest(CAST(:names AS bytea[])) WITH ORDINALITY AS n (name, place) ORDER BY place"
        " ON CONFLICT (name) DO UPDATE SET mails = b.mails RETURNING name, since, mails, before",
        now=now,
        names=wanted,
    )
    spent = {bytes(row.name): Spent(bytes(row.name), row.since, row.mails, row.before) for row in rows}
    judged: list[Contact] = []
    for name, contact in zip(names, contacts, strict=True):
        if name is None:
            judged.append(contact)
            continue
        spent[name] = budget.spend(spent[name], now)
        judged.append(budget.judged(contact, spent[name], now))
    await tx.run(
        "UPDATE sender_budget b SET since = n.since, mails = n.mails, before = n.before FROM"
        " unnest(CAST(:names AS bytea[]), CAST(:since AS timestamptz[]), CAST(:mails AS int[]), CAST(:before AS int[]))"
        " AS n (name, since, mails, before) WHERE b.name = n.name",
        names=wanted,
        since=[spent[name].since for name in wanted],
        mails=[spent[name].mails for name in wanted],
        before=[spent[name].before for name in wanted],
    )
    return judged


async def forget(tx: Tx, now: datetime) -> int:
    """Drop what counts no more. Rows in use are left for the next time."""
    return await tx.run(
        "DELETE FROM sender_budget WHERE name IN (SELECT name FROM sender_budget WHERE since < :before"
        " ORDER BY since, name LIMIT :batch FOR UPDATE SKIP LOCKED)",
        before=now - 2 * budget.WINDOW,
        batch=FORGOTTEN_AT_ONCE,
    )
