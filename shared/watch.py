"""The service looks at itself: gauges of what waits, and a consumer that went silent is rebuilt.

An aiokafka consumer can go silent while everything else is healthy; only the distance to the end of the log shows it.
"""

import time
from typing import Any

import structlog

from shared import inbox, telemetry
from shared.log import LogUnavailable, Positions
from shared.runtime import Runtime
from shared.worker import Worker

EVERY_S = 5.0
SILENT_S = 20.0  # unread events of a partition, and no progress for this long: rebuild

log = structlog.get_logger()


class Standstill:
    """Which partitions have unread events and stood still for too long, though others may go on."""

    def __init__(self) -> None:
        self._stood: dict[tuple[str, int], tuple[int, float]] = {}  # where each stands, and since when

    def look(self, progress: Positions, ends: Positions, now: float) -> list[tuple[str, int]]:
        """``now`` in seconds. After those that it gives are seen to, all have as long again."""
        for key, end in ends.items():
            position = progress.get(key, 0)
            if position >= end or key not in self._stood or self._stood[key][0] != position:
                self._stood[key] = position, now
        silent = sorted(key for key, (_, since) in self._stood.items() if now - since > SILENT_S)
        if silent:
            self._stood = {}
        return silent


class Watch:
    """Measures one service."""

    def __init__(self, runtime: Runtime[Any], worker: Worker | None) -> None:
        self._runtime, self._worker = runtime, worker
        self._name = runtime.service.card.name
        self._standstill = Standstill()

    async def step(self) -> float:
        async with self._runtime.db.transaction() as tx:
            waiting = await tx.one("SELECT count(*) AS events, min(written_at) AS oldest FROM outbox")
            parked = await tx.scalar("SELECT count(*) FROM parked")
            progress = await inbox.progress(tx)
        telemetry.PARKED.labels(self._name).set(parked)
        if waiting is not None:
            age = (self._runtime.clock.now() - waiting.oldest).total_seconds() if waiting.oldest else 0.0
            telemetry.OUTBOX_SIZE.labels(self._name).set(waiting.events)
            telemetry.OUTBOX_AGE.labels(self._name).set(max(0.0, age))
        if self._worker is not None:
            await self._look_at_consumer(progress, self._worker)
        return EVERY_S

    async def _look_at_consumer(self, progress: Positions, worker: Worker) -> None:
        topics = self._runtime.service.card.consumes
        try:
            ends = await self._runtime.log.end_positions(topics)
        except LogUnavailable:
            return
        lag = dict.fromkeys(topics, 0)
        for (topic, partition), end in ends.items():
            lag[topic] += max(0, end - progress.get((topic, partition), 0))
        for topic, events in lag.items():
            telemetry.CONSUMER_LAG.labels(self._name, topic).set(events)
        if silent := self._standstill.look(progress, ends, time.monotonic()):
            partitions = [f"{topic} {partition}" for topic, partition in silent]
            log.warning("consumer is silent, rebuilding it", service=self._name, lag=lag, partitions=partitions)
            worker.rebuild()
