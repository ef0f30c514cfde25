"""Where the time of a message goes, hop by hop, and what each process spent meanwhile.

From what Tocsin itself writes down: nothing is measured that would not happen otherwise.
"""

import asyncio
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from shared.log.kafka import KafkaConfig
from tests.e2e.stack import Apart, Stack

PROCESSES = {
    "services.cli up": "tocsin",
    "services.intake": "intake",
    "services.routing": "routing",
    "services.sla": "sla",
    "services.notify": "notify",
    "postgres": "postgres",
    "kafka.Kafka": "kafka",
    "stand_ins.receiver": "receiver",
}
FIRED, LOGGED, DECIDED, CLAIMED, ANSWERED = "fired", "in the log", "decided", "claimed", "answered"
_TOLD = (
    "SELECT c.case_id, c.breach_fired_at, d.created_at, a.started_at, a.ended_at FROM notify.delivery d"
    " JOIN notify.clock c ON c.id = d.clock_id JOIN notify.attempt a ON a.delivery_id = d.id AND a.number = 1"
    " WHERE c.breach_fired_at IS NOT NULL AND a.ended_at IS NOT NULL ORDER BY d.created_at, d.id"
)
_LOGGED = "SELECT key, max(at) AS at FROM log.record WHERE topic = 'clocks' GROUP BY key ORDER BY key"


def hops(stack: Stack, due: Mapping[str, datetime]) -> dict[str, list[float]]:
    """Seconds after its deadline at which each step of each message was done. ``due``: by case id.

    ``fired``: sla took the timer. ``in the log``: handed to the log. ``decided``: notify read it. ``claimed``: the
    transaction that took it for sending began. ``answered``: the one that recorded the answer did.
    """
    return asyncio.run(_hops(stack, due))


async def _hops(stack: Stack, due: Mapping[str, datetime]) -> dict[str, list[float]]:
    engine = create_async_engine(stack.database_url)
    async with engine.connect() as connection:
        told = (await connection.execute(text(_TOLD))).all()
        rows = [] if isinstance(stack, Apart) else (await connection.execute(text(_LOGGED))).all()
    await engine.dispose()
    logged = await _in_kafka(stack) if isinstance(stack, Apart) else {row.key: row.at for row in rows}
    found: dict[str, list[float]] = {name: [] for name in (FIRED, LOGGED, DECIDED, CLAIMED, ANSWERED)}
    for case_id, fired, decided, claimed, answered in told:
        at = due.get(str(case_id))
        if at is not None:
            steps = (fired, logged[str(case_id)], decided, claimed, answered)
            for name, step in zip(found, steps, strict=True):
                found[name].append((step - at).total_seconds())
    return found


async def _in_kafka(stack: Apart) -> dict[str, datetime]:
    """When the last event of each case's clock was sent to Kafka, by its own stamp."""
    from aiokafka import AIOKafkaConsumer, TopicPartition

    assert stack.kafka is not None
    config = KafkaConfig(bootstrap_servers=stack.kafka.bootstrap_servers, partitions=8)
    reader = AIOKafkaConsumer(**config.connection(), auto_offset_reset="earliest", enable_auto_commit=False)
    await reader.start()
    found: dict[str, datetime] = {}
    try:
        topic = f"{config.topic_prefix}clocks"
        partitions = [TopicPartition(topic, number) for number in range(config.partitions)]
        reader.assign(partitions)
        ends = await reader.end_offsets(partitions)
        while any([await reader.position(each) < ends[each] for each in partitions]):
            for records in (await reader.getmany(timeout_ms=1000)).values():
                for record in records:
                    found[record.key.decode()] = datetime.fromtimestamp(record.timestamp / 1000, UTC)
    finally:
        await reader.stop()
    return found


def cpu_seconds() -> dict[str, float]:
    """What the processes that we started have used so far, by kind; true of a machine shared with others too."""
    found: dict[str, float] = {}
    for pid in _descendants(os.getpid()):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        name = next((name for word, name in PROCESSES.items() if word in command), "other")
        found[name] = found.get(name, 0.0) + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return found


def _descendants(pid: int) -> list[int]:
    threads = Path(f"/proc/{pid}/task").iterdir()
    children = [int(each) for thread in threads for each in (thread / "children").read_text().split()]
    return [each for child in children for each in (child, *_descendants(child))]
