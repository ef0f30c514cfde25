"""Contacts repeated through a kill -9 of intake."""

from tests.chaos.repeats import run


def test_contacts_posted_three_times_through_a_kill_are_each_one() -> None:
    run(contacts=400, seed=1)
