"""What is asked all day long is found by an index, however much is stored: asked of the planner itself."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import MetaData, text

from services.intake.store import claims
from services.intake.store import metadata as intake_tables
from services.intake.store import reads as intake
from services.intake.threads import Key
from services.notify.store import cases as notify_cases
from services.notify.store import metadata as notify_tables
from services.notify.store import reads as notify
from services.routing.store import desks
from services.routing.store import metadata as routing_tables
from services.sla.store import metadata as sla_tables
from services.sla.store import reads as sla
from shared import bulk, timers
from shared.clock import SystemClock
from shared.contracts.decision import CancelTimer, Fired
from shared.contracts.words import ClockState
from shared.db import Database, Tx

SERVICES: dict[str, MetaData] = {
    "intake": intake_tables,
    "routing": routing_tables,
    "sla": sla_tables,
    "notify": notify_tables,
}
NOW, CASE = SystemClock().now(), UUID(int=1)


class Planned:
    """Stands in for a transaction: asks how a statement would be done, and gives no rows."""

    # No list is sorted that an index has in order; a plan may not look at the values asked for, as it may not when it
    # is kept.
    settings: tuple[str, ...] = ("enable_sort = off", "plan_cache_mode = force_generic_plan")

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self.plan = ""

    async def rows(self, sql: str, **parameters: Any) -> Sequence[Any]:
        for setting in self.settings:
            await self._tx.run(f"SET LOCAL {setting}")
        self.plan = "\n".join(line for (line,) in await self._tx.rows(f"EXPLAIN {sql}", **parameters))
        return []

    records = named = run = send = rows


class PlannedAsItIs(Planned):
    """As the connections of services are set, and no further."""

    settings = ()


@pytest.fixture
async def databases(database_url: str) -> AsyncIterator[dict[str, Database]]:
    made = {name: Database(database_url, name) for name in SERVICES}
    for name, db in made.items():
        async with db.engine.begin() as connection:
            await connection.execute(text(f"CREATE SCHEMA {name}"))
            await connection.run_sync(SERVICES[name].create_all)
    yield made
    for db in made.values():
        await db.close()


LISTS: dict[str, tuple[str, Callable[[Any], Awaitable[Any]], str]] = {
    "cases after a cursor": ("intake", lambda tx: intake.cases(tx, None, (), 5_000, 51), "case_file_number_key"),
    "cases by status": ("intake", lambda tx: intake.cases(tx, "open", (), None, 51), "case_file_status"),
    "cases that bounce": ("routing", lambda tx: desks.ping_pong(tx, 3), "assignment_bouncing"),
    "clocks at risk": ("sla", lambda tx: sla.listed(tx, sla.Wanted(by_due=True)), "clock_due"),
    "clocks at risk in a team": (
        "sla",
        lambda tx: sla.listed(tx, sla.Wanted(by_due=True, team="payments", state=ClockState.RUNNING)),
        "clock_team_due",
    ),
    "pages": ("notify", lambda tx: notify.pages(tx, None, None, (NOW, CASE), 51), "page_opened"),
    "open pages": ("notify", lambda tx: notify.pages(tx, "open", None, None, 51), "page_live"),
    "pages that could not tell everybody": ("notify", notify.troubled, "page_troubled"),
    "deliveries": ("notify", lambda tx: notify.deliveries(tx, NOW, 51, after=(NOW, CASE)), "delivery_created"),
    "deliveries that failed": (
        "notify",
        lambda tx: notify.deliveries(tx, NOW, 51, notify.Search(state="failed")),
        "delivery_failed",
    ),
}


async def test_each_list_finds_its_index(databases: dict[str, Database]) -> None:
    for name, (service, ask, index) in LISTS.items():
        async with databases[service].transaction() as tx:
            planned = Planned(tx)
            if index == "clock_team_due":
                await tx.run("DROP INDEX clock_due")  # as good where nothing is stored
            await ask(planned)
        assert index in planned.plan, f"{name}:\n{planned.plan}"


@pytest.mark.parametrize("state", ["queued", "held", "unknown"])
async def test_what_is_not_sent_is_found_among_what_is_not_finished(databases: dict[str, Database], state: str) -> None:
    """However long the log of deliveries is: the index of those that are busy holds no other."""
    async with databases["notify"].transaction() as tx:
        planned = Planned(tx)
        await tx.run("DROP INDEX delivery_created, delivery_case, delivery_target")
        await notify.deliveries(planned, NOW, 51, notify.Search(state=state))  # type: ignore[arg-type]
    assert any(each in planned.plan for each in ("delivery_due", "delivery_case_busy")), planned.plan


KEYS = {"kind": "thread", "scope": "shop", "name": "T-1"}
ALL_DAY: dict[str, tuple[str, str, Callable[[Any], Awaitable[Any]], str]] = {
    "a change of deliveries": (
        "notify",
        "delivery",
        lambda tx: bulk.update(tx, notify_tables.tables["delivery"], [{"id": CASE, "token": None}]),
        "(id = ANY",
    ),
    "deliveries of a case": (
        "notify",
        "delivery",
        lambda tx: notify_cases._deliveries(tx, [CASE], [CASE]),
        "(case_id = ANY",
    ),
    "clocks of a case": ("notify", "clock", lambda tx: notify_cases._clocks(tx, [CASE], {CASE}), "(case_id = ANY"),
    "the page of a case": ("notify", "page", lambda tx: notify_cases._pages(tx, [CASE]), "(case_id = ANY"),
    "a timer that goes": (
        "sla",
        "timer",
        lambda tx: timers.write(tx, [(CASE, CancelTimer(CASE, "breach"))], 8),
        "(subject = ANY",
    ),
    "a timer that fires": (
        "sla",
        "timer",
        lambda tx: timers.take(tx, [Fired(CASE, CASE, "breach", NOW, 1)]),
        "(subject = ANY",
    ),
    "a name given up": ("intake", "claim", lambda tx: claims.release(tx, [Key(**KEYS)]), "(name = ANY"),
}


@pytest.mark.parametrize("what", ALL_DAY)
async def test_what_runs_all_day_is_found_by_its_keys_though_it_was_planned_while_nothing_was_there(
    databases: dict[str, Database], what: str
) -> None:
    """A plan is kept: of a queue that was empty when it was looked at last, it would read all that comes after."""
    service, table, ask, condition = ALL_DAY[what]
    async with databases[service].transaction() as tx:
        await tx.run("ANALYZE")
        planned = PlannedAsItIs(tx)
        await ask(planned)
    assert f"Seq Scan on {table}" not in planned.plan and condition in planned.plan, planned.plan


@pytest.mark.parametrize("step", [None, "breach"])
async def test_a_timer_that_goes_is_found_among_a_million(databases: dict[str, Database], step: str | None) -> None:
    async with databases["sla"].transaction() as tx:
        planned = Planned(tx)
        await timers.write(planned, [(CASE, CancelTimer(CASE, step))], 8)  # type: ignore[arg-type]
    assert "timer_pkey" in planned.plan and "Seq Scan on timer" not in planned.plan, planned.plan
