"""Which version is active: no admin undoes another unawares, one call goes back, and everything is on record."""

import asyncio
from datetime import timedelta
from typing import Any

from tests.unit.routing.conftest import Routing, case, contact
from tests.unit.routing.test_api import FALLBACK, PHONE, VIP, post_ruleset, problem, put_teams


async def activate(routing: Routing, version: int, **more: Any) -> Any:
    return await routing.client.post(f"/v1/rulesets/{version}/activate", **more)


async def roll_back(routing: Routing, **body: Any) -> Any:
    return await routing.client.post("/v1/rulesets/rollback", json=body)


async def active(routing: Routing) -> int:
    return int((await routing.client.get("/v1/rulesets/active")).json()["version"])


async def test_two_admins_who_say_nothing_still_do_not_undo_each_other(routing: Routing) -> None:
    """Each draft remembers which version it was made from."""
    await put_teams(routing, "payments")
    drafts = [await post_ruleset(routing, PHONE), await post_ruleset(routing, VIP)]
    assert [draft["based_on"] for draft in drafts] == [1, 1]
    answers = await asyncio.gather(*(activate(routing, draft["version"]) for draft in drafts))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    [lost] = [answer for answer in answers if answer.status_code == 409]
    told = problem(lost, 409, "another-version-is-active")
    assert (told["diff"]["before"], told["active"]) == (1, await active(routing))
    assert [rule["id"] for rule in told["diff"]["added"]] in (["phone"], ["vip"])


async def test_a_draft_made_from_an_older_version_says_so_and_is_refused(routing: Routing) -> None:
    await post_ruleset(routing, PHONE)
    await activate(routing, 2)
    made = await post_ruleset(routing, based_on=1)
    assert made["based_on"] == 1
    problem(await activate(routing, 3), 409, "another-version-is-active")
    assert (await activate(routing, 3, json={"expected_active": 2})).status_code == 200
    body = {"rules": [], "fallback": FALLBACK, "based_on": 99}
    problem(await routing.client.post("/v1/rulesets", json=body), 404, "not-found")


async def test_if_match_says_which_version_is_believed_to_be_active(routing: Routing) -> None:
    await post_ruleset(routing, PHONE)
    problem(await activate(routing, 2, headers={"If-Match": '"7"'}), 409, "another-version-is-active")
    assert (await activate(routing, 2, headers={"If-Match": '"1"'})).status_code == 200


async def test_one_call_brings_back_the_version_before_and_routes_by_it(routing: Routing) -> None:
    await put_teams(routing, "payments")
    for rules in ([PHONE], [PHONE, {**VIP, "when": "true"}]):
        await activate(routing, (await post_ruleset(routing, *rules))["version"])
    answer = await roll_back(routing, reason="vip took everything")
    assert (answer.status_code, answer.json()["version"], answer.json()["state"]) == (200, 2, "active")
    await routing.take(contact(1))
    assert (await routing.client.get(f"/v1/cases/{case(1)}/assignment")).json()["ruleset_version"] == 2
    assert (await routing.client.get("/v1/rulesets/3")).json()["state"] == "retired"


async def test_two_admins_who_roll_back_at_once_go_one_step_back(routing: Routing) -> None:
    for _ in range(2):
        await activate(routing, (await post_ruleset(routing))["version"])
    answers = await asyncio.gather(roll_back(routing), roll_back(routing))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert await active(routing) == 2
    problem(await roll_back(routing), 409, "rolled-back-just-now")
    assert (await roll_back(routing, expected_active=2)).json()["version"] == 1
    routing.clock.advance(timedelta(minutes=2))
    problem(await roll_back(routing), 409, "nothing-to-roll-back-to")


async def test_a_rollback_of_what_is_active_no_more_is_refused(routing: Routing) -> None:
    await post_ruleset(routing)
    await activate(routing, 2)
    problem(await roll_back(routing, expected_active=1), 409, "another-version-is-active")


async def test_a_version_whose_team_is_gone_is_not_rolled_back_to(routing: Routing) -> None:
    await put_teams(routing, "payments")
    await activate(routing, (await post_ruleset(routing, VIP))["version"])
    await activate(routing, (await post_ruleset(routing))["version"])
    await routing.client.delete("/v1/teams/payments")
    problem(await roll_back(routing), 422, "unknown-team")
    assert await active(routing) == 3


async def test_who_did_what_when_from_where_and_why_is_on_record(routing: Routing) -> None:
    await post_ruleset(routing, PHONE, note="calls first")
    await activate(routing, 2, json={"reason": "agreed on Monday"})
    await activate(routing, 2)  # is active already: nothing happens
    await roll_back(routing, reason="too early")
    await post_ruleset(routing)
    await routing.client.post("/v1/rulesets/3/retire", json={"reason": "not needed"})
    page = (await routing.client.get("/v1/rulesets/audit", params={"limit": 4})).json()
    assert [(e["action"], e["version"], e["before"], e["reason"]) for e in page["items"]] == [
        ("retired", 3, None, "not needed"),
        ("created", 3, None, None),
        ("rolled_back", 1, 2, "too early"),
        ("activated", 2, 1, "agreed on Monday"),
    ]
    newest = page["items"][0]
    assert (newest["by"], newest["address"], newest["at"]) == ("ana", "127.0.0.1", "2026-11-23T12:00:00Z")
    assert newest["key_id"]
    rest = (await routing.client.get("/v1/rulesets/audit", params={"cursor": page["next"]})).json()
    assert [(e["action"], e["by"]) for e in rest["items"]] == [
        ("created", "ana"), ("activated", "first start"), ("created", "first start")
    ]  # fmt: skip


async def test_a_retired_draft_can_still_be_activated_and_the_active_one_not_retired(routing: Routing) -> None:
    await post_ruleset(routing)
    assert (await routing.client.post("/v1/rulesets/2/retire")).json()["state"] == "retired"
    problem(await routing.client.post("/v1/rulesets/1/retire"), 409, "in-use")
    assert (await activate(routing, 2)).json()["state"] == "active"


async def test_an_upload_is_answered_with_what_is_odd_about_it(routing: Routing) -> None:
    phone_ie = {**PHONE, "id": "phone-ie", "when": f"{PHONE['when']} && contact.customer.country == 'IE'"}
    made = await post_ruleset(routing, PHONE, phone_ie)
    [warning] = made["warnings"]
    assert (warning["rule"], warning["kind"], warning["others"]) == ("phone-ie", "unreachable", ["phone"])
    assert (warning["text"], warning["action"]) == (
        "It never decides: whatever it matches, phone matches first", "Move it up, or remove it"
    )  # fmt: skip
    again = (await routing.client.post("/v1/rulesets/2/lint")).json()
    assert again == {"version": 2, "warnings": made["warnings"]}


async def test_a_mistake_is_shown_where_it_is(routing: Routing) -> None:
    rule = {"id": "one", "when": "contact.channel == 'email' &&\n  contact.customer.tire == 'x'"}
    body = {"rules": [{**rule, "then": {"team": "frontline"}}], "fallback": FALLBACK}
    [error] = problem(await routing.client.post("/v1/rulesets", json=body), 422, "invalid")["errors"]
    assert (error["rule"], error["line"], error["column"]) == ("one", "2", "19")
    assert error["shown"] == "  contact.customer.tire == 'x'\n                  ^"
    assert "Did you mean contact.customer.tier?" in error["message"]
