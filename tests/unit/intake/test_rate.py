"""Contact rate: contacts over the volumes of their days, by what they have in common."""

from datetime import date
from typing import Any

import pytest

from shared.contracts.words import WATCHER
from tests.unit.intake.conftest import Intake

PATH = "/v1/contact-rate"


async def scene(intake: Intake) -> None:
    """Two days: the first with volumes, of the second only the customers are known."""
    lines: list[dict[str, Any]] = [
        {"subject": "a", "reason": "payout", "channel": "email", "occurred_at": "2026-11-20T23:30:00Z", "thread": "1"},
        {"subject": "b", "reason": "payout", "channel": "phone", "occurred_at": "2026-11-20T09:00:00Z", "thread": "1"},
        {"subject": "c", "reason": "login", "channel": "email", "occurred_at": "2026-11-20T10:00:00Z"},
        {"subject": "d", "channel": "chat", "occurred_at": "2026-11-21T10:00:00Z"},
    ]
    await intake.batch(lines)
    await intake.client.put("/v1/volumes/2026-11-20", json={"active_customers": 200, "transactions": 1_000})
    await intake.client.put("/v1/volumes/2026-11-21", json={"active_customers": 100})


async def test_the_rate_of_a_day_is_contacts_over_its_volumes(intake: Intake) -> None:
    await scene(intake)
    found = await intake.get(PATH, **{"from": "2026-11-20", "until": "2026-11-22"})
    first, second, third = found["days"]
    assert (first["contacts"], first["cases"], first["active_customers"], first["transactions"]) == (3, 2, 200, 1_000)
    assert (first["per_active_customer"], first["per_transaction"]) == (3 / 200, 3 / 1_000)
    assert [(each["name"], each["contacts"], each["per_transaction"]) for each in first["groups"]] == [
        ("payout", 2, 2 / 1_000), ("login", 1, 1 / 1_000),
    ]  # fmt: skip
    assert (second["per_active_customer"], second["per_transaction"]) == (1 / 100, None)
    assert [(each["name"], each["contacts"]) for each in second["groups"]] == [(None, 1)]
    assert (third["contacts"], third["active_customers"], third["per_active_customer"]) == (0, None, None)


async def test_the_rate_of_many_days_counts_only_days_whose_denominator_is_known(intake: Intake) -> None:
    await scene(intake)
    found = await intake.get(PATH, **{"from": "2026-11-20", "until": "2026-11-22"})
    assert (found["from"], found["until"], found["contacts"], found["cases"]) == ("2026-11-20", "2026-11-22", 4, 3)
    assert (found["active_customers"], found["contacts_with_active_customers"]) == (300, 4)
    assert (found["transactions"], found["contacts_with_transactions"]) == (1_000, 3)
    assert (found["per_active_customer"], found["per_transaction"]) == (4 / 300, 3 / 1_000)
    assert [(each["name"], each["contacts"]) for each in found["groups"]] == [("payout", 2), (None, 1), ("login", 1)]


async def test_a_day_is_the_zones_and_the_biggest_groups_have_names(intake: Intake) -> None:
    await scene(intake)
    query = {"from": "2026-11-20", "until": "2026-11-21", "time_zone": "Europe/Madrid", "by": "channel", "groups": "1"}
    found = await intake.get(PATH, **query)
    assert [day["contacts"] for day in found["days"]] == [2, 2]  # half past eleven in London is the next day in Madrid
    assert [(each["name"], each["others"], each["contacts"]) for each in found["groups"]] == [
        ("email", False, 2), (None, True, 2),
    ]  # fmt: skip


async def test_a_machines_mail_is_no_contact_of_a_customer(intake: Intake) -> None:
    await intake.mail("From: a@b.example\r\nAuto-Submitted: auto-replied\r\nSubject: Out of office\r\n\r\nAway.")
    found = await intake.get(PATH, **{"from": "2026-11-23", "until": "2026-11-23"})
    assert found["contacts"] == 0


async def test_the_watchers_contact_is_no_contact_of_a_customer(intake: Intake) -> None:
    await intake.batch([{"subject": "w", "source": WATCHER, "occurred_at": "2026-11-20T10:00:00Z"}])
    found = await intake.get(PATH, **{"from": "2026-11-20", "until": "2026-11-20", "by": "source"})
    assert (found["contacts"], found["groups"]) == (0, [])


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"from": "2026-11-21", "until": "2026-11-20"}, "366 days"),
        ({"from": "2020-01-01", "until": "2026-11-20"}, "366 days"),
        ({"from": "0001-01-01", "until": "0001-01-01"}, "366 days"),
        ({"from": "2026-11-20", "until": "2026-11-20", "time_zone": "Mars/Base"}, "IANA"),
        ({"from": "2026-11-20"}, "until"),
        ({"from": "2026-11-20", "until": "2026-11-20", "by": "mood"}, "by"),
    ],
)
async def test_a_wrong_question_says_what_to_ask(intake: Intake, query: dict[str, str], told: str) -> None:
    assert told in str(await intake.get(PATH, 422, **query))


async def test_a_year_of_days_is_answered(intake: Intake) -> None:
    found = await intake.get(PATH, **{"from": "2025-11-23", "until": "2026-11-22"})
    assert [found["days"][n]["date"] for n in (0, -1)] == ["2025-11-23", str(date(2026, 11, 22))]
