"""A service of a few lines, to test the platform alone: it notes what it was told, and tells it on."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Column, MetaData, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY

from shared.batch import Card, Change, Service
from shared.clock import ManualClock
from shared.contracts.contacts import CaseActivity
from shared.contracts.decision import CancelTimer, Decision, Fired, SetTimer
from shared.contracts.envelope import Because, Event
from shared.contracts.pages import PageResolved
from shared.contracts.words import ActivityKind
from shared.db import Database, Tx
from shared.ids import Ids
from shared.log import Log
from shared.runtime import Runtime
from shared.settings import Settings
from shared.tables import platform_tables

metadata = MetaData()
platform_tables(metadata)
Table("toy", metadata, Column("case_id", Uuid, primary_key=True), Column("seen", ARRAY(Text), nullable=False))


@dataclass(frozen=True)
class Toy:
    case_id: UUID
    seen: tuple[str, ...] = ()


class ToyStore:
    async def load(self, tx: Tx, case_ids: Sequence[UUID], now: datetime) -> Mapping[UUID, Toy]:
        rows = await tx.rows(
            "SELECT case_id, seen FROM toy WHERE case_id = ANY(CAST(:ids AS uuid[])) ORDER BY case_id",
            ids=list(case_ids),
        )
        found = {row.case_id: Toy(row.case_id, tuple(row.seen)) for row in rows}
        return {case_id: found.get(case_id, Toy(case_id)) for case_id in case_ids}

    async def save(self, tx: Tx, changes: Sequence[Change[Toy]], now: datetime) -> None:
        for change in changes:
            await tx.run(
                "INSERT INTO toy (case_id, seen) VALUES (:id, CAST(:seen AS text[]))"
                " ON CONFLICT (case_id) DO UPDATE SET seen = excluded.seen",
                id=change.case_id,
                seen=list(change.after.seen),
            )


def decide(state: Toy, given: Event | Fired, now: datetime) -> Decision[Toy]:
    """Notes the activity's actor. "poison" cannot be decided; "timer 5" sets a timer; "cancel" removes it."""
    because = Because(text="noted")
    if isinstance(given, Fired):
        return Decision(replace(state, seen=(*state.seen, f"fired{' lagging' if given.lagging else ''}")), because)
    actor = (given.data.actor or "") if isinstance(given.data, CaseActivity) else given.data.TYPE
    if actor == "poison":
        raise ZeroDivisionError("this cannot be decided")
    timers: tuple[SetTimer | CancelTimer, ...] = ()
    if actor.startswith("timer"):
        due_at = given.data.occurred_at + timedelta(seconds=float(actor.split()[1]))
        timers = (SetTimer(state.case_id, "breach", due_at, 1),)
    if actor == "cancel":
        timers = (CancelTimer(state.case_id),)
    told = PageResolved(case_id=state.case_id, occurred_at=now, page_id=state.case_id, because=because)
    return Decision(replace(state, seen=(*state.seen, actor.replace("\\0", "\x00"))), because, (told,), timers)


CARD = Card("toy", "what it was told", ("contacts",), "pages")
SERVICE = Service(CARD, ToyStore(), decide, metadata)


async def make_runtime(url: str, log: Log, clock: ManualClock, schema: str, **settings: object) -> Runtime[Toy]:
    db = Database(url, schema)
    async with db.engine.begin() as connection:
        await connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        await connection.run_sync(metadata.create_all)
    return Runtime(Settings(poll_timeout_s=0.05, **settings), SERVICE, db, clock, Ids(clock, seed=1), log)


def activity(ids: Ids, case_id: UUID, actor: str, at: datetime, sequence: int = 1) -> Event:
    data = CaseActivity(
        case_id=case_id,
        occurred_at=at,
        activity_id=ids.new(),
        kind=ActivityKind.NOTE_ADDED,
        received_at=at,
        actor=actor,
    )
    return Event(ids.new(), "intake", "contacts", sequence, at, data)


async def seen(runtime: Runtime[Toy], case_id: UUID) -> list[str]:
    async with runtime.db.transaction() as tx:
        return list(await tx.scalar("SELECT seen FROM toy WHERE case_id = :id", id=case_id) or [])


async def until_read(step: Callable[[], Awaitable[int]], records: int) -> None:
    """Step a worker until it has read that many records."""
    async with asyncio.timeout(20):
        while records > 0:
            records -= await step()
