"""A trace goes through the log: from the command that made an event to the batch that took it."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared import telemetry
from shared.batch import Input
from shared.clock import ManualClock
from shared.db import Database
from shared.leases import Leases
from shared.log.postgres import PostgresLog
from shared.relay import NAMES, Relay
from shared.worker import Worker
from tests.contract.platform.toy import activity, make_runtime

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    monkeypatch.setattr(telemetry, "_tracer", None)
    exporter = InMemorySpanExporter()
    telemetry.trace_to(SimpleSpanProcessor(exporter), "test")
    return exporter


async def test_the_consumer_links_to_the_trace_of_the_producer(database_url: str, spans: InMemorySpanExporter) -> None:
    clock = ManualClock(NOW)
    log = PostgresLog(Database(database_url, "log"), clock, 4, topics=("contacts", "pages"), alone=True)
    await log.start()
    producer = await make_runtime(database_url, log, clock, "producer")
    consumer = await make_runtime(database_url, log, clock, "toy")
    with telemetry.span("POST /v1/contacts"):
        event = activity(producer.ids, UUID(int=7), "told", NOW)
        await producer.command([Input(event.case_id, event)])
    await Relay(producer, Leases(producer.db, NAMES, 5)).step()

    worker = Worker(consumer)
    worker._card = type(worker._card)("toy", "", ("pages",), "contacts")
    while not await worker.step():
        pass
    await worker.stop()

    posted, decided = spans.get_finished_spans()
    assert decided.name == "toy decide"
    assert [link.context.trace_id for link in decided.links] == [posted.context.trace_id]
    await producer.db.close()
    await consumer.db.close()
    await log.stop()
