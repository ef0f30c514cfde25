"""A month of a rota in three zones against a table made by hand; hours for compensatory time."""

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import icalendar
import pytest
import recurring_ical_events
from hypothesis import given
from hypothesis import strategies as st

from services.notify.model.rota import Layer, Schedule
from services.notify.oncall.duty import (
    Act,
    Counted,
    Home,
    Stretch,
    Told,
    country_of,
    days,
    handled,
    kind_of,
    on_duty,
    paged,
)
from tests.unit.notify.given import breached, met, minutes
from tests.unit.notify.running import ROTA, Running

TABLE = (Path(__file__).parents[2] / "data" / "rotas" / "october-2026.txt").read_text().splitlines()
DUBLIN = ZoneInfo("Europe/Dublin")
PATH = "/v1/schedules/sun"
WEEK = ("mon", "tue", "wed", "thu", "fri")
SUN = {
    "time_zone": "Europe/Dublin",
    "layers": [
        {"people": ["ana", "bo", "kim"], "start": "2026-10-01T09:00:00",
         "hand_offs": {"mon": ["09:00"], "fri": ["17:00"]}},
        {"people": ["kim"], "start": "2026-10-01T00:00:00", "time_zone": "Australia/Sydney",
         "hours": {day: [["09:00", "17:00"]] for day in WEEK}},
        {"people": ["bo"], "start": "2026-10-01T00:00:00", "time_zone": "America/New_York",
         "hours": {day: [["10:00", "18:00"]] for day in ("sat", "sun")}},
    ],
}  # fmt: skip
PEOPLE = {
    "ana": {"email": "ana@example.com", "time_zone": "Europe/Dublin"},
    "bo": {"email": "bo@example.com", "time_zone": "America/New_York"},
    "kim": {"email": "kim@example.com", "time_zone": "Australia/Sydney", "country": "AU", "subdivision": "NSW"},
}
MONTH = (datetime(2026, 9, 30, 23, tzinfo=UTC), datetime(2026, 11, 2, 9, tzinfo=UTC))
Row = tuple[str, str, datetime, datetime]


def table() -> list[Row]:
    """The shifts of the table. The hour that comes twice in it is on no line."""
    lines = [line.split() for line in TABLE if line[:1] not in ("#", "=")]
    return [(who, layer, dublin(*rest[:4]), dublin(*rest[4:])) for who, layer, *rest in lines]


def dublin(weekday: str, day: str, month: str, time: str) -> datetime:
    number = {"Oct": 10, "Nov": 11}[month]
    found = datetime.fromisoformat(f"2026-{number}-{day}T{time}").replace(tzinfo=DUBLIN)
    assert f"{found:%a}" == weekday
    return found.astimezone(UTC)


@pytest.fixture
async def month(notify: Running) -> AsyncIterator[Running]:
    for name, body in PEOPLE.items():
        await notify.ok("PUT", f"/v1/people/{name}", body)
    await notify.ok("PUT", PATH, SUN)
    for person, since, until in (
        ("ana", "2026-10-24T21:00:00+01:00", "2026-10-25T12:00:00+00:00"),
        ("kim", "2026-10-25T12:00:00+00:00", "2026-10-25T15:00:00+00:00"),
    ):
        await notify.ok("POST", f"{PATH}/overrides", {"person": person, "from": since, "until": until})
    return notify


def span(start: datetime, end: datetime) -> str:
    return f"from={start:%Y-%m-%dT%H:%M:%SZ}&until={end:%Y-%m-%dT%H:%M:%SZ}"


async def test_a_month_in_three_zones_is_as_the_table_says(month: Running) -> None:
    found = (await month.ok("GET", f"{PATH}/shifts?{span(*MONTH)}&limit=500"))["items"]
    at = datetime.fromisoformat
    rows = [(s["person"], str(s["layer"]), at(s["from"]), min(at(s["until"]), MONTH[1])) for s in found]
    assert rows == table()
    assert len(rows) > 70
    for person, layer, since, until in rows:
        for moment in (since, until - timedelta(minutes=1)):
            [now] = (await month.ok("GET", f"{PATH}/on-call?at={moment:%Y-%m-%dT%H:%M:%SZ}"))["people"]
            assert (now["person"], str(now["layer"])) == (person, layer)


async def test_the_feed_of_the_month_read_by_another_library_is_as_the_table_says(month: Running) -> None:
    text = (await month.client.get(f"{PATH}.ics")).text
    since = datetime(2026, 10, 23, 16, tzinfo=UTC)  # the feed goes 30 days back
    events = recurring_ical_events.of(icalendar.Calendar.from_ical(text)).between(since, MONTH[1])
    read = [(str(e["SUMMARY"]).split()[0].lower(), e["DTSTART"].dt, min(e["DTEND"].dt, MONTH[1])) for e in events]
    assert sorted(read, key=lambda r: r[1]) == [(w, s, u) for w, _, s, u in table() if u > since]


async def test_the_hours_of_the_month_are_as_the_table_says_with_weekends_and_holidays_apart(month: Running) -> None:
    report = await month.ok("GET", "/v1/duty-report?from=2026-10-01&until=2026-11-01")
    found = {p["person"]: p for p in report["people"]}
    expected = {who: [f"PT{n}H" if n != "0" else "PT0S" for n in rest] for _, who, *rest in
                (line.split() for line in TABLE if line.startswith("="))}  # fmt: skip
    got = {who: [p["on_call"][kind] for kind in ("weekday", "weekend", "holiday")] for who, p in found.items()}
    assert got == expected
    assert {who: p["country"] for who, p in found.items()} == {"ana": "IE", "bo": "US", "kim": "AU"}
    by_day = await month.ok("GET", "/v1/duty-report?from=2026-10-01&until=2026-11-01&by=day&person=kim")
    [kim] = by_day["people"]
    fifth = next(day for day in kim["days"] if day["date"] == "2026-10-05")
    assert (fifth["kind"], fifth["holiday"], fifth["on_call"]) == ("holiday", "Labor Day", "PT13H")


async def test_the_report_as_csv_is_the_report(month: Running) -> None:
    answer = await month.client.get("/v1/duty-report?from=2026-10-01&until=2026-11-01&format=csv")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(r["person"], r["on_call_weekday_hours"], r["on_call_holiday_hours"]) for r in rows] == [
        ("ana", "112", "0"), ("bo", "87", "14"), ("kim", "305", "13")
    ]  # fmt: skip
    daily = await month.client.get("/v1/duty-report?from=2026-10-24&until=2026-10-26&format=csv&by=day&person=ana")
    assert [(r["date"], r["kind"], r["on_call_hours"]) for r in csv.DictReader(io.StringIO(daily.text))] == [
        ("2026-10-24", "weekend", "3"), ("2026-10-25", "weekend", "13")
    ]  # fmt: skip
    assert (await month.client.get("/v1/duty-report?from=2026-10-01&until=2026-10-01")).status_code == 422


async def test_time_paged_is_from_the_message_to_the_acknowledgement_and_time_handled_from_there_on(
    notify: Running,
) -> None:
    await notify.tell(breached())
    await notify.until(minutes(17), timedelta(minutes=1))  # ana is paged at +5 and li at +10 min
    page = await notify.page()
    await notify.ok("POST", f"/v1/pages/{page['id']}/acknowledge", {"by": "li"})
    await notify.until(minutes(45), timedelta(minutes=5))
    await notify.tell(met(minutes(45)))
    found = (await notify.ok("GET", "/v1/duty-report?from=2026-11-22&until=2026-11-23"))["people"]
    assert {p["person"]: (p["paged"]["weekend"], p["handled"]["weekend"], p["pages"]) for p in found} == {
        "ana": ("PT12M", "PT0S", 1),
        "li": ("PT7M", "PT28M", 1),
    }


async def test_what_was_stays_in_the_report_when_the_schedule_changes(notify: Running) -> None:
    query = "/v1/duty-report?from=2026-11-16&until=2026-11-21"
    before = await notify.ok("GET", query)
    assert [p["person"] for p in before["people"]] == ["ana"]
    await notify.ok(
        "PUT", "/v1/schedules/payments-primary", ROTA | {"layers": [ROTA["layers"][0] | {"people": ["li"]}]}
    )  # type: ignore[index, operator]
    assert await notify.ok("GET", query) == before
    later = (await notify.ok("GET", "/v1/duty-report?from=2026-11-23&until=2026-11-24"))["people"]
    assert [p["person"] for p in later] == ["li"]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


ZONES = ["Europe/Dublin", "America/Havana", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Beirut"]
SPANS = st.lists(
    st.tuples(
        st.datetimes(at("2011-01-01"), at("2030-01-01"), timezones=st.just(UTC)),
        st.timedeltas(timedelta(minutes=1), timedelta(days=5)),
    ),
    min_size=1,
    max_size=6,
)


@given(st.sampled_from(ZONES).map(ZoneInfo), SPANS)
def test_the_hours_of_the_days_are_the_hours_that_passed_and_no_minute_counts_twice(
    zone: ZoneInfo, spans: list[tuple[datetime, timedelta]]
) -> None:
    stretches = [Stretch("ana", start, start + length) for start, length in spans]
    found = days({Counted.ON_CALL: stretches}, [], {"ana": Home(zone, None)})["ana"]
    edges = sorted({edge for each in stretches for edge in (each.start, each.end)})
    union = sum(
        (b - a for a, b in pairwise(edges) if any(s.start <= a and b <= s.end for s in stretches)),
        timedelta(0),
    )
    assert sum((day.hours[Counted.ON_CALL] for day in found.values()), timedelta(0)) == union
    assert all(day.hours[Counted.ON_CALL] <= timedelta(hours=25) for day in found.values())


PAGE = UUID(int=7)
NINE = datetime(2026, 11, 20, 9, tzinfo=UTC)


def hour(n: float) -> datetime:
    return NINE + timedelta(hours=n)


@pytest.mark.parametrize(
    ("acts", "told", "expected"),
    [
        ([], [0], [(0, 10)]),  # still open: until now
        ([("acknowledged", 1)], [0], [(0, 1)]),
        ([("resolved", 2)], [0, 1], [(0, 2), (1, 2)]),
        ([("exhausted", 2)], [0], [(0, 2)]),
        ([("stood_down", 2), ("resolved", 6)], [0, 5], [(0, 2), (5, 6)]),  # and it broke again
        ([("acknowledged", 1), ("resolved", 5)], [2], []),  # a later breach of a page that is acknowledged
        ([("acknowledged", 1), ("reopened", 3), ("acknowledged", 4)], [0, 3], [(0, 1), (3, 4)]),
        ([("acknowledged", 1), ("snoozed", 1), ("reopened", 3), ("resolved", 4)], [3], [(3, 4)]),
    ],
)
def test_when_a_person_counts_as_paged(
    acts: list[tuple[str, float]], told: list[float], expected: list[tuple[float, float]]
) -> None:
    history = {PAGE: [Act(PAGE, hour(n), kind, "li") for kind, n in acts]}
    found = paged([Told(PAGE, "ana", hour(n)) for n in told], history, hour(10))
    assert [(s.start, s.end) for s in found] == [(hour(a), hour(b)) for a, b in expected]


def test_handling_ends_when_the_page_is_resolved_snoozed_opened_again_or_moved() -> None:
    for end in ("resolved", "snoozed", "reopened", "team"):
        history = {PAGE: [Act(PAGE, hour(1), "acknowledged", "ana"), Act(PAGE, hour(3), end, None)]}
        assert list(handled(history, hour(10))) == [Stretch("ana", hour(1), hour(3))]


def test_holidays_and_weekends_are_those_of_where_the_person_lives() -> None:
    home = Home(DUBLIN, country_of("Europe/Dublin"))
    assert kind_of(date(2026, 12, 25), home) == ("holiday", "Christmas Day")
    assert kind_of(date(2026, 12, 26), home)[0] == "holiday", "a Saturday, and a holiday first"
    assert kind_of(date(2026, 11, 21), home) == ("weekend", None)
    dubai = Home(ZoneInfo("Asia/Riyadh"), country_of("Asia/Riyadh"))
    assert [kind_of(date(2026, 11, n), dubai)[0] for n in (20, 21, 22)] == ["weekend", "weekend", "weekday"]
    bavaria = Home(ZoneInfo("Europe/Berlin"), "DE", "BY")
    assert kind_of(date(2027, 1, 6), bavaria)[0] == "holiday"
    assert kind_of(date(2026, 11, 21), Home(ZoneInfo("UTC"), country_of("UTC")))[0] == "weekend"


def test_each_version_of_a_schedule_counts_for_its_own_time_and_the_first_for_all_before() -> None:
    def only(person: str) -> Schedule:
        return Schedule(DUBLIN, (Layer((person,), at("2026-01-01T00:00")),))

    versions = [(hour(2), only("ana")), (hour(4), only("li")), (hour(5), None), (hour(6), only("bo"))]
    assert list(on_duty(versions, (), hour(0), hour(8))) == [
        Stretch("ana", hour(0), hour(4)),
        Stretch("li", hour(4), hour(5)),
        Stretch("bo", hour(6), hour(8)),
    ]
