"""Teams from outside: a case finds its person, waits for room, goes to engineering and back; its promise runs on."""

from tests.e2e import scene
from tests.e2e.client import JSON, Client, until

SOON_S = 20.0
ISSUE = "https://git.example/acme/terminals/issues/7"


def assigned(tocsin: Client, case: JSON) -> JSON:
    return tocsin.get(f"/v1/cases/{case['case_number']}/assignment", wait="PT5S")


def person(tocsin: Client, case: JSON, wanted: str) -> JSON:
    return until(
        lambda: found if (found := assigned(tocsin, case))["person"] == wanted else None, SOON_S, f"{wanted} has it"
    )


def team(tocsin: Client, case: JSON, wanted: str) -> JSON:
    return until(
        lambda: found if (found := assigned(tocsin, case))["team"] == wanted else None, SOON_S, f"{wanted} has it"
    )


def contact(tocsin: Client) -> JSON:
    return tocsin.post("/v1/contacts", {"channel": "web", "subject": "Till is down", "reason": "till",
                                        "customer": {"email": "c@shop.example"}})  # fmt: skip


def happened(tocsin: Client, case: JSON, kind: str, **fields: object) -> None:
    tocsin.post("/v1/activities", {"kind": kind, "case_id": case["case_id"], "actor": "bo", **fields})


def set_up(tocsin: Client) -> None:
    tocsin.put("/v1/teams/tills-engineering", {"members": ["kim"]})
    tocsin.put("/v1/teams/tills", {"members": ["bo", "cy"], "assign": "round_robin", "member_capacity": 1})
    active = tocsin.get("/v1/rulesets/active")
    tills = {"id": "tills", "when": "contact.reason == 'till'", "then": {"team": "tills"}}
    there = {"id": "till-bug", "when": "activity.status == 'on_hold' && activity.reason == 'firmware'",
             "then": {"team": "tills-engineering", "reason": "a bug of the firmware"}}  # fmt: skip
    back = {"id": "till-fixed", "when": "issue.status == 'done'", "then": {"back": True, "reason": "it is fixed"}}
    rules = {"rules": [tills, *active["rules"]], "fallback": active["fallback"], "hand_off": [there, back]}
    made = tocsin.post("/v1/rulesets", rules)
    tocsin.post(f"/v1/rulesets/{made['version']}/activate")


def test_a_case_finds_a_person_waits_for_room_and_goes_to_engineering_and_back(tocsin: Client) -> None:
    set_up(tocsin)
    tocsin.put("/v1/members/cy/availability", {"away": False})
    first = contact(tocsin)
    person(tocsin, first, "bo")
    tocsin.put("/v1/members/cy/availability", {"reason": "ill"})
    second, third = contact(tocsin), contact(tocsin)
    waiting = until(lambda: assigned(tocsin, second)["waiting"], SOON_S, "the second waits")
    assert "cy is away: ill" in waiting["text"] or "bo has 1 open cases of 1" in waiting["text"]
    shown = tocsin.get("/v1/teams/tills/availability")
    assert (shown["available"], shown["problems"][0]["kind"]) == (0, "nobody-available")
    tocsin.put("/v1/members/cy/availability", {"away": False})
    person(tocsin, second, "cy")
    assert assigned(tocsin, third)["person"] is None
    happened(tocsin, first, "status_changed", status="solved")
    person(tocsin, third, "bo")

    promise = scene.clock_started(tocsin, third["case_id"])
    happened(tocsin, third, "status_changed", status="on_hold", reason="firmware")
    handed = team(tocsin, third, "tills-engineering")
    assert handed["because"]["text"] == (
        "rule till-bug handed it from tills to tills-engineering: a bug of the firmware"
    )
    issues = f"/v1/cases/{third['case_number']}/linked-issues"
    tocsin.put(issues, {"url": ISSUE, "status": "open"})
    tocsin.put(issues, {"url": ISSUE, "status": "done"})
    team(tocsin, third, "tills")
    custody = tocsin.get(f"/v1/cases/{third['case_number']}/custody")
    assert [(each["team"], each["person"]) for each in custody["held"]][:4] == [
        ("tills", None), ("tills", "bo"), ("tills-engineering", None), ("tills", None),
    ]  # fmt: skip
    assert custody["ping_pong"]["returns"] == 1
    now = scene.the_clock(tocsin, third["case_id"])
    assert (now["state"], now["due_at"]) == ("running", promise["due_at"]), "no hand-off pauses the customer's clock"
