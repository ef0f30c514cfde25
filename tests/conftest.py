"""What tests stand on: one embedded Postgres and one real Kafka a session, and an empty database for each test."""

import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy.ext.asyncio import create_async_engine

from deploy.kafka.local import LocalKafka, LocalKafkaError
from shared.embedded import EmbeddedPostgres
from tests.scratch import scratch

# Processes crash in tests, the machine never does: what is not flushed to the disk is not lost.
UNFLUSHED = {"fsync": "off", "full_page_writes": "off"}
# A busy machine says nothing about what is tested.
settings.register_profile("tocsin", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tocsin")
MEASURED = "measured"  # the property of a test that is a line to print at the end


def pytest_terminal_summary(terminalreporter: Any) -> None:
    told = (report for reports in terminalreporter.stats.values() for report in reports)
    properties = (each for report in told if getattr(report, "when", "") == "call" for each in report.user_properties)
    if lines := [line for name, line in properties if name == MEASURED]:
        terminalreporter.section("measured")
        for line in lines:
            terminalreporter.line(line)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A server of this session's own."""
    folder = scratch("tocsin-test-")
    server = EmbeddedPostgres(folder, **UNFLUSHED)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder)


@pytest.fixture
async def database_url(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """The URL of an empty database, which is dropped after the test."""
    name = f"test_{secrets.token_hex(6)}"
    await execute(postgres.url, f"CREATE DATABASE {name}")
    yield postgres.url.replace("/postgres?", f"/{name}?")
    await execute(postgres.url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def kafka() -> Iterator[LocalKafka]:
    """A real broker. Its topics are shared by all tests: take a topic prefix of your own."""
    folder = Path(tempfile.mkdtemp(prefix="tocsin-test-kafka-"))
    broker, problem = LocalKafka(folder), None
    try:
        broker.start(say=print)
    except LocalKafkaError as error:
        problem = str(error)
    if problem is None:
        yield broker
    broker.kill()
    shutil.rmtree(folder)
    if problem is not None:
        pytest.fail(problem, pytrace=False)


async def execute(url: str, statement: str) -> None:
    """One statement, outside of a transaction."""
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.exec_driver_sql(statement)
    await engine.dispose()
