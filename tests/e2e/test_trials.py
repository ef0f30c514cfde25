"""A change of rules from outside: shadow, its report, a canary that goes back by itself, and one that is promoted."""

import json
import secrets
from typing import Any

from tests.e2e.client import JSON, Client, until

SOON_S = 30.0
CONTACTS = 250  # a fifth of them is 20 or more but once in some million runs
KIOSK = {"id": "kiosks", "when": "contact.reason == 'kiosk'", "then": {"team": "kiosks"}}


def draft(tocsin: Client, *rules: JSON, based_on: JSON) -> int:
    made = tocsin.post("/v1/rulesets", {"rules": list(rules), "fallback": based_on["fallback"]})
    return int(made["version"])


def contacts(tocsin: Client, count: int = CONTACTS) -> list[str]:
    """The ids of so many new cases about kiosks, once each has a team."""
    name = secrets.token_hex(6)
    lines = [
        json.dumps({"channel": "web", "source": "kiosk", "external_id": f"{name}-{n}", "reason": "kiosk",
                    "customer": {"id": f"{name}-{n}"}})
        for n in range(count)
    ]  # fmt: skip
    headers = {"Content-Type": "application/x-ndjson"}
    answer = tocsin.send("POST", "/v1/contacts/batch", content="\n".join(lines), headers=headers)
    return [json.loads(line)["case_id"] for line in answer.text.splitlines()]


def placed(tocsin: Client, case_id: str) -> JSON:
    found: JSON = tocsin.get(f"/v1/cases/{case_id}/assignment", wait="PT20S")
    return found


def trial(tocsin: Client, version: int, kind: str, looked: Any) -> JSON:
    """What a trial has shown once ``looked`` says so of it."""
    found: JSON = {}

    def shown() -> JSON | None:
        found.update(tocsin.get(f"/v1/rulesets/{version}/{kind}"))
        return found if looked(found) else None

    try:
        return until(shown, SOON_S, f"the {kind} of {version}")
    except AssertionError as late:
        raise AssertionError(f"{late}; it has shown {json.dumps(found)}") from None


def test_a_change_is_shadowed_tried_taken_back_by_itself_and_at_last_promoted(tocsin: Client) -> None:
    tocsin.put("/v1/teams/kiosks", {"members": ["ana"]})
    before = tocsin.get("/v1/rulesets/active")
    live = draft(tocsin, KIOSK, *before["rules"], based_on=before)
    tocsin.post(f"/v1/rulesets/{live}/activate")

    forgetful = draft(tocsin, *before["rules"], based_on=before)  # kiosks are left out
    tocsin.post(f"/v1/rulesets/{forgetful}/shadow", {"reason": "what would it do?"})
    cases = contacts(tocsin)
    shadow = trial(tocsin, forgetful, "shadow", lambda found: found["shadow"]["cases"] >= CONTACTS)
    assert {"active": "kiosks", "shadow": None}.items() <= shadow["shadow"]["by_rule"][0].items()
    assert shadow["shadow"]["to_fallback_shadow"] >= CONTACTS
    assert {placed(tocsin, each)["team"] for each in cases[:20]} == {"kiosks"}, "a shadow moves no case"

    conditions = {"minimum_cases": 20, "fallback_above": 0.3}
    tocsin.post(f"/v1/rulesets/{forgetful}/canary", {"share": 0.2, "reason": "nobody looked", "rollback": conditions})
    cases = contacts(tocsin)
    ended = trial(tocsin, forgetful, "canary", lambda found: found["state"] != "running")
    assert ended["state"] == "rolled_back"
    assert ended["ended_because"].startswith("fall to the fallback: ")
    versions = [placed(tocsin, each)["ruleset_version"] for each in cases]
    assert 0.08 < versions.count(forgetful) / CONTACTS < 0.35
    assert {placed(tocsin, each)["ruleset_version"] for each in contacts(tocsin, 20)} == {live}
    assert tocsin.get("/v1/rulesets/active")["version"] == live

    careful = draft(tocsin, {**KIOSK, "then": {**KIOSK["then"], "tags": ["kiosk"]}}, *before["rules"], based_on=before)
    tocsin.post(f"/v1/rulesets/{careful}/canary", {"share": 0.2, "reason": "with a tag", "rollback": conditions})
    contacts(tocsin)
    judged = trial(tocsin, careful, "canary", lambda found: found["canary"]["canary"]["cases"] >= 20)
    assert (judged["state"], judged["canary"]["findings"][0]["standing"]) == ("running", "kept")
    tocsin.post(f"/v1/rulesets/{careful}/canary/promote", {"reason": "no harm in it"})
    assert {tuple(placed(tocsin, each)["tags"]) for each in contacts(tocsin, 10)} == {("kiosk",)}
    assert [(each["kind"], each["state"]) for each in tocsin.get("/v1/trials")["items"]][:3] == [
        ("canary", "promoted"), ("canary", "rolled_back"), ("shadow", "stopped"),
    ]  # fmt: skip
    audit = tocsin.get("/v1/rulesets/audit", limit=2)["items"]
    assert [each["action"] for each in audit] == ["canary_promoted", "activated"]
    tocsin.post(f"/v1/rulesets/{before['version']}/activate", {"reason": "as it was"})
