"""What a team asks about kept and broken promises, as the role that may read nothing else."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest
from sqlalchemy.exc import DBAPIError

from services import sql
from services.sla.app import service
from services.sla.model import Case
from shared import migrate, timers
from shared.batch import Input
from shared.clock import ManualClock
from shared.contracts.envelope import Event
from shared.contracts.words import WATCHER
from shared.db import Database
from shared.ids import Ids
from shared.log import Log
from shared.runtime import Runtime
from shared.settings import Settings
from tests.unit.sla.conftest import NoLog, first_start
from tests.unit.sla.stories import START, Story, m

DOCUMENT = Path(__file__).parents[3] / "docs" / "compliance.md"
QUERIES = re.findall(r"```sql\n(.*?)```", DOCUMENT.read_text(), re.S)
KEPT, LATE, OPEN, CANCELLED, WATCHED = (UUID(int=number) for number in range(1, 6))


def told(case_id: UUID, story: Story) -> list[Event]:
    return [
        replace(
            event,
            id=UUID(int=case_id.int << 8 | number),
            data=event.data.model_copy(update={"case_id": case_id, **_number(event, case_id)}),
        )
        for number, event in enumerate(story.events)
    ]


def _number(event: Event, case_id: UUID) -> dict[str, Any]:
    return {"case_number": f"C-{case_id.int}"} if hasattr(event.data, "case_number") else {}


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    """Four cases promised a first reply within 4 hours: kept, kept late, broken and open, solved without one.
    And one of the watcher, broken: the answers are as if it were not there."""
    db, clock, made = Database(database_url, "sla"), ManualClock(START), service()
    await migrate.upgrade(db, made)
    runtime: Runtime[Case] = Runtime(Settings(), made, db, clock, Ids(clock, seed=1), cast(Log, NoLog()))
    await first_start(runtime, clock.now())
    clock.set(m(600))
    for case_id in (KEPT, LATE, OPEN, CANCELLED, WATCHED):
        story = Story()
        story.contact(0, source=WATCHER if case_id == WATCHED else None)
        story.assigned("payments" if case_id == LATE else "frontline", at=0.5)
        if case_id == KEPT:
            story.reply(100)
        if case_id == LATE:
            story.reply(300)
        if case_id == CANCELLED:
            story.status("solved", 10)
        events = told(case_id, story)
        async with runtime.unit() as work:
            await work.lock([case_id])
            await work.apply([Input(case_id, event) for event in events])
    await fire(runtime)
    yield db
    await db.close()


async def fire(runtime: Runtime[Case]) -> None:
    async with runtime.unit() as work:
        due = await timers.due(work.tx, work.now, 500, dict.fromkeys(range(8), work.now))
        await work.fire(await work.take(due))


async def asked(db: Database, query: str) -> list[dict[str, Any]]:
    columns, rows = await sql.ask(db, query)
    return [dict(zip(columns, row, strict=True)) for row in rows]


async def test_by_day_what_was_cancelled_does_not_count(db: Database) -> None:
    (day,) = await asked(db, QUERIES[0])
    assert (str(day["due_on"]), day["met"], day["promises"], float(day["percent"])) == ("2026-11-03", 1, 3, 33.33)


async def test_by_team_and_metric_the_worst_comes_first(db: Database) -> None:
    found = [(row["team"], row["met"], row["promises"]) for row in await asked(db, QUERIES[1])]
    assert found == [("payments", 0, 1), ("frontline", 1, 2)]


async def test_by_policy_its_versions_are_apart(db: Database) -> None:
    (row,) = await asked(db, QUERIES[2])
    assert (row["policy"], row["policy_version"], row["met"], row["promises"]) == ("default", 1, 1, 3)


async def test_by_priority_and_tier(db: Database) -> None:
    (row,) = await asked(db, QUERIES[3])
    assert (row["priority"], row["tier"], row["met"], row["promises"]) == ("normal", "enterprise", 1, 3)


async def test_who_still_waits_comes_before_the_latest(db: Database) -> None:
    found = [(row["case_number"], str(row["late_by"])) for row in await asked(db, QUERIES[4])]
    assert found == [(f"C-{OPEN.int}", "None"), (f"C-{LATE.int}", "1:00:00")]


@pytest.mark.parametrize(
    "statement",
    ["SELECT * FROM sla.case_facts", "DELETE FROM sla.clock", "CREATE TABLE sla.mine (x int)", "SELECT * FROM timer"],
)
async def test_the_role_reads_the_view_and_nothing_else_and_writes_nothing(db: Database, statement: str) -> None:
    with pytest.raises(DBAPIError, match=r"permission denied|read-only"):
        await sql.ask(db, statement)


def test_answers_can_be_read_by_other_programs(capsys: pytest.CaptureFixture[str]) -> None:
    sql.show(["team", "percent"], [("a,b", 50)], "csv")
    sql.show(["team", "percent"], [("a,b", 50)], "json")
    assert capsys.readouterr().out.splitlines() == ["team,percent", '"a,b",50', '[{"team": "a,b", "percent": 50}]']
