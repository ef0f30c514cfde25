"""Teams, rulesets and assignments over HTTP, on a real Postgres."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from shared.contracts.contacts import CustomerErased
from tests.unit.routing.conftest import NOON, Routing, case, contact

VIP = {"id": "vip", "when": "contact.customer.tier == 'enterprise' && 'payouts' in contact.tags",
       "then": {"team": "payments", "priority": "urgent", "tags": ["vip"]}}  # fmt: skip
PHONE = {"id": "phone", "when": "contact.channel == 'phone'", "then": {"team": "frontline"}}
FALLBACK = {"team": "frontline", "priority": "normal"}
PAYOUT = {"customer": {"tier": "enterprise"}, "tags": ("payouts",), "subject": "Payout missing"}


def url(number: int) -> str:
    return f"/v1/cases/{case(number)}/assignment"


async def put_teams(routing: Routing, *names: str) -> None:
    for name in names:
        assert (await routing.client.put(f"/v1/teams/{name}", json={"time_zone": "Europe/Dublin"})).status_code == 201


async def post_ruleset(routing: Routing, *rules: Any, fallback: Any = FALLBACK, **more: Any) -> Any:
    answer = await routing.client.post("/v1/rulesets", json={"rules": rules, "fallback": fallback, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def with_vip_rules(routing: Routing) -> None:
    await put_teams(routing, "payments", "engineering")
    await post_ruleset(routing, PHONE, VIP)
    assert (await routing.client.post("/v1/rulesets/2/activate", json={"expected_active": 1})).status_code == 200


def problem(answer: Any, status: int, kind: str) -> Any:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"].endswith(f"/{kind}"), answer.text
    return answer.json()


async def test_one_contact_has_a_team_from_the_first_start_on(routing: Routing) -> None:
    await routing.take(contact(1))
    found = (await routing.client.get(url(1))).json()
    assert (found["team"], found["priority"]) == ("frontline", "normal")
    assert (found["rule"], found["ruleset_version"]) == (None, 1)
    assert found["because"]["text"] == "No rule matched, so the fallback applies: frontline"


async def test_a_case_is_named_by_its_number_too(routing: Routing) -> None:
    await routing.take(contact(1))
    by_number = await routing.client.get("/v1/cases/C-1/assignment")
    assert by_number.json() == (await routing.client.get(url(1))).json()
    await put_teams(routing, "payments")
    handed = await routing.client.post("/v1/cases/c-1/assignment", json={"team": "payments", "reason": "theirs"})
    assert (handed.json()["case_id"], handed.json()["team"]) == (str(case(1)), "payments")
    problem(await routing.client.get("/v1/cases/C-2/assignment"), 404, "not-yet")
    problem(await routing.client.get("/v1/cases/4812x/assignment"), 422, "invalid")


async def test_an_assignment_says_why_and_why_the_earlier_rules_did_not_match(routing: Routing) -> None:
    """CASES 31."""
    await with_vip_rules(routing)
    await routing.take(contact(1, **PAYOUT))
    found = (await routing.client.get(url(1))).json()
    assert (found["case_id"], found["team"], found["priority"]) == (str(case(1)), "payments", "urgent")
    assert (found["tags"], found["rule"], found["ruleset_version"]) == (["vip"], "vip", 2)
    assert found["because"]["text"] == "vip: tier is enterprise, tagged payouts"
    assert found["why_not"] == [{"rule": "phone", "because": "channel is 'email', not 'phone'"}]
    assert found["why_not_more"] == 0
    assert [(h["kind"], h["team"], h["by"]) for h in found["history"]] == [("assigned", "payments", "the rules")]
    assert found["assigned_at"] == "2026-11-23T12:00:00Z"


async def test_an_assignment_is_explained_by_the_version_that_made_it(routing: Routing) -> None:
    await with_vip_rules(routing)
    await routing.take(contact(1, **PAYOUT))
    await post_ruleset(routing)
    await routing.client.post("/v1/rulesets/3/activate")
    found = (await routing.client.get(url(1))).json()
    assert (found["ruleset_version"], found["rule"], found["why_not"][0]["rule"]) == (2, "vip", "phone")


async def test_why_not_is_not_guessed_once_the_customer_is_erased(routing: Routing) -> None:
    await with_vip_rules(routing)
    await routing.take(contact(1, **PAYOUT), CustomerErased(case_id=case(1), occurred_at=NOON, customer_id=""))
    found = (await routing.client.get(url(1))).json()
    assert (found["team"], found["rule"], found["why_not"], found["why_not_more"]) == ("payments", "vip", None, None)


async def test_a_case_not_routed_yet_is_told_so(routing: Routing) -> None:
    answer = await routing.client.get(url(1))
    assert "?wait=PT5S" in problem(answer, 404, "not-yet")["detail"]
    assert answer.headers["retry-after"] == "1"


async def test_waiting_answers_as_soon_as_it_is_placed(routing: Routing) -> None:
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        asked = group.create_task(routing.client.get(url(1), params={"wait": "PT20S"}))
        await asyncio.sleep(0.05)
        assert not asked.done()
        await routing.take(contact(1))
    assert asked.result().json()["team"] == "frontline"


async def test_waiting_ends(routing: Routing) -> None:
    problem(await routing.client.get(url(1), params={"wait": "PT0.1S"}), 404, "not-yet")
    problem(await routing.client.get(url(1), params={"wait": "soon"}), 422, "invalid")


async def test_a_hand_off_answers_with_the_new_team_and_publishes_it(routing: Routing) -> None:
    await with_vip_rules(routing)
    await routing.take(contact(1, **PAYOUT))
    answer = await routing.client.post(url(1), json={"team": "engineering", "reason": "a bug"})
    assert (answer.status_code, answer.json()["team"]) == (200, "engineering")
    assert [(h["kind"], h["from_team"], h["by"], h["reason"]) for h in answer.json()["history"][1:]] == [
        ("handed_off", "payments", "ana", "a bug")
    ]
    async with routing.runtime.db.transaction() as tx:
        types = await tx.rows("SELECT headers FROM outbox ORDER BY id")
    assert ["case.assigned" in types[0].headers, "case.handed_off" in types[1].headers] == [True, True]


@pytest.mark.parametrize(
    ("number", "body", "status", "kind"),
    [
        (1, {"team": "nobody", "reason": "x"}, 422, "unknown-team"),
        (1, {"team": "frontline", "reason": "x"}, 409, "same-team"),
        (2, {"team": "frontline", "reason": "x"}, 404, "not-yet"),
        (1, {"team": "frontline"}, 422, "invalid"),
        (1, {"team": "frontline", "reason": "  "}, 422, "invalid"),
        (1, {"team": "frontline", "reason": "nul \x00"}, 422, "invalid"),
        (1, {"team": "frontline", "reason": "x", "extra": 1}, 422, "invalid"),
    ],
)
async def test_a_hand_off_that_cannot_be_leaves_nothing(
    routing: Routing, number: int, body: Any, status: int, kind: str
) -> None:
    await routing.take(contact(1))
    problem(await routing.client.post(url(number), json=body), status, kind)
    assert await routing.count("outbox") == await routing.count("assignment_history") == 1
    assert await routing.count("case_lock") == 1


async def test_the_same_hand_off_request_twice_is_one(routing: Routing) -> None:
    await with_vip_rules(routing)
    await routing.take(contact(1))
    headers, body = {"Idempotency-Key": '"k1"'}, {"team": "payments", "reason": "x"}
    first = await routing.client.post(url(1), json=body, headers=headers)
    again = await routing.client.post(url(1), json=body, headers={"Idempotency-Key": "k1"})
    assert (first.status_code, again.status_code, again.json()) == (200, 200, first.json())
    other = await routing.client.post(url(1), json={"team": "engineering", "reason": "x"}, headers=headers)
    problem(other, 422, "idempotency-key-reused")


async def test_a_ruleset_is_a_draft_until_activated_and_never_changes(routing: Routing) -> None:
    await put_teams(routing, "payments")
    made = await post_ruleset(routing, VIP, note="payouts first")
    assert (made["version"], made["state"], made["author"], made["note"]) == (2, "draft", "ana", "payouts first")
    assert (await routing.client.get("/v1/rulesets/active")).json()["version"] == 1
    active = (await routing.client.post("/v1/rulesets/2/activate")).json()
    assert (active["state"], active["rules"][0]["id"]) == ("active", "vip")
    listed = (await routing.client.get("/v1/rulesets")).json()["items"]
    assert [(each["version"], each["state"], each["rules"]) for each in listed] == [(2, "active", 1), (1, "retired", 0)]


async def test_an_older_version_is_brought_back_in_one_call(routing: Routing) -> None:
    await with_vip_rules(routing)
    assert (await routing.client.post("/v1/rulesets/1/activate", json={"expected_active": 2})).status_code == 200
    await routing.take(contact(1, **PAYOUT))
    assert (await routing.client.get(url(1))).json()["team"] == "frontline"


async def test_two_admins_activate_at_once_and_one_is_told_what_the_other_changed(routing: Routing) -> None:
    await put_teams(routing, "payments")
    await post_ruleset(routing, PHONE)
    await post_ruleset(routing, VIP)
    answers = await asyncio.gather(
        *(routing.client.post(f"/v1/rulesets/{n}/activate", json={"expected_active": 1}) for n in (2, 3))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    [lost] = [answer for answer in answers if answer.status_code == 409]
    told = problem(lost, 409, "another-version-is-active")
    assert told["diff"]["before"] == 1
    assert [rule["id"] for rule in told["diff"]["added"]] in (["phone"], ["vip"])


async def test_what_is_wrong_with_a_ruleset_is_all_told_at_once(routing: Routing) -> None:
    rules = [
        {"id": "one", "when": "contact.tire == 'x'", "then": {"team": "frontline"}},
        {"id": "two", "when": "true", "then": {"team": "frontline"}},
        {"id": "three", "when": "contact.channel ==\n 1", "then": {"team": "frontline"}},
    ]
    answer = await routing.client.post("/v1/rulesets", json={"rules": rules, "fallback": FALLBACK})
    errors = problem(answer, 422, "invalid")["errors"]
    assert [(each["field"], each["rule"]) for each in errors] == [("rules.0.when", "one"), ("rules.2.when", "three")]
    assert errors[0]["message"].startswith("line 1, column 8: undeclared reference to 'contact.tire'")
    assert await routing.count("ruleset") == 1


@pytest.mark.parametrize(
    ("document", "kind", "told"),
    [
        ({"rules": []}, "invalid", "fallback"),
        ({"rules": [VIP], "fallback": FALLBACK}, "unknown-team", "Rule 'vip' names the team payments"),
        ({"rules": [], "fallback": {"team": "nobody"}}, "unknown-team", "The fallback names the team nobody"),
        ({"rules": [PHONE, PHONE], "fallback": FALLBACK}, "invalid", "the id 'phone' of an earlier rule"),
        ({"rules": [{**PHONE, "when": ""}], "fallback": FALLBACK}, "invalid", "at least 1 character"),
        ({"rules": [{**PHONE, "whne": "x"}], "fallback": FALLBACK}, "invalid", "whne"),
        ({"rules": [{**PHONE, "then": {}}], "fallback": FALLBACK}, "invalid", "team"),
        ({"rules": [{**PHONE, "id": "Two words"}], "fallback": FALLBACK}, "invalid", "pattern"),
        ({"rules": [{**PHONE, "id": f"r{n}"} for n in range(2_001)], "fallback": FALLBACK}, "invalid", "2000"),
    ],
)
async def test_a_wrong_ruleset_is_refused(routing: Routing, document: Any, kind: str, told: str) -> None:
    answer = await routing.client.post("/v1/rulesets", json=document)
    assert told in problem(answer, 422, kind)["detail"]
    assert await routing.count("ruleset") == 1


async def test_a_team_that_the_active_rules_name_cannot_be_deleted(routing: Routing) -> None:
    await with_vip_rules(routing)
    told = problem(await routing.client.delete("/v1/teams/payments"), 409, "in-use")
    assert told["uses"] == ["rule 'vip' of ruleset 2, which is active"]
    assert (await routing.client.delete("/v1/teams/engineering")).status_code == 204


async def test_a_version_whose_team_is_gone_cannot_be_activated(routing: Routing) -> None:
    await put_teams(routing, "payments")
    await post_ruleset(routing, VIP)
    await routing.client.delete("/v1/teams/payments")
    problem(await routing.client.post("/v1/rulesets/2/activate"), 422, "unknown-team")
    assert (await routing.client.get("/v1/rulesets/active")).json()["version"] == 1


@pytest.mark.parametrize("body", [{"time_zone": "Europe/Dubin"}, {"members": ["ana", "ana"]}, {"tz": "UTC"}])
async def test_a_wrong_team_is_refused(routing: Routing, body: Any) -> None:
    problem(await routing.client.put("/v1/teams/x", json=body), 422, "invalid")


async def test_the_difference_between_two_versions(routing: Routing) -> None:
    await with_vip_rules(routing)
    await post_ruleset(routing, {**VIP, "then": {"team": "engineering"}}, PHONE)
    found = (await routing.client.get("/v1/rulesets/2/diff", params={"to": 3})).json()
    assert [(each["id"], each["before"], each["after"]) for each in found["moved"]] == [("vip", 2, 1)]
    assert [each["after"]["then"]["team"] for each in found["changed"]] == ["engineering"]
    assert (found["added"], found["removed"], found["fallback"]) == ([], [], None)


async def test_a_contact_is_evaluated_without_a_trace(routing: Routing) -> None:
    """CASES 32: at a given time, before it is live."""
    night = {"id": "night", "when": "at.getHours('Europe/Dublin') >= 22", "then": {"team": "frontline"}}
    await put_teams(routing, "payments")
    await post_ruleset(routing, night, VIP)
    posted = {"channel": "email", "customer": {"tier": "enterprise"}, "tags": ["payouts"], "external_id": "x-1"}
    by_day = (await routing.client.post("/v1/rulesets/2/evaluate", json=posted)).json()
    assert (by_day["team"], by_day["rule"], by_day["ruleset_version"]) == ("payments", "vip", 2)
    assert (by_day["case_id"], by_day["assigned_at"]) == (None, None)
    assert by_day["because"]["text"] == "vip: tier is enterprise, tagged payouts"
    assert [said["rule"] for said in by_day["why_not"]] == ["night"]
    late = {**posted, "at": "2026-11-23T22:30:00Z"}
    assert (await routing.client.post("/v1/rulesets/2/evaluate", json=late)).json()["rule"] == "night"
    assert await routing.count("assignment") == await routing.count("outbox") == 0


async def test_a_stored_case_is_evaluated_by_any_version(routing: Routing) -> None:
    await routing.take(contact(1, **PAYOUT))
    await with_vip_rules(routing)
    found = (await routing.client.post("/v1/rulesets/2/evaluate", json={"case_id": str(case(1))})).json()
    assert (found["case_id"], found["team"]) == (str(case(1)), "payments")
    assert (await routing.client.get(url(1))).json()["team"] == "frontline"


@pytest.mark.parametrize(
    ("version", "body", "status", "kind"),
    [
        (1, {}, 422, "invalid"),
        (1, {"case_id": str(case(1)), "channel": "email"}, 422, "invalid"),
        (1, {"case_id": str(case(9))}, 404, "not-found"),
        (1, {"channel": "pigeon"}, 422, "invalid"),
        (9, {"channel": "email"}, 404, "not-found"),
        (0, {"channel": "email"}, 422, "invalid"),
    ],
)
async def test_a_wrong_evaluation_is_refused(routing: Routing, version: int, body: Any, status: int, kind: str) -> None:
    problem(await routing.client.post(f"/v1/rulesets/{version}/evaluate", json=body), status, kind)


async def test_a_backtest_says_which_cases_would_have_moved(routing: Routing) -> None:
    await routing.take(*(contact(n, **(PAYOUT if n % 3 == 0 else {})) for n in range(1, 31)))
    await with_vip_rules(routing)
    against = {"against": 1}
    found = (await routing.client.post("/v1/rulesets/2/backtest", json=against)).json()
    assert (found["cases"], found["moved"], found["complete"], found["against"]) == (30, 10, True, 1)
    [move] = found["moves"]
    assert (move["before"], move["after"], move["cases"], len(move["examples"])) == ("frontline", "payments", 10, 3)
    assert (found["to_fallback_before"], found["to_fallback_after"]) == (30, 20)
    active = (await routing.client.post("/v1/rulesets/1/backtest")).json()
    assert (active["against"], active["moved"], active["moves"][0]["after"]) == (2, 10, "frontline")
    assert await routing.count("outbox") == 30


async def test_a_backtest_takes_the_newest_up_to_its_limit(routing: Routing) -> None:
    await routing.take(*(contact(n, occurred_at=NOON - timedelta(days=n)) for n in range(1, 11)))
    found = (await routing.client.post("/v1/rulesets/1/backtest", json={"limit": 4})).json()
    assert found["cases"] == 4
    problem(await routing.client.post("/v1/rulesets/1/backtest", json={"limit": 500_001}), 422, "invalid")


async def test_lists_go_on_from_a_cursor_and_refuse_a_made_up_one(routing: Routing) -> None:
    for _ in range(4):
        await post_ruleset(routing)
    first = (await routing.client.get("/v1/rulesets", params={"limit": 3})).json()
    rest = (await routing.client.get("/v1/rulesets", params={"limit": 3, "cursor": first["next"]})).json()
    assert [each["version"] for each in first["items"] + rest["items"]] == [5, 4, 3, 2, 1]
    assert rest["next"] is None
    for cursor in ("x", "WyJhIl0", "WyIxIiwiMiJd", "WyI5OTk5OTk5OTk5OTk5OTkiXQ"):
        problem(await routing.client.get("/v1/rulesets", params={"cursor": cursor}), 422, "invalid")


async def test_a_key_does_what_its_scopes_say(routing: Routing) -> None:
    headers = {"Authorization": f"Bearer {await routing.keys.create('reader', ['read'])}"}
    assert (await routing.client.get("/v1/rulesets", headers=headers)).status_code == 200
    assert (await routing.client.post("/v1/rulesets/1/backtest", headers=headers)).status_code == 200
    for method, path in (("PUT", "/v1/teams/x"), ("POST", "/v1/rulesets/1/activate"), ("POST", url(1))):
        body = {"team": "x", "reason": "x"} if path == url(1) else {}
        problem(await routing.client.request(method, path, json=body, headers=headers), 403, "forbidden")
