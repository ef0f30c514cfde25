"""Who did what, when and from where: an entry for every act, in the transaction of the act. Only ever added to.

Contacts and activities are no acts: they are what upstreams tell, and have a history of their own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from shared.db import Tx, from_json, to_json

FORGOTTEN = "(erased)"
MAX_TEXT = 500  # characters of a reason, of a subject
_LAST = 2**62  # beyond any number


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling, and from where: the address of the client, the id of the request."""

    key_id: UUID
    name: str
    scopes: frozenset[str]
    address: str | None = None
    request_id: str | None = None

    def may(self, scope: str) -> bool:
        return scope in self.scopes or "admin" in self.scopes


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts. ``by``: a person or the key's name; ``via``: api, slack, link, email or cli; ``key``: the name of the
    API key; ``address``: from where the request came, as the trusted proxies say."""

    by: str
    via: str
    key: str | None = None
    key_id: UUID | None = None
    address: str | None = None
    request_id: str | None = None

    @classmethod
    def of(cls, who: Principal, by: str | None = None, via: str = "api") -> "Actor":
        """The holder of a key, or whom they act for."""
        return cls(by or who.name, via, who.name, who.key_id, who.address, who.request_id)


@dataclass(frozen=True, slots=True)
class Entry:
    """``kind`` and ``subject`` name what was acted upon: calendar dublin, page 0190…."""

    service: str
    number: int
    at: datetime
    act: str
    kind: str
    subject: str
    actor: Actor
    reason: str | None
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Search:
    """None: any."""

    kind: str | None = None
    subject: str | None = None
    by: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of the list ended. Newest first; at one instant by service, then by number, downwards."""

    at: datetime
    service: str
    number: int

    def within(self, service: str) -> int:
        """Entries of this service at that very instant follow from below this number."""
        return self.number if service == self.service else _LAST if service < self.service else 0


@dataclass(frozen=True, slots=True)
class Act:
    """What was done, and to what."""

    act: str
    kind: str
    subject: str
    reason: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


async def write(tx: Tx, by: Principal | Actor, done: Act, now: datetime) -> None:
    await write_all(tx, by, [done], now)


async def write_all(tx: Tx, by: Principal | Actor, done: Sequence[Act], now: datetime) -> None:
    """In the order given; one statement."""
    if not done:
        return
    actor = by if isinstance(by, Actor) else Actor.of(by)
    await tx.run(
        "INSERT INTO audit (at, act, kind, subject, reason, facts, by, via, key, key_id, address, request_id)"
        " SELECT :now, act, kind, subject, reason, CAST(facts AS jsonb), :by, :via, :key, CAST(:key_id AS uuid),"
        " :address, :request_id FROM unnest(CAST(:acts AS text[]), CAST(:kinds AS text[]), CAST(:subjects AS text[]),"
        " CAST(:reasons AS text[]), CAST(:facts AS text[])) WITH ORDINALITY"
        " AS n (act, kind, subject, reason, facts, place) ORDER BY place",
        now=now,
        acts=[each.act for each in done],
        kinds=[each.kind for each in done],
        subjects=[each.subject[:MAX_TEXT] for each in done],
        reasons=[each.reason[:MAX_TEXT] if each.reason else None for each in done],
        facts=[to_json(each.facts) for each in done],
        by=actor.by[:MAX_TEXT],
        via=actor.via,
        key=actor.key,
        key_id=actor.key_id,
        address=actor.address,
        request_id=actor.request_id,
    )


async def forget(tx: Tx, kind: str, subjects: Sequence[str]) -> None:
    """Take erased names out; that something was done, by whom and when, stays."""
    await tx.run(
        "UPDATE audit SET subject = :forgotten, facts = '{}', reason = NULL"
        " WHERE kind = :kind AND CAST(:names AS text[]) && ARRAY[subject, facts->>'into']",
        forgotten=FORGOTTEN,
        kind=kind,
        names=list(subjects),
    )


async def listing(tx: Tx, service: str, search: Search, limit: int, after: Place | None) -> list[Entry]:
    """Newest first."""
    rows = await tx.rows(
        "SELECT number, at, act, kind, subject, by, via, key, key_id, address, request_id, reason, facts FROM audit"
        " WHERE (CAST(:kind AS text) IS NULL OR kind = :kind)"
        " AND (CAST(:subject AS text) IS NULL OR subject = :subject)"
        " AND (CAST(:by AS text) IS NULL OR by = :by)"
        " AND (CAST(:request_id AS text) IS NULL OR request_id = :request_id)"
        " AND (CAST(:at AS timestamptz) IS NULL OR (at, number) < (:at, CAST(:below AS bigint)))"
        " ORDER BY at DESC, number DESC LIMIT :limit",
        kind=search.kind,
        subject=search.subject,
        by=search.by,
        request_id=search.request_id,
        at=after.at if after else None,
        below=after.within(service) if after else 0,
        limit=limit,
    )
    return [_entry(service, row) for row in rows]


def _entry(service: str, row: Row[Any]) -> Entry:
    actor = Actor(row.by, row.via, row.key, row.key_id, row.address, row.request_id)
    facts = from_json(row.facts)
    return Entry(service, row.number, row.at, row.act, row.kind, row.subject, actor, row.reason, facts)


def newest(found: Sequence[Sequence[Entry]], limit: int) -> list[Entry]:
    """The lists of several services as one."""
    every = [entry for entries in found for entry in entries]
    return sorted(every, key=lambda entry: (entry.at, entry.service, entry.number), reverse=True)[:limit]
