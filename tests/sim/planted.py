"""Known bugs, planted on purpose: each is what a careless change could bring, and the simulator must find it."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any
from unittest import mock
from uuid import UUID

from services.notify import decide as notify
from services.notify.decide import deliver
from services.sla import app as sla
from services.sla.decide import _on_fired as sla_fired
from shared import inbox, outbox, timers
from shared.batch import Work
from shared.contracts.envelope import Event
from shared.db import Tx, from_json
from shared.log import Positions, Record, partition_of
from shared.runtime import Runtime
from shared.ticker import Freshness

Bug = Callable[[], AbstractContextManager[Any]]


def skip_the_inbox() -> AbstractContextManager[Any]:
    """Every event is new, also the one that was taken before."""
    claim = inbox.claim

    async def all_new(tx: Tx, events: Sequence[tuple[UUID, str]], read: Positions, now: datetime) -> set[UUID]:
        await claim(tx, events, read, now)
        return {event_id for event_id, _ in events}

    return mock.patch.object(inbox, "claim", all_new)


@contextmanager
def publish_before_commit() -> Iterator[None]:
    """Events go to the log when they are decided, whatever becomes of the transaction."""
    write, unit = outbox.write, Runtime.unit
    logs: list[Any] = []

    @asynccontextmanager
    async def with_log(self: Any) -> AsyncIterator[Any]:
        logs.append(self)
        try:
            async with unit(self) as work:
                yield work
        finally:
            logs.remove(self)

    async def at_once(tx: Tx, events: Sequence[Event], now: datetime) -> None:
        runtime = next(each for each in reversed(logs) if each.service.card.name == events[0].source)
        await write(tx, events, now)
        rows = await tx.rows("DELETE FROM outbox RETURNING id, case_id, headers, body")
        records = [
            Record(
                events[0].topic,
                partition_of(row.case_id, runtime.log.partitions),
                str(row.case_id),
                [(name, value.encode()) for name, value in from_json(row.headers)],
                bytes(row.body),
            )
            for row in sorted(rows, key=lambda row: int(row.id))
        ]
        await runtime.log.append(records)

    with mock.patch.object(Runtime, "unit", with_log), mock.patch.object(outbox, "write", at_once):
        yield


@contextmanager
def load_without_the_lock() -> Iterator[None]:
    """Cases are read while others may be writing them."""

    async def unlocked(self: Any, case_ids: Sequence[UUID]) -> None:
        found = await self.tx.rows(
            "SELECT n.id AS case_id, coalesce(c.sequence, 0) AS sequence FROM unnest(CAST(:ids AS uuid[])) AS n (id)"
            " LEFT JOIN case_lock c ON c.case_id = n.id ORDER BY 1",
            ids=list(case_ids),
        )
        await self.tx.send(
            "INSERT INTO case_lock (case_id) SELECT unnest(CAST(:ids AS uuid[])) ON CONFLICT DO NOTHING",
            ids=sorted(set(case_ids)),
        )
        self._locked.update((row.case_id, row.sequence) for row in found)

    async def all_free(self: Any, case_ids: Sequence[UUID]) -> list[UUID]:
        await unlocked(self, case_ids)
        return sorted(set(case_ids))

    with mock.patch.object(Work, "lock", unlocked), mock.patch.object(Work, "lock_free", all_free):
        yield


@contextmanager
def ignore_a_version() -> Iterator[None]:
    """A timer that was set for an earlier deadline breaks the promise all the same."""
    take = timers.take

    async def whatever_stands(tx: Tx, fired: Sequence[Any]) -> list[tuple[Any, int]]:
        locked = await tx.records(
            "SELECT case_id, sequence FROM case_lock WHERE case_id = ANY(CAST(:ids AS uuid[]))"
            " ORDER BY case_id FOR UPDATE SKIP LOCKED",
            ids=sorted({each.case_id for each in fired}),
        )
        free = {row[0]: row[1] for row in locked}
        await take(tx, fired)
        return [(each, free[each.case_id]) for each in fired if each.case_id in free]

    def trusting(case: Any, fired: Any, now: datetime) -> Any:
        clocks = tuple(
            replace(each, due_at=fired.due_at) if each.id == fired.subject and not each.ended and each.due_at else each
            for each in case.clocks
        )
        version = next((each.version for each in clocks if each.id == fired.subject), fired.version)
        return sla_fired(replace(case, clocks=clocks), fired._replace(version=version), now)

    with (
        mock.patch.object(timers, "take", whatever_stands),
        mock.patch.object(sla, "announcer", None),
        mock.patch("services.sla.decide._on_fired", trusting),
    ):
        yield


def drop_a_timer() -> AbstractContextManager[Any]:
    """Of several timers of one transaction, only the first is kept."""
    write = timers.write

    async def first_only(tx: Tx, changes: Sequence[Any], partitions: int) -> datetime | None:
        kept = [each for each in changes if isinstance(each[1], timers.CancelTimer)]
        kept += [each for each in changes if isinstance(each[1], timers.SetTimer)][:1]
        return await write(tx, kept, partitions)

    return mock.patch.object(timers, "write", first_only)


def record_without_the_token() -> AbstractContextManager[Any]:
    """A sender that comes back late writes over what another one does with the same message."""
    recorded = deliver.recorded

    def unfenced(d: Any, answer: Any) -> None:
        delivery = d.state.deliveries.get(answer.delivery_id)
        if delivery is not None:
            answer = replace(answer, token=delivery.token or answer.token)
            d.put([replace(delivery, token=answer.token)])
        recorded(d, answer)

    return mock.patch.object(notify.deliver, "recorded", unfenced)


def skip_the_catch_up() -> AbstractContextManager[Any]:
    """Timers fire with what happens to be known."""

    def trusting(self: Freshness, at: datetime, ends: Any, progress: Any) -> None:
        for partition in self._all:
            self.until[partition] = at

    return mock.patch.object(Freshness, "note", trusting)


BUGS: dict[str, Bug] = {
    each.__name__: each
    for each in (
        skip_the_inbox,
        publish_before_commit,
        load_without_the_lock,
        ignore_a_version,
        drop_a_timer,
        record_without_the_token,
        skip_the_catch_up,
    )
}
