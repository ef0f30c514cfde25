"""Schedules by the API: what is written is read back, shifts, swaps, feeds, warnings; on a real Postgres."""

from datetime import UTC, datetime, timedelta
from typing import Any

import icalendar
import pytest
import recurring_ical_events
from pydantic import ValidationError

from services.notify.lookout import Lookout
from services.notify.model.hours import DAYS
from services.notify.model.schedules import LayerSpec, ScheduleSpec
from shared import telemetry
from tests.unit.notify.given import breached, minutes
from tests.unit.notify.running import ROTA, Running
from tests.unit.notify.test_service import STEP

PATH = "/v1/schedules/payments-primary"
WEEKDAYS = {day: [["09:00", "17:00"]] for day in ("mon", "tue", "wed", "thu", "fri")}
WHOLE = {
    "label": "Payments",
    "time_zone": "Europe/Dublin",
    "layers": [
        {"people": ["ana", "li"], "start": "2026-11-16T09:00:00", "hand_offs": {"mon": ["09:00"], "fri": ["17:00"]}},
        {
            "label": "nights",
            "people": ["li"],
            "start": "2026-11-16T00:00:00",
            "end": "2027-01-01T00:00:00",
            "hours": {"fri": [["20:00", "06:00"]]},
            "time_zone": "Europe/Madrid",
        },
    ],
    "covers": WEEKDAYS,
}


async def shown(notify: Running, path: str) -> list[tuple[str, Any, str, str]]:
    found = (await notify.ok("GET", path))["items"]
    return [(s["person"], s["layer"], s["from"][:16], s["until"][:16]) for s in found]


async def test_what_was_put_is_what_is_got_and_may_be_put_again(notify: Running) -> None:
    first = await notify.ok("PUT", PATH, WHOLE)
    assert first["warnings"] == []
    got = await notify.ok("GET", PATH)
    assert {key: got[key] for key in WHOLE} == WHOLE
    again = await notify.ok("PUT", PATH, first)  # an answer of ours, whole
    assert again["version"] == got["version"]


async def test_shifts_say_who_when_and_in_whose_time(notify: Running) -> None:
    await notify.ok("PUT", PATH, WHOLE)
    found = await notify.ok("GET", f"{PATH}/shifts?from=2026-11-20T12:00:00Z&until=2026-11-21T12:00:00Z")
    assert [(s["person"], s["layer"], s["from"], s["until"]) for s in found["items"]] == [
        ("ana", 1, "2026-11-16T09:00:00Z", "2026-11-20T17:00:00Z"),
        ("li", 1, "2026-11-20T17:00:00Z", "2026-11-20T19:00:00Z"),
        ("li", 2, "2026-11-20T19:00:00Z", "2026-11-21T05:00:00Z"),  # 20:00 to 06:00 in Madrid
        ("li", 1, "2026-11-21T05:00:00Z", "2026-11-23T09:00:00Z"),
    ]
    first = found["items"][0]
    assert first["schedule"] == "payments-primary" and first["label"] == "Ana"
    assert first["local"]["from"] == "2026-11-16T09:00:00Z"
    assert first["person_local"] == {
        "time_zone": "Europe/Madrid", "from": "2026-11-16T10:00:00+01:00", "until": "2026-11-20T18:00:00+01:00"
    }  # fmt: skip


async def test_shifts_are_listed_page_by_page_and_a_person_has_those_of_every_schedule(notify: Running) -> None:
    await notify.ok("PUT", "/v1/schedules/other", ROTA)
    query = "from=2026-11-16T09:00:00Z&until=2026-12-14T09:00:00Z"
    seen, cursor = [], ""
    while True:
        answer = await notify.ok("GET", f"/v1/people/ana/shifts?{query}&limit=3{cursor}")
        seen += [(s["schedule"], s["from"][:10]) for s in answer["items"]]
        if answer["next"] is None:
            break
        cursor = f"&cursor={answer['next']}"
    assert seen == [(name, day) for day in ("2026-11-16", "2026-11-30") for name in ("other", "payments-primary")]
    assert (await notify.client.get("/v1/people/nobody/shifts")).status_code == 404
    assert (
        await notify.client.get(f"{PATH}/shifts?from=2026-01-01T00:00:00Z&until=2029-01-01T00:00:00Z")
    ).status_code == 422


async def test_a_swap_exchanges_two_shifts_both_or_neither(notify: Running) -> None:
    anas = {"person": "ana", "from": "2026-11-30T09:00:00Z", "until": "2026-12-07T09:00:00Z"}
    lis = {"person": "li", "from": "2026-12-07T09:00:00Z", "until": "2026-12-14T09:00:00Z"}
    query = f"{PATH}/shifts?from=2026-11-30T09:00:00Z&until=2026-12-14T09:00:00Z"
    before = await shown(notify, query)
    wrong = await notify.client.post(f"{PATH}/swaps", json={"shifts": [anas, anas | {"person": "li"}]})
    assert wrong.status_code == 422
    longer = await notify.client.post(f"{PATH}/swaps", json={"shifts": [anas, lis | {"until": "2026-12-14T10:00:00Z"}]})
    assert (longer.status_code, "li is not on call all of that time" in longer.text) == (409, True)
    assert await shown(notify, query) == before
    made = await notify.ok("POST", f"{PATH}/swaps", {"shifts": [anas, lis]})
    assert [(s[0], s[1]) for s in await shown(notify, query)] == [("li", "override"), ("ana", "override")]
    listed = (await notify.ok("GET", f"{PATH}/overrides"))["items"]
    assert {each["swap"] for each in listed} == {made["id"]}
    await notify.ok("DELETE", f"{PATH}/swaps/{made['id']}")
    assert await shown(notify, query) == before
    assert (await notify.client.delete(f"{PATH}/swaps/{made['id']}")).status_code == 404


async def test_an_override_that_is_taken_back_while_it_lasts_ends_then_and_stays_on_record(notify: Running) -> None:
    spec = {"person": "li", "from": minutes(-60).isoformat(), "until": minutes(60).isoformat()}
    made = await notify.ok("POST", f"{PATH}/overrides", spec)
    await notify.ok("DELETE", f"{PATH}/overrides/{made['id']}")
    query = f"{PATH}/shifts?from={minutes(-30):%Y-%m-%dT%H:%M:%SZ}&until={minutes(30):%Y-%m-%dT%H:%M:%SZ}"
    assert [s[0] for s in await shown(notify, query)] == ["li", "ana"]
    [kept] = (await notify.ok("GET", f"{PATH}/overrides"))["items"]
    assert datetime.fromisoformat(kept["until"]) == minutes(0)


ONE = {"people": ["ana"], "start": "2026-11-16T09:00:00"}


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        (ONE | {"people": ["ana", "li"]}, "say when the next"),
        ({"people": ["ana"]}, "write people and the start"),
        (ONE | {"end": "2026-11-16T09:00:00"}, "end must come after start"),
        (ONE | {"turn": "P1D", "hand_offs": {"mon": ["09:00"]}}, "either"),
        (ONE | {"hand_offs": {}}, "write at least one day"),
        (ONE | {"hours": {"mon": [["09:00", "12:00"], ["11:00", "13:00"]]}}, "overlap"),
        (ONE | {"hours": {"sun": [["22:00", "09:00"]], "mon": [["08:00", "10:00"]]}}, "overlap"),
        (ONE | {"hours": {"mo": [["09:00", "12:00"]]}}, "is not a day"),
        (ONE | {"hours": {"mon": [["09:00", "09:00"]]}}, "no length"),
        ({"calendar": {}}, "write either the url"),
        ({"calendar": {"url": "ftp://x"}}, "write a whole address"),
        ({"calendar": {"url": "https://a.example/x.ics"}, "turn": "P1D"}, "leave it out"),
    ],
)
def test_a_layer_that_cannot_work_is_refused_with_a_reason(layer: Any, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        ScheduleSpec.model_validate({"time_zone": "Europe/Dublin", "layers": [layer]})


@pytest.mark.parametrize(
    ("weekly", "expected"),
    [
        ({"sat": [["00:00", "24:00"]], "sun": [["00:00", "24:00"]]}, ((5 * 1440, 7 * 1440),)),
        ({"sun": [["20:00", "24:00"]], "mon": [["00:00", "06:00"]]}, ((6 * 1440 + 1200, 7 * 1440 + 360),)),
        ({"mon": [["17:00", "09:00"]]}, ((1020, 1980),)),
        ({day: [["00:00", "24:00"]] for day in DAYS}, None),
    ],
)
def test_hours_that_touch_are_one_window_also_over_midnight_and_from_week_to_week(weekly: Any, expected: Any) -> None:
    spec = LayerSpec.model_validate(ONE | {"hours": weekly})
    assert spec.rotation().hours == expected


async def test_a_calendar_that_cannot_be_read_or_may_not_be_called_is_refused(notify: Running) -> None:
    for calendar, says in (
        ({"url": "http://169.254.169.254/latest"}, "inside our own network"),
        ({"text": "no calendar"}, "cannot be read as iCalendar"),
    ):
        spec = {"time_zone": "Europe/Dublin", "layers": [{"calendar": calendar}]}
        answer = await notify.client.put("/v1/schedules/x", json=spec)
        assert (answer.status_code, says in answer.text) == (422, True), answer.text


async def test_what_is_saved_with_a_gap_or_an_unreachable_person_is_answered_with_a_warning(notify: Running) -> None:
    await notify.ok("PUT", "/v1/people/ghost", {})
    answer = await notify.ok(
        "PUT",
        "/v1/schedules/frontline",
        {
            "time_zone": "Europe/Dublin",
            "layers": [
                {"people": ["ghost"], "start": "2026-11-16T09:00:00", "end": "2026-12-04T12:00:00"},
                {"people": [], "start": "2027-01-01T00:00:00"},
            ],
            "covers": {"fri": [["09:00", "17:00"]]},
        },
    )  # fmt: skip
    assert answer["warnings"] == [
        "has no people in layer 2, so nobody is on call in its turns",
        "has nobody on call on 2026-12-04 12:00–17:00 Dublin, in 12 days 9 h: add a layer or an override",
        "has nobody on call on 2026-12-11 09:00–17:00 Dublin, in 19 days 6 h: add a layer or an override",
        "has nobody on call on 2026-12-18 09:00–17:00 Dublin, in 26 days 6 h: add a layer or an override",
        "has ghost on call now, who cannot be reached: write a slack_user or an email",
    ]
    listed = [p["text"] for p in (await notify.ok("GET", "/v1/problems"))["items"] if p["name"] == "frontline"]
    assert listed == answer["warnings"]


async def test_a_gap_is_measured_ahead_and_logged_once_a_day(
    notify: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    until = {"people": ["ana"], "start": "2026-11-16T09:00:00", "end": "2026-12-04T12:00:00"}
    await notify.ok("PUT", "/v1/schedules/ends", {"time_zone": "Europe/Dublin", "layers": [until]})
    lookout = Lookout(notify.runtime)
    said = 0
    for hour in range(26):
        await lookout.step()
        said += capsys.readouterr().out.count("has nobody on call on 2026-12-04 12:00")
        ahead = telemetry.ON_CALL_GAP.labels("ends")._value.get()
        assert ahead == (datetime(2026, 12, 4, 12, tzinfo=UTC) - notify.clock.now()).total_seconds()
        notify.clock.advance(timedelta(hours=1))
        assert said == (1 if hour < 24 else 2)
    await notify.ok(
        "PUT", "/v1/schedules/ends", {"time_zone": "Europe/Dublin", "layers": [until | {"end": "2028-01-01T00:00:00"}]}
    )
    await lookout.step()
    assert "ends" not in {key[0] for key in telemetry.ON_CALL_GAP._metrics}


async def test_a_deleted_member_of_an_override_is_a_problem_and_the_page_goes_to_the_next_step_at_once(
    notify: Running, mail: Any
) -> None:
    await notify.ok("PUT", "/v1/people/temp", {"email": "temp@example.com"})
    spec = {"person": "temp", "from": minutes(-60).isoformat(), "until": minutes(600).isoformat()}
    await notify.ok("POST", f"{PATH}/overrides", spec)
    await notify.ok("DELETE", "/v1/people/temp")
    texts = [p["text"] for p in (await notify.ok("GET", "/v1/problems"))["items"]]
    assert "names temp, who does not exist: PUT the person, or take the name out" in texts
    await notify.tell(breached())
    await notify.until(minutes(5), timedelta(minutes=1))
    assert [message["to"] for message in mail.inbox] == [["li@example.com"]]  # step 4, five minutes early


async def test_an_empty_shift_sends_the_page_to_the_next_step_at_once(notify: Running, mail: Any) -> None:
    await notify.ok("PUT", PATH, {"time_zone": "UTC", "layers": []})
    await notify.tell(breached())
    await notify.until(minutes(5), timedelta(minutes=1))
    assert [message["to"] for message in mail.inbox] == [["li@example.com"]]


async def test_a_feed_needs_no_key_and_works_until_it_is_revoked(notify: Running) -> None:
    made = await notify.ok("POST", "/v1/feeds", {"schedule": "payments-primary"})
    assert made["url"].startswith("https://tocsin.example/v1/schedules/payments-primary.ics?token=")
    nobody = {"Authorization": ""}
    path = made["url"].removeprefix("https://tocsin.example")
    answer = await notify.client.get(path, headers=nobody)
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/calendar")
    for other in (
        path[:-1] + ("0" if path[-1] != "0" else "1"),
        path.replace("schedules/payments-primary", "people/ana"),
        path.split("?")[0] + "?token=x",
    ):
        assert (await notify.client.get(other, headers=nobody)).status_code == 403
    assert (await notify.ok("GET", "/v1/feeds"))["items"] == [made]
    await notify.ok("DELETE", f"/v1/feeds/{made['id']}")
    assert (await notify.client.get(path, headers=nobody)).status_code == 403


async def test_the_feed_read_by_another_library_gives_the_shifts_and_keeps_its_uids(notify: Running) -> None:
    await notify.ok("PUT", PATH, WHOLE)
    start, end = datetime(2026, 11, 20, tzinfo=UTC), datetime(2027, 4, 20, tzinfo=UTC)
    query = f"from={start:%Y-%m-%dT%H:%M:%SZ}&until={end:%Y-%m-%dT%H:%M:%SZ}&limit=500"
    for kind, name in (("schedules", "payments-primary"), ("people", "ana")):
        text = (await notify.client.get(f"/v1/{kind}/{name}.ics")).text
        events = recurring_ical_events.of(icalendar.Calendar.from_ical(text)).between(start, end)
        read = sorted((e["DTSTART"].dt, e["DTEND"].dt) for e in events)
        listed = (await notify.ok("GET", f"/v1/{kind}/{name}/shifts?{query}"))["items"]
        assert read == [(datetime.fromisoformat(s["from"]), datetime.fromisoformat(s["until"])) for s in listed]
        assert len(read) > 20
    before = uids(text)
    override = {"person": "li", "from": "2026-11-24T12:00:00Z", "until": "2026-11-25T12:00:00Z"}
    await notify.ok("POST", f"{PATH}/overrides", override)
    notify.clock.advance(timedelta(hours=1))
    after = uids((await notify.client.get("/v1/people/ana.ics")).text)
    assert len(set(before)) == len(before)
    assert set(before) < set(after), "a shift that was cut keeps its UID; only what follows the override is new"


def uids(text: str) -> list[str]:
    return [str(each["UID"]) for each in icalendar.Calendar.from_ical(text).walk("VEVENT")]


async def test_no_loop_sleeps_so_long_that_it_counts_as_stalled(notify: Running) -> None:
    loops = {loop.name: loop for loop in notify.assembly.loops}
    for name in ("notify calendars", "notify lookout"):
        for _ in range(2):
            assert await loops[name].step() < notify.runtime.settings.stall_s / 2


async def test_a_schedule_in_use_names_what_uses_it(notify: Running) -> None:
    await notify.ok(
        "PUT", "/v1/escalation-policies/y", {"steps": [STEP | {"notify": [{"schedule": "payments-primary"}]}]}
    )
    assert "escalation-policy y" in (await notify.client.delete(PATH)).json()["uses"]
