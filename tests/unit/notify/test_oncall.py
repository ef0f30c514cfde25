"""Who is on call: against hand-made tables across daylight saving, and by properties in every kind of zone."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.notify.model.rota import Layer, Override, Schedule
from services.notify.oncall import gaps, instant, on_call, shifts

WEEK = timedelta(days=7)


def wall(text: str) -> datetime:
    return datetime.fromisoformat(text)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def schedule(zone: str, *layers: Layer) -> Schedule:
    return Schedule(ZoneInfo(zone), layers)


DUBLIN = schedule("Europe/Dublin", Layer(("ana", "li", "bo"), wall("2026-10-12T09:00"), WEEK))


def who(found: Schedule, overrides: tuple[Override, ...], instant_: str) -> list[tuple[str, str]]:
    return [(shift.person, shift.layer) for shift in on_call(found, overrides, at(instant_))]


def test_weekly_hand_offs_stay_at_nine_on_the_wall_when_the_clocks_go_back() -> None:
    found = shifts(DUBLIN, (), at("2026-10-12T09:00+01:00"), at("2026-11-09T09:00+00:00"))
    assert [(s.person, s.start.isoformat(), s.end.isoformat()) for s in found] == [
        ("ana", "2026-10-12T08:00:00+00:00", "2026-10-19T08:00:00+00:00"),
        ("li", "2026-10-19T08:00:00+00:00", "2026-10-26T09:00:00+00:00"),  # an hour longer: 25 October
        ("bo", "2026-10-26T09:00:00+00:00", "2026-11-02T09:00:00+00:00"),
        ("ana", "2026-11-02T09:00:00+00:00", "2026-11-09T09:00:00+00:00"),
    ]


@pytest.mark.parametrize(
    ("instant_", "expected"),
    [
        ("2026-10-12T08:59:59+01:00", []),  # before the rota begins
        ("2026-10-12T09:00:00+01:00", [("ana", "1")]),
        ("2026-10-26T08:59:59+00:00", [("li", "1")]),
        ("2026-10-26T09:00:00+00:00", [("bo", "1")]),
        ("2027-04-05T08:59:59+01:00", [("ana", "1")]),  # after the clocks went forward again
        ("2027-04-05T09:00:00+01:00", [("li", "1")]),
    ],
)
def test_the_hand_off_is_exact(instant_: str, expected: list[tuple[str, str]]) -> None:
    assert who(DUBLIN, (), instant_) == expected


def test_daily_turns_at_an_hour_that_does_not_exist_or_exists_twice() -> None:
    """In New York 02:30 is skipped on 8 March 2026 and 01:30 comes twice on 1 November."""
    spring = schedule("America/New_York", Layer(("a", "b"), wall("2026-03-06T02:30"), timedelta(days=1)))
    found = shifts(spring, (), at("2026-03-06T07:30Z"), at("2026-03-10T00:00Z"))
    assert [s.start.isoformat()[:16] for s in found] == [
        "2026-03-06T07:30",
        "2026-03-07T07:30",
        "2026-03-08T07:00",  # the jump itself, 02:00 → 03:00
        "2026-03-09T06:30",
    ]
    autumn = schedule("America/New_York", Layer(("a", "b"), wall("2026-10-31T01:30"), timedelta(days=1)))
    found = shifts(autumn, (), at("2026-10-31T05:30Z"), at("2026-11-03T00:00Z"))
    assert [s.start.isoformat()[:16] for s in found] == ["2026-10-31T05:30", "2026-11-01T05:30", "2026-11-02T06:30"]


def test_later_layers_win_from_their_first_hand_off_on() -> None:
    second = Layer(("zoe",), wall("2026-11-04T12:00"), WEEK)
    found = schedule("Europe/Dublin", *DUBLIN.layers, second)
    assert who(found, (), "2026-11-04T11:59:59+00:00") == [("ana", "1")]
    assert who(found, (), "2026-11-04T12:00:00+00:00") == [("zoe", "2")]
    [before] = on_call(found, (), at("2026-11-04T10:00Z"))
    assert before.end == at("2026-11-04T12:00Z")


def test_an_override_across_the_change_of_the_clocks_and_those_that_adjoin() -> None:
    swap = Override("zoe", at("2026-10-24T18:00+01:00"), at("2026-10-25T18:00+00:00"))
    after = Override("max", at("2026-10-25T18:00+00:00"), at("2026-10-25T20:00+00:00"))
    found = shifts(DUBLIN, (swap, after), at("2026-10-24T00:00Z"), at("2026-10-26T12:00Z"))
    assert [(s.person, s.layer, s.start.isoformat()[:16], s.end.isoformat()[:16]) for s in found] == [
        ("li", "1", "2026-10-19T08:00", "2026-10-24T17:00"),
        ("zoe", "override", "2026-10-24T17:00", "2026-10-25T18:00"),
        ("max", "override", "2026-10-25T18:00", "2026-10-25T20:00"),
        ("li", "1", "2026-10-25T20:00", "2026-10-26T09:00"),
        ("bo", "1", "2026-10-26T09:00", "2026-11-02T09:00"),
    ]


def test_the_override_made_last_wins_and_is_cut_out_of_the_one_before() -> None:
    long = Override("zoe", at("2026-10-14T00:00Z"), at("2026-10-15T00:00Z"))
    short = Override("max", at("2026-10-14T10:00Z"), at("2026-10-14T11:00Z"))
    found = shifts(DUBLIN, (long, short), at("2026-10-14T00:00Z"), at("2026-10-15T00:00Z"))
    assert [(s.person, s.start.hour, s.end.hour) for s in found] == [("zoe", 0, 10), ("max", 10, 11), ("zoe", 11, 0)]


def test_an_empty_layer_and_no_layer_leave_nobody_on_call() -> None:
    assert who(schedule("Europe/Dublin"), (), "2026-11-04T12:00Z") == []
    emptied = schedule("Europe/Dublin", *DUBLIN.layers, Layer((), wall("2026-11-04T12:00"), WEEK))
    assert who(emptied, (), "2026-11-04T13:00Z") == []
    assert list(gaps(emptied, (), at("2026-11-04T00:00Z"), at("2026-11-05T00:00Z"))) == [
        (at("2026-11-04T12:00Z"), at("2026-11-05T00:00Z"))
    ]


def test_a_day_that_an_island_skipped() -> None:
    """Samoa had no 30 December 2011."""
    apia = schedule("Pacific/Apia", Layer(("a", "b"), wall("2011-12-28T09:00"), timedelta(days=1)))
    found = shifts(apia, (), at("2011-12-28T19:00Z"), at("2012-01-01T00:00Z"))
    assert [s.person for s in found] == ["a", "b", "a", "b", "a"][: len(found)]
    assert all(b.start >= a.end for a, b in pairwise(found))


ZONES = [
    "Europe/Dublin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Africa/Casablanca",
    "Asia/Kathmandu",
]
WALLS = st.datetimes(datetime.fromisoformat("2005-01-01"), datetime.fromisoformat("2035-01-01"))
INSTANTS = st.datetimes(
    datetime.fromisoformat("2010-01-01"), datetime.fromisoformat("2034-01-01"), timezones=st.just(UTC)
)
TURNS = st.sampled_from([timedelta(hours=8), timedelta(hours=12), timedelta(days=1), timedelta(days=3), WEEK])
PEOPLE = st.lists(st.sampled_from("abcd"), min_size=1, max_size=4).map(tuple)
LAYERS = st.builds(Layer, PEOPLE, WALLS.map(lambda w: w.replace(second=0, microsecond=0)), TURNS)
SCHEDULES = st.builds(
    Schedule, st.sampled_from(ZONES).map(ZoneInfo), st.lists(LAYERS, min_size=1, max_size=3).map(tuple)
)


@given(st.sampled_from(ZONES).map(ZoneInfo), WALLS, st.timedeltas(timedelta(0), timedelta(days=2)))
def test_instants_never_go_back_as_the_wall_goes_on(zone: ZoneInfo, first: datetime, more: timedelta) -> None:
    assert instant(first, zone) <= instant(first + more, zone)


@settings(deadline=None)
@given(
    SCHEDULES, INSTANTS, st.lists(st.tuples(INSTANTS, st.timedeltas(timedelta(hours=1), timedelta(days=9))), max_size=3)
)
def test_shifts_tile_time_and_agree_with_who_is_on_call(
    found: Schedule, start: datetime, spans: list[tuple[datetime, timedelta]]
) -> None:
    overrides = tuple(Override("zoe", at_, at_ + length) for at_, length in spans)
    end = start + timedelta(days=20)
    every = shifts(found, overrides, start, end)
    assert all(earlier.end <= later.start for earlier, later in pairwise(every))
    assert all(shift.start < shift.end for shift in every)
    for shift in every:
        middle = shift.start + (shift.end - shift.start) / 2
        for moment in (shift.start, middle, shift.end - timedelta(microseconds=1)):
            assert on_call(found, overrides, moment) == (shift,)


@settings(deadline=None)
@given(st.sampled_from(ZONES).map(ZoneInfo), LAYERS, INSTANTS)
def test_a_hand_off_keeps_its_place_on_the_wall(zone: ZoneInfo, layer: Layer, moment: datetime) -> None:
    [*found] = on_call(Schedule(zone, (layer,)), (), moment)
    for shift in found:
        local = shift.start.astimezone(zone).replace(tzinfo=None)
        turns, rest = divmod(local - layer.start, layer.turn)
        skipped = instant(local - rest, zone) == shift.start  # the wall time of the hand-off does not exist
        assert rest == timedelta(0) or skipped
        assert shift.person == layer.people[turns % len(layer.people)] or skipped
