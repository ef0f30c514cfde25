"""Notify whole, on a real Postgres, with stand-ins for Slack and mail: what its users and its operators see."""

import asyncio
import hashlib
import hmac
import json
import re
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import icalendar
import pytest

from services.notify.senders.claiming import Claiming, choose
from shared import resources
from shared.contracts.clocks import ClockWithdrawn
from shared.contracts.contacts import CustomerErased
from shared.contracts.identity import derived
from tests.stand_ins.slack import Slack
from tests.stand_ins.smtp import Mail
from tests.unit.notify.given import CASE, DUE, SUMMARY, breached, clock_event, met, minutes, warned
from tests.unit.notify.running import ROTA, Running


async def test_a_breach_pages_the_channel_then_the_person_and_an_acknowledgement_stops_it(
    notify: Running, slack: Slack, mail: Mail
) -> None:
    await notify.tell(warned(minutes(-1)), breached())
    await notify.until(minutes(6), timedelta(seconds=30))
    assert [post.channel for post in slack.posts] == ["#payments-alerts", "U1"]
    assert "First reply 5 min late: Payout missing" in json.dumps(slack.posts[1].body)
    page = await notify.page()
    assert (page["state"], page["case_id"], page["team"]) == ("open", str(CASE), "payments")
    for _ in range(2):
        answer = await notify.ok("POST", f"/v1/pages/{page['id']}/acknowledge", {"by": "ana"})
        assert (answer["state"], answer["acknowledged_by"]) == ("acknowledged", "ana")
    await notify.until(minutes(30), timedelta(minutes=1))
    assert len(slack.posts) == 2
    assert mail.inbox == []
    await notify.tell(met(minutes(31)))
    page = await notify.page()
    assert page["state"] == "resolved"
    assert [line["kind"] for line in page["history"]][-2:] == ["acknowledged", "resolved"]
    assert await notify.balance() == {"pages→deliveries": 0, "sends→answers": 0}


async def test_nobody_is_told_twice_when_two_replicas_send(
    notify: Running, embedded: str, slack: Slack, mail: Mail
) -> None:
    spec = {"kind": "email", "to": ["desk@example.com"], "digest": False}
    await notify.ok("PUT", "/v1/destinations/desk", spec)
    other = await Running.join(embedded, slack, mail, notify.clock.now())
    cases = [derived("case", n) for n in range(12)]
    await notify.tell(
        *(breached(case_id=c, clock_id=derived(c), summary=SUMMARY.model_copy(update={"team": "fraud"})) for c in cases)
    )
    await asyncio.gather(notify.pump(), other.pump(), notify.pump(), other.pump())
    await notify.pump()
    assert len(mail.inbox) == len({m["headers"]["message-id"] for m in mail.inbox}) == 12
    await other.stop()


async def test_what_another_replica_sent_since_it_was_chosen_is_not_claimed_though_its_page_is_over(
    notify: Running, embedded: str, slack: Slack, mail: Mail
) -> None:
    await notify.tell(breached())
    async with notify.runtime.db.reading() as tx:
        chosen = await choose(tx, notify.clock.now(), 8, [], "", 0)
    other = await Running.join(embedded, slack, mail, notify.clock.now())
    await other.pump()
    await notify.tell(met(minutes(1)))
    await notify.tell(breached(clock_id=derived("the next one")))
    assert [each["state"] for each in (await notify.ok("GET", "/v1/pages"))["items"]] == ["open", "resolved"]
    notify.clock.advance(timedelta(seconds=10))  # its channel has room again
    async with notify.runtime.unit() as work:
        assert await Claiming(work, "key", notify.runtime.settings).claim(chosen) == []
    await other.stop()


async def test_a_crash_between_sent_and_recorded_sends_again_with_the_same_key_and_lists_it(
    notify: Running, embedded: str, slack: Slack, mail: Mail
) -> None:
    await notify.tell(breached(summary=SUMMARY.model_copy(update={"team": "fraud"})))
    await notify.sending.claim()
    claimed = notify.sending._claimed.get_nowait()
    assert claimed.parcel is not None
    await notify.sending._senders["email"].send(claimed.parcel)  # and the process dies here
    reborn = await Running.join(embedded, slack, mail, DUE + timedelta(seconds=10))
    await reborn.pump()
    assert len(mail.inbox) == 1, "the claim still stands"
    reborn.clock.advance(timedelta(seconds=10))
    await reborn.pump()
    assert len({message["headers"]["message-id"] for message in mail.inbox}) == 1
    assert len(mail.inbox) == 2
    [delivery] = await reborn.deliveries()
    assert (delivery["state"], delivery["lost"]) == ("sent", 1)
    assert [attempt["outcome"] for attempt in delivery["attempts"]] == ["lost", "sent"]
    assert any(
        "may have arrived more than once" in p["text"] for p in (await reborn.ok("GET", "/v1/problems"))["items"]
    )
    await reborn.stop()


async def test_a_slow_channel_holds_back_no_other(notify: Running, slack: Slack, mail: Mail) -> None:
    slack.behave("hang")
    fraud = SUMMARY.model_copy(update={"team": "fraud"})
    other = derived("other")
    await notify.tell(breached(), breached(case_id=other, clock_id=other, summary=fraud))
    await notify.sending.claim()
    hanging = [asyncio.ensure_future(notify.sending.send()) for _ in range(2)]  # noqa: TID251 - the runner's tasks
    assert len(await asyncio.to_thread(mail.wait)) == 1
    for task in hanging:
        task.cancel()


async def test_an_answer_that_never_comes_is_unknown_and_tried_again(embedded: str, slack: Slack, mail: Mail) -> None:
    notify = await Running.start(embedded, slack, mail, send_timeout_s=0.2)
    slack.behave("hang_after", times=1)
    await notify.tell(breached())
    await notify.pump()
    [unknown] = await notify.deliveries("?state=unknown")
    assert unknown["reason"].startswith("no answer within 0.2 s; it may have arrived")
    assert datetime.fromisoformat(unknown["until"]) > DUE
    await notify.until(DUE + timedelta(seconds=2))
    assert [post.delivery_id for post in slack.posts] == [unknown["id"]], "Slack was asked, and had it"
    [delivery] = await notify.deliveries()
    assert [attempt["outcome"] for attempt in delivery["attempts"]] == ["lost", "found"]
    assert not [p for p in (await notify.ok("GET", "/v1/problems"))["items"] if p["kind"] == "delivery"]
    await notify.stop()


async def test_where_slack_does_not_say_whether_a_message_arrived_it_is_sent_again_and_listed(
    notify: Running, slack: Slack
) -> None:
    slack.without_history = True
    slack.behave("drop_after", times=1)
    await notify.tell(breached())
    await notify.until(DUE + timedelta(seconds=3))
    [delivery] = await notify.deliveries()
    assert [post.delivery_id for post in slack.posts] == [delivery["id"]] * 2
    problems = (await notify.ok("GET", "/v1/problems"))["items"]
    assert [p["kind"] for p in problems if "more than once" in p["text"]] == ["delivery"]


@pytest.mark.parametrize("mode", ["drop_before", "drop_after", "500"])
async def test_broken_connections_and_errors_are_tried_again(notify: Running, slack: Slack, mode: Any) -> None:
    slack.behave(mode, times=2)
    await notify.tell(breached())
    await notify.until(DUE + timedelta(seconds=10))
    [delivery] = await notify.deliveries()
    assert delivery["state"] == "sent"
    assert delivery["lost"] == {"500": 0, "drop_before": 1, "drop_after": 1}[mode]
    assert len(slack.posts) == 1, "after a lost answer, Slack is asked before it is sent again"


async def test_retry_after_holds_the_whole_channel_and_says_so(notify: Running, slack: Slack) -> None:
    slack.behave("429", "#payments-alerts", times=1, retry_after=30)
    other = derived("other")
    await notify.tell(breached(), breached(case_id=other, clock_id=other))
    await notify.pump()
    held = await notify.deliveries("?state=held")
    assert len(held) == 2
    assert {d["reason"] for d in held} == {"Slack answered 429, asking us to wait 30 s"}
    assert {datetime.fromisoformat(d["until"]) for d in held} == {DUE + timedelta(seconds=30)}
    await notify.until(DUE + timedelta(seconds=29))
    assert slack.posts == []
    await notify.until(DUE + timedelta(seconds=33))
    assert len(slack.posts) == 2


async def test_a_slack_channel_gets_one_message_a_second(notify: Running, slack: Slack) -> None:
    cases = [derived("case", n) for n in range(3)]
    await notify.tell(*(breached(case_id=c, clock_id=c) for c in cases))
    sizes = []
    for _ in range(4):
        await notify.pump()
        sizes.append(len(slack.posts))
        notify.clock.advance(timedelta(seconds=1))
    assert sizes == [1, 2, 3, 3]


async def test_a_channel_that_refuses_gives_way_to_the_next_step_at_once(notify: Running, slack: Slack) -> None:
    await notify.ok("PUT", "/v1/destinations/payments-slack", {"kind": "slack", "channel": "#gone"})
    notify.sending._senders["slack"]._token = "nonsense"  # type: ignore[attr-defined]
    await notify.tell(breached())
    await notify.pump()
    states = {(d["target"], d["way"]): d["state"] for d in await notify.deliveries()}
    assert states == {
        ("destination:payments-slack", "slack"): "failed",
        ("person:ana", "slack"): "failed",
        ("person:ana", "email"): "sent",
    }
    reasons = [p["text"] for p in (await notify.ok("GET", "/v1/problems"))["items"] if p["kind"] == "page"]
    assert any("check SLACK_TOKEN" in reason for reason in reasons)


async def test_the_link_in_a_mail_shows_a_button_and_only_the_button_acts(notify: Running, mail: Mail) -> None:
    await notify.tell(breached(summary=SUMMARY.model_copy(update={"team": "fraud"})))
    await notify.pump()
    [message] = mail.inbox
    link = re.search(r"https://tocsin\.example(/v1/pages/\S+)", message["plain"])
    assert link
    assert link[1] in message["html"]
    for _ in range(3):  # a scanner opens every link
        shown = await notify.client.get(link[1], headers={"Authorization": ""})
        assert 'value="acknowledge">Acknowledge<' in shown.text
    assert (await notify.page())["state"] == "open"
    pressed = await notify.client.post(link[1], headers={"Authorization": ""})
    assert "<dt>Acknowledged</dt><dd>by desk" in pressed.text
    assert (await notify.page())["acknowledged_by"] == "desk"
    assert "Payout" not in shown.text + pressed.text
    for forged in (link[1][:-3] + "abc", link[1].partition("?")[0]):
        assert (await notify.client.post(forged)).status_code == 403
    notify.clock.advance(timedelta(days=8))
    assert "expired" in (await notify.client.get(link[1])).text


def interaction(page_id: str, at: datetime, secret: str = "signing") -> tuple[bytes, dict[str, str]]:
    payload = {
        "type": "block_actions",
        "user": {"id": "U1", "username": "ana.b"},
        "actions": [{"action_id": "acknowledge", "value": page_id}],
    }
    body = urlencode({"payload": json.dumps(payload)}).encode()
    stamp = str(int(at.timestamp()))
    mac = hmac.new(secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    headers = {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={mac}"}
    return body, headers | {"Content-Type": "application/x-www-form-urlencoded"}


async def test_slacks_button_acknowledges_when_slack_signed_it(notify: Running) -> None:
    await notify.tell(breached())
    page_id = (await notify.page())["id"]
    now = notify.clock.now()
    refused = [
        interaction(page_id, now, "another secret"),
        interaction(page_id, now - timedelta(minutes=6)),
        (interaction(page_id, now)[0], {}),
        (interaction(page_id, now)[0], {"X-Slack-Request-Timestamp": "soon", "X-Slack-Signature": "v0=1"}),
    ]
    for body, headers in refused:
        answer = await notify.client.post("/v1/slack/interactions", content=body, headers=headers)
        assert answer.status_code == 401, answer.text
    assert (await notify.page())["state"] == "open"
    body, headers = interaction(page_id, now)
    answer = await notify.client.post("/v1/slack/interactions", content=body, headers=headers)
    assert (answer.status_code, answer.content) == (200, b"")
    assert (await notify.page())["acknowledged_by"] == "ana"


async def test_a_silence_holds_messages_and_its_end_lets_them_go(notify: Running, slack: Slack) -> None:
    scope = {"scope": {"team": "payments"}, "reason": "moving house", "until": minutes(60).isoformat()}
    silence = await notify.ok("POST", "/v1/silences", scope)
    await notify.tell(breached())
    await notify.pump()
    [held] = await notify.deliveries("?state=held")
    assert held["reason"] == "Silenced by bo: moving house"
    assert (await notify.ok("GET", "/v1/silences"))["items"][0]["holds"] == 1
    await notify.ok("DELETE", f"/v1/silences/{silence['id']}")
    await notify.pump()
    assert len(slack.posts) == 1


async def test_an_erased_customer_is_erased_here_too_and_stays_so(notify: Running) -> None:
    await notify.tell(breached())
    await notify.tell(CustomerErased(case_id=CASE, occurred_at=minutes(1), customer_id=""))
    await notify.tell(breached(minutes(2), clock_id=derived("later")))
    async with notify.runtime.db.transaction() as tx:
        tables = ("case_facts", "clock", "page", "delivery", "page_entry", "attempt", "outbox")
        rows = [row.whole for name in tables for row in await tx.rows(f"SELECT CAST(x AS text) AS whole FROM {name} x")]
    everything = " ".join(rows)
    assert "Payout missing" not in everything
    assert "We expected" not in everything
    assert "acme.example/tickets" not in everything
    assert "C-4812" in everything


async def test_a_withdrawn_breach_is_taken_back_where_it_was_told(notify: Running, slack: Slack) -> None:
    await notify.tell(breached())
    await notify.pump()
    notify.clock.advance(timedelta(seconds=2))
    await notify.tell(clock_event(ClockWithdrawn, notify.clock.now()))
    await notify.pump()
    assert [post.body["text"].split(":")[0] for post in slack.posts] == [
        "C-4812 first reply under 1 s late",
        "C-4812 first reply was in time after all",
    ]
    assert (await notify.page())["state"] == "resolved"


async def test_the_ledger_shows_a_row_that_was_lost(notify: Running) -> None:
    await notify.tell(breached())
    await notify.pump()
    assert await notify.balance() == {"pages→deliveries": 0, "sends→answers": 0}
    async with notify.runtime.db.transaction() as tx:
        await tx.run("DELETE FROM delivery")
    assert await notify.balance() == {"pages→deliveries": 1, "sends→answers": -1}


async def test_a_page_may_end_and_the_next_begin_in_one_batch(notify: Running) -> None:
    other = derived("other")
    await notify.tell(breached(), met(minutes(1)), breached(minutes(2), clock_id=other))
    pages = (await notify.ok("GET", f"/v1/pages?case_id={CASE}"))["items"]
    assert [page["state"] for page in pages] == ["open", "resolved"]
    assert pages[0]["clocks"] == [str(other)]
    assert (await notify.ok("GET", "/v1/pages?state=open"))["items"][0]["id"] == pages[0]["id"]


async def test_who_is_on_call_the_override_and_the_feed(notify: Running) -> None:
    path = "/v1/schedules/payments-primary"
    shown = await notify.ok("GET", f"{path}/on-call?at=2026-11-23T08:59:59Z")
    assert shown["people"] == [
        {"person": "ana", "layer": 1, "from": "2026-11-16T09:00:00Z", "until": "2026-11-23T09:00:00Z"}
    ]
    swap = {"person": "li", "from": "2026-11-18T09:00:00Z", "until": "2026-11-19T09:00:00Z"}
    made = await notify.ok("POST", f"{path}/overrides", swap)
    await notify.ok("PUT", path, ROTA | {"label": "Payments"})  # never touches overrides
    at = f"{path}/on-call?at=2026-11-18T10:00:00Z"
    assert [p["layer"] for p in (await notify.ok("GET", at))["people"]] == ["override"]
    await notify.ok("DELETE", f"{path}/overrides/{made['id']}")
    assert [p["person"] for p in (await notify.ok("GET", at))["people"]] == ["ana"]
    feed = await notify.client.get(f"{path}.ics")
    assert feed.headers["content-type"].startswith("text/calendar")
    events = icalendar.Calendar.from_ical(feed.text).walk("VEVENT")
    assert [str(e["summary"]).split()[0] for e in events[:3]] == ["Ana", "Li", "Ana"]
    assert events[0].decoded("dtend") == events[1].decoded("dtstart")
    assert events[-1].decoded("dtstart") < DUE + timedelta(days=180) <= events[-1].decoded("dtend")


async def test_an_override_is_in_force_for_the_very_next_page(notify: Running, slack: Slack, mail: Mail) -> None:
    await notify.tell(breached())
    await notify.pump()
    swap = {"person": "li", "from": DUE.isoformat(), "until": minutes(60).isoformat()}
    await notify.ok("POST", "/v1/schedules/payments-primary/overrides", swap)
    await notify.until(minutes(5), timedelta(minutes=1))
    assert [message["to"] for message in mail.inbox] == [["li@example.com"]]


async def test_secrets_are_written_and_never_shown(notify: Running) -> None:
    spec = {"kind": "webhook", "url": "https://hooks.example/x", "secret": SECRET}
    made = await notify.client.put("/v1/destinations/hook", json=spec)
    assert made.status_code == 201
    shown = await notify.client.get("/v1/destinations/hook")
    listed = await notify.client.get("/v1/destinations")
    assert "MfKQ9" not in made.text + shown.text + listed.text
    written_back = await notify.client.put("/v1/destinations/hook", json=shown.json() | {"label": "Hook"})
    assert written_back.status_code == 200, written_back.text
    async with notify.runtime.db.transaction() as tx:
        assert "MfKQ9" not in await tx.scalar("SELECT body::text FROM resource WHERE name = 'hook'")
        kept = (await resources.snapshot(tx, 0)).of("destination")["hook"]
        assert kept.body["secret"] == SECRET  # also where a later PUT left it out


SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LAYER = {"people": ["ana"], "start": "2026-11-02T09:00:00", "turn": "P7D"}
STEP = {"notify": [{"person": "ana"}]}


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("people/x", {"email": "no address"}, "not an email address"),
        ("people/x", {"time_zone": "Mars/Olympus"}, "not an IANA time zone"),
        ("people/x", {"emial": "a@b.example"}, "emial"),
        ("people/x", {"email": "a@b.example\u0000"}, "NUL"),
        ("destinations/x", {"kind": "pigeon"}, "kind"),
        ("destinations/x", {"kind": "slack"}, "channel"),
        ("destinations/x", {"kind": "webhook", "url": "https://h.example"}, "secret"),
        ("destinations/x", {"kind": "webhook", "url": "ftp://h.example", "secret": SECRET}, "url"),
        ("schedules/x", {"time_zone": "UTC", "layers": [LAYER | {"people": ["nobody"]}]}, "no person nobody"),
        ("schedules/x", {"time_zone": "UTC", "layers": [LAYER | {"turn": "P1M"}]}, "ISO 8601"),
        ("schedules/x", {"time_zone": "UTC", "layers": [LAYER | {"turn": "PT1S"}]}, "shortest"),
        ("schedules/x", {"time_zone": "UTC", "layers": [LAYER | {"start": "2026-11-02T09:00:00Z"}]}, "no offset"),
        ("escalation-policies/x", {"steps": []}, "at least 1 item"),
        ("escalation-policies/x", {"steps": [{"notify": [{"schedule": "gone"}]}]}, "no schedule gone"),
        ("escalation-policies/x", {"steps": [{"notify": [{"person": "ana", "destination": "desk"}]}]}, "one thing"),
        ("escalation-policies/x", {"steps": [STEP], "repeat": {"every": "PT0S", "times": 3}}, "shortest"),
        ("escalation-policies/x", {"teams": ["payments"], "steps": [STEP]}, "serves payments"),
    ],
)  # fmt: skip
async def test_what_cannot_work_is_refused_with_a_reason(notify: Running, path: str, body: Any, says: str) -> None:
    answer = await notify.client.put(f"/v1/{path}", json=body)
    assert answer.status_code in (409, 422), answer.text
    assert says in answer.text


@pytest.mark.parametrize(
    ("path", "use"),
    [
        ("people/ana", "schedule payments-primary"),
        ("people/li", "escalation-policy payments"),
        ("destinations/desk", "escalation-policy fraud"),
        ("schedules/payments-primary", "escalation-policy payments"),
        ("escalation-policies/default", "every team that no escalation policy names"),
    ],
)
async def test_what_is_in_use_is_not_deleted(notify: Running, path: str, use: str) -> None:
    answer = await notify.client.delete(f"/v1/{path}")
    assert answer.status_code == 409
    assert use in answer.json()["uses"]


async def test_problems_name_what_cannot_work_before_it_bites(embedded: str, slack: Slack, mail: Mail) -> None:
    notify = await Running.start(embedded, slack, mail, slack_token=None, catch_all="gone")
    await notify.ok("PUT", "/v1/people/ghost", {})
    await notify.ok("PUT", "/v1/people/slacker", {"slack_user": "U9"})
    await notify.ok("PUT", "/v1/schedules/empty", {"time_zone": "UTC", "layers": []})
    await notify.ok("PUT", "/v1/escalation-policies/mute", {"steps": [STEP | {"on": "warned"}]})
    found = {(p["kind"], p["name"]): p["text"] for p in (await notify.ok("GET", "/v1/problems"))["items"]}
    assert found["person", "ghost"] == "cannot be reached: write a slack_user or an email"
    assert found["person", "slacker"] == "cannot be reached: SLACK_TOKEN is not set"
    assert found["destination", "payments-slack"] == "cannot be reached: SLACK_TOKEN is not set"
    assert found["schedule", "empty"].startswith("has nobody on call now, until 2026-12-22 02:03 UTC")
    assert "no step on breaches" in found["escalation-policy", "mute"]
    assert "neither a destination's name nor an email address" in found["catch-all", "gone"]
    assert ("person", "ana") not in found
    await notify.stop()


async def test_acting_on_what_is_not_there_or_over_says_so(notify: Running) -> None:
    nothing = derived("nothing")
    for path in (f"pages/{nothing}/acknowledge", f"deliveries/{nothing}/retry"):
        assert (await notify.client.post(f"/v1/{path}")).status_code == 404
    for path in (f"pages/{nothing}", "pages?state=lost", "pages?cursor=nonsense", "deliveries?limit=0"):
        assert (await notify.client.get(f"/v1/{path}")).status_code in (404, 422)
    await notify.tell(breached())
    await notify.pump()
    page = await notify.page()
    early = {"until": minutes(-5).isoformat()}
    assert (await notify.client.post(f"/v1/pages/{page['id']}/snooze", json=early)).status_code == 422
    sent = await notify.client.post(f"/v1/deliveries/{page['deliveries'][0]['id']}/retry")
    assert (sent.status_code, sent.json()["type"].rpartition("/")[2]) == (409, "nothing-to-send")
    resolved = await notify.ok("POST", f"/v1/pages/{page['id']}/resolve")
    assert (resolved["state"], resolved["resolved_by"]) == ("resolved", "bo")
    again = await notify.ok("POST", f"/v1/pages/{page['id']}/acknowledge")
    assert again["state"] == "resolved"


async def test_lists_go_on_where_they_stopped(notify: Running) -> None:
    for n in range(5):
        case = derived("case", n)
        await notify.tell(breached(case_id=case, clock_id=case))
        notify.clock.advance(timedelta(seconds=1))
    seen, cursor = [], ""
    while True:
        answer = await notify.ok("GET", f"/v1/pages?limit=2{cursor}")
        seen += [page["case_id"] for page in answer["items"]]
        if answer["next"] is None:
            break
        cursor = f"&cursor={answer['next']}"
    assert seen == [str(derived("case", n)) for n in reversed(range(5))]


async def test_what_was_claimed_at_a_clean_stop_is_given_back(notify: Running, slack: Slack) -> None:
    await notify.tell(breached())
    await notify.sending.claim()
    await notify.sending.close()
    [delivery] = await notify.deliveries()
    assert (delivery["state"], delivery["lost"], delivery["reason"]) == ("held", 0, "we stopped before it was sent")
    notify.clock.advance(timedelta(seconds=2))
    await notify.pump()
    assert len(slack.posts) == 1


async def test_the_time_of_a_claim_outlives_the_hard_timeout(notify: Running) -> None:
    await notify.tell(breached())
    await notify.sending.claim()
    async with notify.runtime.db.transaction() as tx:
        until = await tx.scalar("SELECT claimed_until FROM delivery")
    assert until - DUE > timedelta(seconds=notify.runtime.settings.send_timeout_s)
