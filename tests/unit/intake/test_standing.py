"""A case's status follows from when things happened, not from when we heard of them."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.decide import decide, merge_problem
from services.intake.model import (
    Absorb,
    Activity,
    Arrival,
    CaseFile,
    Contact,
    Erase,
    Happening,
    MergeInto,
    Standing,
    excerpt,
)
from shared.contracts.contacts import (
    CaseAbsorbed,
    CaseActivity,
    CaseMerged,
    ContactReceived,
    Customer,
    CustomerErased,
)
from shared.contracts.envelope import Because
from shared.contracts.words import ActivityKind, Channel, Status

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
CASE, OTHER = UUID(int=1), UUID(int=2)
WHY = Because(text="Opened.")


def at(minute: float) -> datetime:
    return NOON + timedelta(minutes=minute)


def arrival(minute: float = 0, **fields: object) -> Arrival:
    given = {"channel": Channel.EMAIL, "occurred_at": at(minute), "received_at": at(60)} | fields
    return Arrival(UUID(int=int(100 + minute * 10)), Contact.model_validate(given), 1000, WHY)


def happening(kind: str, minute: float, **fields: object) -> Happening:
    made = Activity(UUID(int=int(50_000 + minute * 10)), ActivityKind(kind), at(minute), at(60), **fields)  # type: ignore[arg-type]
    return Happening(made)


def said(status: str, minute: float) -> Happening:
    return happening("status_changed", minute, status=Status(status))


def after(*commands: object) -> CaseFile:
    file = CaseFile(CASE)
    for command in commands:
        file = decide(file, command, at(60)).state
    return file


def test_a_new_case_opens_with_a_pickup_or_a_public_reply() -> None:
    assert after(arrival()).status == "new"
    assert after(arrival(), happening("picked_up", 1)).status == "open"
    assert after(arrival(), happening("agent_replied", 1, public=True)).status == "open"
    assert after(arrival(), arrival(1)).status == "new"


@pytest.mark.parametrize(
    "nothing",
    [
        happening("agent_replied", 1, public=False),
        happening("agent_replied", 1, public=True, automated=True),
        happening("note_added", 1),
        happening("picked_up", 1, automated=True),
        happening("tags_changed", 1, tags=("x",)),
    ],
)
def test_a_note_or_an_automatic_reply_opens_nothing(nothing: Happening) -> None:
    assert after(arrival(), nothing).status == "new"


@pytest.mark.parametrize("waiting", ["pending", "solved"])
def test_a_customers_word_reopens_what_waited_for_it(waiting: str) -> None:
    assert after(arrival(), said(waiting, 1), arrival(2)).status == "open"
    assert after(arrival(), said(waiting, 1), happening("customer_replied", 2, public=True)).status == "open"


def test_an_absent_customers_automatic_answer_reopens_nothing() -> None:
    """CASES 18."""
    assert after(arrival(), said("solved", 1), arrival(2, automated="Auto-Submitted: auto-replied")).status == "solved"


@pytest.mark.parametrize("firm", ["on_hold", "closed"])
def test_a_customers_word_moves_nothing_that_waits_for_others(firm: str) -> None:
    assert after(arrival(), said(firm, 1), arrival(2)).status == firm


def test_a_status_that_arrives_late_does_not_undo_what_happened_after_it() -> None:
    assert after(arrival(), arrival(3), said("pending", 2)).status == "open"
    assert after(arrival(), said("closed", 5), said("open", 4)).status == "closed"


def test_a_contact_that_happened_before_the_solution_does_not_reopen_it() -> None:
    assert after(arrival(), said("solved", 5), arrival(4)).status == "solved"


def test_a_time_before_the_case_opened_counts_as_its_opening() -> None:
    assert after(arrival(0), said("pending", -1000)).status == "pending"


facts = st.lists(
    st.one_of(
        st.tuples(st.just("said"), st.sampled_from(["new", "open", "pending", "on_hold", "solved", "closed"])),
        st.tuples(st.just("kind"), st.sampled_from(["picked_up", "agent_replied", "customer_replied", "note_added"])),
        st.tuples(st.just("contact"), st.just("")),
    ),
    max_size=8,
)


@given(facts, st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(drawn: list[tuple[str, str]], shuffler: object) -> None:
    commands: list[object] = []
    for minute, (what, which) in enumerate(drawn, start=1):
        if what == "said":
            commands.append(said(which, minute))
        elif what == "kind":
            commands.append(happening(which, minute, public=True))
        else:
            commands.append(arrival(minute))
    shuffled = list(commands)
    shuffler.shuffle(shuffled)  # type: ignore[attr-defined]
    in_order, out_of_order = after(arrival(), *commands), after(arrival(), *shuffled)
    assert out_of_order.standing == in_order.standing
    assert out_of_order.status == in_order.status
    assert out_of_order.status == by_replay(drawn)


def by_replay(drawn: list[tuple[str, str]]) -> Status:
    """The rules told the slow way: one fact after another."""
    status = Status.NEW
    for what, which in drawn:
        if what == "said":
            status = Status(which)
        elif what == "contact" or which == "customer_replied":
            status = Status.OPEN if status in ("pending", "solved") else status
        elif which in ("picked_up", "agent_replied"):
            status = Status.OPEN if status == "new" else status
    return status


def test_two_statuses_of_one_instant_leave_the_later_told() -> None:
    assert Standing().with_status(Status.OPEN, NOON).with_status(Status.SOLVED, NOON).status == "solved"


def test_an_earlier_contact_that_arrives_later_moves_the_opening_back() -> None:
    file = after(arrival(5), arrival(2))
    assert file.opened_at == at(2)
    assert [filed.opened_case for filed in file.contacts] == [True, False]


def test_the_event_of_a_contact_carries_what_others_need_within_bounds() -> None:
    decision = decide(CaseFile(CASE), arrival(body="word " * 20_000, tags=("a",), subject="S", history=True), at(60))
    [event] = decision.events
    assert isinstance(event, ContactReceived)
    assert (event.opened_case, event.case_number, event.history, event.automated) == (True, "C-1000", True, False)
    assert len(event.body) == 16_000
    assert len(event.excerpt) <= 280
    assert decision.because == WHY


def test_an_excerpt_is_one_line_and_ends_at_a_word() -> None:
    assert excerpt("a\n\n b\tc") == "a b c"
    long = excerpt("wörd " * 100)
    assert len(long) <= 280
    assert long.endswith("wörd…")
    assert len(excerpt("x" * 1000)) == 280


def test_another_persons_contact_does_not_become_the_customer_and_a_name_proves_nothing() -> None:
    """CASES 39."""
    ann = arrival(0, customer=Customer(email="ann@a.example", name="Ann"))
    file = after(ann, arrival(1, customer=Customer(email="bob@a.example", name="Ann", tier="gold")))
    assert file.customer == Customer(email="ann@a.example", name="Ann")
    file = after(ann, arrival(1, customer=Customer(email="ann@a.example", name="A. Other", tier="gold")))
    assert file.customer == Customer(email="ann@a.example", name="Ann", tier="gold")
    assert file.participants == ("ann@a.example",)


def test_an_activity_is_told_with_the_fields_of_its_kind() -> None:
    decision = decide(after(arrival()), happening("satisfaction_rated", 2, score=4, scale=5, text="good"), at(60))
    [event] = decision.events
    assert isinstance(event, CaseActivity)
    assert (event.score, event.scale, event.excerpt, event.occurred_at) == (4, 5, "good", at(2))


class TestMerge:
    source = CaseFile(CASE, number=1000, standing=Standing(contacted_at=at(9)), participants=("a@a.example",))
    target = CaseFile(OTHER, number=1001, standing=Standing(Status.SOLVED, at(5)))

    def test_the_source_points_at_the_target_and_is_closed(self) -> None:
        decision = decide(self.source, MergeInto(OTHER, 1001, "ana"), at(10))
        assert (decision.state.merged_into, decision.state.status) == (OTHER, "closed")
        assert decision.events == (
            CaseMerged(case_id=CASE, occurred_at=at(10), into=OTHER, into_number="C-1001", by="ana"),
        )

    def test_the_target_takes_over_people_and_what_is_unanswered(self) -> None:
        decision = decide(self.target, Absorb(self.source, at(9), "ana"), at(10))
        assert decision.state.participants == ("a@a.example",)
        assert decision.state.status == "open", "the source's customer wrote after the target was solved"
        [event] = decision.events
        assert isinstance(event, CaseAbsorbed)
        assert (event.source_case, event.source_number, event.earliest_unanswered_at) == (CASE, "C-1000", at(9))

    def test_cycles_tombstones_and_closed_targets_are_refused(self) -> None:
        merged = CaseFile(OTHER, number=1001, merged_into=CASE)
        closed = CaseFile(OTHER, number=1001, standing=Standing(Status.CLOSED, at(1)))
        assert merge_problem(self.source, self.target) is None
        assert "itself" in (merge_problem(self.source, self.source) or "")
        assert "merged" in (merge_problem(merged, self.source) or "")
        assert "merged" in (merge_problem(self.source, merged) or "")
        assert "closed" in (merge_problem(self.source, closed) or "")


def test_erasing_a_customer_leaves_the_case_and_its_clocks() -> None:
    file = after(arrival(0, customer=Customer(id="cus_1", email="a@a.example"), subject="secret"), said("solved", 3))
    decision = decide(file, Erase(frozenset({"cus_1", "a@a.example"})), at(10))
    assert (decision.state.customer, decision.state.subject, decision.state.participants) == (Customer(), "", ())
    assert (decision.state.number, decision.state.standing) == (1000, file.standing)
    assert decision.events == (CustomerErased(case_id=CASE, occurred_at=at(10), customer_id=""),)


def test_erasing_one_of_two_people_leaves_the_other() -> None:
    file = after(
        arrival(0, customer=Customer(email="a@a.example"), subject="mine"),
        arrival(1, customer=Customer(email="b@a.example")),
    )
    erased = decide(file, Erase(frozenset({"b@a.example"})), at(10)).state
    assert (erased.customer.email, erased.subject, erased.participants) == ("a@a.example", "mine", ("a@a.example",))


def test_an_unknown_command_is_refused() -> None:
    with pytest.raises(TypeError, match="decides about no str"):
        decide(CaseFile(CASE), "nonsense", NOON)
