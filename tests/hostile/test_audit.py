"""Every act leaves an entry that says who, what, when, from where, and by which request."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tests.e2e import scene
from tests.e2e.client import JSON, Client, until
from tests.e2e.openapi import operations
from tests.e2e.programs import Program, python
from tests.e2e.stack import Stack

FROM = "203.0.113.7"  # what the proxy says of the client
TOLD = {  # what upstreams tell; it has a history of its own
    "POST /v1/contacts", "POST /v1/contacts/batch", "POST /v1/contacts/email", "POST /v1/contacts/phone",
    "POST /v1/contacts/chat", "POST /v1/contacts/web", "POST /v1/hooks/{source}", "POST /v1/activities",
    "POST /v1/activities/batch",
}  # fmt: skip
ONLY_READ = {
    "POST /v1/rulesets/evaluate", "POST /v1/rulesets/{version}/evaluate", "POST /v1/rulesets/test",
    "POST /v1/rulesets/{version}/test", "POST /v1/rulesets/backtest", "POST /v1/rulesets/{version}/backtest",
    "POST /v1/rulesets/{version}/lint", "POST /v1/policies/preview", "POST /v1/templates/preview",
}  # fmt: skip
ELSEWHERE = {  # from messages: tests/unit/notify/test_audit.py
    "POST /v1/pages/email", "POST /v1/pages/{page_id}/action", "POST /v1/digests/{digest_id}/action",
    "POST /v1/slack/interactions",
}  # fmt: skip


@dataclass
class Acting:
    """Does things, each with a request id, and remembers which operation it was."""

    tocsin: Client
    done: dict[str, str]  # request id → operation

    def __call__(self, operation: str, body: Any = None, /, **names: str) -> Any:
        method, _, path = operation.partition(" ")
        request_id = f"act-{len(self.done)}"
        answer = self.tocsin.send(
            method, path.format(**names), json=body, headers={"X-Request-Id": request_id, "X-Forwarded-For": FROM}
        )
        assert answer.is_success, f"{operation}: {answer.text}"
        self.done[request_id] = operation
        return answer.json() if answer.content else None


CONFIGURED: dict[str, JSON] = {
    "/v1/sources": {"kind": "standard", "secrets": ["whsec_" + "A" * 44]},
    "/v1/teams": {"members": ["ana", "li"]},
    "/v1/calendars": {"time_zone": "Europe/Dublin", "weekly": {"mon": [["09:00", "17:00"]]}},
    "/v1/policies": {"position": 77, "when": "false", "targets": [{"metric": "first_reply", "within": "PT4H"}]},
    "/v1/people": {"email": "x@y.example"},
    "/v1/destinations": {"kind": "slack", "channel": "#audited"},
    "/v1/templates": {"slack": {"headline": "{{ number }}"}},
    "/v1/schedules": {"time_zone": "UTC", "layers": []},
    "/v1/escalation-policies": {"teams": [], "steps": [{"notify": [{"destination": "console"}]}]},
}


def configure(act: Acting) -> None:
    for path, body in CONFIGURED.items():
        act(f"PUT {path}/{{name}}", body, name="audited")
    ana = {"person": "ana", "from": "2098-01-01T00:00:00Z", "until": "2098-01-02T00:00:00Z"}
    li = {"person": "li", "from": "2097-01-01T00:00:00Z", "until": "2097-01-02T00:00:00Z"}
    made = act("POST /v1/schedules/{name}/overrides", li, name="primary")
    swapped = act("POST /v1/schedules/{name}/swaps", {"shifts": [ana, li]}, name="primary")
    act("DELETE /v1/schedules/{name}/swaps/{id}", name="primary", id=swapped["id"])
    act("DELETE /v1/schedules/{name}/overrides/{id}", name="primary", id=made["id"])
    feed = act("POST /v1/feeds", {"schedule": "primary"})
    act("DELETE /v1/feeds/{id}", id=feed["id"])
    silence = act(
        "POST /v1/silences", {"scope": {"team": "nobody"}, "reason": "tried", "until": "2026-12-31T00:00:00Z"}
    )
    act("DELETE /v1/silences/{id}", id=silence["id"])
    act("PUT /v1/volumes/{date}", {"active_customers": 5, "transactions": 7}, date="2026-11-20")
    draft = act("POST /v1/rulesets", {"rules": [], "fallback": {"team": "frontline"}})["version"]
    act("POST /v1/rulesets/{version}/retire", {"reason": "tried"}, version=str(draft))
    act("POST /v1/rulesets/{version}/activate", version=str(draft))
    act("POST /v1/rulesets/rollback")
    tried = {"reason": "tried"}
    draft = act("POST /v1/rulesets", {"rules": [], "fallback": {"team": "frontline"}})["version"]
    act("POST /v1/rulesets/{version}/shadow", tried, version=str(draft))
    act("POST /v1/rulesets/{version}/shadow/stop", tried, version=str(draft))
    act("POST /v1/rulesets/{version}/canary", tried | {"share": 0.5}, version=str(draft))
    act("POST /v1/rulesets/{version}/canary/abort", tried, version=str(draft))
    act("POST /v1/rulesets/{version}/canary", tried | {"share": 0.5}, version=str(draft))
    act("POST /v1/rulesets/{version}/canary/promote", tried, version=str(draft))
    act("POST /v1/rulesets/rollback", {"expected_active": draft})
    for path in reversed(CONFIGURED):
        act(f"DELETE {path}/{{name}}", name="audited")


def work(act: Acting, tocsin: Client) -> None:
    cases = [tocsin.post("/v1/contacts", scene.question(external_id=f"audit-{n}"))["case_id"] for n in range(2)]
    for case_id in cases:
        tocsin.get(f"/v1/cases/{case_id}/assignment", wait="PT20S")
    case_id = cases[0]
    act("POST /v1/cases/{id}/assignment", {"team": "payments", "reason": "payouts"}, id=case_id)
    issue = {"url": "https://git.example/1", "status": "open"}
    act("PUT /v1/cases/{id}/linked-issues", issue, id=case_id)
    act("DELETE /v1/cases/{id}/linked-issues?url=https://git.example/1", id=case_id)
    act("PUT /v1/members/{person}/availability", {"away": True, "reason": "lunch"}, person="li")
    act("PUT /v1/members/{person}/availability", {"away": False}, person="li")
    act("POST /v1/cases/{id}/merge", {"into": cases[1], "by": "ana"}, id=case_id)
    for name in ("cus_audit_1", "cus_audit_2"):
        tocsin.post("/v1/contacts", scene.question(customer={"id": name}, external_id=name))
    act("POST /v1/customers/{id}/merge", {"into": "cus_audit_2", "by": "ana"}, id="cus_audit_1")
    act("DELETE /v1/customers/{id}/merge", id="cus_audit_1")
    act("DELETE /v1/customers/{id}", id="cus_audit_1")
    mail = b"From: x@y.example\r\nX-Spam-Flag: YES\r\nSubject: win\r\n\r\nwin"
    spam, words = (quarantined(tocsin, each) for each in (mail, b"just words"))
    act("POST /v1/quarantine/{id}/drop", {"reason": "spam"}, id=spam)
    act("POST /v1/quarantine/{id}/release", id=words)


def quarantined(tocsin: Client, mail: bytes) -> str:
    how = {"content": mail, "headers": {"Content-Type": "message/rfc822"}}
    return str(tocsin.call("POST", "/v1/contacts/email", 202, **how)["id"])


def page(act: Acting, tocsin: Client) -> None:
    made = tocsin.post(
        "/v1/contacts", scene.payout_missing(occurred_at=(scene.now() - timedelta(minutes=1)).isoformat())
    )
    found = until(lambda: tocsin.get("/v1/pages", case_id=made["case_id"])["items"], 30, "a page")[0]["id"]
    act("POST /v1/pages/{page_id}/acknowledge", {"by": "li"}, page_id=found)
    act("POST /v1/pages/{page_id}/take-over", {"by": "ana"}, page_id=found)
    act("POST /v1/pages/{page_id}/snooze", {"for": "PT30M"}, page_id=found)
    act("DELETE /v1/pages/{page_id}/snooze", page_id=found)
    act("POST /v1/pages/{page_id}/hand-over", {"team": "cards", "reason": "cards"}, page_id=found)
    act("POST /v1/pages/{page_id}/resolve", page_id=found)
    failing = until(lambda: tocsin.get("/v1/deliveries", destination="nobody")["items"], 30, "a try that fails")[0]
    act("POST /v1/deliveries/{delivery_id}/retry", delivery_id=failing["id"])


def audited(tocsin: Client, **search: str) -> Iterator[JSON]:
    return tocsin.every("/v1/audit", **search)


def test_every_act_is_audited_with_who_and_from_where(stack: Stack, tocsin: Client) -> None:
    act = Acting(tocsin, {})
    configure(act)
    work(act, tocsin)
    page(act, tocsin)
    found = {entry["actor"]["request_id"]: entry for entry in audited(tocsin)}
    assert {op for request_id, op in act.done.items() if request_id not in found} == set()
    for request_id in act.done:
        actor = found[request_id]["actor"]
        assert (actor["key"], actor["via"], actor["address"]) == ("first admin key", "api", FROM)
    by = {act.done[i]: found[i]["actor"]["by"] for i in act.done}
    assert by["POST /v1/pages/{page_id}/acknowledge"] == "li"
    assert by["POST /v1/cases/{id}/merge"] == "ana"
    assert by["POST /v1/rulesets/rollback"] == "first admin key"
    _whole(stack, set(act.done.values()))


def _whole(stack: Stack, acted: set[str]) -> None:
    """A new route that changes something is an act, or says here why it is none."""
    shapes = {_shape(operation) for operation in acted | TOLD | ONLY_READ | ELSEWHERE}
    known = {each.name for each in operations(stack.documents()) if each.method != "GET"}
    assert {name for name in known if _shape(name) not in shapes} == set()


def _shape(operation: str) -> str:
    """The operation whatever its parameters are called."""
    return "/".join("{}" if part.startswith("{") else part for part in operation.partition("?")[0].split("/"))


def test_an_erasure_is_audited_without_the_name_that_it_erased(tocsin: Client) -> None:
    tocsin.post("/v1/contacts", scene.question(customer={"id": "cus_gone"}, external_id="gone"))
    tocsin.post("/v1/contacts", scene.question(customer={"id": "cus_stays"}, external_id="stays"))
    tocsin.post("/v1/customers/cus_gone/merge", {"into": "cus_stays", "reason": "cus_gone told us"})
    tocsin.call("DELETE", "/v1/customers/cus_stays", 200)
    entries = list(audited(tocsin, kind="customer"))
    assert {"merged", "erased"} <= {entry["act"] for entry in entries}
    assert "cus_gone" not in str(entries) and "cus_stays" not in str(entries)


def test_keys_are_audited_and_end_when_they_say(stack: Stack, tocsin: Client) -> None:
    def keys(*arguments: str) -> str:
        command = python("-m", "services.cli", "keys", *arguments)
        program = Program(f"keys-{arguments[0]}", command, stack.folder, stack.cli_environment())
        program.start()
        assert program.wait(30)
        return (program.log.read_text().strip().splitlines() or [""])[-1]

    key = keys("create", "robot", "--scope", "read", "--days", "1")
    mine = stack.client(key)
    assert mine.send("GET", "/v1/cases").status_code == 200
    [made] = [entry for entry in audited(tocsin, kind="key") if entry["facts"].get("name") == "robot"]
    assert made["service"] == "auth" and made["actor"]["via"] == "cli" and made["facts"]["expires_at"]
    keys("revoke", made["subject"])
    until(lambda: mine.send("GET", "/v1/cases").status_code == 401, 10, "the key has ended")
    assert [entry["act"] for entry in audited(tocsin, subject=made["subject"])] == ["revoked", "made"]


def test_the_list_has_pages_and_filters(tocsin: Client) -> None:
    for number in range(5):
        tocsin.put("/v1/people/paged", {"email": f"p{number}@y.example"})
    whole = [entry["number"] for entry in audited(tocsin, kind="person", subject="paged")]
    first = tocsin.get("/v1/audit", kind="person", subject="paged", limit=2)
    rest = tocsin.get("/v1/audit", kind="person", subject="paged", cursor=first["next"])
    assert [entry["number"] for entry in (*first["items"], *rest["items"])] == whole
    assert len(whole) == 5 and rest["next"] is None
    assert whole == sorted(whole, reverse=True)
    every = [(entry["service"], entry["number"]) for entry in tocsin.every("/v1/audit")]
    assert len(every) == len(set(every))
