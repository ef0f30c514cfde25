"""Layers kept in a calendar: read as another library reads them, fetched with care, the last good copy kept."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import icalendar
import pytest
import recurring_ical_events
from hypothesis import given, settings
from hypothesis import strategies as st

from services.notify.calendars import fetching, reading
from services.notify.calendars.fetching import Fetcher, Unreachable
from services.notify.calendars.loop import Calendars
from services.notify.calendars.reading import events
from services.notify.calendars.repetitions import Unreadable
from services.notify.model.rota import CalendarEvent
from services.notify.model.specs import PersonSpec
from services.notify.oncall.calendars import layer_of
from services.notify.store.calendars import onward
from shared.egress import Egress
from tests.stand_ins.calendars import Calendars as Server
from tests.unit.notify.given import DUE
from tests.unit.notify.running import Running

SINCE, UNTIL = datetime(2026, 9, 1, tzinfo=UTC), datetime(2027, 9, 1, tzinfo=UTC)


def calendar(*components: str, head: str = "") -> str:
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:test", *filter(None, [head]), *components, "END:VCALENDAR"]
    return "\n".join(lines) + "\n"


def event(uid: str, summary: str, *lines: str) -> str:
    return "\n".join(
        ["BEGIN:VEVENT", f"UID:{uid}", "DTSTAMP:20260101T000000Z", f"SUMMARY:{summary}", *lines, "END:VEVENT"]
    )


NIGHTS = event(
    "nights",
    "Ana",
    "DTSTART;TZID=Europe/Dublin:20261001T200000",
    "DTEND;TZID=Europe/Dublin:20261002T080000",
    "RRULE:FREQ=DAILY;UNTIL=20261101T200000Z",
    "EXDATE;TZID=Europe/Dublin:20261005T200000,20261006T200000",
)
MOVED = event(
    "nights",
    "Li",
    "RECURRENCE-ID;TZID=Europe/Dublin:20261010T200000",
    "DTSTART;TZID=Europe/Dublin:20261010T210000",
    "DTEND;TZID=Europe/Dublin:20261011T080000",
)
CANCELLED = event(
    "nights",
    "Ana",
    "RECURRENCE-ID;TZID=Europe/Dublin:20261012T200000",
    "DTSTART;TZID=Europe/Dublin:20261012T200000",
    "DTEND;TZID=Europe/Dublin:20261013T080000",
    "STATUS:CANCELLED",
)


def theirs(text: str) -> list[tuple[datetime, datetime]]:
    """What another library makes of it."""
    found = recurring_ical_events.of(icalendar.Calendar.from_ical(text)).between(SINCE, UNTIL)
    return sorted((e["DTSTART"].dt.astimezone(UTC), e["DTEND"].dt.astimezone(UTC)) for e in found)


def ours(text: str) -> list[tuple[datetime, datetime]]:
    return [(e.start, e.end) for e in events(text, SINCE, UNTIL)]


def test_nights_stay_from_eight_to_eight_on_the_wall_with_what_is_moved_cancelled_and_left_out() -> None:
    found = events(calendar(NIGHTS, MOVED, CANCELLED), SINCE, UNTIL)
    by_day = {e.start.astimezone(ZoneInfo("Europe/Dublin")).date().isoformat()[-5:]: e for e in found}
    assert not {"10-05", "10-06", "10-12"} & by_day.keys()
    assert len(found) == 32 - 3
    assert (by_day["10-10"].summary, by_day["10-10"].start.hour) == ("Li", 20)
    assert (by_day["10-24"].start.hour, by_day["10-24"].end.hour) == (19, 8), "the night in which the clocks go back"
    assert by_day["11-01"].start == datetime(2026, 11, 1, 20, tzinfo=UTC), "UNTIL is included"


@pytest.mark.parametrize(
    "component",
    [
        NIGHTS,
        event("a", "Ana", "DTSTART:20261001T080000Z", "DURATION:PT8H", "RRULE:FREQ=WEEKLY;BYDAY=MO,WE;COUNT=9"),
        event("b", "Ana", "DTSTART;TZID=America/New_York:20261029T090000", "DURATION:PT8H",
              "RRULE:FREQ=MONTHLY;BYDAY=-1TH;UNTIL=20270301"),
        event("c", "Ana", "DTSTART;TZID=Asia/Tokyo:20261001T090000", "DTEND;TZID=Asia/Tokyo:20261001T170000",
              "RDATE;TZID=Asia/Tokyo:20261003T090000,20261004T090000"),
        event("d", "Ana", "DTSTART;TZID=Europe/Dublin:20260105T090000", "DTEND;TZID=Europe/Dublin:20260112T090000",
              "RRULE:FREQ=WEEKLY;INTERVAL=3"),
    ],
)  # fmt: skip
def test_repetitions_are_counted_as_another_library_counts_them(component: str) -> None:
    text = calendar(component)
    assert ours(text) == theirs(text) != []


RULES = st.builds(
    lambda freq, interval, end, by: f"RRULE:FREQ={freq};INTERVAL={interval}{end}{by if freq == 'WEEKLY' else ''}",
    st.sampled_from(["DAILY", "WEEKLY", "MONTHLY"]),
    st.integers(1, 4),
    st.sampled_from(["", ";COUNT=5", ";UNTIL=20270110T120000Z"]),
    st.sampled_from(["", ";BYDAY=MO,FR", ";BYDAY=SU"]),
)


@settings(max_examples=40)
@given(
    RULES,
    st.sampled_from(["Europe/Dublin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
    st.integers(1, 28),
    st.integers(4, 23),
    st.integers(1, 20),
)
def test_any_rule_in_any_zone_is_counted_as_another_library_counts_it(
    rule: str, zone: str, day: int, hour: int, length: int
) -> None:
    start = datetime.fromisoformat(f"2026-10-{day:02}T{hour:02}:00")
    lines = [f"{name};TZID={zone}:{at:%Y%m%dT%H%M%S}" for name, at in
             (("DTSTART", start), ("DTEND", start + timedelta(hours=length)))]  # fmt: skip
    text = calendar(event("x", "Ana", *lines, rule))
    assert ours(text) == theirs(text)


def test_days_and_times_without_a_zone_are_read_in_the_zone_of_the_calendar_or_of_the_layer() -> None:
    day = event("a", "ana", "DTSTART;VALUE=DATE:20261107")
    local = event("b", "ana", "DTSTART:20261110T090000", "DTEND:20261110T170000")
    people = {"ana": PersonSpec()}
    plain = layer_of("x", events(calendar(day, local), SINCE, UNTIL), people, ZoneInfo("America/New_York"))
    assert [(s.start.isoformat()[:16], s.end.isoformat()[:16]) for s in plain.spans] == [
        ("2026-11-07T05:00", "2026-11-08T05:00"),
        ("2026-11-10T14:00", "2026-11-10T22:00"),
    ]
    own = calendar(local, head="X-WR-TIMEZONE:Asia/Tokyo")
    [span] = layer_of("x", events(own, SINCE, UNTIL), people, ZoneInfo("America/New_York")).spans
    assert span.start == datetime(2026, 11, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("summary", "attendees", "expected"),
    [
        ("ana", (), ("ana",)),
        ("On call: Ana!", (), ("ana",)),
        ("Ana María de la Cruz (primary)", (), ("ana-maria",)),
        ("Li and Ana", (), ("ana", "li")),
        ("banana", (), ()),
        ("ana-x is away", (), ()),
        ("li@example.com", (), ("li",)),
        ("Primary", ("li@example.com",), ("li",)),
        ("Ana", ("li@example.com",), ("li",)),
        ("Ana", ("stranger@example.com",), ("ana",)),
    ],
)
def test_who_is_meant_by_an_event(summary: str, attendees: tuple[str, ...], expected: tuple[str, ...]) -> None:
    people = {
        "ana": PersonSpec(),
        "ana-maria": PersonSpec(label="Ana María de la Cruz"),
        "li": PersonSpec(email="Li@example.com"),
    }
    layer = layer_of("x", [CalendarEvent(SINCE, UNTIL, summary, attendees)], people, ZoneInfo("UTC"))
    assert [span.people for span in layer.spans] == ([expected] if expected else [])
    assert bool(layer.strangers) == (not expected)


def test_a_fetch_changes_only_what_lies_ahead() -> None:
    hours = [SINCE + timedelta(hours=n) for n in range(10)]
    before = [CalendarEvent(hours[0], hours[4], "ana"), CalendarEvent(hours[4], hours[8], "li")]
    after = [CalendarEvent(hours[1], hours[8], "bo"), CalendarEvent(hours[8], hours[9], "li")]
    assert onward(before, after, hours[2]) == [
        CalendarEvent(hours[0], hours[2], "ana"),
        CalendarEvent(hours[2], hours[8], "bo"),
        CalendarEvent(hours[8], hours[9], "li"),
    ]
    assert onward(before, before, hours[2]) == before, "and what goes on is not cut"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("BEGIN:VCALENDAR", "cannot be read|must begin"),
        ("<html>", "cannot be read"),
        (calendar(event("a", "ana", "DTSTART:20260901T000000Z", "DURATION:PT1M", "RRULE:FREQ=MINUTELY")), "more than"),
    ],
)
def test_a_file_that_is_no_use_is_refused_with_a_reason(text: str, says: str) -> None:
    with pytest.raises(Unreadable, match=says):
        events(text, SINCE, UNTIL)


async def test_a_rule_that_would_count_for_ever_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LONGEST_S", 1.0)
    endless = "RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"
    text = calendar(*(event(str(n), "ana", "DTSTART:20260901T000000Z", "DURATION:PT1M", endless) for n in range(50)))
    with pytest.raises(Unreadable, match=r"takes more than|too much time"):
        await reading.read(text, SINCE, UNTIL)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server() as found:
        yield found


async def test_a_calendar_is_fetched_only_from_where_we_may_also_by_a_redirect(server: Server) -> None:
    server.files["/on-call.ics"] = calendar(NIGHTS)
    server.redirects["/moved.ics"] = "/on-call.ics"
    server.redirects["/metadata.ics"] = "http://169.254.169.254/latest"
    strict, lenient = Fetcher(Egress()), Fetcher(Egress("127.0.0.1"))
    with pytest.raises(Unreachable, match="inside our own network"):
        await strict.fetch(f"{server.url}/on-call.ics", None, None)
    assert server.asked == []
    assert (await lenient.fetch(f"{server.url}/moved.ics", None, None)).body == calendar(NIGHTS)
    with pytest.raises(Unreachable, match="inside our own network"):
        await lenient.fetch(f"{server.url}/metadata.ics", None, None)
    await strict.close()
    await lenient.close()


async def test_a_calendar_that_is_too_large_or_missing_is_refused(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "MAX_BYTES", 1_048_576)
    server.files["/large.ics"] = "x" * 1_200_000
    fetcher = Fetcher(Egress("127.0.0.0/8"))
    for path, says in (("large", "more than 1 MiB"), ("missing", "answered 404")):
        with pytest.raises(Unreachable, match=says):
            await fetcher.fetch(f"{server.url}/{path}.ics", None, None)
    await fetcher.close()


async def test_a_layer_follows_its_calendar_and_the_last_good_copy_counts_when_it_fails(
    embedded: str, slack: Any, mail: Any, server: Server
) -> None:
    notify = await Running.start(embedded, slack, mail, egress_allow="127.0.0.1")
    loop = Calendars(notify.runtime)
    week = event("w", "Li", "DTSTART:20261122T000000Z", "DURATION:PT24H", "RRULE:FREQ=DAILY;COUNT=7")
    server.files["/rota.ics"] = calendar(week)
    path, url = "/v1/schedules/kept", f"{server.url}/rota.ics"
    base = {"people": ["ana"], "start": "2026-11-01T00:00:00"}
    spec = {"time_zone": "Europe/Dublin", "layers": [base, {"calendar": {"url": url}}]}
    answer = await notify.ok("PUT", path, spec)
    assert answer["warnings"] == ["has not read the calendar of layer 2 yet: that takes a minute"]

    async def people(at: str) -> list[str]:
        return [p["person"] for p in (await notify.ok("GET", f"{path}/on-call?at={at}"))["people"]]

    async def troubles() -> list[str]:
        return [p["text"] for p in (await notify.ok("GET", "/v1/problems"))["items"] if p["name"] == "kept"]

    assert await people("2026-11-24T12:00:00Z") == ["ana"]
    await loop.step()
    assert await people("2026-11-24T12:00:00Z") == ["li"]
    assert await people("2026-11-30T12:00:00Z") == ["ana"]
    assert await troubles() == []
    server.status = 500
    notify.clock.advance(timedelta(minutes=16))
    await loop.step()
    assert await people("2026-11-24T12:00:00Z") == ["li"]
    assert await troubles() == [
        "cannot read the calendar of layer 2: its server answered 500; the copy of 22 Nov 2026 02:03 GMT counts"
    ]
    server.status = 200
    notify.clock.advance(timedelta(minutes=16))
    await loop.step()
    assert await troubles() == []
    assert "if-none-match" in server.asked[-1][1]
    server.files["/rota.ics"] = calendar(week.replace("SUMMARY:Li", "SUMMARY:Mallory"))
    notify.clock.advance(timedelta(minutes=16))
    await loop.step()
    assert await people("2026-11-24T12:00:00Z") == ["ana"], "an event that names nobody leaves the layer below alone"
    assert await people("2026-11-22T01:00:00Z") == ["li"], "what has been stays"
    assert (await troubles())[0].startswith(
        "has an event that names nobody we know in layer 2: 'Mallory' of 22 Nov 2026"
    )
    asked = len(server.asked)
    await loop.step()
    assert len(server.asked) == asked, "not before it is due"
    await notify.ok("DELETE", path)
    notify.clock.advance(timedelta(days=1))
    await loop.step()
    assert len(server.asked) == asked, "nor when no schedule reads it any more"
    await loop.close()
    await notify.stop()


async def test_a_calendar_that_is_written_into_a_layer_counts_at_once_and_for_longer_than_it_was_counted_out(
    notify: Running,
) -> None:
    text = calendar(event("w", "Li", "DTSTART:20261122T000000Z", "DURATION:PT24H", "RRULE:FREQ=WEEKLY"))
    spec = {
        "time_zone": "Europe/Dublin",
        "layers": [{"calendar": {"text": text}}],
        "covers": {"sun": [["00:00", "24:00"]]},
    }
    answer = await notify.ok("PUT", "/v1/schedules/written", spec)
    assert answer["warnings"] == []
    assert (await notify.ok("GET", "/v1/schedules/written"))["layers"] == spec["layers"]
    later = "/v1/schedules/written/on-call?at=2028-01-02T12:00:00Z"
    assert (await notify.ok("GET", later))["people"] == []
    loop = Calendars(notify.runtime)
    notify.clock.set(DUE + timedelta(days=30))
    await loop.step()
    assert [p["person"] for p in (await notify.ok("GET", later))["people"]] == ["li"]
    await loop.close()
