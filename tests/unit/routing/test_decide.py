"""Who has a case: placed once by the rules, handed off by people, never lost in between."""

import itertools
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.routing.decide import decide
from services.routing.model import MAX_HAND_OFFS, RULES, CaseState, Configuration, StepKind
from services.routing.model.commands import HandOff
from services.routing.spec import TeamSpec
from shared.contracts.assignments import CaseAssigned, CaseHandedOff
from shared.contracts.clocks import ClockBreached, ClockCancelled, ClockMet, ClockStarted, ClockWithdrawn
from shared.contracts.contacts import CaseActivity, CaseMerged, ContactReceived, CustomerErased
from shared.contracts.decision import Decision, Fired, Replan
from shared.contracts.envelope import Because, EventData
from shared.contracts.pages import HandoverAsked, PageOpened
from shared.contracts.words import WATCHER, ClockState, Priority, Status
from tests.unit.routing.conftest import NOON, case, contact, event
from tests.unit.routing.test_rules import TAG, TIER, ruleset

TEAMS = {name: TeamSpec() for name in ("frontline", "payments", "engineering")}
RULES_IN_FORCE = ruleset((f"{TIER} && {TAG}", "payments", {"priority": "urgent", "tags": ["vip"]}))
NEW = CaseState(case(1), Configuration(3, RULES_IN_FORCE, TEAMS))
PAYOUT = contact(customer={"tier": "enterprise", "id": "cus_1"}, tags=("payouts",), subject="Payout missing")


def run(state: CaseState, *inputs: Any) -> tuple[CaseState, list[EventData], list[Decision[CaseState]]]:
    made = []
    for each in inputs:
        made.append(decide(state, event(each) if isinstance(each, EventData) else each, NOON))
        state = made[-1].state
    return state, [published for decision in made for published in decision.events], made


def hand_off(team: str, by: str = "ana", reason: str = "needs a fix") -> HandOff:
    return HandOff(case(1), team, by, reason)


def asked(team: str) -> HandoverAsked:
    return HandoverAsked(case_id=case(1), occurred_at=NOON, page_id=UUID(int=5), because=Because(text="asked"),
                         to_team=team, by="li", reason="theirs")  # fmt: skip


def activity(kind: str, **fields: Any) -> CaseActivity:
    return CaseActivity(
        case_id=case(1), occurred_at=NOON, received_at=NOON, activity_id=UUID(int=6), kind=kind, **fields
    )


def clock(kind: type[Any], version: int, **fields: Any) -> Any:
    return kind(case_id=case(1), occurred_at=NOON, clock_id=UUID(int=7), metric="first_reply", instance=1,
                version=version, started_at=NOON, due_at=NOON, within="PT4H", team="payments",
                because=Because(text="x"), **fields)  # fmt: skip


def test_the_contact_that_opens_a_case_places_it_by_the_rules() -> None:
    state, [assigned], _ = run(NEW, PAYOUT)
    assert isinstance(assigned, CaseAssigned)
    assert (assigned.team, assigned.priority, assigned.tags, assigned.rule) == ("payments", "urgent", ("vip",), "r1")
    assert assigned.ruleset_version == RULES_IN_FORCE.version
    assert assigned.because.text == "r1: tier is enterprise, tagged payouts"
    assert assigned.occurred_at == NOON
    assert state.assignment
    assert state.assignment.by == RULES
    assert [(s.number, s.kind, s.team, s.from_team) for s in state.steps] == [(1, StepKind.ASSIGNED, "payments", None)]


def test_a_later_contact_changes_nothing() -> None:
    later = contact(opened_case=False, tags=(), subject="and another thing")
    state, published, _ = run(NEW, PAYOUT, later)
    assert len(published) == 1
    assert state.assignment
    assert state.assignment.team == "payments"
    assert state.contact
    assert state.contact.subject == "Payout missing"


def test_an_imported_contact_is_placed_when_it_came_and_not_now() -> None:
    came = NOON - timedelta(days=400)
    _, [assigned], _ = run(NEW, contact(history=True, occurred_at=came))
    assert assigned.occurred_at == came


def test_the_watchers_contact_goes_to_the_watchers_team_whatever_the_rules_say() -> None:
    _, [assigned], _ = run(NEW, PAYOUT.model_copy(update={"source": WATCHER}))
    assert (assigned.team, assigned.priority, assigned.tags, assigned.rule) == (WATCHER, "low", (), None)
    assert "whatever the rules say" in assigned.because.text


def test_a_hand_off_by_hand_says_who_from_where_to_where_and_why() -> None:
    state, [_, handed], _ = run(NEW, PAYOUT, hand_off("engineering"))
    assert isinstance(handed, CaseHandedOff)
    assert (handed.team, handed.from_team, handed.by, handed.reason) == (
        "engineering",
        "payments",
        "ana",
        "needs a fix",
    )
    assert (handed.priority, handed.tags) == (Priority.URGENT, ("vip",))
    assert handed.because.text == "ana handed it from payments to engineering: needs a fix"
    assert state.assignment
    assert (state.assignment.team, state.assignment.rule) == ("engineering", "r1")


def test_a_page_may_ask_for_a_hand_off() -> None:
    _, [_, handed], _ = run(NEW, PAYOUT, asked("engineering"))
    assert isinstance(handed, CaseHandedOff)
    assert (handed.team, handed.by, handed.reason) == ("engineering", "li", "theirs")


def test_a_page_that_asks_before_routing_saw_the_case_places_it_and_the_rules_do_not_take_it_back() -> None:
    state, [assigned], _ = run(NEW, asked("engineering"), PAYOUT)
    assert isinstance(assigned, CaseAssigned)
    assert (assigned.team, assigned.rule) == ("engineering", None)
    assert state.assignment
    assert (state.assignment.team, state.assignment.by) == ("engineering", "li")
    assert state.contact is not None


@pytest.mark.parametrize(("team", "kind"), [("nobody", "unknown-team"), ("payments", "same-team")])
def test_a_hand_off_that_cannot_be_is_refused_and_says_which(team: str, kind: str) -> None:
    state, published, [*_, refused] = run(NEW, PAYOUT, hand_off(team))
    assert refused.because.facts["refused"] == kind
    assert len(published) == 1
    assert len(state.steps) == 1


def test_a_case_that_nobody_has_cannot_be_handed_off_by_a_command() -> None:
    state, published, [refused] = run(NEW, hand_off("payments"))
    assert (refused.because.facts["refused"], published, state) == ("not-yet", [], NEW)


def test_what_a_page_asked_in_vain_is_kept_in_the_history() -> None:
    state, published, _ = run(NEW, PAYOUT, asked("nobody"))
    assert len(published) == 1
    assert [(s.kind, s.team, s.from_team, s.by) for s in state.steps[1:]] == [
        (StepKind.REFUSED, "nobody", "payments", "li")
    ]


def test_hand_offs_are_bounded() -> None:
    tired = replace(run(NEW, PAYOUT)[0], step_count=MAX_HAND_OFFS)
    _, published, [refused] = run(tired, hand_off("engineering"))
    assert (refused.because.facts["refused"], published) == ("too-many-hand-offs", [])
    assert run(tired, asked("engineering"))[0] == tired


def test_a_priority_and_tags_that_people_set_go_along_with_a_hand_off() -> None:
    changes = activity("priority_changed", priority="low"), activity("tags_changed", tags=("calm",))
    _, [_, handed], _ = run(NEW, PAYOUT, *changes, hand_off("engineering"))
    assert isinstance(handed, CaseHandedOff)
    assert (handed.priority, handed.tags) == (Priority.LOW, ("calm",))


def test_erasing_takes_identity_and_text_and_leaves_who_had_the_case() -> None:
    rich = PAYOUT.model_copy(update={"body": "words", "url": "https://x.example", "attributes": {"iban": "IE1"}})
    state, _, _ = run(NEW, rich, CustomerErased(case_id=case(1), occurred_at=NOON, customer_id=""))
    assert state.contact
    left = state.contact.model_dump(mode="json")
    for private in ("cus_1", "Payout", "words", "x.example", "IE1"):
        assert private not in str(left)
    assert (state.contact.customer.tier, state.contact.tags, state.erased) == ("enterprise", ("payouts",), True)
    assert state.assignment
    assert state.assignment.team == "payments"
    assert state.assignment.because.facts["inputs"] == {}


def test_a_merged_case_keeps_who_had_it() -> None:
    merged = CaseMerged(case_id=case(1), occurred_at=NOON, into=case(2), into_number="C-2")
    before, _, _ = run(NEW, PAYOUT)
    after, published, _ = run(before, merged)
    assert before.assignment
    assert (after.assignment, published) == (replace(before.assignment, status=Status.CLOSED), [])


@pytest.mark.parametrize(
    ("made", "state", "breached"),
    [
        (clock(ClockMet, 2, breached=False), ClockState.MET, False),
        (clock(ClockMet, 3, breached=True), ClockState.MET, True),
        (clock(ClockCancelled, 2, breached=False), ClockState.CANCELLED, False),
        (clock(ClockWithdrawn, 3, breached=True), ClockState.WITHDRAWN, False),
    ],
)
def test_how_a_promise_ended_is_kept_for_the_lab(made: Any, state: ClockState, breached: bool) -> None:
    after, published, _ = run(NEW, made)
    [outcome] = after.outcomes
    assert (outcome.state, outcome.breached, outcome.team, outcome.version) == (
        state,
        breached,
        "payments",
        made.version,
    )
    assert published == []


def test_a_promise_that_only_started_has_no_outcome() -> None:
    assert run(NEW, clock(ClockStarted, 1))[0] == NEW


inputs = st.sampled_from([
    PAYOUT, contact(opened_case=False), asked("engineering"), asked("payments"), asked("nobody"),
    hand_off("engineering"), hand_off("payments"), hand_off("nobody"),
    activity("priority_changed", priority="low"), activity("priority_changed"), activity("note_added"),
    CustomerErased(case_id=case(1), occurred_at=NOON, customer_id=""),
    PageOpened(case_id=case(1), occurred_at=NOON, page_id=UUID(int=5), because=Because(text="x"), clocks=(),
               escalation_policy="default"),
    clock(ClockMet, 2, breached=False), Fired(case(1), case(1), "x", NOON, 1), Replan(case(1)),
])  # fmt: skip


@given(st.lists(inputs, max_size=12))
def test_whatever_comes_in_whatever_order_a_case_is_placed_once_and_its_custody_is_a_chain(given_: list[Any]) -> None:
    state, published, made = run(NEW, *given_)
    moves = [e for e in published if isinstance(e, CaseAssigned | CaseHandedOff)]
    assert [type(e) for e in moves] == [CaseAssigned, *[CaseHandedOff] * (len(moves) - 1)][: len(moves)]
    assert all(isinstance(b, CaseHandedOff) and b.from_team == a.team for a, b in itertools.pairwise(moves))
    assert (state.assignment.team if state.assignment else None) == (moves[-1].team if moves else None)
    assert [s.number for s in state.steps] == list(range(1, len(state.steps) + 1))
    if any(isinstance(each, ContactReceived) for each in given_):
        assert state.assignment is not None
    assert all(decision.because.text for decision in made)


@given(st.lists(inputs, max_size=8))
def test_an_input_that_came_already_changes_nothing_more(given_: list[Any]) -> None:
    """A hand-off moves on purpose each time; everything else may come twice."""
    steady = [each for each in given_ if not isinstance(each, HandOff | HandoverAsked)]
    once, published, _ = run(NEW, *steady)
    twice, more, _ = run(NEW, *[each for each in steady for _ in range(2)])
    assert (twice.assignment, twice.contact, twice.steps) == (once.assignment, once.contact, once.steps)
    assert [e.model_dump() for e in more] == [e.model_dump() for e in published]


def test_a_breach_counts_until_it_is_withdrawn() -> None:
    broken = ClockBreached.model_construct(
        clock_id=UUID(int=7), version=2, metric="first_reply", instance=1, team="payments", started_at=NOON,
        due_at=NOON, occurred_at=NOON,
    )  # fmt: skip
    after, _, _ = run(NEW, broken, clock(ClockWithdrawn, 3, breached=True))
    assert [(o.version, o.breached) for o in after.outcomes] == [(2, True), (3, False)]
