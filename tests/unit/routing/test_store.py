"""What is decided is what is stored, in a fixed number of statements."""

from datetime import timedelta
from typing import Any

import pytest

from services.routing.model import CaseState
from services.routing.model.commands import HandOff
from services.routing.rules import RulesetError, compile
from services.routing.spec import RulesetSpec
from services.routing.store import RoutingStore, assignment, contact, first_start, rulesets
from services.routing.store.history import history
from shared import points
from shared.audit import Actor
from shared.batch import Input
from shared.contracts.clocks import ClockBreached, ClockMet, ClockWithdrawn
from shared.contracts.contacts import CustomerErased
from shared.contracts.words import WATCHER
from tests.unit.routing import conftest
from tests.unit.routing.conftest import NOON, Routing, case
from tests.unit.routing.test_decide import clock


async def statements(routing: Routing, events: list[Any]) -> int:
    seen = 0

    async def count(point: str) -> None:
        nonlocal seen
        seen += point == "db.statement"

    with points.install(count):
        await routing.take(*events)
    return seen


async def loaded(routing: Routing, *numbers: int) -> dict[int, CaseState]:
    store = routing.runtime.service.store
    async with routing.runtime.db.transaction() as tx:
        found = await store.load(tx, [case(number) for number in numbers], NOON)
    return {number: found[case(number)] for number in numbers}


async def test_what_was_decided_is_loaded_again(routing: Routing) -> None:
    await routing.take(conftest.contact(1, tags=("eu",), attributes={"big": 2**70, "plan": "x"}))
    state = (await loaded(routing, 1, 2))[1]
    assert state.assignment
    assert (state.assignment.team, state.assignment.ruleset_version, state.assignment.rule) == ("frontline", 1, None)
    assert (state.step_count, state.contact_known, state.steps) == (1, True, ())
    async with routing.runtime.db.transaction() as tx:
        facts = await contact(tx, case(1))
    assert facts
    assert (facts.tags, facts.attributes) == (("eu",), {"big": float(2**70), "plan": "x"})


async def test_a_ruleset_that_was_accepted_decides_whatever_the_bounds_for_new_ones_are(routing: Routing) -> None:
    """A program that bounds conditions more narrowly than the one before must not stop routing."""
    when = "contact.channel.replace('e', 'E') == 'Email' && contact.channel.matches('[a-z]{300}|email')"
    rules = [{"id": "wide", "when": when, "then": {"team": "frontline", "priority": "high"}}]
    spec = RulesetSpec.model_validate({"rules": rules, "fallback": {"team": "frontline"}})
    with pytest.raises(RulesetError):
        compile(2, spec)
    who = Actor("ana", "ana")
    async with routing.runtime.db.transaction() as tx:
        made = await rulesets.create(tx, spec, who, None, 1, NOON)
        await rulesets.activate(tx, made.version, spec.teams(), who, NOON)
    await routing.take(conftest.contact(1))
    state = (await loaded(routing, 1))[1]
    assert state.assignment
    assert (state.assignment.ruleset_version, state.assignment.rule) == (made.version, "wide")


async def test_an_unknown_case_is_new_and_carries_the_configuration(routing: Routing) -> None:
    state = (await loaded(routing, 9))[9]
    assert (state.assignment, state.contact_known, state.step_count) == (None, False, 0)
    assert set(state.configuration.teams) == {"frontline"}


async def test_a_batch_takes_as_many_statements_as_a_single_event(routing: Routing) -> None:
    await statements(routing, [conftest.contact(0)])  # the configuration is read once
    one = await statements(routing, [conftest.contact(1)])
    many = await statements(routing, [conftest.contact(n) for n in range(2, 202)])
    assert many == one
    assert await routing.count("assignment") == 202


async def test_hand_offs_of_one_batch_are_each_in_the_history(routing: Routing) -> None:
    await routing.client.put("/v1/teams/payments", json={})
    await routing.take(conftest.contact(1))
    moves = [Input(case(1), HandOff(case(1), team, "ana", "back and forth")) for team in ("payments", "frontline") * 2]
    await routing.runtime.command(moves)
    async with routing.runtime.db.transaction() as tx:
        found = await assignment(tx, case(1))
    assert found
    assert [(s.number, s.from_team, s.team) for s in found.history] == [
        (1, None, "frontline"), (2, "frontline", "payments"), (3, "payments", "frontline"),
        (4, "frontline", "payments"), (5, "payments", "frontline"),
    ]  # fmt: skip
    assert found.assignment.team == "frontline"


@pytest.mark.parametrize("together", [True, False])
async def test_erasing_reaches_everything_stored(routing: Routing, together: bool) -> None:
    rule = {"id": "plan", "when": "contact.attributes.plan == 'secret-plan'", "then": {"team": "frontline"}}
    await routing.client.post("/v1/rulesets", json={"rules": [rule], "fallback": {"team": "frontline"}})
    await routing.client.post("/v1/rulesets/2/activate")
    received = conftest.contact(
        1, customer={"id": "cus_1", "email": "ana@x.example", "name": "Ana"}, subject="my subject", body="my body",
        attributes={"plan": "secret-plan"}, url="https://x.example/1",
    )  # fmt: skip
    erased = CustomerErased(case_id=case(1), occurred_at=NOON, customer_id="")
    if together:
        await routing.take(received, erased)
    else:
        await routing.take(received)
        await routing.take(erased)
    for table in ("contact", "assignment", "assignment_history"):
        async with routing.runtime.db.transaction() as tx:
            rows = await tx.rows(f"SELECT to_jsonb(t) AS row FROM {table} t")
        stored = "".join(row.row for row in rows).replace("plan: plan is secret-plan", "")  # the rule's own words
        assert rows
        for private in ("cus_1", "ana@", "Ana", "my subject", "my body", "secret-plan", "x.example"):
            assert private not in stored, (table, private)


async def test_the_newest_word_about_a_clock_counts_whatever_the_order(routing: Routing) -> None:
    breached = clock(ClockWithdrawn, 3, breached=True)
    await routing.take(breached, clock(ClockMet, 2, breached=False))
    await routing.take(clock(ClockMet, 1, breached=True))
    async with routing.runtime.db.transaction() as tx:
        rows = await tx.rows("SELECT version, state, breached FROM outcome ORDER BY clock_id")
    assert [tuple(row) for row in rows] == [(3, "withdrawn", False)]


async def test_a_breach_is_kept_with_its_team(routing: Routing) -> None:
    broken = ClockBreached.model_construct(
        **clock(ClockMet, 2, breached=False).model_dump(exclude={"breached"}), fired_at=NOON
    )
    await routing.take(broken)
    async with routing.runtime.db.transaction() as tx:
        row = await tx.one("SELECT metric, breached, team, due_at FROM outcome")
    assert row
    assert tuple(row) == ("first_reply", True, "payments", NOON)


async def test_stored_contacts_are_read_newest_first_in_pages(routing: Routing) -> None:
    times = [NOON - timedelta(hours=n // 2) for n in range(7)]  # two at each time
    await routing.take(*(conftest.contact(n, occurred_at=at) for n, at in enumerate(times)))
    await routing.take(conftest.contact(8, occurred_at=NOON, source=WATCHER))  # no customer's: no backtest sees it
    page, place = await history(routing.runtime.db, None, None, 1, 2, None)
    seen = [each.case_id for each in page]
    while place is not None:
        page, place = await history(routing.runtime.db, None, None, 1, 2, place)
        seen += [each.case_id for each in page]
    assert seen == [case(n) for n in (1, 0, 3, 2, 5, 4, 6)]


async def test_a_first_start_happens_once(routing: Routing) -> None:
    async with routing.runtime.db.transaction() as tx:
        await first_start(tx, NOON)
        found = await rulesets.listing(tx, 10, None)
    assert [(each.version, each.state) for each in found] == [(1, "active")]


async def test_a_deleted_first_team_stays_deleted(routing: Routing) -> None:
    await routing.client.put("/v1/teams/other", json={})
    await routing.client.post("/v1/rulesets", json={"rules": [], "fallback": {"team": "other"}})
    await routing.client.post("/v1/rulesets/2/activate")
    assert (await routing.client.delete("/v1/teams/frontline")).status_code == 204
    async with routing.runtime.db.transaction() as tx:
        await first_start(tx, NOON)
    assert (await routing.client.get("/v1/teams/frontline")).status_code == 404


async def test_compiled_versions_are_kept_but_not_for_ever(routing: Routing) -> None:
    store = routing.runtime.service.store
    assert isinstance(store, RoutingStore)
    async with routing.runtime.db.transaction() as tx:
        spec = (await rulesets.active_ruleset(tx)).spec
    first = await store.versions.compiled(1, spec)
    assert await store.versions.compiled(1, spec) is first
    for version in range(2, 40):
        await store.versions.compiled(version, spec)
    assert await store.versions.compiled(1, spec) is not first
