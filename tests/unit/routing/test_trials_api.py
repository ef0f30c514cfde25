"""Trials over HTTP on a real Postgres, their loop stepped by hand.

Live routing is touched by nothing but a canary's share, one replica looks at a time, and every end is on record.
"""

import asyncio
import contextlib
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from services.routing import trials
from services.routing.lab import shadow
from services.routing.model import ContactFacts
from services.routing.model.commands import HandOff
from services.routing.model.trials import place
from services.routing.store import RoutingStore
from services.routing.trials import Trials
from shared.batch import Input
from shared.contracts.clocks import ClockBreached, ClockMet
from shared.contracts.contacts import CustomerErased
from tests.unit.routing.conftest import NOON, Routing, case, contact, event
from tests.unit.routing.test_activation import activate, active, roll_back
from tests.unit.routing.test_api import FALLBACK, VIP, post_ruleset, problem, put_teams
from tests.unit.routing.test_lab_api import FAILS
from tests.unit.routing.test_store import loaded, statements

ALL = {"id": "all", "when": "true", "then": {"team": "payments"}}
WHY = {"reason": "agreed on Monday"}
STRICT = {"share": 0.5, "rollback": {"minimum_cases": 20, "fallback_above": 0.3}, **WHY}
NUMBERS = range(1, 121)


async def post(routing: Routing, path: str, body: Any = WHY) -> Any:
    return await routing.client.post(f"/v1/rulesets/{path}", json=body)


async def get(routing: Routing, path: str) -> Any:
    answer = await routing.client.get(f"/v1/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def tried(routing: Routing, *rules: Any, kind: str = "shadow", body: Any = WHY, **more: Any) -> Any:
    """Version 2 on trial beside version 1, which gives everything to frontline."""
    await put_teams(routing, "payments")
    await post_ruleset(routing, *rules, **more)
    answer = await post(routing, f"2/{kind}", body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def looking(routing: Routing) -> Trials:
    store = routing.runtime.service.store
    assert isinstance(store, RoutingStore)
    return Trials(routing.runtime, store)


async def look(routing: Routing) -> float:
    return await looking(routing).step()


async def placed(routing: Routing) -> dict[str, list[int]]:
    """Numbers of cases by the team that has them."""
    found: dict[str, list[int]] = {}
    for number, state in (await loaded(routing, *NUMBERS)).items():
        if state.assignment is not None:
            found.setdefault(state.assignment.team, []).append(number)
    return found


async def audited(routing: Routing, limit: int) -> list[tuple[str, int, str]]:
    page = await get(routing, f"rulesets/audit?limit={limit}")
    return [(each["action"], each["version"], each["by"]) for each in page["items"]]


# Shadow


async def test_a_shadow_counts_where_it_differs_on_live_cases_and_changes_none(routing: Routing) -> None:
    started = await tried(routing, VIP)
    assert (started["kind"], started["version"], started["control"], started["state"]) == ("shadow", 2, 1, "running")
    assert (await get(routing, "rulesets/2"))["state"] == "shadow"
    vip = {"customer": {"tier": "enterprise"}, "tags": ("payouts",)}
    await routing.take(*(contact(n, **(vip if n <= 4 else {})) for n in range(1, 11)))
    assert (await get(routing, "rulesets/2/shadow"))["waiting"] == 10
    await look(routing)
    told = await get(routing, "rulesets/2/shadow")
    report = told["shadow"]
    assert (told["waiting"], report["cases"], report["differing"], report["moved"]) == (0, 10, 4, 4)
    [difference] = report["differences"]
    assert (difference["active"], difference["shadow"], difference["cases"]) == ("frontline", "payments", 4)
    assert [each["number"] for each in difference["examples"]] == ["C-1", "C-2", "C-3"]
    assert report["by_rule"] == [{"active": None, "shadow": "vip", "cases": 4}]
    assert await placed(routing) == {"frontline": list(range(1, 11))}
    assert await routing.count("trial_case") == 0
    ended = (await post(routing, "2/shadow/stop", {"reason": "seen enough"})).json()
    assert (ended["state"], ended["ended_by"], ended["ended_because"]) == ("stopped", "ana", "seen enough")
    assert ended["shadow"] == report
    assert (await get(routing, "rulesets/2"))["state"] == "draft"
    await routing.take(contact(11))
    assert await routing.count("trial_case") == 0
    assert (await audited(routing, 2)) == [("shadow_stopped", 2, "ana"), ("shadow_started", 2, "ana")]
    problem(await post(routing, "2/shadow/stop"), 409, "not-running")


async def test_a_shadow_that_always_fails_is_counted_and_live_routing_goes_on(
    routing: Routing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_pair: shadow.Pair, _facts: ContactFacts) -> Any:
        raise RuntimeError("no such thing")

    await tried(routing, ALL)
    monkeypatch.setattr(shadow.Pair, "decide", broken)
    await routing.take(*(contact(n) for n in range(1, 6)))
    await look(routing)
    report = (await get(routing, "rulesets/2/shadow"))["shadow"]
    assert (report["cases"], report["failed"], report["failures"][0]) == (0, 5, "RuntimeError: no such thing")
    assert await placed(routing) == {"frontline": [1, 2, 3, 4, 5]}


async def test_what_there_is_no_time_for_is_given_up_oldest_first_and_counted(
    routing: Routing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "PAGE", 4)
    monkeypatch.setattr(trials, "WAITING", 5)
    await tried(routing, ALL)
    for number in range(1, 13):
        routing.clock.advance(timedelta(seconds=1))
        await routing.take(contact(number))
    assert await look(routing) > 0
    told = await get(routing, "rulesets/2/shadow")
    assert (told["shadow"]["cases"], told["shadow"]["skipped"], told["waiting"]) == (4, 3, 5)
    monkeypatch.setattr(trials, "BUDGET_S", 0.0)  # the first case of each look ends it
    for _ in range(5):
        await look(routing)
    told = await get(routing, "rulesets/2/shadow")
    assert (told["shadow"]["cases"], told["shadow"]["skipped"], told["waiting"]) == (9, 3, 0)


async def test_replicas_that_look_at_once_count_each_case_once(routing: Routing) -> None:
    await tried(routing, ALL)
    await routing.take(*(contact(n) for n in NUMBERS))
    for _ in range(4):
        await asyncio.gather(*(look(routing) for _ in range(4)))
    report = (await get(routing, "rulesets/2/shadow"))["shadow"]
    assert (report["cases"], report["differing"], report["unknown"]) == (120, 120, 0)


async def test_a_case_that_was_erased_first_is_not_compared(routing: Routing) -> None:
    await tried(routing, ALL)
    await routing.take(contact(1), contact(2))
    await routing.take(CustomerErased(case_id=case(1), occurred_at=NOON, customer_id=""))
    await look(routing)
    report = (await get(routing, "rulesets/2/shadow"))["shadow"]
    assert (report["cases"], report["unknown"]) == (1, 1)


async def test_a_trial_costs_a_batch_one_statement_whatever_its_size(routing: Routing) -> None:
    await statements(routing, [contact(0)])
    alone = await statements(routing, [contact(1)])
    await tried(routing, ALL, kind="canary", body=STRICT)
    await post_ruleset(routing, VIP)
    assert (await post(routing, "3/shadow")).status_code == 201
    await statements(routing, [contact(2)])  # the configuration is read once
    assert await statements(routing, [contact(n) for n in range(3, 60)]) == alone + 1


# Canary


async def test_a_canary_decides_its_share_and_says_so_in_because(routing: Routing) -> None:
    number = (await tried(routing, ALL, kind="canary", body=STRICT))["number"]
    await routing.take(*(contact(n) for n in NUMBERS))
    share = [n for n in NUMBERS if place(number, case(n)) < 0.5]
    assert 40 < len(share) < 80
    assert await placed(routing) == {"payments": share, "frontline": [n for n in NUMBERS if n not in share]}
    found = await get(routing, f"cases/C-{share[0]}/assignment")
    assert (found["ruleset_version"], found["because"]["facts"]["canary"]) == (2, number)
    assert found["because"]["text"].endswith(f"(canary {number}: ruleset 2 has 50.0%)")
    await look(routing)
    told = (await get(routing, "rulesets/2/canary"))["canary"]
    assert (told["canary"]["cases"], told["control"]["cases"]) == (len(share), 120 - len(share))


async def test_a_canary_that_loses_cases_to_the_fallback_goes_back_by_itself(routing: Routing) -> None:
    number = (await tried(routing, kind="canary", body=STRICT))["number"]
    await routing.take(*(contact(n) for n in NUMBERS))
    before = await placed(routing)
    await asyncio.gather(*(look(routing) for _ in range(3)))
    told = await get(routing, f"trials/{number}")
    assert (told["state"], told["ended_by"]) == ("rolled_back", "the trial itself")
    assert told["ended_because"].startswith("fall to the fallback: ")
    assert told["ended_because"].endswith(": broken")
    assert [(each["condition"], each["standing"]) for each in told["canary"]["findings"]] == [
        ("fallback", "broken"), ("hand_offs", "too_few"), ("breaches", "too_few"),
    ]  # fmt: skip
    assert (await get(routing, "rulesets/2"))["state"] == "draft"
    assert await placed(routing) == before, "cases keep where they are"
    await routing.take(*(contact(n) for n in range(200, 230)))
    after = [state.assignment for state in (await loaded(routing, *range(200, 230))).values()]
    assert {each.ruleset_version for each in after if each} == {1}
    assert (await audited(routing, 1)) == [("canary_rolled_back", 2, "the trial itself")]
    await look(routing)
    assert await routing.count("trial_case") == 0


async def test_a_look_that_a_stalled_disk_made_long_keeps_a_canary_waiting_for_seconds_only(
    routing: Routing, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, sides = 0.0, trials.trials.sides

    async def stalled(*args: Any) -> Any:
        nonlocal now
        now += 5.0
        return await sides(*args)

    monkeypatch.setattr(trials, "time", SimpleNamespace(monotonic=lambda: now))
    loop, number = looking(routing), (await tried(routing, kind="canary", body=STRICT))["number"]
    with monkeypatch.context() as during:
        during.setattr(trials.trials, "sides", stalled)
        await loop.step()
    await routing.take(*(contact(n) for n in NUMBERS))
    now += 10.0
    await loop.step()
    assert (await get(routing, f"trials/{number}"))["state"] == "rolled_back"


async def test_cases_of_a_trial_that_ended_are_forgotten_though_another_runs(routing: Routing) -> None:
    await tried(routing, ALL, kind="canary", body=STRICT)
    await routing.take(*(contact(n) for n in NUMBERS))
    await post(routing, "2/canary/abort")
    await post(routing, "2/shadow")
    await routing.take(contact(200))
    await look(routing)
    assert await routing.count("trial_case") == 0
    assert (await get(routing, "rulesets/2/shadow"))["shadow"]["cases"] == 1


async def test_hand_offs_by_people_count_within_their_time_and_rules_do_not(routing: Routing) -> None:
    body = {**STRICT, "rollback": {"minimum_cases": 20, "hand_offs_within": "PT10M", "hand_offs_above": 2}}
    number = (await tried(routing, ALL, kind="canary", body=body))["number"]
    await routing.take(*(contact(n) for n in NUMBERS))
    ours = [n for n in NUMBERS if place(number, case(n)) < 0.5]
    routing.clock.advance(timedelta(minutes=5))
    await routing.runtime.command([Input(case(n), HandOff(case(n), "frontline", "li", "not ours")) for n in ours])
    await look(routing)
    assert (await get(routing, "rulesets/2/canary"))["canary"]["canary"]["watched"] == 0
    async with routing.runtime.db.transaction() as tx:  # the first of them by a rule, and the second too late
        for case_number, change in ((ours[0], """because = jsonb_set(because, '{facts,hand_off_rule}', '"bug"')"""),
                                    (ours[1], "at = at + interval '6 minutes'")):  # fmt: skip
            where = "case_id = :case_id AND kind = 'handed_off'"
            await tx.run(f"UPDATE assignment_history SET {change} WHERE {where}", case_id=case(case_number))
    routing.clock.advance(timedelta(minutes=5))
    await look(routing)
    told = await get(routing, "rulesets/2/canary")
    assert (told["canary"]["canary"]["watched"], told["canary"]["canary"]["handed_off"]) == (len(ours), len(ours) - 2)
    assert (told["canary"]["control"]["handed_off"], told["state"]) == (0, "rolled_back")
    assert told["ended_because"].startswith("handed off within 10 min: ")


async def test_promises_count_from_when_they_were_due_whether_kept_or_broken(routing: Routing) -> None:
    number = (await tried(routing, ALL, kind="canary", body=STRICT))["number"]
    await routing.take(*(contact(n) for n in NUMBERS))
    due = NOON + timedelta(hours=1)
    ours = {n for n in NUMBERS if place(number, case(n)) < 0.5}

    def ended(n: int) -> Any:
        kind: Any = ClockBreached if n in ours else ClockMet
        given = {"case_id": case(n), "occurred_at": NOON, "clock_id": UUID(int=500 + n), "metric": "first_reply",
                 "instance": 1, "version": 2, "started_at": NOON, "due_at": due, "within": "PT1H",
                 "because": {"text": "x"}}  # fmt: skip
        return kind.model_construct(**ClockMet.model_validate(given | {"breached": False}).model_dump())

    await routing.take(*(ended(n) for n in NUMBERS))
    await look(routing)
    assert (await get(routing, "rulesets/2/canary"))["canary"]["control"]["known"] == 0, "kept, and not due yet"
    routing.clock.advance(timedelta(hours=1))
    await look(routing)
    told = await get(routing, "rulesets/2/canary")
    assert (told["state"], told["canary"]["canary"]["breached"]) == ("rolled_back", len(ours))
    assert told["ended_because"].startswith("broke a promise: ")


async def test_promoting_passes_the_same_guards_as_activating(routing: Routing) -> None:
    await put_teams(routing, "payments")
    await post_ruleset(routing, ALL, tests=[{**FAILS, "expect": {"team": "frontline"}}])
    problem(await post(routing, "2/canary", STRICT), 409, "tests-fail")
    problem(await post(routing, "2/canary/promote"), 409, "tests-fail")
    forced = {**STRICT, "force": True}
    assert (await post(routing, "2/canary", forced)).status_code == 201
    problem(await post(routing, "2/canary/promote"), 409, "tests-fail")
    problem(await post(routing, "2/canary/promote", {"force": True, "expected_active": 7, **WHY}), 409,
            "another-version-is-active")  # fmt: skip
    promoted = await post(routing, "2/canary/promote", {"force": True, **WHY})
    assert (promoted.status_code, promoted.json()["state"], await active(routing)) == (200, "active", 2)
    ended = await get(routing, "rulesets/2/canary")
    assert (ended["state"], ended["ended_because"]) == ("promoted", "Version 2 is active for every case")
    assert (await audited(routing, 4)) == [
        ("canary_promoted", 2, "ana"), ("activated", 2, "ana"), ("forced", 2, "ana"), ("canary_started", 2, "ana"),
    ]  # fmt: skip
    await routing.take(contact(1), contact(2))
    assert await placed(routing) == {"payments": [1, 2]}
    problem(await post(routing, "2/canary/promote", {"force": True, **WHY}), 409, "not-running")
    assert (await roll_back(routing)).json()["version"] == 1


async def test_a_draft_made_from_an_older_version_is_no_canary_until_somebody_has_looked(routing: Routing) -> None:
    await put_teams(routing, "payments")
    for _ in range(2):
        await post_ruleset(routing, ALL)
    await activate(routing, 3)
    told = problem(await post(routing, "2/canary", STRICT), 409, "another-version-is-active")
    assert (told["active"], [rule["id"] for rule in told["diff"]["added"]]) == (3, ["all"])
    assert (await post(routing, "2/canary", {**STRICT, "expected_active": 3})).status_code == 201
    assert (await post(routing, "2/canary/promote")).status_code == 200


async def test_aborting_gives_every_new_case_to_the_active_version_at_once_on_every_replica(routing: Routing) -> None:
    """A replica that kept its configuration from before sees the end in its next batch: nothing is told by time."""
    replica = RoutingStore()

    async def sides() -> set[int]:
        async with routing.runtime.db.transaction() as tx:
            configuration = await replica.configuration.read(tx)
        canary = configuration.canary
        return {(canary.ruleset.version if canary and canary.takes(case(n)) else 1) for n in NUMBERS}

    assert await sides() == {1}
    await tried(routing, ALL, kind="canary", body=STRICT)
    assert await sides() == {1, 2}
    aborted = (await post(routing, "2/canary/abort", {"reason": "payments asked us to"})).json()
    assert (aborted["state"], aborted["ended_because"]) == ("aborted", "payments asked us to")
    assert await sides() == {1}
    assert (await get(routing, "rulesets/2"))["state"] == "draft"


async def test_a_start_waits_for_batches_under_way_so_that_none_is_half_and_half(routing: Routing) -> None:
    await put_teams(routing, "payments")
    await post_ruleset(routing, ALL)
    begun, waited = asyncio.Event(), asyncio.Event()

    async def batch() -> None:
        async with routing.runtime.unit() as work:
            await work.lock([case(1), case(2)])
            await work.apply([Input(case(1), event(contact(1)))])
            begun.set()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(waited.wait(), 0.3)
            assert not waited.is_set()
            await work.apply([Input(case(2), event(contact(2)))])

    async def start() -> None:
        await begun.wait()
        assert (await post(routing, "2/canary", {**STRICT, "share": 0.9})).status_code == 201
        waited.set()

    await asyncio.gather(batch(), start())
    assert await placed(routing) == {"frontline": [1, 2]}
    assert await routing.count("trial_case") == 0


async def test_one_trial_of_a_kind_runs_whoever_starts_it_first(routing: Routing) -> None:
    await put_teams(routing, "payments")
    for _ in range(2):
        await post_ruleset(routing, ALL)
    answers = await asyncio.gather(*(post(routing, f"{version}/canary", STRICT) for version in (2, 3)))
    assert sorted(each.status_code for each in answers) == [201, 409]
    [lost] = [each for each in answers if each.status_code == 409]
    assert "runs already" in problem(lost, 409, "cannot-be-tried")["detail"]
    problem(await post(routing, "1/shadow"), 409, "cannot-be-tried")
    problem(await post(routing, "9/shadow"), 404, "not-found")
    problem(await routing.client.get("/v1/rulesets/1/shadow"), 404, "not-found")
    problem(await routing.client.get("/v1/trials/9"), 404, "not-found")
    winner = next(each for each in answers if each.status_code == 201).json()["version"]
    problem(await post(routing, f"{winner}/retire"), 409, "in-use")
    problem(await post(routing, f"{winner}/shadow"), 409, "cannot-be-tried")
    other = 5 - winner
    assert (await post(routing, f"{other}/shadow")).status_code == 201
    listed = (await get(routing, "trials"))["items"]
    assert [(each["kind"], each["version"]) for each in listed] == [("shadow", other), ("canary", winner)]
    page = await get(routing, "trials?limit=1")
    rest = await get(routing, f"trials?cursor={page['next']}")
    assert [each["kind"] for each in page["items"] + rest["items"]] == ["shadow", "canary"]


async def test_a_shadow_goes_on_as_a_canary_and_keeps_its_report(routing: Routing) -> None:
    await tried(routing, ALL)
    await routing.take(contact(1))
    await look(routing)
    assert (await post(routing, "2/canary", STRICT)).status_code == 201
    before = await get(routing, "rulesets/2/shadow")
    assert (before["state"], before["shadow"]["cases"]) == ("stopped", 1)
    await post(routing, "2/canary/abort")
    assert (await get(routing, "rulesets/2"))["state"] == "draft"


async def test_another_version_that_becomes_active_ends_what_was_compared_with_the_one_before(routing: Routing) -> None:
    await tried(routing, ALL, kind="canary", body=STRICT)
    await post_ruleset(routing, VIP)
    await post_ruleset(routing)
    await post(routing, "3/shadow")
    await activate(routing, 4)
    for version, kind in ((2, "canary"), (3, "shadow")):
        ended = await get(routing, f"rulesets/{version}/{kind}")
        assert (ended["state"], (await get(routing, f"rulesets/{version}"))["state"]) == ("superseded", "draft")
        assert ended["ended_because"] == (
            "Version 4 became active: there is nothing to compare with version 1 any more"
        )
    await routing.take(*(contact(n) for n in range(1, 30)))
    assert set(await placed(routing)) == {"frontline"}
    assert await routing.count("trial_case") == 0


async def test_a_team_of_a_canary_is_in_use(routing: Routing) -> None:
    await tried(routing, ALL, kind="canary", body=STRICT)
    told = problem(await routing.client.delete("/v1/teams/payments"), 409, "in-use")
    assert told["uses"] == ["rule 'all' of ruleset 2, which is canary"]
    await post(routing, "2/canary/abort")
    assert (await routing.client.delete("/v1/teams/payments")).status_code == 204
    problem(await post(routing, "2/canary", STRICT), 422, "unknown-team")


@pytest.mark.parametrize("wrong", [
    {"share": 0.2}, {**STRICT, "share": 0}, {**STRICT, "share": 1}, {**STRICT, "reason": " "},
    {**STRICT, "rollback": {"minimum_cases": 3}}, {**STRICT, "rollback": {"hand_offs_within": "P30D"}},
    {**STRICT, "rollback": {"hand_offs_within": "soon"}}, {**STRICT, "rollback": {"fall_back_above": 0.1}},
])  # fmt: skip
async def test_what_is_no_canary_is_refused(routing: Routing, wrong: Any) -> None:
    await put_teams(routing, "payments")
    await post_ruleset(routing, ALL)
    problem(await post(routing, "2/canary", wrong), 422, "invalid")
    assert (await get(routing, "rulesets/active"))["fallback"] == FALLBACK


async def test_a_canary_that_a_newer_program_refuses_decides_nothing_and_goes_back(routing: Routing) -> None:
    await tried(routing, ALL, kind="canary", body=STRICT)
    async with routing.runtime.db.transaction() as tx:
        document = (
            '{"rules": [{"id": "x", "when": "nonsense", "then": {"team": "payments"}}], "fallback": {"team": "x"}}'
        )
        await tx.run("UPDATE ruleset SET document = CAST(:document AS jsonb) WHERE version = 2", document=document)
    replica = RoutingStore()  # of the newer program: it has compiled nothing yet
    async with routing.runtime.db.transaction() as tx:
        assert (await replica.configuration.read(tx)).canary is None
    await Trials(routing.runtime, replica).step()
    ended = await get(routing, "rulesets/2/canary")
    assert (ended["state"], "cannot be compiled" in ended["ended_because"]) == ("rolled_back", True)
