"""``python -m tests.bench.recovery``: 100,000 events wait on Kafka when a service comes back after kill -9.

One service at a time, alone with a real Kafka and a Postgres, fed with what others would publish: cases that open and
are assigned. First its steady rate; it is killed in the midst of work; events pile up; it starts again. How long until
it is ready, until it has caught up, how fast beside its steady rate. Of sla also: promises that break the while.
"""

import argparse
import asyncio
import json
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import asyncpg
import httpx

from shared.clock import SystemClock
from shared.contracts import catalogue
from shared.contracts.assignments import CaseAssigned
from shared.contracts.contacts import ContactReceived, Customer
from shared.contracts.envelope import Because, Event
from shared.contracts.words import Channel, Priority
from shared.db import Database
from shared.embedded import EmbeddedPostgres
from shared.ids import Ids
from shared.log import Log, Record, partition_of
from tests.bench import processor
from tests.bench.figures import quantile
from tests.bench.journey import BODY, POSTGRES, Figures
from tests.bench.seeding import Opened, Seeder
from tests.e2e.client import Client
from tests.e2e.stack import Apart
from tests.e2e.storms import PARTITIONS, log_of

EVENTS, STEADY = 100_000, 10_000
SERVICES = ("sla", "routing", "notify")
WITHIN_S = 900.0
AT_ONCE = 1_000
FIRES_A_SECOND, FIRES_S = 20, 400  # longer than the rest takes
FIRST_REPLY = timedelta(hours=1)
ON_TIME_S = 1.0


@dataclass
class Feed:
    """Events of new cases, as intake and routing publish them; and how far the service has read."""

    service: str
    log: Log
    database: asyncpg.Connection
    clock: SystemClock = field(default_factory=SystemClock)
    sent: int = 0

    async def append(self, count: int) -> None:
        records = self._records(count)
        while part := [record for record, _ in zip(records, range(AT_ONCE), strict=False)]:
            await self.log.append(part)
            self.sent += len(part)

    def _records(self, count: int) -> Iterator[Record]:
        ids, topics = Ids(self.clock), ("contacts",) if self.service == "routing" else ("contacts", "assignments")
        for number in range(count // len(topics)):
            now, case = self.clock.now(), ids.new()
            received = ContactReceived(
                case_id=case, contact_id=ids.new(), case_number=f"C-{self.sent + number + 1}", opened_case=True,
                occurred_at=now, received_at=now, channel=Channel.EMAIL, subject="Payout missing", excerpt=BODY[:200],
                customer=Customer(id=f"cus_{number}", email=f"{number}@acme.example", tier="enterprise", country="IE"),
            )  # fmt: skip
            assigned = CaseAssigned(
                case_id=case, occurred_at=now, team="frontline", priority=Priority.NORMAL, ruleset_version=1,
                because=Because(text="no rule matched"),
            )  # fmt: skip
            for topic, data in zip(topics, (received, assigned), strict=False):
                event = Event(ids.new(), "bench", topic, 1, now, data)
                yield Record(topic, partition_of(case, PARTITIONS), str(case), *catalogue.encode(event))

    async def read(self) -> int:
        found: int = await self.database.fetchval(
            f"SELECT coalesce(sum(position), 0)::bigint FROM {self.service}.progress"
        )
        return found

    async def until_read(self, count: int) -> None:
        give_up = time.monotonic() + WITHIN_S
        while (done := await self.read()) < count:
            assert time.monotonic() < give_up, f"{done} of {count} events read within {WITHIN_S:g} s"
            await asyncio.sleep(0.1)


async def measure(stack: Apart, service: str, events: int) -> Figures:
    log, db = log_of(stack), Database(stack.database_url, "sla")
    await log.start()
    database = await asyncpg.connect(processor.plain(stack.database_url))
    feed = Feed(service, log, database)
    try:
        await feed.append(STEADY // 5)
        await feed.until_read(feed.sent)  # warm
        steady = await _rate(stack, feed, STEADY)
        fires = await _seed(stack, db) if service == "sla" else None
        await feed.append(STEADY)
        await feed.until_read(feed.sent - STEADY // 2)
        stack.program(service).kill()
        killed = time.monotonic(), feed.clock.now()
        await feed.append(events - (feed.sent - await feed.read()))
        waiting = feed.sent - await feed.read()
        down_s = time.monotonic() - killed[0]
        began = time.monotonic()
        stack.program(service).start()
        while not await asyncio.to_thread(_ready, stack, service):
            await asyncio.sleep(0.05)
        ready_s, ready = time.monotonic() - began, feed.clock.now()
        before = await processor.used(stack)
        already = await feed.read()
        await feed.until_read(feed.sent)
        caught_up_s, caught_up = time.monotonic() - began, feed.clock.now()
        spent = processor.between(before, await processor.used(stack))
        done = feed.sent - already
        figures = {
            "events waiting": float(waiting),
            "down, s": down_s,
            "ready after, s": ready_s,
            "caught up after, s": caught_up_s,
            "steady, events a second": steady["events a second"],
            "catching up, events a second": waiting / caught_up_s,
            "catching up beside steady": waiting / caught_up_s / steady["events a second"],
            "steady, µs of processor an event": steady["µs"],
            "catching up, µs of processor an event": 1e6 * _of(spent, service) / done,
        }
        if fires is not None:
            figures |= await _fires(database, (killed[1], ready, caught_up))
        return figures
    finally:
        await database.close()
        await db.close()
        await log.stop()


async def _rate(stack: Apart, feed: Feed, count: int) -> Figures:
    """While events come faster than they are read."""
    before, done, began = await processor.used(stack), await feed.read(), time.monotonic()
    await feed.append(count)
    await feed.until_read(feed.sent)
    done, seconds = await feed.read() - done, time.monotonic() - began
    spent = processor.between(before, await processor.used(stack))
    return {"events a second": done / seconds, "µs": 1e6 * _of(spent, feed.service) / done}


def _of(spent: processor.Seconds, service: str) -> float:
    return spent[service] + spent[processor.in_postgres(service)]


def _ready(stack: Apart, service: str) -> bool:
    try:
        return httpx.get(f"{stack.bases[service]}/readyz", timeout=1).status_code == 200
    except httpx.HTTPError:
        return False


async def _seed(stack: Apart, db: Database) -> datetime:
    """Open clocks, some of which run out each second from now on; gives when the first does."""
    now = SystemClock().now()
    first = now + timedelta(seconds=3)
    opened = [
        Opened(first - FIRST_REPLY + timedelta(seconds=second), "frontline", FIRES_A_SECOND)
        for second in range(FIRES_S)
    ]
    await Seeder(stack.database_url, db).seed(opened, now)
    return first


async def _fires(database: asyncpg.Connection, at: Sequence[datetime]) -> Figures:
    """How late promises broke, by when: while the service was down, while it caught up, afterwards."""
    await asyncio.sleep(5)
    found = Figures()
    for name, since, until in (("down", at[0], at[1]), ("catching up", at[1], at[2]), ("afterwards", at[2], None)):
        rows = await database.fetch(
            "SELECT due_at, state, pg_xact_commit_timestamp(xmin) - due_at AS late FROM sla.clock"
            " WHERE metric = 'first_reply' AND due_at >= $1 AND due_at < coalesce($2, now() - interval '2 seconds')"
            " ORDER BY due_at, id",
            since,
            until,
        )
        late = [row["late"].total_seconds() for row in rows if row["state"] == "breached"]
        assert all(each >= 0 for each in late), "early"
        found[f"due while {name}" if until else f"due {name}"] = float(len(rows))
        found[f"… of those, not fired yet ({name})"] = float(len(rows) - len(late))
        if late:
            found[f"… fired after, p50, s ({name})"] = quantile(late, 50) / 1000
            found[f"… fired after, p99, s ({name})"] = quantile(late, 99) / 1000
            found[f"… within {ON_TIME_S:g} s ({name})"] = float(sum(each <= ON_TIME_S for each in late))
    return found


def configure(tocsin: Client, service: str) -> None:
    if service == "sla":
        targets = [{"metric": "first_reply", "within": "PT1H"}, {"metric": "resolution", "within": "PT400H"}]
        tocsin.put("/v1/policies/all", {"position": 1, "when": "true", "targets": targets})


def run(service: str, events: int) -> Figures:
    settings = {"TOCSIN_LOG_LEVEL": "WARNING"}
    stack = Apart(settings, {service: 1})
    stack.postgres = EmbeddedPostgres(stack.folder / "postgres", **POSTGRES)
    with stack:
        configure(stack.client(), service)
        return asyncio.run(measure(stack, service, events))


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.bench.recovery", description="Measure a start with much to catch up.")
    parser.add_argument("--only", nargs="+", choices=SERVICES, default=SERVICES)
    parser.add_argument("--events", type=int, default=EVENTS)
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # also then, end what we started
    found = {}
    for service in asked.only:
        found[service] = run(service, asked.events)
        print(f"\n{service}: {asked.events:,} events waiting when it starts again after kill -9")
        for name, figure in found[service].items():
            print(f"  {name:<46} {figure:>11,.2f}", flush=True)
    print(json.dumps({"kind": "recovery", **found}))


if __name__ == "__main__":
    main()
