"""Contacts by JSON: accepted once, on the right case, told to everyone, and safe."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from services.intake.store import claims
from shared.db import Tx
from tests.unit.intake.conftest import CARD, Intake

Replicas = tuple[Intake, Intake]


async def test_a_contact_opens_a_case_and_is_told(intake: Intake) -> None:
    answer = await intake.contact(customer={"email": "Ann@A.Example", "tier": "enterprise"}, tags=["payouts"])
    assert answer["opened_case"] is True
    assert answer["case_number"] == "C-1000"
    [event] = await intake.published()
    assert event["type"] == "contact.received.v1"
    assert (event["contact_id"], event["case_id"]) == (answer["contact_id"], answer["case_id"])
    assert event["customer"]["email"] == "ann@a.example"
    kept = await intake.get(f"/v1/contacts/{answer['contact_id']}")
    assert (kept["subject"], kept["tags"], kept["case_number"]) == ("Payout missing", ["payouts"], "C-1000")
    assert kept["because"]["text"] == "Opened: nothing earlier belongs to it."


async def test_a_second_contact_of_a_thread_joins_its_case(intake: Intake) -> None:
    one = await intake.contact(source="desk", thread="t", external_id="1")
    two = await intake.contact(source="desk", thread="t", external_id="2")
    other = await intake.contact(source="other", thread="t", external_id="2")
    assert (two["case_id"], two["opened_case"]) == (one["case_id"], False)
    assert (other["opened_case"], other["case_number"]) == (True, "C-1001")
    kept = await intake.get(f"/v1/contacts/{two['contact_id']}")
    assert kept["because"]["text"] == "Joined C-1000: the same thread 't'."


async def test_the_same_external_id_again_gives_the_first_answer_and_nothing_new(intake: Intake) -> None:
    """CASES 41."""
    first = await intake.contact(source="desk", thread="t", external_id="1", body="hello")
    intake.clock.advance(timedelta(hours=1))
    again = await intake.contact(source="desk", thread="t", external_id="1", body="hello")
    assert again == first | {"duplicate": True}
    assert (await intake.count("contact"), len(await intake.published())) == (1, 1)


async def test_the_same_external_id_with_other_words_is_a_conflict_and_changes_nothing(intake: Intake) -> None:
    await intake.contact(source="desk", thread="t", external_id="1", body="hello")
    problem = await intake.contact(409, source="desk", thread="elsewhere", external_id="1", body="bye")
    assert "new id" in problem["detail"] or "new one" in problem["detail"]
    fresh = await intake.contact(source="desk", thread="elsewhere", external_id="2")
    assert (fresh["opened_case"], await intake.count("contact")) == (True, 2)


async def test_a_case_number_is_not_spent_on_what_joins_or_repeats(intake: Intake) -> None:
    for _ in range(3):
        await intake.contact(source="desk", thread="t", external_id="1")
    await intake.contact(source="desk", thread="t", external_id="2")
    assert (await intake.contact())["case_number"] == "C-1001"


@pytest.mark.parametrize("key", ["abc", '"abc"'])
async def test_an_idempotency_key_gives_the_first_answer_quoted_or_not(intake: Intake, key: str) -> None:
    first = await intake.contact(key="abc")
    assert await intake.contact(key=key) == first | {"duplicate": True}
    problem = await intake.contact(422, key=key, body="another")
    assert "key" in problem["detail"]
    assert await intake.count("contact") == 1


async def test_a_refused_contact_does_not_use_up_its_idempotency_key(intake: Intake) -> None:
    await intake.contact(source="desk", external_id="1")
    await intake.contact(409, key="k", source="desk", external_id="1", body="other")
    assert (await intake.contact(key="k", source="desk", external_id="2"))["duplicate"] is False


async def test_a_contact_after_the_close_opens_a_follow_up_that_the_thread_stays_with(intake: Intake) -> None:
    one = await intake.contact(source="desk", thread="t")
    intake.clock.advance(timedelta(minutes=1))
    await intake.activity("status_changed", status="closed", source="desk", thread="t")
    intake.clock.advance(timedelta(minutes=1))
    two = await intake.contact(source="desk", thread="t", body="again")
    three = await intake.contact(source="desk", thread="t", body="and again")
    assert (two["opened_case"], three["opened_case"]) == (True, False)
    assert two["case_id"] == three["case_id"] != one["case_id"]
    case = await intake.get(f"/v1/cases/{two['case_number']}")
    assert case["follows"] == one["case_id"]
    assert case["contacts"][0]["because"]["text"] == "Opened as a follow-up: C-1000 was closed before."
    assert await intake.status(one["case_id"]) == "closed"


async def test_times_are_utc_and_the_original_is_kept(intake: Intake) -> None:
    answer = await intake.contact(occurred_at="2026-11-23T12:00:00+02:00")
    kept = await intake.get(f"/v1/contacts/{answer['contact_id']}")
    assert (kept["occurred_at"], kept["stated_at"]) == ("2026-11-23T10:00:00Z", "2026-11-23T10:00:00+00:00")
    answer = await intake.contact()
    assert (await intake.get(f"/v1/contacts/{answer['contact_id']}"))["occurred_at"] == "2026-11-23T12:00:00Z"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"{", 400),
        (b"[]", 422),
        (b"null", 422),
        (b'{"subject": "x", "nonsense": 1}', 422),
        (b'{"subject": "\\u0000"}', 422),
        (b'{"subject": "\\ud800"}', 422),
        (b'{"\\ud800": "x"}', 422),
        (b'{"subject": "x", "attributes": {"n": 1e999}}', 422),
        (b'{"subject": "x", "attributes": {"n": 123456789012345678901234567890}}', 422),
        (b'{"subject": "x", "attributes": ' + b'{"a":' * 200 + b"1" + b"}" * 200 + b"}", 422),
        (b'{"subject": "x", "occurred_at": "2099-01-01T00:00:00Z"}', 422),
        (b'{"subject": "' + b"x" * 2_000_000 + b'"}', 413),
    ],
)
async def test_bad_input_says_what_to_do_and_stores_nothing(intake: Intake, body: bytes, status: int) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await intake.client.post("/v1/contacts", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]
    assert (await intake.count("contact"), await intake.count("claim"), await intake.count("outbox")) == (0, 0, 0)


async def test_one_nul_byte_among_fifty_fails_that_one_alone(intake: Intake) -> None:
    posts = [
        intake.client.post("/v1/contacts", json={"subject": f"n{n}", "body": "\x00" if n == 25 else "x"})
        for n in range(50)
    ]
    answers = await asyncio.gather(*posts)
    assert [n for n, answer in enumerate(answers) if answer.status_code != 202] == [25]
    assert answers[25].status_code == 422
    assert await intake.count("contact") == 49


async def test_no_card_number_is_stored_or_published_anywhere(intake: Intake) -> None:
    """CASES 38."""
    answer = await intake.contact(
        key="k", body=CARD, subject=CARD, attributes={"card": CARD}, tags=[CARD], customer={"name": CARD}, reason=CARD
    )
    await intake.contact(key="k", body=CARD, subject=CARD, attributes={"card": CARD}, tags=[CARD],
                         customer={"name": CARD}, reason=CARD)  # fmt: skip
    await intake.activity("agent_replied", case_id=answer["case_id"], text=CARD, actor=CARD)
    await intake.activity("note_added", source="desk", thread="unknown", text=CARD)
    await intake.mail(f"From: {CARD} <a@a.example>\nSubject: {CARD}\n\n{CARD}")
    await intake.mail(f"no mail, {CARD}")
    await intake.batch([{"subject": CARD}])
    stored = await intake.everything_stored()
    assert "4111 11** **** 1111" in stored
    assert CARD not in stored
    assert (await intake.get(f"/v1/contacts/{answer['contact_id']}"))["redactions"] == {"card": 6}


async def test_scopes_are_needed(intake: Intake) -> None:
    for method, path in (("POST", "/v1/contacts"), ("GET", "/v1/cases"), ("DELETE", "/v1/customers/x")):
        answer = await intake.client.request(method, path, headers={"Authorization": "Bearer nonsense"})
        assert answer.status_code == 401


async def test_what_is_not_there_is_not_found(intake: Intake) -> None:
    for path in ("/v1/contacts/00000000-0000-0000-0000-000000000000", "/v1/cases/C-1", "/v1/cases/nonsense",
                 "/v1/cases/C-99999999999999999999", "/v1/cases/%00", "/v1/volumes/2026-01-01"):  # fmt: skip
        await intake.get(path, 404)


class TestTwoReplicas:
    """The loser of a race waits, and gets the winner's answer."""

    async def test_one_threads_first_two_messages_at_once_are_one_case(self, replicas: Replicas) -> None:
        for n in range(200):
            answers = await asyncio.gather(
                *(
                    each.contact(source="desk", thread=f"t{n}", external_id=f"{n}-{i}")
                    for i, each in enumerate(replicas)
                )
            )
            assert len({answer["case_id"] for answer in answers}) == 1
            assert sorted(answer["opened_case"] for answer in answers) == [False, True]
        assert await replicas[0].count("case_file") == 200

    async def test_one_contact_posted_to_both_at_once_is_one_contact(self, replicas: Replicas) -> None:
        for n in range(20):
            answers = await asyncio.gather(*(each.contact(source="desk", external_id=f"{n}") for each in replicas * 2))
            assert len({answer["contact_id"] for answer in answers}) == 1
            assert sorted(answer["duplicate"] for answer in answers) == [False, True, True, True]
        assert await replicas[0].count("contact") == 20

    async def test_one_idempotency_key_at_both_at_once_is_one_contact(self, replicas: Replicas) -> None:
        answers = await asyncio.gather(*(each.contact(key="k") for each in replicas * 2))
        assert len({answer["contact_id"] for answer in answers}) == 1
        assert await replicas[0].count("contact") == 1

    async def test_one_mail_delivered_to_both_at_once_is_one_contact(self, replicas: Replicas) -> None:
        raw = "From: a@a.example\nMessage-ID: <1@a.example>\nSubject: x\n\nhello"
        answers = await asyncio.gather(*(each.mail(raw, mailbox="help@desk.example") for each in replicas * 2))
        assert len({answer["contact_id"] for answer in answers}) == 1
        assert await replicas[0].count("contact") == 1

    async def test_a_mail_and_its_answer_at_once_are_one_case(self, replicas: Replicas) -> None:
        for n in range(20):
            first = f"From: a@a.example\nCc: b@b.example\nMessage-ID: <1.{n}@x>\nSubject: x\n\nhello"
            reply = (
                f"From: b@b.example\nTo: a@a.example\nMessage-ID: <2.{n}@x>\nIn-Reply-To: <1.{n}@x>\nSubject: Re\n\nhi"
            )
            one, two = await asyncio.gather(replicas[0].mail(first), replicas[1].mail(reply))
            assert one["case_id"] == two["case_id"]

    async def test_batches_in_opposite_order_do_not_block_each_other(self, replicas: Replicas) -> None:
        lines = [{"subject": "x", "source": "desk", "external_id": str(n), "thread": str(n % 7)} for n in range(200)]
        answers = await asyncio.gather(replicas[0].batch(lines), replicas[1].batch(lines[::-1]))
        assert all(line["status"] == 202 for answer in answers for line in answer)
        assert (await replicas[0].count("contact"), await replicas[0].count("case_file")) == (200, 7)

    async def test_an_activity_and_the_first_contact_of_its_thread_at_once_meet(self, replicas: Replicas) -> None:
        for n in range(20):
            contact, _ = await asyncio.gather(
                replicas[0].contact(source="desk", thread=f"t{n}"),
                replicas[1].activity("picked_up", source="desk", thread=f"t{n}"),
            )
            case = await replicas[0].get(f"/v1/cases/{contact['case_id']}")
            assert case["activities_total"] == 1
        assert await replicas[0].count("waiting_activity") == 0

    async def test_a_case_merged_while_a_contact_is_on_its_way_is_followed(
        self, replicas: Replicas, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one, other = replicas
        source = await one.contact(source="desk", thread="t")
        target = await one.contact(source="desk", thread="u")
        real: Callable[[Tx, Any], Awaitable[dict[UUID, UUID]]] = claims.final_cases
        merged: list[bool] = []

        async def found_and_then_merged(tx: Tx, case_ids: Any) -> dict[UUID, UUID]:
            found = await real(tx, case_ids)
            if not merged:
                merged.append(True)
                await other.post(f"/v1/cases/{source['case_id']}/merge", {"into": target["case_id"]}, 200)
            return found

        monkeypatch.setattr(claims, "final_cases", found_and_then_merged)
        late = await one.contact(source="desk", thread="t", body="late")
        assert (merged, late["case_id"]) == ([True], target["case_id"])


async def test_erased_or_deleted_rows_show_in_the_ledger(intake: Intake) -> None:
    await intake.batch([{"subject": "x", "source": "desk", "thread": str(n)} for n in range(3)])
    await intake.mail("no mail")
    hop = "contacts: accepted → case"
    assert await intake.difference(hop) == 0
    async with intake.runtime.db.transaction() as tx:
        await tx.run("DELETE FROM case_file WHERE number = 1001")
    assert await intake.difference(hop) == 1
