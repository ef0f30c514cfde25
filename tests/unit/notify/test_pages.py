"""Pages and silences over the API: who did what from where, what a silence kept back, what many pages cost."""

from datetime import timedelta

from sqlalchemy import event

from shared.batch import Input
from shared.contracts.envelope import Event
from shared.contracts.identity import derived
from tests.stand_ins.slack import Slack
from tests.unit.notify.given import CASE, breached, met, minutes
from tests.unit.notify.running import Running

MANY = 10_000


async def test_the_history_says_who_did_what_by_what_means_and_from_where(notify: Running) -> None:
    await notify.tell(breached())
    page = f"/v1/pages/{(await notify.page())['id']}"
    await notify.ok("POST", f"{page}/acknowledge", {"by": "ana"})
    await notify.ok("POST", f"{page}/snooze", {"by": "ana", "for": "PT2H", "reason": "waiting for the bank"})
    taken = await notify.ok("POST", f"{page}/take-over", {"by": "li"})
    assert (taken["acknowledged_by"], taken["reopens_at"]) == ("li", minutes(120).isoformat().replace("+00:00", "Z"))
    await notify.ok("DELETE", f"{page}/snooze?by=li")
    await notify.ok("POST", f"{page}/hand-over", {"by": "li", "team": "fraud", "reason": "a stolen card"})
    await notify.ok("POST", f"{page}/resolve")
    acts = [(e["kind"], e["by"], e["via"], e["origin"]) for e in (await notify.page())["history"] if e["by"]]
    assert acts == [
        (kind, by, "api", "key bo, 127.0.0.1")
        for kind, by in (
            ("acknowledged", "ana"), ("snoozed", "ana"), ("taken_over", "li"), ("unsnoozed", "li"),
            ("handover_asked", "li"), ("resolved", "bo"),
        )
    ]  # fmt: skip


async def test_25_an_acknowledgement_without_a_reply_pages_again_and_the_page_says_when(
    notify: Running, slack: Slack
) -> None:
    await notify.tell(breached())
    await notify.until(minutes(1))
    page = await notify.page()
    assert [(c["what"], c["step"], c["round"]) for c in page["coming"]][:2] == [("step", 3, 1), ("step", 4, 1)]
    answer = await notify.ok("POST", f"/v1/pages/{page['id']}/acknowledge", {"by": "li"})
    assert answer["reopens_at"] == minutes(31).isoformat().replace("+00:00", "Z")
    told = len(slack.posts)
    await notify.until(minutes(32), timedelta(minutes=1))
    assert (await notify.page())["state"] == "open"
    assert len(slack.posts) > told


async def test_26_what_waits_for_an_opening_is_seen_with_why_and_until_when(notify: Running, slack: Slack) -> None:
    office = {"time_zone": "Europe/Dublin", "weekly": {"mon": [["09:00", "17:00"]]}}
    spec = {
        "teams": ["payments"], "hours": {"office": office}, "defer": {"until": "office"},
        "steps": [{"notify": [{"destination": "payments-slack"}]}],
    }  # fmt: skip
    await notify.ok("PUT", "/v1/escalation-policies/payments", spec)
    await notify.tell(breached())
    await notify.until(minutes(1))
    [held] = (await notify.page())["held"]
    assert held == {
        "step": None, "until": "2026-11-23T09:00:00Z", "why": "It waits until office opens, Mon 23 Nov 09:00 Dublin"
    }  # fmt: skip
    assert slack.posts == []


async def test_a_condition_that_cannot_work_is_refused_at_upload_with_its_place(notify: Running) -> None:
    step = {"when": "case.priority = 'urgent'", "notify": [{"destination": "console"}]}
    answer = await notify.client.put("/v1/escalation-policies/payments", json={"steps": [step]})
    assert answer.status_code == 422
    assert "steps.0.when: line 1" in answer.json()["detail"]


async def test_a_silence_that_suppresses_lists_what_was_never_sent(notify: Running, slack: Slack) -> None:
    await notify.ok("PUT", "/v1/destinations/payments-slack", {"kind": "slack", "channel": "#payments-alerts"})
    until = minutes(60).isoformat()
    for scope in ({"metric": "first_reply"}, {"tag": "nobody"}):
        body = {"scope": scope, "effect": "suppress", "reason": "a migration", "until": until}
        await notify.ok("POST", "/v1/silences", body)
    await notify.tell(breached())
    await notify.until(minutes(2))
    assert slack.posts == []
    both = (await notify.ok("GET", "/v1/silences"))["items"]
    other, silence = sorted(both, key=lambda each: each["scope"].get("metric") or "")
    assert (silence["state"], silence["held"], silence["suppressed"], other["held"]) == ("active", 1, 1, 0)
    whole = await notify.ok("GET", f"/v1/silences/{silence['id']}")
    [kept] = whole["deliveries"]
    assert (kept["state"], kept["reason"]) == ("suppressed", "Silenced by bo: a migration")


async def test_planned_maintenance_holds_in_its_time_and_its_record_outlives_it(notify: Running, slack: Slack) -> None:
    body = {
        "scope": {"team": "payments"}, "reason": "the bank is down", "from": minutes(1).isoformat(),
        "until": minutes(3).isoformat(),
    }  # fmt: skip
    planned = await notify.ok("POST", "/v1/silences", body)
    assert planned["state"] == "planned"
    notify.clock.set(minutes(1.5))
    await notify.tell(breached(minutes(1.5)))
    await notify.until(minutes(2))
    assert slack.posts == []
    await notify.until(minutes(4))
    assert len(slack.posts) == 1
    whole = await notify.ok("GET", f"/v1/silences/{planned['id']}")
    assert (whole["state"], whole["holds"], whole["held"]) == ("ended", 0, 1)
    assert [d["state"] for d in whole["deliveries"]] == ["sent"]


async def test_maintenance_that_recurs_holds_again_and_again_until_it_ends(notify: Running, slack: Slack) -> None:
    hours = {"time_zone": "UTC", "weekly": {"sun": [["02:04", "02:06"]]}}  # the deadline is on a Sunday at 02:03
    body = {"scope": {"team": "payments"}, "reason": "upgrade", "during": hours, "until": minutes(30_000).isoformat()}
    made = await notify.ok("POST", "/v1/silences", body)
    assert (made["state"], made["window"]["from"]) == ("planned", "2026-11-22T02:04:00Z")
    notify.clock.set(minutes(1.5))
    await notify.tell(breached(minutes(1.5)))
    await notify.until(minutes(2.5))
    assert (await notify.ok("GET", f"/v1/silences/{made['id']}"))["state"] == "active"
    [held] = await notify.deliveries("?state=held")
    assert (held["reason"], held["until"]) == ("Silenced by bo: upgrade", "2026-11-22T02:06:00Z")
    await notify.until(minutes(4))
    assert len(slack.posts) == 1
    after = await notify.ok("GET", f"/v1/silences/{made['id']}")
    assert (after["state"], after["window"]["from"], after["held"]) == ("planned", "2026-11-29T02:04:00Z", 1)
    never = body | {"until": minutes(60).isoformat(), "during": hours | {"weekly": {"tue": [["02:00", "03:00"]]}}}
    refused = await notify.client.post("/v1/silences", json=never)
    assert refused.status_code == 422


async def test_24_an_exhausted_page_stays_in_sight(notify: Running) -> None:
    await notify.tell(breached())
    await notify.until(minutes(41), timedelta(minutes=1))
    assert (await notify.page())["state"] == "exhausted"
    texts = [p["text"] for p in (await notify.ok("GET", "/v1/problems"))["items"] if p["kind"] == "page"]
    assert "is exhausted: nobody took it; acknowledge or resolve it" in texts


async def test_46_ten_thousand_open_pages_do_not_make_one_change_touch_more_rows(notify: Running) -> None:
    await notify.tell(breached())
    few = await _touched(notify, 1)
    async with notify.runtime.db.transaction() as tx:
        for table, other in (("page", ("id", "case_id")), ("delivery", ("id", "case_id", "page_id"))):
            fresh = ", ".join(f"gen_random_uuid() AS {name}" for name in other)
            await tx.run(
                f"INSERT INTO {table} SELECT (jsonb_populate_record(t, to_jsonb(x))).* FROM {table} t"
                f" CROSS JOIN LATERAL (SELECT {fresh} FROM generate_series(1, CAST(:many AS int) + 0 * t.cycle)) x"
                " WHERE t.case_id = :case_id",
                many=MANY,
                case_id=CASE,
            )
        assert await tx.scalar("SELECT count(*) FROM page WHERE state = 'open'") == MANY + 1
        await tx.run("ANALYZE page")
        await tx.run("ANALYZE delivery")
    many = await _touched(notify, 2)
    assert many[0] <= few[0], "statements"
    assert many[1] <= few[1] + 50, "rows read of pages and deliveries"


async def _touched(notify: Running, n: int) -> tuple[int, int]:
    """How many statements one change takes, and how many rows of pages and deliveries it reads."""
    count = [0]

    def counted(*_: object) -> None:
        count[0] += 1

    data = breached(minutes(n), clock_id=derived("promise", n))
    engine = notify.runtime.db.engine.sync_engine
    async with notify.runtime.unit() as work:
        await work.lock([CASE])
        event.listen(engine, "before_cursor_execute", counted)
        happened = Event(derived("event", n), "test", "test", 100 + n, notify.clock.now(), data)
        await work.apply([Input(CASE, happened)])
        event.remove(engine, "before_cursor_execute", counted)
        rows = await work.tx.scalar(
            "SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables"
            " WHERE schemaname = 'notify' AND relname IN ('page', 'delivery')"
        )
    return count[0], int(rows or 0)


async def test_29_what_recovered_before_it_was_sent_is_suppressed_and_says_so(notify: Running, slack: Slack) -> None:
    await notify.tell(breached(), met(minutes(0.1)))
    await notify.until(minutes(2))
    [one] = await notify.deliveries()
    assert (one["state"], slack.posts) == ("suppressed", [])
    assert one["reason"] == "Recovered before it was sent: the first reply clock is met"
