"""What the demo configures: the documents that an admin would PUT, each after those it refers to."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from services.demo.arrivals import URGENT_WITHIN, Arrival
from shared.contracts import duration

HERO_WITHIN = timedelta(seconds=20)
HERO_WARN_AT = 0.9
EMAIL_AFTER = timedelta(seconds=3)  # after the breach, where nobody in the channel took it
HERO_RULE = "enterprise-payouts"
HERO_CHANNEL = "#payments-alerts"
ON_CALL = "payments-primary"

TEAMS = {
    "payments": ("ana", "li"),
    "risk": ("chloe", "dmitri"),
    "onboarding": ("emma",),
    "integrations": ("farid",),
    "frontline": ("ben",),
}
PEOPLE = {
    "ana": "Europe/Madrid",
    "li": "Europe/Dublin",
    "chloe": "Europe/Paris",
    "dmitri": "Europe/Riga",
    "emma": "Europe/Berlin",
    "farid": "Europe/Dublin",
    "ben": "Europe/London",
}


def email_of(person: str) -> str:
    return f"{person}@acme.example"


def documents(now: datetime) -> Iterator[tuple[str, dict[str, Any]]]:
    """Path and body of each PUT."""
    for team, members in TEAMS.items():
        yield f"/v1/teams/{team}", {"label": team.capitalize(), "time_zone": "Europe/Dublin", "members": [*members]}
    for person, zone in PEOPLE.items():
        yield f"/v1/people/{person}", {"email": email_of(person), "time_zone": zone}
    hours = [["09:00", "17:30"]]
    yield (
        "/v1/calendars/dublin",
        {
            "time_zone": "Europe/Dublin",
            "weekly": dict.fromkeys(("mon", "tue", "wed", "thu", "fri"), hours),
            "holidays": {"country": "IE", "extra": ["2026-12-24"]},
        },
    )
    yield from _policies()
    for team in ("payments", "risk", "support"):
        yield f"/v1/destinations/{team}-slack", {"kind": "slack", "channel": f"#{team}-alerts"}
    start = (now - timedelta(days=2)).replace(hour=9, minute=0, second=0, microsecond=0, tzinfo=None)
    for team in ("payments", "risk"):
        layer = {"people": list(TEAMS[team]), "start": start.isoformat(), "turn": "P7D"}
        yield f"/v1/schedules/{team}-primary", {"time_zone": "Europe/Dublin", "layers": [layer]}
    yield from _escalations()


def _policies() -> Iterator[tuple[str, dict[str, Any]]]:
    def policy(position: int, when: str, *targets: dict[str, Any]) -> dict[str, Any]:
        return {"position": position, "when": when, "targets": list(targets)}

    vip = {"metric": "first_reply", "within": duration.text(HERO_WITHIN), "warn_at": [HERO_WARN_AT]}
    yield "/v1/policies/vip", policy(10, "'vip' in case.tags", vip, {"metric": "pickup", "within": "PT10M"})
    urgent = {"metric": "first_reply", "within": duration.text(URGENT_WITHIN), "warn_at": [0.75]}
    yield "/v1/policies/urgent", policy(20, "case.priority == 'urgent'", urgent)
    high = {"metric": "first_reply", "within": "PT4H", "calendar": "dublin", "warn_at": [0.75]}
    solved = {"metric": "resolution", "within": "PT24H", "calendar": "dublin"}
    yield "/v1/policies/high", policy(30, "case.priority == 'high'", high, solved)
    yield "/v1/policies/standard", policy(40, "true", {**high, "within": "PT8H"}, {**solved, "within": "PT40H"})


def _escalations() -> Iterator[tuple[str, dict[str, Any]]]:
    def tell(what: str, name: str) -> list[dict[str, str]]:
        return [{what: name}]

    hero = [
        {"on": "warned", "notify": tell("destination", "payments-slack")},
        {"on": "breached", "notify": tell("destination", "payments-slack")},
        {"on": "breached", "after": duration.text(EMAIL_AFTER), "notify": tell("schedule", ON_CALL)},
    ]
    again = {"every": "PT15M", "times": 2}
    yield "/v1/escalation-policies/payments", {"teams": ["payments"], "steps": hero, "repeat": again}
    risk = [
        {"on": "breached", "notify": tell("destination", "risk-slack")},
        {"on": "breached", "after": "PT10M", "notify": tell("schedule", "risk-primary")},
    ]
    yield "/v1/escalation-policies/risk", {"teams": ["risk"], "steps": risk, "repeat": again}
    rest = [{"on": "breached", "notify": tell("destination", "support-slack")}]
    yield (
        "/v1/escalation-policies/support",
        {"teams": ["onboarding", "integrations", "frontline"], "steps": rest, "repeat": again},
    )


def ruleset() -> dict[str, Any]:
    """The rules in force. The hero passes two before its own."""

    def rule(name: str, when: str, team: str, priority: str | None = None, *tags: str) -> dict[str, Any]:
        then = {"team": team, "tags": list(tags)} | ({"priority": priority} if priority else {})
        return {"id": name, "when": when, "then": then}

    return {
        "rules": [
            rule("taken-over", "'security' in contact.tags", "risk", "urgent"),
            rule("chargebacks", "contact.reason == 'chargeback'", "risk", "high"),
            rule(
                HERO_RULE,
                "contact.customer.tier == 'enterprise' && 'payouts' in contact.tags",
                *("payments", "urgent", "vip"),
            ),
            rule("money", "contact.reason in ['payout_delay', 'refund_status']", "payments"),
            rule("verification", "'verification' in contact.tags", "onboarding"),
            rule("integrations", "contact.attributes.product == 'api'", "integrations"),
        ],
        "fallback": {"team": "frontline", "priority": "normal"},
    }


WHAT_IF = "chargebacks of merchants who are not enterprise go to frontline"
WHAT_IF_WHEN = "contact.reason == 'chargeback' && contact.customer.tier == 'enterprise'"


def changed_ruleset() -> dict[str, Any]:
    """The same with one condition narrowed, for the question what that would move."""
    rules = ruleset()
    rules["rules"][1]["when"] = WHAT_IF_WHEN
    return rules


def would_move(opener: Arrival) -> bool:
    """Whether the change moves the case that this contact opened: said here apart from the rules, to check them."""
    return opener.reason == "chargeback" and opener.body["customer"]["tier"] != "enterprise"
