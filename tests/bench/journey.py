"""Contacts on their whole way: accepted, assigned, promised, broken, paged, told, answered. What each leg costs.

Contacts come one by one at a steady pace, each with a promise that breaks in its turn; nobody answers before all are
told. Costs are time of processors (``tests/bench/processor.py``), which stays true on a machine that others share.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import asyncpg

from tests.bench import processor
from tests.bench.figures import quantile
from tests.bench.notify import TEAMS, Receiver, first_arrivals
from tests.bench.wire import paced
from tests.e2e import scene
from tests.e2e.client import Client
from tests.e2e.stack import SERVICES, Apart

PROMISE = timedelta(seconds=60)
GAP_S = 4.0  # from the last contact to the first deadline
SETTLE_S = 1.0  # until notify has read of the last clock
WITHIN_S = 120.0
POSTGRES = {"track_commit_timestamp": "on", "max_wal_size": "4GB", "checkpoint_timeout": "30min", "autovacuum": "off"}
BODY = "Our payout of Friday has not arrived, though its status says paid. Could you look into it please? " * 6
LINES = {"Content-Type": "application/x-ndjson"}
Figures = dict[str, float]


@dataclass(frozen=True)
class Journey:
    """Where it goes. ``rate``: contacts a second."""

    stack: Apart
    tocsin: Client
    receiver: Receiver
    rate: float
    count: int

    async def round(self, number: int) -> Figures:
        """µs of processor a contact, a fire, a page, an answer; milliseconds (p50) on the way."""
        first_due = scene.now() + timedelta(seconds=self.count / self.rate + GAP_S)
        due = [first_due + timedelta(seconds=n / self.rate) for n in range(self.count)]
        begun = await processor.used(self.stack)
        url = f"{self.tocsin.routes.base('/v1/contacts')}/v1/contacts"
        made = await paced(url, self.stack.key, _bodies(number, due), self.rate, self.count / self.rate)
        assert not made.refused, made.refused[:2]
        cases = [UUID(json.loads(body)["case_id"]) for body in made.bodies]
        database = await asyncpg.connect(processor.plain(self.stack.database_url))
        try:
            await self._until(lambda: database.fetchval(_PROMISED, cases), f"{self.count} cases have clocks")
            await asyncio.sleep(SETTLE_S)
            known = await processor.used(self.stack)
            figures = await _median_ms(database, _ON_THE_WAY, cases)
            await asyncio.sleep(max(0.0, (first_due - scene.now()).total_seconds() - 0.5))
            waited = await processor.used(self.stack)
            await self._until(lambda: database.fetchval(_TOLD, cases), "all are told")
            fired = await processor.used(self.stack)
            figures |= await _median_ms(database, _FIRED, cases) | await self._received(database, cases)
            await self._answer(cases)
            await self._until(lambda: database.fetchval(_SETTLED, cases), "all pages are resolved")
            answered = await processor.used(self.stack)
        finally:
            await database.close()
        figures |= {"accepted, p50, ms": quantile(made.latencies, 50)}
        return self._costs(begun, known, waited, fired, answered) | figures

    def _costs(self, *at: processor.Seconds) -> Figures:
        contact, _, fired, answer = (
            {name: 1e6 * seconds / self.count for name, seconds in processor.between(*pair).items()}
            for pair in pairwise(at)
        )
        by_service = {f"a contact in {s}, µs": contact[s] + contact[processor.in_postgres(s)] for s in SERVICES}
        return {
            "a contact: services, µs": processor.of_services(contact),
            "a contact: Postgres, µs": processor.of_postgres(contact),
            **by_service,
            "a fire: sla, µs": fired["sla"],
            "a fire: Postgres, µs": fired[processor.in_postgres("sla")],
            "a page: notify, µs": fired["notify"],
            "a page: Postgres, µs": fired[processor.in_postgres("notify")],
            "an answer: services, µs": processor.of_services(answer),
            "an answer: Postgres, µs": processor.of_postgres(answer),
        }

    async def _received(self, database: asyncpg.Connection, cases: Sequence[UUID]) -> Figures:
        due = {str(row["case_id"]): row["due_at"] for row in await database.fetch(_DUE, cases)}
        told = first_arrivals(self.receiver, "/")
        late = [(told[case_id] - at).total_seconds() for case_id, at in due.items()]
        return {"due → received, p50, ms": quantile(late, 50)}

    async def _answer(self, cases: Sequence[UUID]) -> None:
        closed = {"kind": "status_changed", "status": "closed"}
        lines = [scene.replied(str(case)) for case in cases] + [scene.replied(str(case)) | closed for case in cases]
        for line in lines[len(cases) :]:
            del line["public"]
        text = "\n".join(map(json.dumps, lines))
        answer = await asyncio.to_thread(self.tocsin.send, "POST", "/v1/activities/batch", content=text, headers=LINES)
        assert answer.text.count('"status":202') == len(lines), answer.text[:500]

    async def _until(self, holds: Callable[[], Awaitable[Any]], what: str) -> None:
        end = time.monotonic() + WITHIN_S
        while not await holds():
            assert time.monotonic() < end, f"not within {WITHIN_S:g} s: {what}"
            await asyncio.sleep(0.1)


def _bodies(number: int, due: Sequence[datetime]) -> Iterator[bytes]:
    for n, at in enumerate(due):
        name = f"journey-{number}-{n}-{due[0].timestamp()}"
        more = {"source": "bench", "external_id": name, "thread": name, "body": BODY, "language": "en"}
        contact = scene.payout_missing(TEAMS[n % len(TEAMS)], occurred_at=(at - PROMISE).isoformat(), **more)
        yield json.dumps(contact | {"customer": contact["customer"] | {"email": f"finance@{name}.example"}}).encode()


# Each is asked of the cases of one round, by an index: of other connections than those that are measured.
_PROMISED = (
    "SELECT (SELECT count(*) FROM notify.case_facts WHERE case_id = ANY($1)) >= cardinality($1)"
    " AND (SELECT count(*) FROM sla.clock WHERE case_id = ANY($1) AND metric = 'first_reply') >= cardinality($1)"
)
_TOLD = (
    "SELECT (SELECT count(DISTINCT case_id) FROM notify.delivery WHERE case_id = ANY($1) AND state = 'sent')"
    " >= cardinality($1)"
)
_SETTLED = (
    "SELECT NOT EXISTS (SELECT FROM notify.page WHERE case_id = ANY($1) AND state <> 'resolved') AND NOT EXISTS"
    " (SELECT FROM sla.clock WHERE case_id = ANY($1) AND ended_at IS NULL)"
)
_ON_THE_WAY = (
    'SELECT pg_xact_commit_timestamp(a.xmin) - c.received_at AS "contact → assigned, p50, ms",'
    ' pg_xact_commit_timestamp(k.xmin) - c.received_at AS "contact → promised, p50, ms"'
    " FROM intake.contact c JOIN routing.assignment a ON a.case_id = c.case_id"
    " JOIN sla.clock k ON k.case_id = c.case_id AND k.metric = 'first_reply' WHERE c.case_id = ANY($1)"
)
_FIRED = (
    'SELECT pg_xact_commit_timestamp(xmin) - due_at AS "due → committed, p50, ms" FROM sla.clock'
    " WHERE case_id = ANY($1) AND metric = 'first_reply'"
)
_DUE = "SELECT case_id, due_at FROM sla.clock WHERE case_id = ANY($1) AND metric = 'first_reply'"


async def _median_ms(database: asyncpg.Connection, sql: str, cases: Sequence[UUID]) -> Figures:
    rows = await database.fetch(sql, cases)
    return {name: quantile([row[name].total_seconds() for row in rows], 50) for name in dict(rows[0])}
