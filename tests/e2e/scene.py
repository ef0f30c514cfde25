"""What the stories share: a payments team with a promise of seconds, and everybody else with the default of hours."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from shared.clock import SystemClock
from tests.e2e.client import JSON, Client, until

PROMISE = timedelta(seconds=5)
MAIL_AFTER = timedelta(seconds=3)
REPEAT_EVERY = timedelta(seconds=8)
TEAMS = ("payments", "cards", "disputes", "terminals")  # each with a channel: one takes a message a second
MAIL = "ana@example.com"
SLACK_USER = "U024BE7LH"


def now() -> datetime:
    return SystemClock().now()


def channel(team: str) -> str:
    return f"#{team}-alerts"


def rule(team: str) -> str:
    return f"enterprise-{team}"


def set_up(tocsin: Client) -> None:
    """Configure all of it; harmless when repeated."""
    tocsin.put("/v1/people/ana", {"email": MAIL, "time_zone": "Europe/Madrid"})
    tocsin.put("/v1/people/li", {"email": "li@example.com", "slack_user": SLACK_USER})
    layer = {"people": ["ana"], "start": "2026-11-02T09:00:00", "turn": "P7D"}
    tocsin.put("/v1/schedules/primary", {"time_zone": "Europe/Dublin", "layers": [layer]})
    for team in TEAMS:
        tocsin.put(f"/v1/teams/{team}", {"time_zone": "Europe/Dublin", "members": ["ana", "li"]})
        tocsin.put(f"/v1/destinations/{team}-slack", {"kind": "slack", "channel": channel(team)})
        steps = [
            {"on": "breached", "after": "PT0S", "notify": [{"destination": f"{team}-slack"}]},
            {"on": "breached", "after": seconds(MAIL_AFTER), "notify": [{"schedule": "primary"}]},
        ]
        repeat = {"every": seconds(REPEAT_EVERY), "times": 1}
        tocsin.put(f"/v1/escalation-policies/{team}", {"teams": [team], "steps": steps, "repeat": repeat})
    route(tocsin, TEAMS)
    promise(tocsin, PROMISE)


def route(tocsin: Client, teams: Sequence[str]) -> None:
    """Enterprise contacts go to the team that their tag names, everything else to frontline."""
    rules = [
        {
            "id": rule(team),
            "when": f"contact.customer.tier == 'enterprise' && '{team}' in contact.tags",
            "then": {"team": team, "priority": "urgent", "tags": ["vip"]},
        }
        for team in teams
    ]
    made = tocsin.post("/v1/rulesets", {"rules": rules, "fallback": {"team": "frontline", "priority": "normal"}})
    tocsin.post(f"/v1/rulesets/{made['version']}/activate")


def promise(tocsin: Client, within: timedelta) -> None:
    """Urgent cases get a first reply within so long."""
    target = {"metric": "first_reply", "within": seconds(within)}
    tocsin.put("/v1/policies/urgent", {"position": 10, "when": "case.priority == 'urgent'", "targets": [target]})


def seconds(length: timedelta) -> str:
    return f"PT{length.total_seconds():g}S"


def payout_missing(team: str = "payments", **more: Any) -> JSON:
    """An enterprise contact: the team owes it a first reply within ``PROMISE``."""
    customer = {"email": "finance@acme.example", "name": "Acme", "tier": "enterprise", "country": "IE"}
    return {
        "channel": "email", "subject": "Payout missing", "body": "Our payout of Friday has not arrived.",
        "occurred_at": now().isoformat(), "customer": customer, "tags": [team], **more,
    }  # fmt: skip


def question(**more: Any) -> JSON:
    """Anybody's contact: frontline owes it a first reply within four hours."""
    return {"channel": "web", "subject": "How do refunds work?", "customer": {"email": "b@shop.example"}, **more}


def replied(case_id: str, **more: Any) -> JSON:
    """An agent's public reply, now."""
    fields = {"case_id": case_id, "occurred_at": now().isoformat(), "actor": "ana", "public": True}
    return {"kind": "agent_replied", **fields, **more}


def clock(tocsin: Client, case_id: str, metric: str = "first_reply") -> JSON | None:
    """The newest clock of a metric, None where sla has not made it yet."""
    answer = tocsin.send("GET", f"/v1/cases/{case_id}/clocks")
    if answer.status_code == 404:
        return None
    found = [each for each in answer.json()["items"] if each["metric"] == metric]
    return max(found, key=lambda each: each["instance"], default=None)


def clock_started(tocsin: Client, case_id: str) -> JSON:
    return until(lambda: clock(tocsin, case_id), 15, f"the first reply of case {case_id} is promised")


def page(tocsin: Client, case_id: str) -> JSON | None:
    """The latest page of a case."""
    items = tocsin.get("/v1/pages", case_id=case_id)["items"]
    return items[0] if items else None


def the_page(tocsin: Client, case_id: str) -> JSON:
    """The latest page of a case that has one."""
    found = page(tocsin, case_id)
    assert found, f"case {case_id} has no page"
    return found


def the_clock(tocsin: Client, case_id: str) -> JSON:
    """The newest first-reply clock of a case that has one."""
    found = clock(tocsin, case_id)
    assert found, f"case {case_id} has no clock"
    return found


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)
