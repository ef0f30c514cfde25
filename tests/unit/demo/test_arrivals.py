"""The demo's contacts: the same from the same seed, varied, and such that what the demo expects of them follows."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from services.demo import configured
from services.demo.arrivals import URGENT_WITHIN, hero, morning

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
SEEDS = range(12)


def test_the_same_seed_gives_the_same_contacts_and_another_seed_others() -> None:
    assert morning(7, 299, NOW) == morning(7, 299, NOW)
    assert morning(7, 299, NOW) != morning(8, 299, NOW)


def test_one_more_contact_changes_none_of_the_others() -> None:
    assert morning(1, 300, NOW).all[:250] == morning(1, 299, NOW).all[:250]


@pytest.mark.parametrize("seed", SEEDS)
def test_there_are_as_many_as_asked_for_each_with_a_name_of_its_own(seed: int) -> None:
    found = morning(seed, 299, NOW).all
    assert len(found) == 299
    assert len({each.external_id for each in found}) == 299


@pytest.mark.parametrize("seed", SEEDS)
def test_they_are_varied(seed: int) -> None:
    bodies = [each.body for each in morning(seed, 299, NOW).all]
    assert {body["channel"] for body in bodies} == {"email", "web", "chat", "phone", "api"}
    assert len({body["language"] for body in bodies}) == 4
    assert len({body["reason"] for body in bodies}) == 7
    assert len({body["attributes"]["product"] for body in bodies}) == 6
    assert {body["customer"]["tier"] for body in bodies} == {"starter", "business", "enterprise"}
    assert not [body for body in bodies if "{" in body["subject"] + body["body"]], "a slot was left open"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_follow_up_joins_a_case_that_an_earlier_contact_opened(seed: int) -> None:
    day = morning(seed, 299, NOW)
    opened = {each.case: each.body["occurred_at"] for each in day.openers}
    assert len(opened) == len(day.openers)
    assert day.follow_ups
    for each in day.follow_ups:
        assert opened[each.case] < each.body["occurred_at"] <= NOW.isoformat()


@pytest.mark.parametrize("seed", SEEDS)
def test_only_the_late_ones_are_past_their_promise_and_there_are_some(seed: int) -> None:
    late = 0
    for each in morning(seed, 299, NOW).openers:
        age = NOW - datetime.fromisoformat(each.body["occurred_at"])
        assert timedelta(0) < age
        assert (age > URGENT_WITHIN) == each.late
        late += each.late
    assert late


@pytest.mark.parametrize("seed", SEEDS)
def test_an_answer_comes_after_its_contact_and_never_from_the_future(seed: int) -> None:
    day = morning(seed, 299, NOW)
    opened = {each.case: each.body["occurred_at"] for each in day.openers}
    kinds = Counter(each["kind"] for each in day.activities)
    assert kinds["agent_replied"] > kinds["status_changed"] > 0
    for each in day.activities:
        assert opened[each["source"], each["thread"]] < each["occurred_at"] <= NOW.isoformat()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_hero_is_the_only_enterprise_payout(seed: int) -> None:
    def is_enterprise_payout(body: dict[str, object]) -> bool:
        customer = body["customer"]
        assert isinstance(customer, dict)
        return customer["tier"] == "enterprise" and body["reason"] == "payout_delay"

    assert is_enterprise_payout(hero().body)
    assert not [each for each in morning(seed, 299, NOW).all if is_enterprise_payout(each.body)]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_changed_rule_moves_some_cases_and_not_all(seed: int) -> None:
    openers = morning(seed, 299, NOW).openers
    assert 0 < sum(map(configured.would_move, openers)) < len(openers)
