"""Who of a team takes a case: fair, oldest first, by hours, absences, abilities and room."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from services.routing.spec import TeamSpec
from services.routing.staffing import Away, Bench, Gift, Needs, Waiting, falls, nobody, plan, presence, suits
from services.routing.staffing.hours import opens_next, works
from shared.contracts.hours import HolidaysSpec
from tests.unit.routing.conftest import NOON, case

OFFICE = {day: [["09:00", "17:00"]] for day in ("mon", "tue", "wed", "thu", "fri")}
PEOPLE = ("ana", "bo", "cy", "li")


def team(*members: Any, **fields: Any) -> TeamSpec:
    return TeamSpec.model_validate({"members": members or PEOPLE, "assign": "least_load", **fields})


def bench(spec: TeamSpec, now: datetime = NOON, **fields: Any) -> Bench:
    return Bench("payments", spec, now, **fields)


def queue(count: int, first: int = 1, **needs: Any) -> list[Waiting]:
    return [Waiting(case(n), NOON + timedelta(seconds=n), Needs(**needs)) for n in range(first, first + count)]


def people(gifts: list[Gift]) -> list[str | None]:
    return [gift.person for gift in gifts]


def turns_after(before: dict[str, int], gifts: list[Gift]) -> dict[str, int]:
    last = max(before.values(), default=0)
    return before | {str(gift.person): last + place for place, gift in enumerate(gifts, 1)}


@pytest.mark.parametrize("how", ["least_load", "round_robin"])
@given(batches=st.lists(st.integers(0, 9), max_size=8), members=st.integers(1, 5))
def test_shares_differ_by_one_at_most_however_the_cases_come(how: str, batches: list[int], members: int) -> None:
    spec, turns, load = team(*"abcde"[:members], assign=how), dict[str, int](), Counter[str]()
    for first, count in enumerate(batches):
        gifts = plan(bench(spec, load=load, turns=turns), queue(count, 100 * first))
        turns = turns_after(turns, gifts)
        load.update(str(gift.person) for gift in gifts)
        assert len(gifts) == count
    shares = [load[person] for person in "abcde"[:members]]
    assert max(shares) - min(shares) <= 1


@settings(max_examples=200)
@given(
    skills=st.lists(st.sets(st.sampled_from(["tax", "pos"])), min_size=1, max_size=4),
    rooms=st.lists(st.integers(1, 3), min_size=4, max_size=4),
    asks=st.lists(st.sets(st.sampled_from(["tax", "pos"]), max_size=1), max_size=12),
)
def test_a_later_case_never_takes_whom_a_stuck_earlier_one_could_have(
    skills: list[set[str]], rooms: list[int], asks: list[set[str]]
) -> None:
    """CASES 35."""
    members = [{"person": f"p{n}", "skills": sorted(has), "capacity": rooms[n]} for n, has in enumerate(skills)]
    spec = team(*members)
    waiting = [Waiting(case(n), NOON, Needs(frozenset(ask))) for n, ask in enumerate(asks, 1)]
    given_to = {gift.case_id: gift.person for gift in plan(bench(spec), waiting)}
    by_name = {member.person: member for member in spec.members}
    for place, earlier in enumerate(waiting):
        if earlier.case_id not in given_to:
            for later in waiting[place + 1 :]:
                person = given_to.get(later.case_id)
                assert person is None or not suits(spec, by_name[person], earlier.needs)
    taken = Counter(given_to.values())
    assert all(taken[member.person] <= (member.capacity or 0) for member in spec.members)


def test_when_room_frees_the_oldest_gets_it() -> None:
    spec = team("ana", member_capacity=2)
    assert plan(bench(spec, load={"ana": 2}), queue(3)) == []
    assert [gift.case_id for gift in plan(bench(spec, load={"ana": 1}), queue(3))] == [case(1)]


def test_a_case_that_nobody_can_take_holds_up_no_other() -> None:
    hard, easy = queue(1, skills=frozenset({"tax"}))[0], queue(1, 2)[0]
    assert [gift.case_id for gift in plan(bench(team()), [hard, easy])] == [case(2)]
    assert nobody(bench(team()), hard.needs).text == "Nobody of payments has the skill tax"


def test_least_load_looks_at_open_cases_and_round_robin_at_turns() -> None:
    load, turns = {"ana": 5, "bo": 1, "cy": 5, "li": 5}, {"ana": 1, "bo": 4, "cy": 2, "li": 3}
    assert people(plan(bench(team(), load=load, turns=turns), queue(1))) == ["bo"]
    [gift] = plan(bench(team(assign="round_robin"), load=load, turns=turns), queue(1))
    assert gift.person == "ana"
    assert gift.because.text == "ana takes it: the longest since the last one of the 4 who can"


def test_who_is_away_or_not_at_work_gets_nothing_and_says_until_when() -> None:
    spec = team({"person": "ana"}, {"person": "bo", "weekly": OFFICE, "time_zone": "America/Los_Angeles"}, "li")
    gone = Away("ana", NOON, NOON + timedelta(hours=2), "dentist", "ana")
    now = bench(spec, away={"ana": gone})
    assert people(plan(now, queue(2))) == ["li", "li"]
    ana, bo, _ = (presence(now, member) for member in spec.members)
    assert (ana.because, ana.back_at) == ("away until 23 Nov 14:00 UTC: dentist", NOON + timedelta(hours=2))
    assert (bo.because, bo.back_at) == ("outside working hours", datetime(2026, 11, 23, 17, tzinfo=UTC))
    assert people(plan(bench(spec, NOON + timedelta(hours=2), away={"ana": gone}), queue(1))) == ["ana"]


def test_a_team_takes_no_more_than_it_may_together() -> None:
    spec = team(capacity=3)
    assert len(plan(bench(spec, load={"ana": 1}), queue(9))) == 2
    full = bench(spec, load={"ana": 3})
    assert plan(full, queue(1)) == []
    assert nobody(full, Needs()).text == "payments has 3 open cases of 3"


@pytest.mark.parametrize(
    ("spoken", "asked", "can"), [("de", "de-AT", True), ("de-CH", "de", True), ("en", "de", False)]
)
def test_a_language_is_spoken_whatever_its_region(spoken: str, asked: str, can: bool) -> None:
    spec = team({"person": "ana", "languages": [spoken]})
    assert bool(plan(bench(spec), queue(1, language=asked))) is can


def test_nobody_there_says_who_and_why() -> None:
    spec = team("ana", "li", weekly=OFFICE)
    sunday = bench(spec, datetime(2026, 11, 22, 12, tzinfo=UTC))
    assert nobody(sunday, Needs()).text == (
        "Nobody of payments who could take it is there: ana is outside working hours, li is outside working hours"
    )


def test_the_fallback_gets_what_waited_so_long_and_never_what_came_from_it() -> None:
    spec = team(fallback={"team": "frontline", "after": "PT15M"})
    waiting = [Waiting(case(1), NOON), Waiting(case(2), NOON, fallen=("frontline",)), *queue(1, 900)]
    assert [w.case_id for w in falls(bench(spec, NOON + timedelta(minutes=15)), waiting)] == [case(1)]
    assert falls(bench(spec, NOON + timedelta(minutes=14)), waiting) == []


def test_people_who_take_cases_themselves_need_only_be_there() -> None:
    spec = TeamSpec.model_validate({"members": ["ana"], "weekly": OFFICE, "fallback": {"team": "night"}})
    assert people(plan(bench(spec), queue(2))) == [None, None]
    assert plan(bench(spec, NOON.replace(hour=20)), queue(1)) == []


@pytest.mark.parametrize(
    ("zone", "at", "open_"),
    [
        ("Europe/Dublin", "2026-11-23T09:00:00+00:00", True),
        ("Europe/Dublin", "2026-11-23T17:00:00+00:00", False),
        ("Asia/Tokyo", "2026-11-23T00:30:00+00:00", True),
        ("Europe/Dublin", "2026-12-25T12:00:00+00:00", False),  # a Friday
    ],
)
def test_hours_hold_in_the_zone_and_not_on_holidays(zone: str, at: str, open_: bool) -> None:
    weekly = team(weekly=OFFICE).weekly
    assert weekly
    assert works(weekly, zone, HolidaysSpec(country="IE"), datetime.fromisoformat(at)) is open_


@given(st.integers(0, 730 * 24 * 60), st.sampled_from(["Europe/Dublin", "Africa/Cairo"]))
def test_the_next_opening_is_later_open_and_the_first(minutes: int, zone: str) -> None:
    weekly = team(weekly={"tue": [["22:00", "06:00"]], "fri": [["09:00", "12:00"], ["13:00", "17:00"]]}).weekly
    assert weekly
    at = NOON + timedelta(minutes=minutes)
    found = opens_next(weekly, zone, HolidaysSpec(), at)
    assert found is not None
    assert at < found <= at + timedelta(days=8)
    assert works(weekly, zone, HolidaysSpec(), found)
    assert not works(weekly, zone, HolidaysSpec(), found - timedelta(minutes=1))


@pytest.mark.parametrize(
    "wrong",
    [
        {"members": ["ana", {"person": "ana"}]},
        {"weekly": {"mon": []}},
        {"weekly": {"mon": [["09:00", "12:00"], ["11:00", "13:00"]]}},
        {"members": [{"person": "ana", "time_zone": "Mars/Olympus"}]},
        {"members": [{"person": "ana", "capacity": 0}]},
        {"fallback": {"team": "x", "after": "soon"}},
        {"assign": "by magic"},
    ],
)
def test_a_team_that_cannot_be_is_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        TeamSpec.model_validate(wrong)


def test_a_bare_member_is_written_back_as_a_name() -> None:
    written = {"members": ["li", {"person": "ana", "skills": ["tax"]}]}
    spec = TeamSpec.model_validate(written)
    assert spec.model_dump(mode="json", exclude_unset=True) == written
