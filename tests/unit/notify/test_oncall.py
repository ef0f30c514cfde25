"""Who is on call: against hand-made tables across daylight saving, and by properties in every kind of zone."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notify.model.rota import CalendarLayer, Layer, Override, Schedule, Span
from services.notify.oncall import gaps, instant, on_call, shifts
from services.notify.oncall.turns import tiled

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


def test_hand_offs_on_chosen_days_and_hours_stay_there_across_the_change_of_the_clocks() -> None:
    """Monday 09:00 and Friday 17:00 in Dublin, whose clocks go back on Sunday 25 October."""
    friday = 4 * 1440 + 17 * 60
    layer = Layer(("ana", "li", "bo"), wall("2026-10-14T12:00"), hand_offs=(9 * 60, friday))
    found = shifts(schedule("Europe/Dublin", layer), (), at("2026-10-14T12:00Z"), at("2026-10-31T00:00Z"))
    assert [(s.person, s.start.isoformat()[:16]) for s in found] == [
        ("ana", "2026-10-14T11:00"),  # the first turn begins with the layer, on a Wednesday
        ("li", "2026-10-16T16:00"),
        ("bo", "2026-10-19T08:00"),
        ("ana", "2026-10-23T16:00"),
        ("li", "2026-10-26T09:00"),
        ("bo", "2026-10-30T17:00"),
    ]


def test_a_layer_counts_in_its_hours_only_and_leaves_the_layer_below_alone_outside_of_them() -> None:
    nights = tuple((day * 1440 + 18 * 60, day * 1440 + 32 * 60) for day in range(5))  # 18:00 to 08:00
    night = Layer(("zoe",), wall("2026-11-02T00:00"), hours=nights)
    found = shifts(
        schedule("Europe/Dublin", *DUBLIN.layers, night), (), at("2026-11-05T12:00Z"), at("2026-11-09T07:00Z")
    )
    assert [(s.person, s.layer, s.start.isoformat()[:16], s.end.isoformat()[:16]) for s in found] == [
        ("ana", "1", "2026-11-05T08:00", "2026-11-05T18:00"),
        ("zoe", "2", "2026-11-05T18:00", "2026-11-06T08:00"),
        ("ana", "1", "2026-11-06T08:00", "2026-11-06T18:00"),
        ("zoe", "2", "2026-11-06T18:00", "2026-11-07T08:00"),  # Friday's night, into Saturday
        ("ana", "1", "2026-11-07T08:00", "2026-11-09T09:00"),
    ]


def test_a_layer_ends_and_those_below_go_on() -> None:
    guest = Layer(("zoe",), wall("2026-11-03T09:00"), end=wall("2026-11-04T12:00"))
    found = shifts(
        schedule("Europe/Dublin", *DUBLIN.layers, guest), (), at("2026-11-02T09:00Z"), at("2026-11-09T09:00Z")
    )
    assert [(s.person, s.start.isoformat()[:16]) for s in found] == [
        ("ana", "2026-11-02T09:00"),
        ("zoe", "2026-11-03T09:00"),
        ("ana", "2026-11-04T12:00"),
    ]


def test_a_layer_with_a_zone_of_its_own_follows_the_wall_there() -> None:
    """09:00 to 17:00 in Sydney, whose clocks go forward on 4 October 2026, on top of a rota in Dublin."""
    office = Layer(("kim",), wall("2026-09-28T00:00"), hours=((540, 1020),), zone=ZoneInfo("Australia/Sydney"))
    found = schedule("Europe/Dublin", Layer(("ana",), wall("2026-09-01T00:00")), office)
    mondays = [s for s in shifts(found, (), at("2026-09-27T00:00Z"), at("2026-10-06T00:00Z")) if s.person == "kim"]
    assert [(s.start.isoformat()[:16], s.end.isoformat()[:16]) for s in mondays] == [
        ("2026-09-27T23:00", "2026-09-28T07:00"),
        ("2026-10-04T22:00", "2026-10-05T06:00"),
    ]


def test_hours_that_the_clocks_skip_are_none_and_hours_that_come_twice_last_twice() -> None:
    sunday = 6 * 1440
    layer = Layer(("a",), wall("2026-01-01T00:00"), hours=((sunday + 60, sunday + 120),))  # Sundays 01:00 to 02:00
    dublin = schedule("Europe/Dublin", layer)
    spring = shifts(dublin, (), at("2026-03-28T00:00Z"), at("2026-03-30T00:00Z"))
    autumn = shifts(dublin, (), at("2026-10-24T00:00Z"), at("2026-10-26T00:00Z"))
    assert spring == ()
    assert [s.end - s.start for s in autumn] == [timedelta(hours=2)]


def test_a_gap_counts_only_in_the_hours_that_the_schedule_covers() -> None:
    office = tuple((day * 1440 + 540, day * 1440 + 1020) for day in range(5))
    days = Layer(("ana",), wall("2026-11-02T00:00"), hours=office[:4])
    found = Schedule(ZoneInfo("Europe/Dublin"), (days,), covers=office)
    assert list(gaps(found, (), at("2026-11-03T00:00Z"), at("2026-11-10T00:00Z"))) == [
        (at("2026-11-06T09:00Z"), at("2026-11-06T17:00Z"))
    ]


def test_turns_of_minutes_make_no_gap_where_a_look_ahead_stops() -> None:
    quick = schedule("Europe/Dublin", Layer(("a", "b"), wall("2026-11-01T00:00"), timedelta(minutes=1)))
    assert list(gaps(quick, (), at("2026-11-02T00:00Z"), at("2026-12-02T00:00Z"))) == []


def test_events_of_a_calendar_that_overlap_put_all_of_their_people_on_call() -> None:
    spans = tiled(
        [
            Span(at("2026-11-03T09:00Z"), at("2026-11-03T17:00Z"), ("ana",)),
            Span(at("2026-11-03T15:00Z"), at("2026-11-03T20:00Z"), ("li",)),
        ]
    )
    found = schedule("Europe/Dublin", Layer(("bo",), wall("2026-11-01T00:00")), CalendarLayer("text", spans))
    assert who(found, (), "2026-11-03T16:00Z") == [("ana", "2"), ("li", "2")]
    assert who(found, (), "2026-11-03T20:00Z") == [("bo", "1")]


ZONES = [
    "Europe/Dublin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "America/Havana",  # changes at midnight
    "Asia/Gaza",
]
EVERY_ZONE = sorted(available_timezones() - {"localtime"})
WALLS = st.datetimes(datetime.fromisoformat("2005-01-01"), datetime.fromisoformat("2035-01-01"))
INSTANTS = st.datetimes(
    datetime.fromisoformat("2010-01-01"), datetime.fromisoformat("2034-01-01"), timezones=st.just(UTC)
)
TURNS = st.sampled_from([timedelta(hours=8), timedelta(hours=12), timedelta(days=1), timedelta(days=3), WEEK])
PEOPLE = st.lists(st.sampled_from("abcd"), min_size=1, max_size=4).map(tuple)
QUARTERS = st.integers(0, 7 * 96 - 1).map(lambda n: n * 15)
HAND_OFFS = st.lists(QUARTERS, min_size=1, max_size=4, unique=True).map(lambda found: tuple(sorted(found)))


def apart(edges: list[int]) -> tuple[tuple[int, int], ...]:
    """Windows of the week between the edges, every other one; the last may end in the week after."""
    edges = sorted(edges)
    return tuple(zip(edges[::2], [*edges[1::2], edges[0] + 10080][: len(edges[::2])], strict=False))


HOURS = st.none() | st.lists(QUARTERS, min_size=2, max_size=8, unique=True).filter(lambda e: len(e) % 2 == 0).map(apart)


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    start = draw(WALLS).replace(second=0, microsecond=0)
    end = draw(st.none() | st.timedeltas(timedelta(0), timedelta(days=3000)).map(lambda length: start + length))
    by_turn = draw(st.booleans())
    return Layer(
        draw(PEOPLE),
        start,
        turn=draw(TURNS) if by_turn else None,
        hand_offs=() if by_turn else draw(HAND_OFFS | st.just(())),
        hours=draw(HOURS),
        end=end,
        zone=draw(st.none() | st.sampled_from(ZONES).map(ZoneInfo)),
    )


SCHEDULES = st.builds(
    Schedule, st.sampled_from(ZONES).map(ZoneInfo), st.lists(layers(), min_size=1, max_size=3).map(tuple)
)


@given(st.sampled_from(EVERY_ZONE).map(ZoneInfo), WALLS, st.timedeltas(timedelta(0), timedelta(days=2)))
def test_instants_never_go_back_as_the_wall_goes_on(zone: ZoneInfo, first: datetime, more: timedelta) -> None:
    assert instant(first, zone) <= instant(first + more, zone)


@given(st.sampled_from(EVERY_ZONE).map(ZoneInfo), INSTANTS)
def test_an_instant_on_the_wall_leads_back_to_it_or_to_its_first_pass(zone: ZoneInfo, moment: datetime) -> None:
    local = moment.astimezone(zone)
    back = instant(local.replace(tzinfo=None), zone)
    assert back == moment or (local.fold == 1 and back < moment)


def boundaries(layer: Layer, until: datetime) -> Iterator[datetime]:
    """When the turns of a layer begin, on the wall, counted one by one."""
    yield layer.start
    if layer.turn is not None:
        at_ = layer.start
        while (at_ := at_ + layer.turn) <= until:
            yield at_
    elif layer.hand_offs:
        day = layer.start.replace(hour=0, minute=0) - timedelta(days=layer.start.weekday())
        while day <= until:
            for minute in layer.hand_offs:
                if layer.start < day + timedelta(minutes=minute) <= until:
                    yield day + timedelta(minutes=minute)
            day += WEEK


def said_by_hand(layer: Layer, zone: ZoneInfo, moment: datetime) -> str | None:
    """Whose turn it is by counting hand-offs and looking for the hour in every week; None: the layer is silent."""
    zone = layer.zone or zone
    if moment < instant(layer.start, zone) or (layer.end is not None and moment >= instant(layer.end, zone)):
        return None
    wall_ = moment.astimezone(zone).replace(tzinfo=None)
    if layer.hours is not None:
        first = wall_.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=wall_.weekday() + 14)
        spans = [
            (first + timedelta(days=7 * n, minutes=a), first + timedelta(days=7 * n, minutes=b))
            for n in range(5)
            for a, b in layer.hours
        ]
        if not any(instant(a, zone) <= moment < instant(b, zone) for a, b in spans):
            return None
    begun = sum(instant(each, zone) <= moment for each in boundaries(layer, wall_ + timedelta(days=2)))
    return layer.people[(begun - 1) % len(layer.people)]


@given(SCHEDULES, INSTANTS)
def test_every_instant_has_exactly_the_person_whom_the_layers_say(found: Schedule, moment: datetime) -> None:
    said = [(n, said_by_hand(each, found.zone, moment)) for n, each in enumerate(found.layers, 1)]
    expected = next(([(person, str(n))] for n, person in reversed(said) if person is not None), [])
    assert [(shift.person, shift.layer) for shift in on_call(found, (), moment)] == expected


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
    covered = [(max(s.start, start), min(s.end, end)) for s in every]
    free = list(gaps(found, overrides, start, end))
    whole = sorted([*covered, *free])
    assert whole[0][0] == start and whole[-1][1] == end
    assert all(earlier[1] == later[0] for earlier, later in pairwise(whole))
    for since, until in free:
        assert on_call(found, overrides, since) == on_call(found, overrides, until - timedelta(microseconds=1)) == ()


@given(st.sampled_from(EVERY_ZONE).map(ZoneInfo), PEOPLE, WALLS, TURNS, INSTANTS)
def test_a_hand_off_keeps_its_place_on_the_wall(
    zone: ZoneInfo, people: tuple[str, ...], begins: datetime, turn: timedelta, moment: datetime
) -> None:
    layer = Layer(people, begins.replace(second=0, microsecond=0), turn)
    [*found] = on_call(Schedule(zone, (layer,)), (), moment)
    for shift in found:
        local = shift.start.astimezone(zone).replace(tzinfo=None)
        turns, rest = divmod(local - layer.start, layer.turn)
        skipped = instant(local - rest, zone) == shift.start  # the wall time of the hand-off does not exist
        assert rest == timedelta(0) or skipped
        assert shift.person == layer.people[turns % len(layer.people)] or skipped
