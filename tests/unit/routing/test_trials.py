"""Shadow and canary, pure: which side a case is on, how trials end, what is counted, when a canary goes back."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.routing import rules
from services.routing.decide import decide
from services.routing.lab import canary, shadow, trials
from services.routing.lab.canary import Seen, Standing, judge
from services.routing.lab.shadow import MAX_EXAMPLES, MAX_FAILURES, MAX_PAIRS, Pair, ShadowReport, Tally
from services.routing.model import Canary, CaseState, Configuration, ContactFacts, RulesetState
from services.routing.model.trials import Enrolment, Trial, TrialKind, TrialState, place
from services.routing.rules.steps import at_once
from services.routing.spec import FallbackSpec, RollbackSpec, RulesetSpec, RuleSpec, TeamSpec
from tests.bench.canaries import gone_back
from tests.unit.routing.conftest import NOON, case, contact, event
from tests.unit.routing.test_decide import activity, hand_off

TEAMS = {name: TeamSpec() for name in ("frontline", "payments", "engineering")}
CASES = [UUID(int=number * 2**64 + number) for number in range(4_000)]


def compiled(version: int, *found: tuple[str, str], **more: Any) -> Any:
    made = [RuleSpec(id=f"r{n}", when=when, then={"team": team}) for n, (when, team) in enumerate(found)]
    return rules.compile(version, RulesetSpec(rules=made, fallback=FallbackSpec(team="frontline"), **more))


ACTIVE = compiled(3)
TRIED = compiled(4, ("contact.channel == 'email'", "payments"))


def state(number: int, share: float = 0.5, tried: Any = TRIED, running_shadow: int | None = None) -> CaseState:
    configuration = Configuration(1, ACTIVE, TEAMS, Canary(7, share, tried), running_shadow)
    return CaseState(case(number), configuration)


# Which side


@given(st.uuids(), st.integers(1, 2**63 - 1))
def test_a_case_is_always_on_the_same_side_of_a_trial(case_id: UUID, trial: int) -> None:
    assert 0 <= place(trial, case_id) < 1
    assert place(trial, case_id) == place(trial, UUID(str(case_id)))


@pytest.mark.parametrize("share", [0.01, 0.2, 0.9])
def test_a_canary_gets_about_its_share_and_other_cases_in_the_next_trial(share: float) -> None:
    sides = [{c for c in CASES if place(trial, c) < share} for trial in (1, 2)]
    for side in sides:
        assert abs(len(side) / len(CASES) - share) < 5 * (share * (1 - share) / len(CASES)) ** 0.5
    assert abs(len(sides[0] & sides[1]) / len(CASES) - share**2) < 0.04


def test_the_version_that_placed_a_case_is_kept_and_named_in_because() -> None:
    for number in range(1, 30):
        before = state(number)
        takes = place(7, case(number)) < 0.5
        placed = decide(before, event(contact(number)), NOON).state
        assert placed.assignment
        assert (placed.assignment.team, placed.assignment.ruleset_version) == (
            ("payments", 4) if takes else ("frontline", 3)
        )
        assert placed.assignment.because.facts.get("canary") == (7 if takes else None)
        if takes:
            assert "(canary 7: ruleset 4 has 50.0%)" in placed.assignment.because.text
        assert placed.enrolled == (Enrolment(7, takes, not takes, NOON),)


def test_the_same_contact_again_changes_no_side_and_is_counted_once() -> None:
    first = decide(state(1), event(contact(1)), NOON).state
    again = decide(replace(first, enrolled=()), event(contact(1)), NOON + timedelta(hours=1)).state
    assert (again.assignment, again.enrolled) == (first.assignment, ())


def test_an_imported_case_is_in_no_trial() -> None:
    placed = decide(state(1, share=0.9, running_shadow=8), event(contact(1, history=True)), NOON).state
    assert placed.assignment
    assert (placed.assignment.ruleset_version, placed.enrolled) == (3, ())


def test_a_shadow_learns_from_what_the_active_version_placed() -> None:
    enrolled = [decide(state(n, running_shadow=8), event(contact(n)), NOON).state.enrolled for n in range(1, 30)]
    for each in enrolled:
        assert [e.trial for e in each] == ([7] if each[0].canary else [7, 8])
    assert len({len(each) for each in enrolled}) == 2


def test_hand_off_rules_of_a_canary_hold_for_the_cases_that_it_placed() -> None:
    back = {"id": "bug", "when": "activity.status == 'on_hold'", "then": {"team": "engineering", "reason": "a bug"}}
    tried = compiled(4, ("true", "payments"), hand_off=[back])
    for number in range(1, 20):
        before = decide(state(number, tried=tried), event(contact(number)), NOON).state
        held = activity("status_changed", status="on_hold", public=False).model_copy(update={"case_id": case(number)})
        after = decide(before, event(held), NOON).state
        assert before.assignment
        assert after.assignment
        moves = before.assignment.ruleset_version == 4
        assert after.assignment.team == ("engineering" if moves else "frontline")
    by_hand = decide(before, hand_off("payments"), NOON)
    assert by_hand.state.case_id == before.case_id


# How trials start and end


@dataclass
class World:
    """Rulesets and trials as the store keeps them: the rules of ``lab.trials`` applied in any order."""

    active: int
    states: dict[int, RulesetState]
    done: list[Trial]

    @property
    def running(self) -> list[Trial]:
        return [each for each in self.done if each.state == TrialState.RUNNING]

    def end(self, trial: Trial, how: TrialState) -> None:
        self.done[trial.number - 1] = trials.ended(trial, how, "ana", "why", NOON)
        if self.states[trial.version] == trial.kind:
            self.states[trial.version] = RulesetState(trial.restores)

    def start(self, kind: TrialKind, version: int) -> None:
        if trials.why_not(kind, version, self.states[version], self.running):
            return
        restores = self.states[version]
        if goes := trials.goes_on(version, self.running):
            self.end(goes, TrialState.STOPPED)
            restores = RulesetState(goes.restores)
        number = len(self.done) + 1
        self.done.append(
            Trial(number, kind, version, self.active, TrialState.RUNNING, restores, None, NOON, "ana", "why")
        )
        self.states[version] = RulesetState(kind)

    def activate(self, version: int) -> None:
        if version == self.active:
            return
        self.states |= {self.active: RulesetState.RETIRED, version: RulesetState.ACTIVE}
        self.active = version
        for each in self.running:
            self.end(each, trials.after_activation(each, version)[0])


VERSIONS = st.integers(1, 4)
ACTS = st.one_of(
    st.tuples(st.just("start"), st.sampled_from(TrialKind), VERSIONS),
    st.tuples(st.just("end"), st.sampled_from(TrialState), st.integers(1, 6)),
    st.tuples(st.just("activate"), VERSIONS),
)


@given(st.lists(ACTS, max_size=30))
def test_whatever_is_done_one_trial_of_a_kind_runs_beside_the_active_version_and_ends_once(acts: list[Any]) -> None:
    world = World(1, dict.fromkeys(range(2, 5), RulesetState.DRAFT) | {1: RulesetState.ACTIVE}, [])
    for act in acts:
        before = list(world.done)
        match act:
            case ("start", kind, version):
                world.start(kind, version)
            case ("end", how, number) if number <= len(world.done):
                possible = world.done[number - 1] in world.running
                possible = possible and how in trials.WAYS_TO_END[world.done[number - 1].kind]
                possible = possible and how not in (TrialState.PROMOTED, TrialState.SUPERSEDED)
                if possible:
                    world.end(world.done[number - 1], how)
                elif how not in (TrialState.PROMOTED, TrialState.SUPERSEDED):
                    with pytest.raises(ValueError, match=r"already|never"):
                        world.end(world.done[number - 1], how)
            case ("activate", version):
                world.activate(version)
        kinds = [each.kind for each in world.running]
        assert len(kinds) == len(set(kinds))
        assert len({each.version for each in world.running}) == len(kinds)
        assert all(each.control == world.active for each in world.running)
        on_trial = {each.version: RulesetState(each.kind) for each in world.running}
        for version, known in world.states.items():
            assert (known == RulesetState.ACTIVE) == (version == world.active)
            assert on_trial.get(version) == (known if known in (RulesetState.SHADOW, RulesetState.CANARY) else None)
        for old, new in zip(before, world.done, strict=False):
            assert old.state == TrialState.RUNNING or new == old  # what ended stays as it was


# What a shadow counts


def facts(channel: str = "email", **more: Any) -> ContactFacts:
    return ContactFacts(at=NOON, channel=channel, **more)


def test_a_shadow_counts_where_it_differs_by_team_and_rule_with_examples() -> None:
    tally = Tally.of(at_once(Pair.of(ACTIVE, TRIED)), ShadowReport())
    for number in range(10):
        tally.compare(case(number), facts("email" if number < 6 else "phone", number=f"C-{number}"))
    report = tally.report()
    assert (report.cases, report.differing, report.moved) == (10, 6, 6)
    assert (report.to_fallback_active, report.to_fallback_shadow) == (10, 4)
    [found] = report.differences
    assert (found.active, found.shadow, found.cases) == ("frontline", "payments", 6)
    assert [each.number for each in found.examples] == [f"C-{n}" for n in range(MAX_EXAMPLES)]
    assert [(each.active, each.shadow, each.cases) for each in report.by_rule] == [(None, "r0", 6)]


def test_priority_tags_and_needs_differ_too() -> None:
    def one(**then: Any) -> Any:
        spec = RuleSpec(id="all", when="true", then={"team": "payments", **then})
        return rules.compile(1, RulesetSpec(rules=[spec], fallback=FallbackSpec(team="frontline")))

    for then, count in (
        ({"priority": "urgent"}, "priority_changed"), ({"tags": ["vip"]}, "tags_changed"),
        ({"skills": ["tills"]}, "needs_changed"), ({"language": "de"}, "needs_changed"), ({}, None),
    ):  # fmt: skip
        tally = Tally.of(at_once(Pair.of(one(), one(**then))), ShadowReport())
        tally.compare(case(1), facts())
        report = tally.report()
        found = {
            name
            for name in ("priority_changed", "tags_changed", "needs_changed", "moved")
            if report.__getattribute__(name)
        }
        assert found == ({count} if count else set())
        assert report.differing == (count is not None)


@given(st.lists(st.sampled_from(["email", "phone", "chat", "web"]), max_size=12), st.integers(0, 12))
def test_counting_goes_on_from_a_stored_report_as_if_it_had_never_stopped(channels: list[str], cut: int) -> None:
    pair = at_once(Pair.of(ACTIVE, TRIED))

    def count(before: ShadowReport, part: list[tuple[int, str]]) -> ShadowReport:
        tally = Tally.of(pair, ShadowReport.model_validate_json(before.model_dump_json()))
        for number, channel in part:
            tally.compare(case(number), facts(channel))
        return tally.report()

    told = list(enumerate(channels))
    assert count(count(ShadowReport(), told[:cut]), told[cut:]) == count(ShadowReport(), told)


class Broken(Pair):
    def __init__(self) -> None:
        pass

    def decide(self, facts: ContactFacts) -> Any:
        raise RuntimeError("no such thing")


def test_a_shadow_that_fails_is_counted_and_ends_nothing() -> None:
    tally = Tally.of(Broken(), ShadowReport())
    for number in range(MAX_FAILURES + 2):
        tally.compare(case(number), facts())
    tally.compare(case(99), None)
    tally.compare(case(98), facts().without_person())
    report = tally.report()
    assert (report.cases, report.failed, report.unknown) == (0, MAX_FAILURES + 2, 2)
    assert report.failures == ("RuntimeError: no such thing",) * MAX_FAILURES


def test_a_report_is_bounded_whatever_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow, "MAX_PAIRS", 2)
    tried = compiled(4, *((f"contact.channel == '{name}'", f"team-{name}") for name in ("email", "phone", "chat")))
    tally = Tally.of(at_once(Pair.of(ACTIVE, tried)), ShadowReport())
    for number, channel in enumerate(["email", "phone", "chat", "email", "chat"]):
        tally.compare(case(number), facts(channel))
    report = tally.report()
    assert (report.differing, len(report.differences), len(report.by_rule), report.further) == (5, 2, 2, 2)
    assert MAX_PAIRS >= 100


# When a canary goes back

STRICT = RollbackSpec(minimum_cases=20, fallback_above=0.3, hand_offs_above=1.5, breaches_above=1.0)


def seen(cases: int, hits: int) -> Seen:
    return Seen(cases=cases, fallback=0, watched=cases, handed_off=hits, known=cases, breached=hits)


def test_nothing_is_judged_before_there_are_enough_cases_on_both_sides() -> None:
    for ours, theirs in ((19, 1_000), (1_000, 19), (0, 0)):
        report = judge(STRICT, seen(ours, ours), seen(theirs, 0))
        assert [each.standing for each in report.findings[1:]] == [Standing.TOO_FEW] * 2
        assert report.broken is None
    assert "19 cases of the canary and 1000 of the control are known, 20 are needed" in (
        judge(STRICT, seen(19, 0), seen(1_000, 0)).findings[1].text
    )


def test_a_condition_that_is_null_is_none() -> None:
    off = RollbackSpec(fallback_above=None, hand_offs_above=None, breaches_above=None)
    assert judge(off, seen(500, 500), seen(500, 0)).findings == ()


def test_each_condition_is_broken_only_when_the_whole_interval_is_beyond_what_is_allowed() -> None:
    lost = judge(STRICT, Seen(cases=60, fallback=50), Seen(cases=240)).broken
    assert lost
    assert (lost.condition, lost.limit, lost.control) == ("fallback", 0.3, None)
    moved = judge(STRICT, Seen(cases=100, watched=100, handed_off=60), Seen(cases=400, watched=400, handed_off=40))
    assert moved.broken
    assert moved.broken.text == (
        "handed off within 30 min: 60 of 100 (60.0%) of the canary, against 1.5 × 40 of 400 (10.0%) of the control"
        " = 15.0%; the difference is +28.1% to +61.9% (95% interval): broken"
    )
    late = judge(STRICT, Seen(cases=100, known=100, breached=50), Seen(cases=400, known=400, breached=40)).broken
    assert late
    assert late.condition == "breaches"
    little = judge(STRICT, seen(100, 14), seen(400, 40)).findings
    assert [each.standing for each in little[1:]] == [Standing.UNCLEAR] * 2
    fewer = judge(STRICT, seen(2_000, 10), seen(8_000, 800)).findings
    assert [each.standing for each in fewer] == [Standing.KEPT] * 3


@given(st.integers(20, 5_000), st.integers(20, 5_000), st.floats(0, 1), st.floats(0, 1))
def test_an_interval_is_around_what_was_seen_and_narrows_with_more_cases(
    ours: int, theirs: int, a: float, b: float
) -> None:
    for finding in judge(STRICT, seen(ours, int(a * ours)), seen(theirs, int(b * theirs))).findings:
        assert finding.low is not None
        assert finding.high is not None
        assert finding.canary is not None
        assert finding.limit is not None
        assert finding.low < finding.canary - finding.limit < finding.high
    assert canary.radius(0.25 / ours, ours) > canary.radius(0.25 / (4 * ours), 4 * ours)


@pytest.mark.parametrize(("rate", "share"), [(0.02, 0.1), (0.1, 0.2), (0.5, 0.5)])
def test_looking_again_and_again_makes_no_alarm_of_chance(rate: float, share: float) -> None:
    """150 looks each at 60 canaries that are as good as their control."""
    assert len(gone_back(range(60), rate, rate, share, 1_500)) <= 3


def test_a_canary_that_breaks_twice_as_many_promises_goes_back() -> None:
    assert len(gone_back(range(30), 0.3, 0.15, 0.2, 1_500)) >= 28
