"""Cases go to engineering and back: by rule, by issue, bounded, and with a record of who held them."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.routing import rules
from services.routing.custody import custody
from services.routing.decide import decide
from services.routing.model import PING_PONG, CaseState, StepKind
from services.routing.spec import RulesetSpec
from shared.contracts.assignments import CaseHandedOff
from shared.contracts.envelope import EventData
from tests.unit.routing.conftest import NOON, Routing, contact, event
from tests.unit.routing.test_api import FALLBACK, problem, put_teams, url
from tests.unit.routing.test_decide import NEW, PAYOUT, activity, hand_off

BUG = {"id": "bug", "when": "'bug' in activity.added", "then": {"team": "engineering", "reason": "tagged bug"}}
HELD = {"id": "held", "when": "activity.status == 'on_hold' && activity.reason == 'engineering'",
        "then": {"team": "engineering", "reason": "on hold for engineering"}}  # fmt: skip
DONE = {"id": "done", "when": "issue.status == 'done'", "then": {"back": True, "reason": "the issue is done"}}
CUSTOM = {"id": "custom", "when": "activity.attributes.needs == 'product'",
          "then": {"team": "payments", "reason": "product"}}  # fmt: skip
MOVING = (BUG, HELD, DONE, CUSTOM)


def moving(*hand_offs: Any) -> CaseState:
    spec = RulesetSpec.model_validate({"fallback": FALLBACK, "hand_off": hand_offs or MOVING})
    configuration = replace(NEW.configuration, ruleset=rules.compile(7, spec))
    return decide(replace(NEW, configuration=configuration), event(PAYOUT), NOON).state


def handed(state: CaseState, *happened: EventData) -> tuple[CaseState, list[CaseHandedOff]]:
    published = []
    for each in happened:
        made = decide(state, event(each), NOON)
        state, published = made.state, [*published, *made.events]
    return state, [each for each in published if isinstance(each, CaseHandedOff)]


def test_a_tag_that_is_added_hands_the_case_to_engineering_and_says_which_rule() -> None:
    state, [moved] = handed(moving(), activity("tags_changed", tags=("bug", "vip")))
    assert (moved.team, moved.from_team, moved.by, moved.reason) == (
        "engineering",
        "frontline",
        "rule bug",
        "tagged bug",
    )
    assert moved.because.facts["hand_off_rule"] == "bug"
    assert moved.tags == ("bug", "vip")
    assert handed(state, activity("tags_changed", tags=("bug",)))[1] == [], "it was tagged already"


def test_a_hold_with_its_reason_and_an_attribute_hand_off() -> None:
    hold = activity("status_changed", status="on_hold", reason="engineering")
    assert handed(moving(), hold)[1][0].team == "engineering"
    assert handed(moving(), activity("status_changed", status="on_hold"))[1] == []
    assert handed(moving(), activity("note_added", attributes={"needs": "product"}))[1][0].team == "payments"


def test_what_was_imported_hands_nothing_off() -> None:
    assert handed(moving(), activity("tags_changed", tags=("bug",), history=True))[1] == []


@given(st.lists(st.sampled_from(["bug", "none", "engineering", "frontline", "payments"]), max_size=30))
def test_rules_never_trigger_rules_and_stop_where_a_case_bounces(happened: list[str]) -> None:
    """CASES 33: one event moves a case once at most; rules that undo each other end."""
    there = {"id": "there", "when": "case.team != 'engineering'", "then": {"team": "engineering", "reason": "x"}}
    back = {"id": "back", "when": "case.team == 'engineering'", "then": {"back": True, "reason": "y"}}
    state, moves = moving(there, back), 0
    for each in happened:
        made = decide(state, event(activity("tags_changed", tags=(each,))), NOON)
        assert len(made.events) <= 1
        state, moves = made.state, moves + len(made.events)
    assert moves <= PING_PONG + 1
    assert state.assignment
    assert state.assignment.returns <= PING_PONG


def test_a_person_may_still_move_what_rules_move_no_more_and_is_told_that_it_bounces() -> None:
    state = moving()
    for team in ("engineering", "frontline") * PING_PONG:
        made = decide(state, hand_off(team), NOON)
        state = made.state
    assert made.because.text.endswith("It came right back 5 times by now: settle whose it is")
    seen = custody(state.steps)
    assert (seen.hand_offs, seen.returns, seen.between, seen.flagged) == (6, 5, ("engineering", "frontline"), True)
    assert handed(state, activity("tags_changed", tags=("bug",)))[1] == []


def test_custody_is_whole_from_the_first_team_to_the_one_that_has_it() -> None:
    state = handed(moving(), activity("tags_changed", tags=("bug",)))[0]
    first, last = custody(state.steps).spells
    assert (first.team, first.since, first.until) == ("frontline", NOON, NOON)
    assert (last.team, last.until, last.by, last.reason) == ("engineering", None, "rule bug", "tagged bug")
    assert [step.kind for step in state.steps] == [StepKind.ASSIGNED, StepKind.HANDED_OFF]


async def with_rules(routing: Routing) -> None:
    await put_teams(routing, "payments", "engineering")
    made = await routing.client.post("/v1/rulesets", json={"rules": [], "fallback": FALLBACK, "hand_off": MOVING})
    assert made.status_code == 201, made.text
    assert (await routing.client.post("/v1/rulesets/2/activate")).status_code == 200


async def test_an_issue_that_is_done_brings_the_case_back(routing: Routing) -> None:
    await with_rules(routing)
    await routing.take(contact(1), activity("tags_changed", tags=("bug",)))
    issue = {"url": "https://git.example/acme/pay/issues/7", "status": "open", "title": "Payout stuck"}
    linked = (await routing.client.put("/v1/cases/C-1/linked-issues", json=issue)).json()
    assert (linked["team"], linked["items"][0]["status"]) == ("engineering", "open")
    linked = (await routing.client.put("/v1/cases/C-1/linked-issues", json={**issue, "status": "done"})).json()
    assert (linked["team"], len(linked["items"])) == ("frontline", 1)
    seen = (await routing.client.get("/v1/cases/C-1/custody")).json()
    assert [(h["team"], h["by"]) for h in seen["held"]] == [
        ("frontline", "the rules"), ("engineering", "rule bug"), ("frontline", "rule done"),
    ]  # fmt: skip
    assert seen["ping_pong"] == {
        "returns": 1, "limit": PING_PONG, "between": ["engineering", "frontline"], "flagged": False,
    }  # fmt: skip
    assert seen["linked_issues"][0]["url"] == issue["url"]
    steps = await routing.count("assignment_history")
    await routing.client.put("/v1/cases/C-1/linked-issues", json={**issue, "status": "done"})
    assert await routing.count("assignment_history") == steps, "the same again changes nothing"
    gone = await routing.client.delete("/v1/cases/C-1/linked-issues", params={"url": issue["url"]})
    assert gone.status_code == 204
    problem(await routing.client.put("/v1/cases/C-9/linked-issues", json=issue), 404, "not-yet")


async def test_a_case_that_bounces_is_a_problem_that_is_shown(routing: Routing) -> None:
    await with_rules(routing)
    await routing.take(contact(1))
    for team in ("engineering", "frontline") * 2:
        await routing.client.post(url(1), json={"team": team, "reason": "not ours"})
    assert (await routing.client.get("/v1/cases/C-1/custody")).json()["ping_pong"]["flagged"]
    [shown] = (await routing.client.get("/v1/problems/teams")).json()["items"]
    assert (shown["kind"], shown["text"][:3]) == ("ping-pong", "C-1")


async def test_hand_off_rules_are_checked_diffed_and_hold_their_team(routing: Routing) -> None:
    await with_rules(routing)
    wrong = {**BUG, "when": "activity.kin == 'x'"}
    body = {"rules": [], "fallback": FALLBACK, "hand_off": [wrong]}
    refused = problem(await routing.client.post("/v1/rulesets", json=body), 422, "invalid")
    assert (refused["errors"][0]["field"], refused["errors"][0]["rule"]) == ("hand_off.0.when", "bug")
    assert "Did you mean activity.kind?" in refused["detail"]
    body["hand_off"] = [{**BUG, "then": {"team": "moon", "reason": "x"}}]
    problem(await routing.client.post("/v1/rulesets", json=body), 422, "unknown-team")
    diff = (await routing.client.get("/v1/rulesets/1/diff", params={"to": 2})).json()
    assert [each["id"] for each in diff["hand_off"]["after"]] == ["bug", "held", "done", "custom"]
    assert (await routing.client.get("/v1/rulesets/2")).json()["hand_off"][2]["then"]["back"] is True
    problem(await routing.client.delete("/v1/teams/engineering"), 409, "in-use")
