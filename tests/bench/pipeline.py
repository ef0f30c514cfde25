"""``python -m tests.bench.pipeline``: routing on a real Kafka with 200 rules, against the same loop without deciding.

Consume → decide → commit → publish, by routing's own worker and relay in one process. The floor is the same loop over
as many other contacts, where what is decided was worked out beforehand. Rounds take turns, so that a busy machine hits
both. Exit code 1 where the median of the rounds is below the target.
"""

import argparse
import asyncio
import dataclasses
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import text

from deploy.kafka.local import LocalKafka
from services.routing.app import service
from services.routing.decide import decide
from services.routing.model import CaseState
from services.routing.store import rulesets as stored
from shared.audit import Actor
from shared.clock import SystemClock
from shared.contracts import catalogue
from shared.contracts.contacts import ContactReceived
from shared.contracts.decision import Decision
from shared.contracts.envelope import Event
from shared.db import Database
from shared.embedded import EmbeddedPostgres
from shared.ids import Ids
from shared.leases import Leases
from shared.log import Record, partition_of
from shared.log.kafka import KafkaConfig, KafkaLog
from shared.process import spare_the_collector
from shared.relay import NAMES, Relay
from shared.runtime import Runtime
from shared.settings import Settings
from shared.worker import Worker
from tests.bench import thousand

CONTACTS, RULES, TARGET = 5_000, 200, 0.7


@dataclasses.dataclass
class Switch:
    """Decides, or gives what was decided beforehand."""

    prepared: dict[UUID, Decision[CaseState]] = dataclasses.field(default_factory=dict)

    def __call__(self, state: CaseState, what: Any, now: datetime) -> Decision[CaseState]:
        return self.prepared[what.id] if self.prepared else decide(state, what, now)


class Pipeline:
    def __init__(self, runtime: Runtime[CaseState], switch: Switch) -> None:
        self._runtime, self._switch = runtime, switch
        self._worker, self._relay = Worker(runtime), Relay(runtime, Leases(runtime.db, NAMES, 30))
        self._number = 0

    async def round(self, deciding: bool) -> tuple[float, float]:
        """Contacts a second, from the first that is read to the last that is published; and µs of processor each."""
        events = self._events()
        self._switch.prepared = {} if deciding else await self._decided(events)
        await self._runtime.log.append([self._record(event) for event in events])
        began, spent = time.perf_counter(), time.process_time()
        async with asyncio.TaskGroup() as both:
            both.create_task(self._read(len(events)))
            both.create_task(self._publish(len(events)))
        spent = time.process_time() - spent
        return len(events) / (time.perf_counter() - began), 1e6 * spent / len(events)

    async def _read(self, left: int) -> None:
        while left > 0:
            left -= await self._worker.step()

    async def _publish(self, left: int) -> None:
        while left > 0:
            published = await self._relay.step()
            left -= published
            if not published:
                await asyncio.sleep(0.002)

    async def _decided(self, events: Sequence[Event]) -> dict[UUID, Decision[CaseState]]:
        async with self._runtime.unit() as work:
            store = self._runtime.service.store
            states = await store.load(work.tx, [event.case_id for event in events], work.now)
            return {event.id: decide(states[event.case_id], event, work.now) for event in events}

    def _events(self) -> list[Event]:
        made = []
        now, ids = self._runtime.clock.now(), self._runtime.ids
        for facts in thousand.contacts(CONTACTS, seed=self._number):
            self._number += 1
            given = facts.model_dump(exclude={"number", "at", "erased"}, exclude_none=True)
            contact = ContactReceived.model_validate(
                given | {"case_id": ids.new(), "contact_id": ids.new(), "case_number": f"C-{self._number}",
                         "opened_case": True, "occurred_at": now, "received_at": now}
            )  # fmt: skip
            made.append(Event(ids.new(), "bench", "contacts", 1, now, contact))
        return made

    def _record(self, event: Event) -> Record:
        headers, body = catalogue.encode(event)
        partition = partition_of(event.case_id, self._runtime.log.partitions)
        return Record("contacts", partition, str(event.case_id), headers, body)

    async def stop(self) -> None:
        await self._worker.stop()


async def measure(url: str, servers: str, rounds: int) -> list[dict[str, float]]:
    switch = Switch()
    made, db = dataclasses.replace(service(), decide=switch), Database(url, "routing")
    async with db.engine.begin() as connection:
        await connection.execute(text("CREATE SCHEMA routing"))
        await connection.run_sync(made.metadata.create_all)
    clock, log = SystemClock(), KafkaLog(KafkaConfig(bootstrap_servers=servers, partitions=8))
    runtime = Runtime(Settings(), made, db, clock, Ids(clock, seed=1), log)
    assert made.first_start is not None
    async with db.transaction() as tx:
        await made.first_start(tx, clock.now())
        version = await stored.create(tx, thousand.ruleset(1, RULES), Actor("bench", "bench"), None, 1, clock.now())
        await stored.activate(tx, version.version, version.spec.teams(), Actor("bench", "bench"), clock.now())
    await log.start()
    spare_the_collector()
    pipeline, found = Pipeline(runtime, switch), list[dict[str, float]]()
    for number in range(rounds + 1):  # the first is to get warm
        figures = dict[str, float]()
        for name, deciding in (("deciding", True), ("floor", False))[:: 1 if number % 2 else -1]:
            figures[name], figures[f"{name}, µs of processor"] = await pipeline.round(deciding)
        found.append(figures)
    await pipeline.stop()
    await log.stop()
    await db.close()
    return found[1:]


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.bench.pipeline")
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        server, broker = EmbeddedPostgres(Path(folder)), LocalKafka(Path(folder) / "kafka")
        try:
            broker.start(say=print)
            found = asyncio.run(measure(server.start(), broker.bootstrap_servers, rounds))
        finally:
            broker.kill()
            server.stop()
    ratio = statistics.median(each["deciding"] / each["floor"] for each in found)
    figures = {name: statistics.median(each[name] for each in found) for name in found[0]} | {"ratio": ratio}
    print(f"{RULES} rules, {CONTACTS:,} contacts a round, medians of {rounds} rounds; contacts a second:")
    for name, figure in sorted(figures.items()):
        print(f"  {name:<28} {figure:>10,.2f}")
    print(json.dumps({"kind": "pipeline", **figures}))
    sys.exit(0 if ratio >= TARGET else 1)


if __name__ == "__main__":
    main()
