"""The ledger: per hop and unit, in = done + suppressed + failed + open + parked + in flight. It balances when quiet.

Every term counts named rows; none is a remainder. Each service counts what is its own; ``merge`` puts the halves of a
hop together, so a difference means that something is missing or doubled.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from shared import inbox
from shared.contracts.catalogue import PUBLISHERS
from shared.db import Tx
from shared.log import LogUnavailable
from shared.runtime import Runtime

Term = Literal["in", "done", "suppressed", "failed", "open", "parked", "in_flight"]
TERMS: tuple[Term, ...] = ("in", "done", "suppressed", "failed", "open", "parked", "in_flight")


@dataclass(frozen=True, slots=True)
class Entry:
    """One count of one service."""

    hop: str  # such as "cases: intake→routing"
    unit: str
    term: Term
    count: int


@dataclass(frozen=True, slots=True)
class Line:
    """One hop, whole. ``whole`` is false where only one side of it has been asked."""

    hop: str
    unit: str
    terms: dict[Term, int]

    @property
    def whole(self) -> bool:
        return "in" in self.terms and "done" in self.terms

    @property
    def difference(self) -> int:
        return self.terms.get("in", 0) - sum(n for term, n in self.terms.items() if term != "in")


def merge(entries: Iterable[Entry]) -> list[Line]:
    """Put the entries of all services together, one line a hop, in order of name."""
    lines: dict[tuple[str, str], dict[Term, int]] = {}
    for entry in entries:
        terms = lines.setdefault((entry.hop, entry.unit), {})
        terms[entry.term] = terms.get(entry.term, 0) + entry.count
    return [Line(hop, unit, terms) for (hop, unit), terms in sorted(lines.items())]


async def platform_entries(runtime: Runtime[Any], consumers: Sequence[str]) -> list[Entry]:
    """The wire's own entries of one service: events published, taken, parked and in flight.

    ``consumers`` are the services that read this service's topic; each of those hops starts here.
    """
    card = runtime.service.card
    async with runtime.db.transaction() as tx:
        published = await tx.scalar("SELECT CAST(coalesce(sum(sequence), 0) AS bigint) FROM case_lock")
        waiting = await tx.scalar("SELECT count(*) FROM outbox")
        entries = []
        for consumer in consumers:
            hop = f"{card.publishes}: {card.name}→{consumer}"
            entries += [Entry(hop, "event", "in", published), Entry(hop, "event", "in_flight", waiting)]
        entries += await _taken(tx, card.name, card.consumes)
    return entries + await _unread(runtime)


async def _taken(tx: Tx, name: str, topics: Sequence[str]) -> list[Entry]:
    rows = await tx.rows(
        "SELECT topic, CAST(sum(events) AS bigint) AS events, CAST(sum(parked) AS bigint) AS parked,"
        " CAST(sum(dropped) AS bigint) AS dropped FROM ("
        " SELECT i.topic, count(*) AS events, count(p.event_id) AS parked, count(d.event_id) AS dropped FROM inbox i"
        " LEFT JOIN (SELECT DISTINCT event_id FROM parked) p ON p.event_id = i.event_id"
        " LEFT JOIN (SELECT DISTINCT event_id FROM parked_dropped) d ON d.event_id = i.event_id GROUP BY i.topic"
        " UNION ALL SELECT topic, events, 0, 0 FROM inbox_forgotten) t GROUP BY topic ORDER BY topic"
    )
    counts = {row.topic: (row.events, row.parked, row.dropped) for row in rows}
    entries = []
    for topic in topics:
        events, parked, dropped = counts.get(topic, (0, 0, 0))
        hop = f"{topic}: {PUBLISHERS[topic]}→{name}"
        entries += [
            Entry(hop, "event", "done", events - parked - dropped),
            Entry(hop, "event", "parked", parked),
            Entry(hop, "event", "failed", dropped),
        ]
    return entries


async def _unread(runtime: Runtime[Any]) -> list[Entry]:
    """Events in the log that this service has not read yet."""
    card = runtime.service.card
    if not card.consumes:
        return []
    try:
        ends = await runtime.log.end_positions(card.consumes)
    except LogUnavailable:
        ends = {}  # the outbox and the other side's count show the difference
    async with runtime.db.transaction() as tx:
        read = await inbox.progress(tx)
    unread: dict[str, int] = dict.fromkeys(card.consumes, 0)
    for (topic, partition), end in ends.items():
        unread[topic] += max(0, end - read.get((topic, partition), 0))
    return [
        Entry(f"{topic}: {PUBLISHERS[topic]}→{card.name}", "event", "in_flight", count)
        for topic, count in unread.items()
    ]
