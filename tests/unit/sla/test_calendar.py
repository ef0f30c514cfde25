"""Business time against a brute-force oracle, and the cases where other systems got it wrong."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from services.sla import calendar
from services.sla.calendar import CalendarError, add_business, business_between, compiled, holidays_between, intervals
from services.sla.model import Calendar
from services.sla.model.spec import ALWAYS, CalendarSpec
from shared.contracts.hours import DAYS

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

# Half-hour shifts, gaps at midnight, skipped days, changes for political reasons, far offsets, and plain ones.
ZONES = [
    "Europe/Dublin", "Europe/London", "Europe/Berlin", "Europe/Lisbon", "Europe/Moscow", "Europe/Istanbul",
    "America/New_York", "America/Sao_Paulo", "America/Havana", "America/Asuncion", "America/St_Johns",
    "America/Caracas", "America/Godthab", "Asia/Beirut", "Asia/Tehran", "Asia/Kathmandu", "Asia/Pyongyang",
    "Asia/Gaza", "Asia/Amman", "Africa/Cairo", "Africa/Casablanca", "Australia/Lord_Howe", "Australia/Sydney",
    "Pacific/Apia", "Pacific/Kiritimati", "Pacific/Chatham", "Antarctica/Troll", "UTC",
]  # fmt: skip


def hours(zone: str = "Europe/Dublin", holidays: object = None, **weekly: Any) -> Calendar:
    spec = CalendarSpec.model_validate({"time_zone": zone, "weekly": weekly, "holidays": holidays or {}})
    return compiled("c", 1, spec)


def every_day(*openings: list[str], zone: str = "Europe/Dublin", days: str = "mon tue wed thu fri sat sun") -> Calendar:
    return hours(zone, **{day: list(openings) for day in days.split()})


WEEKDAYS = "mon tue wed thu fri"
OFFICE = every_day(["09:00", "17:00"], days=WEEKDAYS)


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


# The oracle


def is_open(of: Calendar, instant: datetime) -> bool:
    """By wall time, one instant at a time."""
    wall = instant.astimezone(ZoneInfo(of.zone)).replace(tzinfo=None)
    for ago in (0, 1):
        day = wall.date() - ago * DAY
        if day in of.extra:
            continue
        minute = (wall - datetime.combine(day, datetime.min.time())) / MINUTE
        if any(opens <= minute < closes for opens, closes in of.weekly[day.weekday()]):
            return True
    return False


def open_minutes(of: Calendar, since: datetime, minutes: int) -> list[bool]:
    return [is_open(of, since + n * MINUTE) for n in range(minutes)]


def changes_by_hand(zone: str, year: int) -> list[datetime]:
    """The first whole minute after each change of the offset, found by looking at every hour."""
    info, found = ZoneInfo(zone), []
    now, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    while now < end:
        before, after = now.astimezone(info).utcoffset(), (now + HOUR).astimezone(info).utcoffset()
        if before != after:
            found.append(
                next(t for n in range(1, 61) if (t := now + n * MINUTE).astimezone(info).utcoffset() != before)
            )
        now += HOUR
    return found


@pytest.mark.parametrize("zone", ZONES)
def test_every_change_of_a_zone_is_known(zone: str) -> None:
    for year in (1994, 2011, 2018, 2026, 2037):
        new_year = datetime(year, 1, 1, tzinfo=UTC).replace(tzinfo=None)
        found = [change.replace(tzinfo=UTC) for change, _ in calendar._changes(zone, year) if change != new_year]
        assert found == [change for change in changes_by_hand(zone, year) if change.year == year]


@st.composite
def calendars(draw: st.DrawFn) -> Calendar:
    zone = draw(st.sampled_from(ZONES))
    weekly: dict[str, list[list[str]]] = {}
    for day in DAYS:
        marks = draw(st.lists(st.integers(0, 96), min_size=0, max_size=6, unique=True).map(sorted))
        pairs = [(marks[n], marks[n + 1]) for n in range(0, len(marks) - 1, 2)]
        weekly[day] = [[f"{a // 4:02}:{a % 4 * 15:02}", f"{b // 4:02}:{b % 4 * 15:02}"] for a, b in pairs]
    if not any(weekly.values()):
        weekly["wed"] = [["00:00", "24:00"]]
    return hours(zone, **weekly)


@st.composite
def near_changes(draw: st.DrawFn, zone: str) -> datetime:
    """An instant that is likely a day or less from a change of the zone's offset."""
    year = draw(st.integers(1990, 2037))
    changes = changes_in(zone, year) or [datetime(year, 6, 15, tzinfo=UTC)]
    return draw(st.sampled_from(changes)) + draw(st.integers(-1800, 1800)) * MINUTE


def changes_in(zone: str, year: int) -> list[datetime]:
    return [change.replace(tzinfo=UTC) for change, _ in calendar._changes(zone, year)][1:]


@settings(max_examples=150)
@given(st.data(), calendars(), st.integers(1, 2 * 1440))
def test_it_counts_exactly_the_open_minutes(data: st.DataObject, of: Calendar, minutes: int) -> None:
    since = data.draw(near_changes(of.zone))
    opened = open_minutes(of, since, minutes)
    assert business_between(of, since, since + minutes * MINUTE) == sum(opened) * MINUTE
    spans = list(intervals(of, since, since + minutes * MINUTE))
    assert all(a < b for a, b in spans)
    assert all(b < c for (_, b), (c, _) in pairwise(spans)), "intervals are apart and in order"
    inside = {since + n * MINUTE for n, is_it in enumerate(opened) if is_it}
    assert inside == {t for n in range(minutes) if any(a <= (t := since + n * MINUTE) < b for a, b in spans)}


@settings(max_examples=150)
@given(st.data(), calendars(), st.integers(1, 900))
def test_a_deadline_is_the_earliest_minute_by_which_the_time_has_passed(
    data: st.DataObject, of: Calendar, minutes: int
) -> None:
    since = data.draw(near_changes(of.zone))
    due = add_business(of, since, minutes * MINUTE)
    assert business_between(of, since, due) == minutes * MINUTE
    assert business_between(of, since, due - MINUTE) == (minutes - 1) * MINUTE
    assert is_open(of, due - MINUTE)


@settings(max_examples=200)
@given(st.data(), calendars(), st.timedeltas(timedelta(0), timedelta(hours=60)))
def test_adding_and_counting_are_inverses_to_the_microsecond(
    data: st.DataObject, of: Calendar, amount: timedelta
) -> None:
    since = data.draw(near_changes(of.zone))
    due = add_business(of, since, amount)
    assert business_between(of, since, due) == amount
    assert add_business(of, since, business_between(of, since, due)) == due


@settings(max_examples=100)
@given(st.data(), calendars(), st.integers(0, 3000), st.integers(0, 3000))
def test_counting_is_additive(data: st.DataObject, of: Calendar, one: int, other: int) -> None:
    a = data.draw(near_changes(of.zone))
    b = a + one * MINUTE
    c = b + other * MINUTE
    assert business_between(of, a, b) + business_between(of, b, c) == business_between(of, a, c)


@settings(max_examples=100)
@given(st.data(), calendars(), st.sampled_from(["Pacific/Apia", "America/New_York", "Asia/Kolkata"]))
def test_the_viewers_zone_never_shifts_a_deadline(data: st.DataObject, of: Calendar, viewer: str) -> None:
    since = data.draw(near_changes(of.zone))
    assert add_business(of, since.astimezone(ZoneInfo(viewer)), HOUR) == add_business(of, since, HOUR)


# Named cases


def test_around_the_clock_loses_no_minute_at_midnight() -> None:
    always = compiled("24x7", 1, ALWAYS)
    full_days = every_day(["00:00", "24:00"])  # the same, but counted through the intervals of a zone that changes
    for start in (at("2026-03-28T23:59"), at("2026-10-24T23:59"), at("2026-12-31T23:59:30")):
        for of in (always, full_days):
            assert add_business(of, start, 48 * HOUR) == start + 48 * HOUR
            assert business_between(of, start, start + 5 * DAY) == 5 * DAY
            assert len(list(intervals(of, start, start + 5 * DAY))) == 1


def test_one_weekday_a_week_is_enough() -> None:
    mondays = hours(mon=[["09:00", "11:00"]])
    start = at("2026-11-03T12:00", "Europe/Dublin")  # a Tuesday
    assert add_business(mondays, start, 5 * HOUR) == at("2026-11-23T10:00", "Europe/Dublin")


def test_a_lunch_break_is_not_a_holiday() -> None:
    of = every_day(["09:00", "13:00"], ["14:00", "17:30"], days=WEEKDAYS)
    assert add_business(of, at("2026-11-03T12:30", "Europe/Dublin"), HOUR) == at("2026-11-03T14:30", "Europe/Dublin")
    assert business_between(of, at("2026-11-03T08:00"), at("2026-11-03T18:00")) == timedelta(hours=7.5)


def test_the_day_after_does_not_inherit_yesterdays_closing_time() -> None:
    of = hours(mon=[["09:00", "21:00"]], tue=[["09:00", "12:00"]])
    start = at("2026-11-02T20:00", "Europe/Dublin")  # a Monday
    assert add_business(of, start, 5 * HOUR) == at("2026-11-09T10:00", "Europe/Dublin")


def test_a_deadline_at_closing_time_is_the_closing_time() -> None:
    assert add_business(OFFICE, at("2026-11-06T16:00"), HOUR) == at("2026-11-06T17:00")


def test_outside_hours_time_begins_at_the_next_opening() -> None:
    assert add_business(OFFICE, at("2026-11-07T03:00"), HOUR) == at("2026-11-09T10:00")  # Saturday → Monday
    assert add_business(OFFICE, at("2026-11-07T03:00"), timedelta(0)) == at("2026-11-07T03:00")


def test_a_night_shift_goes_over_midnight_and_over_the_week_end() -> None:
    nights = hours(sun=[["22:00", "06:00"]], mon=[["22:00", "06:00"]])
    assert add_business(nights, at("2026-11-01T23:00"), 8 * HOUR) == at("2026-11-02T23:00")
    assert business_between(nights, at("2026-11-02T00:00"), at("2026-11-03T00:00")) == 8 * HOUR


def test_a_night_shift_belongs_to_the_day_it_starts_on() -> None:
    nights = hours(holidays={"extra": ["2026-11-02"]}, sun=[["22:00", "06:00"]], mon=[["22:00", "06:00"]])
    # Sunday's shift runs into the holiday; the holiday's own, which would end on Tuesday, does not begin.
    assert business_between(nights, at("2026-11-01T00:00"), at("2026-11-04T00:00")) == 8 * HOUR


@pytest.mark.parametrize(
    ("zone", "day", "expected"),
    [
        ("Europe/Dublin", "2026-03-29", 23),  # spring
        ("Europe/Dublin", "2026-10-25", 25),  # autumn: the repeated hour counts twice
        ("America/Sao_Paulo", "2018-11-04", 23),  # a gap at midnight: the day begins at 01:00
        ("Asia/Beirut", "2026-03-29", 23),  # the same
        ("Australia/Lord_Howe", "2026-10-04", 23.5),  # half an hour
        ("Asia/Pyongyang", "2018-05-04", 23.5),  # the offset changed for political reasons at 23:30
        ("Pacific/Apia", "2011-12-30", 0),  # a day that never was
        ("Antarctica/Troll", "2026-03-29", 22),  # two hours at once
    ],
)
def test_a_day_is_as_long_as_it_really_was(zone: str, day: str, expected: float) -> None:
    of = hours(zone, **{DAYS[date.fromisoformat(day).weekday()]: [["00:00", "24:00"]]})
    noon = datetime.fromisoformat(day).replace(tzinfo=UTC) + 12 * HOUR
    assert business_between(of, noon - 3 * DAY, noon + 3 * DAY) == timedelta(hours=expected)


def test_opening_within_a_skipped_hour_is_at_its_end() -> None:
    of = hours(sun=[["01:30", "03:00"]])  # Dublin goes from 01:00 to 02:00 on 29 March 2026
    assert add_business(of, at("2026-03-28T12:00"), timedelta(minutes=30)) == at("2026-03-29T01:30")
    assert business_between(of, at("2026-03-28T12:00"), at("2026-03-30T00:00")) == HOUR


def test_a_case_that_spans_several_changes_counts_in_wall_hours() -> None:
    start, end = at("2024-01-01T09:00", "Europe/Dublin"), at("2026-11-02T09:00", "Europe/Dublin")
    weekdays = sum(1 for n in range((end.date() - start.date()).days) if (start.date() + n * DAY).weekday() < 5)
    assert business_between(OFFICE, start, end) == weekdays * 8 * HOUR
    assert add_business(OFFICE, start, weekdays * 8 * HOUR) == at("2026-10-30T17:00", "Europe/Dublin")


def test_holidays_are_the_official_ones_of_the_place() -> None:
    irish = every_day(["09:00", "17:00"], days=WEEKDAYS)
    with_holidays = hours(holidays={"country": "IE"}, **{day: [["09:00", "17:00"]] for day in WEEKDAYS.split()})
    start = at("2026-10-23T16:20", "Europe/Dublin")  # Friday before the October Bank Holiday
    assert add_business(with_holidays, start, 4 * HOUR) == at("2026-10-27T12:20", "Europe/Dublin")
    assert add_business(irish, start, 4 * HOUR) == at("2026-10-26T12:20", "Europe/Dublin")
    assert holidays_between(with_holidays, date(2026, 10, 23), date(2026, 10, 27)) == [
        (date(2026, 10, 26), "October Bank Holiday")
    ]


def test_holidays_can_be_excepted_and_added() -> None:
    open_hours: dict[str, Any] = {day: [["09:00", "17:00"]] for day in WEEKDAYS.split()}
    works = hours(holidays={"country": "IE", "except": ["2026-10-26"]}, **open_hours)
    assert business_between(works, at("2026-10-26T00:00"), at("2026-10-27T00:00")) == 8 * HOUR
    closed = hours(holidays={"country": "IE", "extra": ["2026-12-24"]}, **open_hours)
    # Thursday 24 is extra, Friday 25 Christmas Day, Monday 28 is a working day in Ireland.
    assert add_business(closed, at("2026-12-23T16:00"), 2 * HOUR) == at("2026-12-28T10:00")


def test_a_subdivision_has_holidays_of_its_own() -> None:
    open_hours: dict[str, Any] = {day: [["09:00", "17:00"]] for day in WEEKDAYS.split()}
    epiphany = at("2026-01-06T00:00", "Europe/Berlin")
    bavaria = hours("Europe/Berlin", {"country": "DE", "subdivision": "BY"}, **open_hours)
    berlin = hours("Europe/Berlin", {"country": "DE", "subdivision": "BE"}, **open_hours)
    assert business_between(bavaria, epiphany, epiphany + DAY) == timedelta(0)
    assert business_between(berlin, epiphany, epiphany + DAY) == 8 * HOUR


def test_holidays_across_the_end_of_a_year() -> None:
    of = hours(holidays={"country": "IE"}, **{day: [["09:00", "17:00"]] for day in WEEKDAYS.split()})
    # Thursday 31 December 2026, then New Year's Day on Friday, then a weekend.
    assert add_business(of, at("2026-12-31T16:00"), 2 * HOUR) == at("2027-01-04T10:00")


def test_more_than_ten_years_is_refused_with_what_to_do() -> None:
    rare = hours(mon=[["09:00", "09:01"]])
    with pytest.raises(CalendarError, match="Give it more hours, or promise less time"):
        add_business(rare, at("2026-01-01T00:00"), timedelta(hours=10))


def test_calendars_with_the_same_hours_are_equal_whatever_their_version() -> None:
    spec = CalendarSpec.model_validate({"time_zone": "UTC", "weekly": {"mon": [["09:00", "17:00"]]}})
    assert compiled("a", 1, spec) == compiled("a", 2, spec)
    assert compiled("a", 1, spec) != OFFICE


@given(st.integers(1, 200))
def test_nothing_is_counted_backwards(minutes: int) -> None:
    start = at("2026-11-03T12:00")
    assume(minutes > 0)
    assert business_between(OFFICE, start, start - minutes * MINUTE) == timedelta(0)
    assert list(intervals(OFFICE, start, start - minutes * MINUTE)) == []
