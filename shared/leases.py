"""Who does what, among replicas: named leases with an owner, an epoch and an end, shared out evenly.

An owner renews while it makes progress. Where it does not, its leases end and another takes them over with the next
epoch; whatever the old owner still does is then refused by ``check``, in the transaction that would have made it count.
"""

import os
import socket
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from shared.db import Database, Tx
from shared.ids import secret

RENEWALS_PER_LEASE = 5
FORGET_AFTER_LEASES = 100  # members that never came back


class Leases:
    """One owner's part of the leases ``names``, which are all there are, held by whomever.

    The table ``lease(name, owner, epoch, until)`` is in the schema of ``db``. Who competes for the same first name
    shares the same leases. ``owner`` is new where it is not given: an owner is one run, never a machine.
    """

    def __init__(self, db: Database, names: Sequence[str], length_s: float, owner: str | None = None) -> None:
        self._db = db
        self._names = sorted(names)
        self._owner = owner or secret(f"{socket.gethostname()}-{os.getpid()}")
        self._length = timedelta(seconds=length_s)
        self._members = f"{self._names[0]}@"  # the prefix of the rows that say who is there
        self._renew_at: datetime | None = None
        self._held: dict[str, int] = {}

    @property
    def held(self) -> Mapping[str, int]:
        """What the last ``renew`` gave."""
        return self._held

    async def renew(self, now: datetime) -> Mapping[str, int]:
        """Keep what is ours, take what is free, give up what is more than our share: names held, with their epochs.

        Call it at every step: between renewals (a fifth of the lease) it answers from memory.
        """
        if self._renew_at is None or now >= self._renew_at:
            async with self._db.transaction() as tx:
                held = await self._renew(tx, now)
            self._held = held
            self._renew_at = now + self._length / RENEWALS_PER_LEASE
        return self._held

    async def check(self, tx: Tx, epochs: Mapping[str, int]) -> frozenset[str]:
        """Which of these are still ours with that epoch. They stay ours until ``tx`` ends: the rows are locked."""
        return frozenset(name for (name,) in await self.fenced(tx, epochs, "SELECT name FROM ours"))

    async def fenced(
        self, tx: Tx, epochs: Mapping[str, int], statement: str, **parameters: Any
    ) -> Sequence[Sequence[Any]]:
        """``check`` and a statement in one; it finds those that are still ours in ``ours (name)``."""
        return await tx.records(
            "WITH ours AS MATERIALIZED (SELECT l.name FROM lease l JOIN"
            " unnest(CAST(:names AS text[]), CAST(:epochs AS bigint[])) AS n (name, epoch)"
            " ON l.name = n.name AND l.epoch = n.epoch WHERE l.owner = :owner ORDER BY l.name FOR SHARE OF l) "
            + statement,
            names=list(epochs),
            epochs=list(epochs.values()),
            owner=self._owner,
            **parameters,
        )

    async def release(self) -> None:
        """Let the others have everything at once, instead of after the lease."""
        self._held, self._renew_at = {}, None
        async with self._db.transaction() as tx:
            await self._give_up(tx, self._names)
            await tx.run("DELETE FROM lease WHERE name = :member", member=self._member())

    async def _renew(self, tx: Tx, now: datetime) -> dict[str, int]:
        until = now + self._length
        if self._renew_at is None:
            await self._join(tx, now)
        await tx.run(
            "INSERT INTO lease (name, owner, epoch, until) VALUES (:member, :owner, 0, :until)"
            " ON CONFLICT (name) DO UPDATE SET until = :until",
            member=self._member(),
            owner=self._owner,
            until=until,
        )
        members = await tx.rows(
            "SELECT owner FROM lease WHERE starts_with(name, :members) AND until > :now ORDER BY owner",
            members=self._members,
            now=now,
        )
        quota = share(len(self._names), [row.owner for row in members], self._owner)
        ours = await self._keep(tx, until)
        kept = dict(list(ours.items())[:quota])
        await self._give_up(tx, [name for name in ours if name not in kept])
        return kept | await self._take(tx, quota - len(kept), now, until)

    async def _join(self, tx: Tx, now: datetime) -> None:
        await tx.run(
            "INSERT INTO lease (name, owner, epoch, until)"
            " SELECT unnest(CAST(:names AS text[])), '', 0, to_timestamp(0) ON CONFLICT DO NOTHING",
            names=self._names,
        )
        await tx.run(
            "DELETE FROM lease WHERE starts_with(name, :members) AND until < :long_ago",
            members=self._members,
            long_ago=now - FORGET_AFTER_LEASES * self._length,
        )

    async def _keep(self, tx: Tx, until: datetime) -> dict[str, int]:
        """Also what ended and nobody took, for only the epoch says whose it is; but not what we gave up."""
        rows = await tx.rows(
            "WITH ours AS (SELECT name FROM lease WHERE name = ANY(CAST(:names AS text[])) AND owner = :owner"
            " AND until > to_timestamp(0) ORDER BY name FOR NO KEY UPDATE)"
            " UPDATE lease SET until = :until FROM ours WHERE lease.name = ours.name RETURNING lease.name, lease.epoch",
            names=self._names,
            owner=self._owner,
            until=until,
        )
        return {row.name: row.epoch for row in sorted(rows, key=lambda row: str(row.name))}

    async def _take(self, tx: Tx, count: int, now: datetime, until: datetime) -> dict[str, int]:
        if count <= 0:
            return {}
        rows = await tx.rows(
            "WITH free AS (SELECT name FROM lease WHERE name = ANY(CAST(:names AS text[])) AND until <= :now"
            " ORDER BY name LIMIT :count FOR UPDATE SKIP LOCKED)"
            " UPDATE lease SET owner = :owner, epoch = epoch + 1, until = :until FROM free"
            " WHERE lease.name = free.name RETURNING lease.name, lease.epoch",
            names=self._names,
            now=now,
            count=count,
            owner=self._owner,
            until=until,
        )
        return {row.name: row.epoch for row in rows}

    async def _give_up(self, tx: Tx, names: Sequence[str]) -> None:
        """The owner stays written until another takes it, so what we still had in hand can be finished."""
        if names:
            await tx.run(
                "WITH ours AS (SELECT name FROM lease WHERE name = ANY(CAST(:names AS text[])) AND owner = :owner"
                " ORDER BY name FOR NO KEY UPDATE)"
                " UPDATE lease SET until = to_timestamp(0) FROM ours WHERE lease.name = ours.name",
                names=names,
                owner=self._owner,
            )

    def _member(self) -> str:
        return self._members + self._owner


def share(leases: int, members: Sequence[str], me: str) -> int:
    """How many of the leases are ``me``'s. The shares of all members add up, and differ by at most one."""
    rank = sorted(members).index(me)
    return leases // len(members) + (rank < leases % len(members))


async def end_all(tx: Tx) -> None:
    """End every lease of the schema, so that a restart need not wait for those of the run before.

    Only for a process that knows that it is alone, such as the one on an embedded database.
    """
    await tx.run("UPDATE lease SET until = to_timestamp(0)")
