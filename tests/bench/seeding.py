"""Fill sla's tables with open clocks, quickly and honestly: each row is what the service itself would have written.

Every distinct moment at which cases open is decided once, by ``decide``, and its rows are copied to any number of cases
that opened then: only ids and numbers differ. ``recheck`` derives a sample again and compares.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import asyncpg

from services.sla.decide import decide
from services.sla.model import Case, Configuration
from services.sla.store import SlaStore, rows
from services.sla.store.cases import case_row
from shared.contracts.decision import Replan, SetTimer
from shared.contracts.identity import derived as identity
from shared.db import Database
from shared.log import partition_of
from tests.unit.sla.stories import CASE, START, Story

NUMBER = "C-7"  # of every story
PARTITIONS = 8
COPY_CASES = 5_000

Tables = dict[str, tuple[list[str], list[tuple[Any, ...]]]]  # by name: columns, and rows to write


@dataclass(frozen=True)
class Opened:
    """So many cases that opened at one moment, on one team."""

    at: datetime
    team: str
    cases: int


class Seeder:
    def __init__(self, database_url: str, db: Database) -> None:
        self._url, self._db = database_url.replace("+asyncpg", ""), db
        self._numbers = count(1)
        self.case_ids: list[UUID] = []

    async def seed(self, opened: Sequence[Opened], now: datetime) -> None:
        """``now``: when all of it was decided."""
        async with self._db.transaction() as tx:
            configuration = await SlaStore().configuration.read(tx)
        connection = await asyncpg.connect(self._url)
        try:
            tables: Tables = {}
            for each in opened:
                self.case_ids += _copies(_template(configuration, each, now), each.cases, self._numbers, tables)
                if len(tables["case_lock"][1]) >= COPY_CASES:
                    await _copy(connection, tables)
            await _copy(connection, tables)
        finally:
            await connection.close()

    async def vacuum(self) -> None:
        connection = await asyncpg.connect(self._url)
        for table in ("case_lock", "case_facts", "clock", "timer"):
            await connection.execute(f"VACUUM ANALYZE sla.{table}")
        await connection.close()

    async def recheck(self, case_ids: Sequence[UUID], now: datetime) -> int:
        """Derive these cases again: nothing may differ from what stands. Gives how many clocks they have."""
        async with self._db.transaction() as tx:
            found = await SlaStore().load(tx, case_ids, now)
            timers = await tx.rows(
                "SELECT subject, step, due_at, version FROM timer WHERE case_id = ANY(CAST(:ids AS uuid[]))"
                " ORDER BY subject, step",
                ids=list(case_ids),
            )
        standing = {(row.subject, row.step, row.due_at, row.version) for row in timers}
        clocks = 0
        for case in found.values():
            decision = decide(case, Replan(case.case_id), now)
            assert decision.events == () and decision.timers == () and decision.state == case, case.case_id
            running = [clock for clock in case.clocks if not clock.ended]
            assert all((clock.id, "breach", clock.due_at, clock.version) in standing for clock in running)
            clocks += len(case.clocks)
        return clocks


@dataclass(frozen=True)
class _Template:
    case: Case
    timers: tuple[SetTimer, ...]
    events: int


def _template(configuration: Configuration, opened: Opened, now: datetime) -> _Template:
    minutes = (opened.at - START) / timedelta(minutes=1)
    story, case, told = Story(), Case(CASE, configuration), 0
    timers: dict[tuple[UUID, str], SetTimer] = {}
    for event in (story.contact(minutes), story.assigned(opened.team, at=minutes + 0.02)):
        decision = decide(case, event, now)
        case, told = decision.state, told + len(decision.events)
        for change in decision.timers:
            if isinstance(change, SetTimer):
                timers[change.subject, change.step] = change
            else:
                timers = {key: each for key, each in timers.items() if key[0] != change.subject}
    return _Template(case, tuple(timers.values()), told)


def _copies(template: _Template, cases: int, numbers: Iterator[int], into: Tables) -> list[UUID]:
    """Add the rows of so many cases; gives their ids. What does not differ between them is made once."""
    case = _texts(case_row(template.case))
    clocks = [(clock, _texts(rows.of_clock(clock))) for clock in template.case.clocks]
    locks = into.setdefault("case_lock", (["case_id", "sequence"], []))[1]
    facts = into.setdefault("case_facts", (list(case), []))[1]
    made = into.setdefault("clock", (list(clocks[0][1]), []))[1]
    timers = into.setdefault("timer", (["subject", "step", "due_at", "case_id", "partition", "version"], []))[1]
    assert next(iter(case)) == "case_id" and list(clocks[0][1])[:2] == ["id", "case_id"]
    of_case = tuple(case.values())[1:]
    of_clocks = [(clock, tuple(row.values())[2:]) for clock, row in clocks]
    said = [n for n, name in enumerate(list(case)[1:]) if name in ("number", "opening", "words")]
    found = []
    for _ in range(cases):
        number = next(numbers)
        case_id = identity(CASE, "bench", number)
        found.append(case_id)
        locks.append((case_id, template.events))
        row = [case_id, *of_case]
        for n in said:
            row[n + 1] = of_case[n].replace(NUMBER, f"C-{number}", 1)
        facts.append(tuple(row))
        ids = {clock.id: identity(case_id, clock.metric, clock.instance) for clock, _ in of_clocks}
        made += [(ids[clock.id], case_id, *rest) for clock, rest in of_clocks]
        partition = partition_of(case_id, PARTITIONS)
        timers += [(ids[t.subject], t.step, t.due_at, case_id, partition, t.version) for t in template.timers]
    return found


def _texts(row: dict[str, Any]) -> dict[str, Any]:
    return {name: each.decode() if isinstance(each, bytes) else each for name, each in row.items()}


async def _copy(connection: asyncpg.Connection, tables: Tables) -> None:
    for table, (columns, found) in tables.items():
        await connection.copy_records_to_table(table, schema_name="sla", columns=columns, records=found)
        found.clear()
