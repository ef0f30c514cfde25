"""The rule lab over HTTP, its backtests in a process of their own, on a real Postgres."""

import asyncio
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

from services.routing import replay
from services.routing.spec import RulesetSpec
from shared.contracts.clocks import ClockBreached, ClockMet
from tests.unit.routing.conftest import NOON, Routing, case, contact
from tests.unit.routing.test_api import FALLBACK, PAYOUT, PHONE, VIP, post_ruleset, problem, put_teams, with_vip_rules

DRAFT = {"rules": [VIP], "fallback": FALLBACK}
HOLDS = {"name": "vips go to payments", "given": {"channel": "email", "customer": {"tier": "enterprise"},
         "tags": ["payouts"]}, "expect": {"team": "payments", "priority": "urgent", "rule": "vip"}}  # fmt: skip
FAILS = {"name": "phone waits", "given": {"channel": "phone"}, "expect": {"team": "payments"}}


async def post(routing: Routing, path: str, body: Any = None, **more: Any) -> Any:
    return await routing.client.post(f"/v1/rulesets/{path}", json=body, **more)


async def test_a_draft_is_tried_on_a_case_by_its_number_before_it_is_stored_anywhere(routing: Routing) -> None:
    """CASES 31 and 32."""
    await routing.take(contact(1, **PAYOUT))
    found = (await post(routing, "evaluate", {"ruleset": {**DRAFT, "rules": [PHONE, VIP]}, "case_id": "C-1"})).json()
    assert (found["case_id"], found["team"], found["rule"]) == (str(case(1)), "payments", "vip")
    assert [said["rule"] for said in found["why_not"]] == ["phone"]
    assert await routing.count("ruleset") == 1
    problem(await post(routing, "evaluate", {"ruleset": DRAFT, "case_id": "C-9"}), 404, "not-found")
    problem(await post(routing, "evaluate", {"ruleset": DRAFT, "case_id": "nonsense"}), 422, "invalid")


async def test_activating_is_refused_while_a_test_fails_unless_forced_with_a_reason(routing: Routing) -> None:
    await put_teams(routing, "payments")
    await post_ruleset(routing, VIP, tests=[HOLDS, FAILS])
    told = problem(await post(routing, "2/activate"), 409, "tests-fail")
    assert [(each["name"], each["wrong"]) for each in told["failures"]] == [
        ("phone waits", ["team is frontline, not payments; No rule matched, so the fallback applies: frontline"])
    ]
    problem(await post(routing, "2/activate", {"force": True}), 422, "invalid")
    assert (await post(routing, "2/activate", {"force": True, "reason": "we know"})).status_code == 200
    page = (await routing.client.get("/v1/rulesets/audit", params={"limit": 2})).json()["items"]
    assert [(each["action"], each["reason"]) for each in page] == [
        ("activated", "we know"),
        ("forced", "1 of 2 tests fail, first 'phone waits': we know"),
    ]


async def test_the_tests_of_a_version_or_a_draft_are_run(routing: Routing) -> None:
    await put_teams(routing, "payments")
    made = await post_ruleset(routing, VIP, tests=[HOLDS, FAILS])
    assert [test["expect"] for test in made["tests"]] == [HOLDS["expect"], FAILS["expect"]]
    found = (await post(routing, "2/test")).json()
    assert (found["passed"], found["failed"], [each["passed"] for each in found["tests"]]) == (False, 1, [True, False])
    draft = (await post(routing, "test", {"ruleset": {**DRAFT, "tests": [HOLDS]}})).json()
    assert (draft["passed"], draft["ruleset_version"]) == (True, None)


async def test_a_backtest_equals_really_routing_the_same_contacts(routing: Routing) -> None:
    posted = [contact(n, channel="phone" if n % 5 == 0 else "email", **(PAYOUT if n % 3 == 0 else {}))
              for n in range(1, 61)]  # fmt: skip
    await routing.take(*posted)
    found = (await post(routing, "backtest", {"ruleset": {**DRAFT, "rules": [PHONE, VIP]}})).json()
    await with_vip_rules(routing)
    again = [contact(100 + n, **each.model_dump(include={"channel", "subject", "tags", "customer"}, mode="json"))
             for n, each in enumerate(posted)]  # fmt: skip
    await routing.take(*again)
    async with routing.runtime.db.transaction() as tx:
        teams = await tx.rows("SELECT team, count(*) AS cases FROM assignment WHERE ruleset_version = 2"
                              " GROUP BY team ORDER BY team")  # fmt: skip
    assert {each["team"]: each["after"] for each in found["load"]} == {row.team: row.cases for row in teams}
    assert (found["cases"], found["ruleset_version"], found["against"]) == (60, None, 1)


async def test_a_backtest_is_of_the_time_filter_and_sample_that_were_asked_for(routing: Routing) -> None:
    await routing.take(*(contact(n, occurred_at=NOON - timedelta(hours=n), tags=("odd",) if n % 2 else ())
                         for n in range(1, 41)))  # fmt: skip

    async def cases(**asked: Any) -> int:
        return int((await post(routing, "1/backtest", asked)).json()["cases"])

    since, until = (NOON - timedelta(hours=20)).isoformat(), (NOON - timedelta(hours=10)).isoformat()
    assert await cases(since=since, until=until) == 10
    assert await cases(where="'odd' in contact.tags", since=since) == 10
    assert 5 < await cases(sample=0.5) < 35
    problem(await post(routing, "1/backtest", {"where": "contact.tire == 1"}), 422, "invalid")


async def test_a_backtest_tells_how_far_it_is_and_forecasts_from_what_happened(routing: Routing) -> None:
    await routing.take(*(contact(n, **(PAYOUT if n % 3 == 0 else {})) for n in range(1, 61)))
    await routing.take(*(ended(n, breached=n % 6 == 0) for n in range(1, 61)))
    headers = {"Accept": "application/x-ndjson"}
    answer = await post(routing, "backtest", {"ruleset": DRAFT}, headers=headers)
    first, *_, last = map(json.loads, answer.text.splitlines())
    assert first == {"progress": {"cases": 60, "limit": 100_000}}
    found = last["breaches"]
    assert (found["known"], found["cases"], found["before"], found["thin"]) == (60, 20, 10, ["payments urgent"])
    assert found["low"] <= found["change"] <= found["high"]
    assert found["text"].startswith(
        "Of the 20 cases with a known outcome that get another team or priority, 10 broke a promise;"
    )


def ended(number: int, breached: bool) -> Any:
    clock = {"case_id": case(number), "clock_id": UUID(int=5_000 + number), "metric": "first_reply", "instance": 1,
             "version": 2, "started_at": NOON, "due_at": NOON, "team": "frontline", "within": "PT4H",
             "occurred_at": NOON, "because": {"text": "x"}}  # fmt: skip
    if not breached:
        return ClockMet.model_validate({**clock, "breached": False})
    return ClockBreached.model_validate({**clock, "fired_at": NOON, "summary": {"number": f"C-{number}"}})


async def test_leaving_early_ends_the_process_of_a_backtest(routing: Routing) -> None:
    await routing.take(*(contact(n) for n in range(1, 21)))
    spec = RulesetSpec.model_validate(DRAFT)
    db = routing.runtime.db
    task = replay.Task(
        url=db.url, schema_name=db.schema, before=(1, spec), after=(2, spec), choice=replay.Choice(), within_s=60
    )
    async for line in (told := replay.lines(task)):
        assert line == {"cases": 20}
        break
    await told.aclose()
    async with db.transaction() as tx:
        for _ in range(100):
            here = await tx.scalar("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tocsin-routing'")
            if here == 1:
                break
            await asyncio.sleep(0.05)
    assert here == 1


async def test_a_backtest_that_runs_out_of_time_says_so(routing: Routing) -> None:
    await routing.take(*(contact(n) for n in range(1, replay.PAGE + 2)))
    spec = RulesetSpec.model_validate(DRAFT)
    db = routing.runtime.db
    task = replay.Task(
        url=db.url, schema_name=db.schema, before=(1, spec), after=(2, spec), choice=replay.Choice(), within_s=0
    )
    *_, last = [line async for line in replay.replay(task)]
    assert (last["report"]["cases"], last["complete"]) == (replay.PAGE, False)
