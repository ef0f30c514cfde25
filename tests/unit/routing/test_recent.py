"""Rules may ask how often a customer contacted us of late; the answer is kept with the contact."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.routing.model import Heard, Recency
from services.routing.recent import DAY, MAX_HEARD, WEEK, count, heard
from services.routing.store import contact as stored_contact
from shared.contracts.contacts import CustomerErased
from tests.unit.routing.conftest import NOON, Routing, case, contact

ANA = {"id": "cus_1", "email": "ana@acme.example"}


def at(hours: float, number: int = 1, who: str = "ana") -> Heard:
    """A contact so many hours ago."""
    return Heard(UUID(int=number), who, NOON - timedelta(hours=hours))


def test_this_contact_counts_too_and_each_once() -> None:
    others = [at(0, 1), at(1, 2), at(23.9, 3), at(24, 4), at(167, 5), at(168, 6), at(1, 7, "li"), at(1, 2)]
    assert count(at(0, 1), others, NOON) == Recency(3, 5)


def test_what_came_after_a_contact_is_not_counted_for_it() -> None:
    assert count(at(2, 1), [at(1, 2), at(3, 3)], NOON) == Recency(2, 2)


def test_a_contact_from_long_ago_has_no_count() -> None:
    assert count(at(25, 1), [], NOON) is None


@given(st.lists(st.floats(0, 400), max_size=30), st.floats(0, 24))
def test_counts_are_those_of_the_windows(hours: list[float], ago: float) -> None:
    others = [at(each, number) for number, each in enumerate(hours, 2)]
    this = at(ago, 1)
    before = [this.at - each.at for each in others if each.at <= this.at]
    assert count(this, others, NOON) == Recency(
        1 + sum(each < DAY for each in before), 1 + sum(each < WEEK for each in before)
    )


def test_counting_ends_somewhere() -> None:
    assert count(at(0, 1), [at(1, n) for n in range(2, 1_000)], NOON) == Recency(MAX_HEARD, MAX_HEARD)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"id": "a", "email": "x@y"}, {"id": "a", "email": "z@y"}, True),
        ({"email": "X@y"}, {"email": "x@Y"}, True),
        ({"id": "a"}, {"id": "b"}, False),
        ({"id": "+1"}, {"phone": "+1"}, False),
    ],
)
def test_a_customer_is_known_by_id_else_email_else_phone(one: Any, other: Any, same: bool) -> None:
    first, second = heard(contact(1, customer=one), NOON), heard(contact(2, customer=other), NOON)
    assert first
    assert second
    assert (first.customer == second.customer) == same


def test_nobody_and_no_person_are_not_counted() -> None:
    assert heard(contact(1, customer={"name": "Ana"}), NOON) is None
    assert heard(contact(1, customer=ANA, automated=True), NOON) is None


async def often(routing: Routing) -> None:
    rule = {"id": "often", "when": "contact.customer.contacts_24h >= 3", "then": {"team": "frontline", "tags": ["3rd"]}}
    body = {"rules": [rule], "fallback": {"team": "frontline"}}
    assert (await routing.client.post("/v1/rulesets", json=body)).status_code == 201
    assert (await routing.client.post("/v1/rulesets/2/activate")).status_code == 200


async def placed(routing: Routing, number: int) -> Any:
    return (await routing.client.get(f"/v1/cases/{case(number)}/assignment")).json()


async def test_the_third_contact_in_a_day_is_routed_so_and_says_why(routing: Routing) -> None:
    await often(routing)
    await routing.take(contact(1, customer=ANA, occurred_at=NOON - timedelta(hours=30)))
    await routing.take(contact(2, customer=ANA, occurred_at=NOON - timedelta(hours=3)))
    await routing.take(*(contact(n, customer=ANA) for n in (3, 4)), contact(5, customer={"id": "li"}))
    found = [(await placed(routing, n))["rule"] for n in (2, 3, 4, 5)]
    assert found == [None, "often", "often", None]
    said = (await placed(routing, 4))["because"]
    assert said["facts"]["inputs"] == {"contact.customer.contacts_24h": 3}
    assert (await placed(routing, 5))["why_not"][0]["because"] == "contacts in 24 hours is 1, not 3 or more"


async def test_an_unknown_customer_matches_no_count_and_says_so(routing: Routing) -> None:
    """CASES 34."""
    await often(routing)
    await routing.take(contact(1))
    assert (await placed(routing, 1))["why_not"][0]["because"] == "contacts in 24 hours is unknown"


async def test_a_contact_delivered_again_counts_once(routing: Routing) -> None:
    for _ in range(3):
        await routing.take(contact(1, customer=ANA))
    await routing.take(contact(2, customer=ANA))
    async with routing.runtime.db.transaction() as tx:
        facts = await stored_contact(tx, case(2))
    assert facts
    assert (facts.customer.contacts_24h, facts.customer.contacts_7d) == (2, 2)


async def test_what_counts_no_more_is_forgotten_and_what_is_erased_is_gone(routing: Routing) -> None:
    await routing.take(contact(1, customer=ANA), contact(2, customer={"id": "li"}))
    await routing.take(CustomerErased(case_id=case(2), occurred_at=NOON, customer_id="li"))
    assert await routing.count("recent_contact") == 1
    routing.clock.advance(timedelta(days=9))
    await routing.take(contact(3, customer={"id": "zoe"}, occurred_at=NOON + timedelta(days=9)))
    assert await routing.count("recent_contact") == 1
