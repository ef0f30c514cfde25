"""Cases find their people, on a real Postgres, by as many replicas as there are."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

from services.routing.dispatcher import Dispatcher
from services.routing.store import RoutingStore
from shared.contracts.contacts import CaseActivity
from tests.unit.routing.conftest import NOON, Routing, case, contact
from tests.unit.routing.test_api import problem, url
from tests.unit.routing.test_decide import activity


async def put_team(routing: Routing, name: str = "frontline", **fields: Any) -> None:
    answer = await routing.client.put(f"/v1/teams/{name}", json={"assign": "least_load", **fields})
    assert answer.status_code in (200, 201), answer.text


async def serve(routing: Routing) -> None:
    store = routing.runtime.service.store
    assert isinstance(store, RoutingStore)
    while await Dispatcher(routing.runtime, store).step() == 0.0:
        pass


async def person(routing: Routing, number: int) -> Any:
    return (await routing.client.get(url(number))).json()["person"]


async def take(routing: Routing, *numbers: int) -> None:
    await routing.take(*(contact(number) for number in numbers))
    await serve(routing)


def of(number: int, kind: str, **fields: Any) -> CaseActivity:
    return activity(kind, **fields).model_copy(update={"case_id": case(number)})


async def solve(routing: Routing, number: int, status: str = "solved") -> None:
    await routing.take(of(number, "status_changed", status=status))
    await serve(routing)


async def test_a_case_finds_its_person_and_says_why(routing: Routing) -> None:
    await put_team(routing, members=["ana", "li"])
    await take(routing, 1, 2, 3)
    found = [(await routing.client.get(url(number))).json() for number in (1, 2, 3)]
    assert [each["person"] for each in found] == ["ana", "li", "ana"]
    last = found[0]["history"][-1]
    assert (last["kind"], last["person"], last["by"]) == ("taken", "ana", "the desk")
    assert last["because"]["text"] == "ana takes it: the fewest open cases (0) of the 2 who can"
    assert await routing.count("outbox") == 6


async def test_replicas_at_once_give_fairly_and_nobody_more_than_fits(routing: Routing) -> None:
    await put_team(routing, members=["ana", "bo", "li"], member_capacity=5)
    await routing.take(*(contact(number) for number in range(1, 31)))
    await asyncio.gather(*(serve(routing) for _ in range(6)))
    await serve(routing)
    assert Counter([await person(routing, n) for n in range(1, 31)]) == {"ana": 5, "bo": 5, "li": 5, None: 15}
    assert all([await person(routing, n) for n in range(1, 16)]), "the oldest first"


async def test_when_capacity_frees_the_oldest_that_waits_gets_it(routing: Routing) -> None:
    """CASES 35."""
    await put_team(routing, members=["ana"], member_capacity=1)
    await take(routing, 1)
    for number in (2, 3):
        routing.clock.advance(timedelta(minutes=1))
        await take(routing, number)
    waiting = (await routing.client.get(url(2))).json()
    assert (waiting["person"], waiting["waiting"]["text"]) == (
        None, "Everybody of frontline who could take it is full: ana has 1 open cases of 1",
    )  # fmt: skip
    await solve(routing, 1)
    assert [await person(routing, n) for n in (1, 2, 3)] == ["ana", "ana", None]
    await solve(routing, 2, "pending")
    assert await person(routing, 3) == "ana", "what waits for the customer takes no room"


async def test_a_case_that_is_reopened_stays_with_its_person(routing: Routing) -> None:
    await put_team(routing, members=["ana", "li"])
    await take(routing, 1)
    await solve(routing, 1)
    await routing.take(contact(1, opened_case=False))
    await serve(routing)
    assert await person(routing, 1) == "ana"


async def test_who_is_away_gets_nothing_and_their_work_is_seen_and_can_go_to_others(routing: Routing) -> None:
    """CASES 35."""
    await put_team(routing, members=["ana", "li"])
    await take(routing, 1)
    assert await person(routing, 1) == "ana"
    ana = "/v1/members/ana/availability"
    until = (NOON + timedelta(hours=4)).isoformat()
    said = (await routing.client.put(ana, json={"until": until, "reason": "ill"})).json()
    assert (said["away"], said["open_cases"], said["by"]) == (True, 1, "ana")
    await take(routing, 2, 3)
    assert [await person(routing, n) for n in (2, 3)] == ["li", "li"]
    team = (await routing.client.get("/v1/teams/frontline/availability")).json()
    assert (team["available"], team["members"][0]["cases"][0]["number"]) == (1, "C-1")
    assert team["members"][0]["because"] == "away until 23 Nov 16:00 UTC: ill"
    assert [each["kind"] for each in team["problems"]] == ["away-with-work"]
    assert (await routing.client.get("/v1/problems/teams")).json()["items"] == team["problems"]
    assert (await routing.client.put(ana, json={"release": True, "reason": "ill"})).json()["released"] == 1
    await serve(routing)
    assert await person(routing, 1) == "li"
    assert (await routing.client.put(ana, json={"away": False})).json()["away"] is False
    await take(routing, 4)
    assert await person(routing, 4) == "ana"
    problem(await routing.client.put("/v1/members/nobody/availability", json={}), 404, "not-found")
    problem(await routing.client.get("/v1/members/nobody/availability"), 404, "not-found")


async def test_everybody_offline_is_visible_and_goes_to_the_fallback_after_the_wait(routing: Routing) -> None:
    """CASES 35."""
    await put_team(routing, "night", members=["bo"])
    await put_team(routing, members=["ana"], fallback={"team": "night", "after": "PT15M"})
    await routing.client.put("/v1/members/ana/availability", json={"reason": "lunch"})
    await take(routing, 1)
    [waits] = (await routing.client.get("/v1/teams/frontline/availability")).json()["waiting"]
    assert (waits["cases"], waits["because"]["text"]) == (
        1, "Nobody of frontline who could take it is there: ana is away: lunch",
    )  # fmt: skip
    [shown] = (await routing.client.get("/v1/problems/teams")).json()["items"]
    assert (shown["team"], shown["kind"]) == ("frontline", "nobody-available")
    routing.clock.advance(timedelta(minutes=15))
    await serve(routing)
    found = (await routing.client.get(url(1))).json()
    assert (found["team"], found["person"], found["from_team"]) == ("night", "bo", "frontline")
    assert found["history"][1]["by"] == "the fallback of frontline"
    assert "ana is away: lunch" in found["history"][1]["reason"]


async def test_fallbacks_that_name_each_other_end(routing: Routing) -> None:
    """CASES 33."""
    await put_team(routing, "night", members=["bo"])
    await put_team(routing, members=["ana"], fallback={"team": "night"})
    await put_team(routing, "night", members=["bo"], fallback={"team": "frontline"})
    for name in ("ana", "bo"):
        await routing.client.put(f"/v1/members/{name}/availability", json={})
    await take(routing, 1)
    found = (await routing.client.get(url(1))).json()
    assert [step["team"] for step in found["history"]] == ["frontline", "night"]
    assert found["waiting"] is not None


async def test_a_person_is_given_a_case_by_hand_whatever_they_have(routing: Routing) -> None:
    await put_team(routing, members=["ana", "li"], member_capacity=1)
    await take(routing, 1, 2)
    handed = {"team": "frontline", "person": "li", "reason": "knows the shop"}
    answer = (await routing.client.post(url(1), json=handed)).json()
    assert (answer["person"], answer["history"][-1]["kind"]) == ("li", "taken")
    problem(await routing.client.post(url(1), json=handed), 409, "same-team")
    problem(await routing.client.post(url(1), json={**handed, "person": "zoe"}), 422, "unknown-member")


async def test_who_picks_a_case_up_has_it(routing: Routing) -> None:
    await put_team(routing, assign=None, members=["ana"])
    await routing.take(contact(1), of(1, "picked_up", actor="ana"))
    assert await person(routing, 1) == "ana"


async def test_a_team_that_another_falls_back_on_is_in_use(routing: Routing) -> None:
    await put_team(routing, "night")
    await put_team(routing, fallback={"team": "night"})
    uses = problem(await routing.client.delete("/v1/teams/night"), 409, "in-use")["uses"]
    assert uses == ["the fallback of team frontline"]
    problem(await routing.client.put("/v1/teams/night", json={"fallback": {"team": "night"}}), 422, "invalid")
    problem(await routing.client.put("/v1/teams/night", json={"fallback": {"team": "moon"}}), 422, "unknown-team")


async def test_a_desk_that_can_give_nothing_rests_and_does_not_wake_itself(routing: Routing) -> None:
    await put_team(routing, members=["ana"], member_capacity=1)
    await take(routing, 1, 2)
    store = routing.runtime.service.store
    assert isinstance(store, RoutingStore)
    routing.runtime.wake_sender.clear()
    assert await Dispatcher(routing.runtime, store).step() > 0
    assert not routing.runtime.wake_sender.is_set()
    await routing.take(contact(3))
    assert routing.runtime.wake_sender.is_set(), "what somebody else decides wakes it"
