"""Timers that are fired by a few columns of rows: one statement looks, one writes what was said of what was seen.

No lock is held in between. What is written is about cases whose row of ``case_lock`` is the very one that was seen:
who publishes about a case moves that row, and so does whoever makes what was seen wrong in another way (``moved``).
All other timers stay as they are, and are looked at again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple
from uuid import UUID

import structlog

from shared import outbox
from shared.contracts.decision import Fired
from shared.contracts.envelope import Encoded, Outgoing
from shared.db import Tx
from shared.log import partition_of

log = structlog.get_logger()

_TIMER = "t.case_id, t.subject, t.step, t.due_at, t.version, t.lagging, t.known"
_IN_ORDER = "ORDER BY t.due_at, t.subject, t.step"
_WRITTEN: Mapping[str, str] = {
    "case_id": "uuid",
    "subject": "uuid",
    "step": "text",
    "version": "int",
    "lock": "xid",
    "sequence": "bigint",
    "bucket": "smallint",
    "next_step": "text",
    "next_due": "timestamptz",
    "partition": "smallint",
}
_TAKEN = (
    "taken AS MATERIALIZED (SELECT n.* FROM n JOIN case_lock l ON l.case_id = n.case_id AND l.xmin = n.lock"
    " ORDER BY l.case_id FOR UPDATE OF l SKIP LOCKED)"
)
_REST = (
    "counted AS (UPDATE case_lock l SET sequence = m.sequence"
    " FROM (SELECT case_id, max(sequence) AS sequence FROM told GROUP BY case_id) m WHERE l.case_id = m.case_id),"
    " spent AS (DELETE FROM timer t USING told n WHERE t.subject = n.subject AND t.step = n.step),"
    " following AS (INSERT INTO timer (subject, step, due_at, case_id, partition, version)"
    " SELECT subject, next_step, next_due, case_id, partition, version + 1 FROM told WHERE next_step IS NOT NULL"
    " ON CONFLICT (subject, step) DO UPDATE SET due_at = excluded.due_at, version = excluded.version),"
    " written AS (INSERT INTO outbox (bucket, case_id, headers, body, written_at)"
    # By their places: what a row of a CTE holds is copied with each, and these are most of it.
    " SELECT bucket, case_id, CAST((CAST(:headers AS text[]))[nth] AS jsonb), (CAST(:bodies AS bytea[]))[nth], :now"
    " FROM told ORDER BY nth)"
    " SELECT nth FROM told"
)


class Seen(NamedTuple):
    """A timer as it was found."""

    fired: Fired
    sequence: int  # how many events were published about its case
    lock: int  # which row that is
    row: Sequence[Any]  # what the service asked for; nothing where a few columns do not tell


class Said(NamedTuple):
    """What a timer has to say, and what is to be written for it."""

    event: Encoded
    following: tuple[str, datetime] | None  # the step that its subject waits for now, at the version after this
    carried: tuple[Any, ...]  # for the service's own rows


@dataclass(frozen=True)
class Announcer:
    """How a service says, of a few columns, what ``decide`` would of the whole case."""

    asked: str  # SQL: these columns of the timer ``t``, the first never null; no row where they do not tell
    say: Callable[[Fired, Sequence[Any], datetime], Said | None]  # None: nothing; it may raise. Pure
    carried: Mapping[str, str]  # ``Said.carried``: names and types
    update: str  # SQL: writes them, from the rows ``n`` of ``taken``, as far as they still stand

    @cached_property
    def look(self) -> str:
        """What to select of the timers ``t``."""
        return (
            f"SELECT {_TIMER}, l.sequence, l.xmin, p.* FROM t JOIN case_lock l ON l.case_id = t.case_id"
            f" LEFT JOIN LATERAL ({self.asked} AND NOT EXISTS (SELECT FROM parked k WHERE k.case_id = t.case_id)) p"
            f" ON true {_IN_ORDER}"
        )

    @cached_property
    def write(self) -> str:
        """The statement that writes all there is to write of a round."""
        types = {**_WRITTEN, **self.carried}
        arrays = ", ".join(f"CAST(:p_{name} AS {kind}[])" for name, kind in types.items())
        n = f"n AS (SELECT * FROM unnest({arrays}) WITH ORDINALITY AS n ({', '.join(types)}, nth))"
        return f"WITH {n}, {_TAKEN}, told AS ({self.update} RETURNING n.*), {_REST}"


async def look(tx: Tx, due: str, announcer: Announcer | None, /, **parameters: Any) -> list[Seen]:
    """The timers ``t`` of ``due`` (SQL, what stands in ``WITH``), in order of due time. One statement."""
    if announcer is None:
        found = await tx.records(f"WITH {due} SELECT {_TIMER} FROM t {_IN_ORDER}", **parameters)
        return [Seen(Fired(*row), 0, 0, ()) for row in found]
    found = await tx.records(f"WITH {due} {announcer.look}", **parameters)
    return [Seen(Fired(*row[:7]), row[7], row[8], row[9:] if row[9] is not None else ()) for row in found]


class Telling:
    """What timers have to say, made ready to be written together. ``stamp`` numbers an event."""

    def __init__(self, announcer: Announcer, partitions: int, stamp: Callable[[Encoded, int], Outgoing]) -> None:
        self._announcer, self._partitions, self._stamp = announcer, partitions, stamp
        self._told: list[tuple[Seen, tuple[Any, ...]]] = []
        self._events: list[tuple[str, bytes]] = []  # headers and body of each
        self._sequences: dict[UUID, int] = {}

    def __len__(self) -> int:
        return len(self._told)

    def add(self, seen: Seen, now: datetime) -> bool:
        """Whether its columns tell what it says."""
        case_id, subject, step, _, version, *_ = seen.fired
        sequence = self._sequences.get(case_id, seen.sequence) + 1
        try:
            said = self._announcer.say(seen.fired, seen.row, now) if seen.row else None
            if said is None:
                return False
            bucket, _, headers, body = outbox.row(self._stamp(said.event, sequence))
        except Exception as wrong:  # whatever it is: deciding about the whole case says it too, and parks it alone
            log.warning("a timer is not told by columns", case_id=str(case_id), step=step, error=type(wrong).__name__)
            return False
        self._sequences[case_id] = sequence
        key = (case_id, subject, step, version, seen.lock, sequence, bucket)
        partition = partition_of(case_id, self._partitions)
        following = said.following or (None, None)
        self._told.append((seen, (*key, *following, partition, *said.carried)))
        self._events.append((headers, body))
        return True

    async def write(self, tx: Tx, now: datetime) -> list[Seen]:
        """Write it all in one statement, a transaction of its own; gives those whose cases were as they were seen."""
        names = [*_WRITTEN, *self._announcer.carried]
        columns = zip(*(row for _, row in self._told), strict=True)
        parameters = {f"p_{name}": column for name, column in zip(names, columns, strict=True)}
        headers, bodies = zip(*self._events, strict=True)
        written = await tx.records(self._announcer.write, now=now, headers=headers, bodies=bodies, **parameters)
        return [self._told[nth - 1][0] for nth in sorted(nth for (nth,) in written)]


async def moved(tx: Tx, case_ids: Sequence[UUID]) -> None:
    """What was seen of these locked cases is not to be said any more, although nothing is published about them."""
    await tx.send(
        "UPDATE case_lock SET sequence = sequence WHERE case_id = ANY(CAST(:ids AS uuid[]))", ids=list(case_ids)
    )
