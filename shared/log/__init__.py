"""The log between services: ordered per partition, durable, at-least-once. Two implementations, one contract.

``tests/contract/`` holds both to it. Embedded mode uses ``postgres.py``, distributed mode ``kafka.py``.
"""

from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable
from uuid import UUID
from zlib import crc32

from shared.contracts.catalogue import Headers
from shared.db import Tx

TopicPartition = tuple[str, int]
Positions = Mapping[TopicPartition, int]  # the position of the next record to read


@dataclass(frozen=True, slots=True)
class Record:
    """One event to append. ``key`` is the case id."""

    topic: str
    partition: int
    key: str
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class Received:
    """One event read, with where it stood."""

    topic: str
    partition: int
    position: int
    key: str
    headers: Headers
    body: bytes


class LogUnavailable(Exception):
    """The log is away or does not answer: back off and repeat."""


class LogMisconfigured(Exception):
    """The log is not as the settings say; repeating cannot help. The text says what to do."""


class OwnershipLost(Exception):
    """The partition belongs to another consumer now; what was read will be read again there. Harmless."""


class Consumer(Protocol):
    """A member of a group. Partitions with the same number of all its topics go to the same member."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def poll(self, limit: int, timeout_s: float) -> Sequence[Received]:
        """Read up to ``limit`` records, waiting at most ``timeout_s`` for the first; moves the position.

        Raises ``LogUnavailable``.
        """
        ...

    async def seek(self, positions: Positions) -> None:
        """Move back, after a rollback. Partitions that are no longer ours are passed over."""
        ...

    async def commit(self, positions: Positions) -> None:
        """Remember where the group is. Raises ``OwnershipLost`` or ``LogUnavailable``."""
        ...


class Log(Protocol):
    """Topics of a fixed number of partitions."""

    partitions: int

    async def start(self) -> None:
        """Connect; create the topics where they do not exist; refuse another number of partitions. Bounded."""
        ...

    async def stop(self) -> None: ...

    async def append(self, records: Sequence[Record]) -> None:
        """Durable and in order when this returns. On an exception any part may have been appended: repeat all."""
        ...

    def consumer(self, group: str, topics: Sequence[str]) -> Consumer: ...

    async def end_positions(self, topics: Sequence[str]) -> Positions:
        """Where the next record of each partition will stand. Raises ``LogUnavailable`` after a bounded wait."""
        ...

    async def unread(self, since: Positions, until: Positions, keys: Collection[str]) -> Collection[str]:
        """Which of the keys have records from ``since`` up to ``until``; where it cannot look by key, all of them.

        Both name the same partitions. Raises ``LogUnavailable`` after a bounded wait.
        """
        ...

    async def committed(self, group: str, topics: Sequence[str]) -> Positions:
        """Where the group is, 0 where it never committed."""
        ...

    async def trim(self, before: datetime) -> int:
        """Forget records older than ``before`` that every known group has passed; gives how many. No-op on Kafka."""
        ...


@runtime_checkable
class Neighbour(Protocol):
    """A log in the database of the outboxes, which takes their rows over without their passing through a process."""

    heads: str  # its table of (topic, partition, next_position)
    records: str  # its table of (topic, partition, position, key)

    async def adopt(self, tx: Tx, topic: str, partitions: Mapping[int, int]) -> None:
        """Move rows of the outbox of ``tx``'s schema here, in the order of their ids, when ``tx`` commits.

        ``partitions``: where each goes, by its id.
        """
        ...

    def announce(self, topics: Set[str]) -> None:
        """Something was committed to these: readers in this process look at once."""
        ...


def partition_of(case_id: UUID, partitions: int) -> int:
    """Where a case's events stand. Never changes, so a case stays in order."""
    return crc32(case_id.bytes) % partitions
