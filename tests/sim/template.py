"""The database that every run begins with: migrated, and configured through the APIs."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from unittest import mock

from shared import leases, migrate
from shared.clock import ManualClock
from shared.db import Database
from shared.ids import Ids
from shared.log.postgres import PostgresLog
from shared.sealing import Seal
from tests.sim import wiring
from tests.sim.fronts import Front
from tests.sim.ground import TEMPLATE, Ground

BEGAN = datetime(2026, 3, 27, 8, tzinfo=UTC)  # a Friday; on Sunday the clocks of Dublin go forward
TEAMS = ("payments", "cards", "frontline")
SEAL = Seal(["a key for simulations only"])

PEOPLE: dict[str, Any] = {
    "ana": {"email": "ana@example.com", "slack_user": "U1", "time_zone": "Europe/Madrid"},
    "li": {"email": "li@example.com", "time_zone": "Europe/Dublin"},
    "bo": {"email": "bo@example.com", "slack_user": "U2"},
}
DAY: Any = [["09:00", "17:30"]]
HOURS = {"mon": [["09:00", "13:00"], ["14:00", "17:30"]], "tue": DAY, "wed": DAY, "thu": DAY, "fri": DAY}


def calendar(variant: int) -> Any:
    more = [{}, {"sat": [["10:00", "14:00"]]}, {"sun": [["00:00", "24:00"]]}][variant % 3]
    return {"time_zone": "Europe/Dublin", "weekly": HOURS | more, "holidays": {"country": "IE"}}


def urgent(variant: int) -> Any:
    within = ("PT2M", "PT1M", "PT5M")[variant % 3]
    targets: list[Any] = [
        {"metric": "first_reply", "within": within, "warn_at": [0.5]},
        {"metric": "next_reply", "within": within, "warn_at": [0.5, 0.9]},
        {"metric": "resolution", "within": "PT20M", "overdue_at": [0.5]},
    ]
    targets += [{"metric": "pickup", "within": "PT1M"}] if variant % 2 == 0 else []
    return {"position": 10, "when": "case.priority == 'urgent'", "targets": targets}


def cards(variant: int) -> Any:
    within = ("PT12M", "PT6M")[variant % 2]
    targets = [
        {"metric": "first_reply", "within": within, "calendar": "dublin"},
        {"metric": "update", "within": "PT25M", "calendar": "dublin"},
        {"metric": "team_wait", "within": "PT30M"},
    ]
    return {"position": 20, "when": "case.team == 'cards'", "targets": targets}


def ruleset(variant: int) -> Any:
    order: Sequence[str] = ("payments", "cards") if variant % 2 == 0 else ("cards", "payments")
    rules = [
        {
            "id": f"by-tag-{team}",
            "when": f"'{team}' in contact.tags",
            "then": {"team": team, "priority": "urgent" if team == "payments" else "normal", "tags": [f"v{variant}"]},
        }
        for team in order
    ]
    return {"rules": rules, "fallback": {"team": "frontline", "priority": ("normal", "urgent")[variant % 2]}}


def escalation(variant: int) -> Any:
    steps = [
        {"on": "warned", "notify": [{"destination": "payments-slack"}]},
        {"on": "breached", "after": "PT0S", "notify": [{"destination": "payments-slack"}]},
        {"on": "breached", "after": ("PT2M", "PT1M")[variant % 2], "notify": [{"schedule": "primary"}]},
        {"on": "breached", "after": "PT4M", "notify": [{"person": "li"}]},
    ]
    return {"teams": ["payments"], "steps": steps, "repeat": {"every": "PT5M", "times": 1 + variant % 2}}


def team(name: str, variant: int) -> Any:
    staffed = {"assign": "round_robin", "member_capacity": 2 + variant % 3} if name == "cards" else {}
    return {"time_zone": "Europe/Dublin", "members": ["ana", "li", "bo"][: 3 - variant % 2], **staffed}


async def make(ground: Ground, fronts: dict[str, Front]) -> None:
    """Make the template where there is none."""
    await ground.create(TEMPLATE)
    url, clock = ground.url(TEMPLATE), ManualClock(BEGAN)
    databases = {name: Database(url, name, seal=SEAL) for name in fronts}
    log = PostgresLog(Database(url, "log"), clock, wiring.PARTITIONS)
    with mock.patch.object(leases, "secret", return_value="nobody"):
        await log.start()
        for name, front in fronts.items():
            await migrate.upgrade(databases[name], front.runtime.service)
            if front.runtime.service.first_start is not None:
                async with databases[name].transaction() as tx:
                    await front.runtime.service.first_start(tx, clock.now())
            front.lend(databases[name], clock, Ids(clock, 1), log)
        await _configure(fronts)
    for each in databases.values():
        await each.close()
    await log.stop()


async def _configure(fronts: dict[str, Front]) -> None:
    async def put(service: str, path: str, body: Any, method: str = "PUT") -> Any:
        answer = await fronts[service].call(method, path, body)
        assert 200 <= answer.status < 300, f"{method} {path}: {answer}"
        return answer.body

    for name, body in PEOPLE.items():
        await put("notify", f"/v1/people/{name}", body)
    await put("notify", "/v1/destinations/payments-slack", {"kind": "slack", "channel": "#payments"})
    await put("notify", "/v1/destinations/desk", {"kind": "email", "to": ["desk@example.com"]})
    layer = {"people": ["ana", "li"], "start": "2026-03-02T09:00:00", "turn": "P1D"}
    await put("notify", "/v1/schedules/primary", {"time_zone": "Europe/Dublin", "layers": [layer]})
    await put("notify", "/v1/escalation-policies/payments", escalation(0))
    steps = [{"notify": [{"destination": "desk"}]}, {"after": "PT2M", "notify": [{"person": "bo"}]}]
    await put("notify", "/v1/escalation-policies/cards", {"teams": ["cards"], "steps": steps})
    for name in ("payments", "cards"):
        await put("routing", f"/v1/teams/{name}", team(name, 0))
    made = await put("routing", "/v1/rulesets", ruleset(0), "POST")
    await put("routing", f"/v1/rulesets/{made['version']}/activate", None, "POST")
    await put("sla", "/v1/calendars/dublin", calendar(0))
    await put("sla", "/v1/policies/urgent", urgent(0))
    await put("sla", "/v1/policies/cards", cards(0))
