"""Every IANA zone, every change of its clocks, 1990 to 2037; and calendars that change on a day."""

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from services.sla.calendar import MAX_CHANGES, add_business, business_between, evolved, holidays_between, weekly_time
from services.sla.model import Calendar
from services.sla.model.spec import CalendarSpec
from tests.unit.sla import zones
from tests.unit.sla.zones import DAY, EARLY, HOUR, NIGHTS

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri")


def test_counting_is_right_around_every_change_of_every_zone() -> None:
    found, changes, checks = zones.run(around=90, calendars=1, look=2 * DAY)
    assert found > 300
    assert checks == changes > 10_000


def versions(*documents: dict[str, Any], zone: str = "Europe/Dublin") -> Calendar:
    specs = [CalendarSpec.model_validate({"time_zone": zone} | each) for each in documents]
    found = evolved("c", enumerate(specs, 1))
    assert found is not None
    return found


def office(opens: str, closes: str, **more: Any) -> dict[str, Any]:
    return {"weekly": {day: [[opens, closes]] for day in WEEKDAYS}} | more


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Dublin"))


class TestEffectiveFrom:
    def test_hours_change_on_the_day_and_the_days_before_stay(self) -> None:
        of = versions(office("09:00", "17:00"), office("08:00", "12:00", effective_from="2026-11-04"))
        tuesday = at("2026-11-03T16:00")
        assert add_business(of, tuesday, 2 * HOUR) == at("2026-11-04T09:00")
        assert business_between(of, at("2026-11-02T00:00"), at("2026-11-06T00:00")) == 8 * HOUR * 2 + 4 * HOUR * 2

    def test_a_version_without_a_day_corrects_all_days(self) -> None:
        of = versions(office("09:00", "17:00"), office("08:00", "12:00"))
        assert of == versions(office("08:00", "12:00"))

    def test_a_later_word_about_the_same_day_takes_its_place(self) -> None:
        of = versions(
            office("09:00", "17:00"),
            office("08:00", "12:00", effective_from="2027-01-01"),
            office("10:00", "11:00", effective_from="2026-12-01"),
        )
        assert of == versions(office("09:00", "17:00"), office("10:00", "11:00", effective_from="2026-12-01"))

    def test_the_first_version_holds_for_all_days_whatever_its_date(self) -> None:
        assert versions(office("09:00", "17:00", effective_from="2026-12-01")) == versions(office("09:00", "17:00"))

    def test_a_night_shift_of_the_day_before_runs_to_its_end(self) -> None:
        of = versions({"weekly": NIGHTS}, {"weekly": EARLY, "effective_from": "2026-11-04"})
        assert business_between(of, at("2026-11-03T22:00"), at("2026-11-04T06:00")) == 8 * HOUR

    def test_holidays_are_those_in_force_on_their_day_with_their_names(self) -> None:
        of = versions(
            office("09:00", "17:00", holidays={"country": "IE"}),
            office("09:00", "17:00", holidays={"extra": [{"date": "2026-12-28", "name": "Inventory"}, "2026-12-29"]},
                   effective_from="2026-12-27"),
        )  # fmt: skip
        assert holidays_between(of, date(2026, 12, 24), date(2026, 12, 31)) == [
            (date(2026, 12, 25), "Christmas Day"),
            (date(2026, 12, 28), "Inventory"),
            (date(2026, 12, 29), "extra holiday"),
        ]

    def test_a_zone_may_change_too(self) -> None:
        of = versions(office("09:00", "17:00"), office("09:00", "17:00", effective_from="2026-11-04",
                      time_zone="America/New_York"))  # fmt: skip
        assert business_between(of, at("2026-11-03T00:00"), at("2026-11-04T12:00")) == 8 * HOUR
        assert add_business(of, at("2026-11-03T17:00"), HOUR) == at("2026-11-04T15:00")

    def test_it_is_bounded_and_never_shorter_than_it_ever_was(self) -> None:
        many = [office("09:00", "17:00", effective_from=date(2026, 1, 1) + n * DAY) for n in range(200)]
        of: Calendar | None = versions(*many)
        depth = 0
        while of is not None:
            of, depth = of.before, depth + 1
        assert depth == MAX_CHANGES + 1
        short = versions(office("09:00", "10:00"), office("09:00", "17:00", effective_from="2026-11-04"))
        assert weekly_time(short) == 5 * HOUR


@settings(max_examples=150)
@given(
    st.lists(st.tuples(st.sampled_from(zones.SHAPES), st.integers(-3, 3)), min_size=1, max_size=4),
    st.sampled_from(["Europe/Dublin", "America/Sao_Paulo", "Asia/Gaza", "Pacific/Apia"]),
    st.integers(-3000, 3000),
    st.integers(1, 2000),
)
def test_changes_of_a_calendar_count_every_open_minute(
    changes: list[tuple[list[dict[str, Any]], int]], zone: str, before: int, minutes: int
) -> None:
    middle = date(2018, 11, 4)
    documents = [{"weekly": shape[0], "effective_from": middle + day * DAY} for shape, day in changes]
    since = datetime(2018, 11, 4, 3, tzinfo=ZoneInfo("UTC")) + before * timedelta(minutes=1)
    zones.check(versions(*documents, zone=zone), since, minutes)
