"""CASES 36, 37, 40, 41 with mails on a real Postgres: which case they join, what is held, what starts no clock."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.intake import budget
from services.intake.store import budgets
from shared.auth import Keys
from shared.contracts.mailids import message_id
from tests.unit.intake.conftest import OURS, Intake

BOX = "help@desk.example"
FOLDER = Path(__file__).parents[2] / "data" / "emails"
JSON = dict[str, Any]


def mail(sender: str = "ann@a.example", subject: str = "Payout", body: str = "hello", **headers: str) -> str:
    fields = {"From": sender, "To": BOX, "Subject": subject} | {n.replace("_", "-"): v for n, v in headers.items()}
    return "".join(f"{name}: {value}\n" for name, value in fields.items()) + f"\n{body}\n"


async def opened(intake: Intake, **headers: str) -> JSON:
    return await intake.mail(mail(Message_ID="<1@a.example>", **headers), mailbox=BOX)


async def token(intake: Intake, case: JSON) -> str:
    return str((await intake.get(f"/v1/cases/{case['case_id']}"))["token"])


def signed(case: JSON) -> str:
    return f"<{message_id(case['case_number'], 'd1', OURS.mail_secret, 'tocsin.example')}>"


async def contact(intake: Intake, answer: JSON) -> JSON:
    return await intake.get(f"/v1/contacts/{answer['contact_id']}")


class TestThreads:
    async def test_an_answer_to_a_mail_that_we_signed_joins_whatever_else_is_lost(self, intake: Intake) -> None:
        """zammad#3695, #3022: systems that rewrite headers."""
        first = await opened(intake)
        answer = await intake.mail(mail(Subject="other", In_Reply_To=signed(first)), mailbox=BOX)
        assert (answer["case_id"], answer["opened_case"]) == (first["case_id"], False)
        assert (await contact(intake, answer))["because"]["text"] == "Joined C-1000: it answers a mail of ours."

    async def test_what_we_signed_goes_before_what_it_answers(self, intake: Intake) -> None:
        first = await opened(intake)
        other = await intake.mail(mail(subject="Login", Message_ID="<2@a.example>"), mailbox=BOX)
        answer = await intake.mail(mail(In_Reply_To="<2@a.example>", References=signed(first)), mailbox=BOX)
        assert answer["case_id"] == first["case_id"] != other["case_id"]

    async def test_the_address_of_a_case_and_its_name_in_a_subject_lead_to_it(self, intake: Intake) -> None:
        first = await opened(intake)
        name = await token(intake, first)
        by_address = await intake.mail(mail(To=f"help+{name}@desk.example", subject="a"), mailbox=BOX)
        by_mailbox = await intake.mail(mail(subject="b"), mailbox=f"help+{name}@desk.example")
        by_subject = await intake.mail(mail(subject=f"Re: [{name}] Payout"), mailbox=BOX)
        by_number = await intake.mail(mail(subject="Re: [C-1000] Payout"), mailbox=BOX)
        assert {each["case_id"] for each in (by_address, by_mailbox, by_subject, by_number)} == {first["case_id"]}

    async def test_a_stranger_appends_nothing_by_any_name(self, intake: Intake) -> None:
        """zammad#5064."""
        first = await opened(intake)
        name = await token(intake, first)
        tries = [
            mail("eve@e.example", In_Reply_To="<1@a.example>"),
            mail("eve@e.example", In_Reply_To=signed(first)),
            mail("eve@e.example", To=f"help+{name}@desk.example"),
            mail("eve@e.example", subject="Re: [C-1000] Payout"),
        ]
        for each in tries:
            answer = await intake.mail(each, mailbox=BOX)
            assert answer["case_id"] != first["case_id"]
            assert "takes no part" in (await contact(intake, answer))["because"]["text"]

    async def test_a_guessed_token_leads_nowhere(self, intake: Intake) -> None:
        first = await opened(intake)
        answer = await intake.mail(mail(To="help+c1000-aaaaaaaaaaaa@desk.example"), mailbox=BOX)
        assert answer["case_id"] != first["case_id"]

    async def test_several_or_nil_in_reply_to_and_no_message_id(self, intake: Intake) -> None:
        first = await opened(intake)
        several = await intake.mail(mail(In_Reply_To="<9@x> <1@a.example>"), mailbox=BOX)
        empty = await intake.mail(mail(subject="Re: Payout", In_Reply_To="", References="<1@a.example>"), mailbox=BOX)
        nil = await intake.mail(mail(subject="Payout", In_Reply_To="<>"), mailbox=BOX)
        assert several["case_id"] == empty["case_id"] == first["case_id"] != nil["case_id"]

    @pytest.mark.parametrize("prefix", ["Fwd", "WG", "TR", "RV"])
    async def test_a_forward_in_any_language_begins_anew(self, intake: Intake, prefix: str) -> None:
        """zammad#4965."""
        first = await opened(intake)
        answer = await intake.mail(mail(subject=f"{prefix}: Payout", In_Reply_To="<1@a.example>"), mailbox=BOX)
        assert answer["case_id"] != first["case_id"]
        assert (await contact(intake, answer))["because"]["text"] == "Opened: it forwards a mail of C-1000."

    async def test_an_old_mail_reused_for_something_new_does_not_reopen_what_is_solved(self, intake: Intake) -> None:
        first = await opened(intake)
        renamed = await intake.mail(mail(subject="Also this", In_Reply_To="<1@a.example>"), mailbox=BOX)
        assert renamed["case_id"] == first["case_id"]  # open: it is still the same conversation
        await intake.activity("status_changed", case_id=first["case_id"], status="solved")
        again = await intake.mail(mail(subject="Re: Payout", In_Reply_To="<1@a.example>", body="no"), mailbox=BOX)
        reused = await intake.mail(mail(subject="Card lost", In_Reply_To="<1@a.example>"), mailbox=BOX)
        assert again["case_id"] == first["case_id"]
        await intake.activity("status_changed", case_id=first["case_id"], status="solved")
        reused = await intake.mail(mail(subject="Card stolen", In_Reply_To="<1@a.example>"), mailbox=BOX)
        assert reused["case_id"] != first["case_id"]
        assert "under another subject" in (await contact(intake, reused))["because"]["text"]

    async def test_a_token_of_a_closed_case_opens_a_follow_up(self, intake: Intake) -> None:
        first = await opened(intake)
        name = await token(intake, first)
        await intake.activity("status_changed", case_id=first["case_id"], status="closed")
        intake.clock.advance(timedelta(minutes=1))
        answer = await intake.mail(mail(To=f"help+{name}@desk.example"), mailbox=BOX)
        assert (await intake.get(f"/v1/cases/{answer['case_id']}"))["follows"] == first["case_id"]
        again = await intake.mail(mail(To=f"help+{name}@desk.example", body="more"), mailbox=BOX)
        assert again["case_id"] == answer["case_id"]

    async def test_two_answers_at_once_to_a_closed_case_open_one_follow_up(
        self, replicas: tuple[Intake, Intake]
    ) -> None:
        first = await opened(replicas[0])
        await replicas[0].activity("status_changed", case_id=first["case_id"], status="closed")
        replicas[0].clock.advance(timedelta(minutes=1))
        mails = [mail(body=f"{n}", In_Reply_To=signed(first)) for n in range(6)]
        answers = await asyncio.gather(*(replicas[n % 2].mail(each, mailbox=BOX) for n, each in enumerate(mails)))
        [follow_up] = {answer["case_id"] for answer in answers}
        assert follow_up != first["case_id"]

    async def test_a_token_of_a_merged_case_leads_to_where_it_went(self, intake: Intake) -> None:
        first = await opened(intake)
        other = await intake.mail(mail(subject="Same", Message_ID="<2@a.example>"), mailbox=BOX)
        name = await token(intake, first)
        await intake.post(f"/v1/cases/{first['case_id']}/merge", {"into": other["case_id"]}, 200)
        answer = await intake.mail(mail(To=f"help+{name}@desk.example"), mailbox=BOX)
        assert answer["case_id"] == other["case_id"]

    async def test_the_same_mail_twice_is_one_contact(self, intake: Intake) -> None:
        first, again = await opened(intake), await opened(intake, Received="by another way")
        assert (again["contact_id"], again["duplicate"]) == (first["contact_id"], True)
        elsewhere = await intake.mail(mail(Message_ID="<1@a.example>"), mailbox="sales@desk.example")
        assert elsewhere["contact_id"] != first["contact_id"]


class TestNoise:
    async def test_an_answer_of_an_absent_person_reopens_nothing(self, intake: Intake) -> None:
        first = await opened(intake)
        await intake.activity("status_changed", case_id=first["case_id"], status="pending")
        intake.clock.advance(timedelta(minutes=1))
        away = mail(subject="Automatische Antwort: Payout", In_Reply_To="<1@a.example>", Auto_Submitted="auto-replied")
        answer = await intake.mail(away, mailbox=BOX)
        assert answer["case_id"] == first["case_id"]
        assert await intake.status(first["case_id"]) == "pending"
        assert [
            e["automated"] for e in await intake.published(first["case_id"]) if e["type"] == "contact.received.v1"
        ] == [
            False,
            True,
        ]

    async def test_a_delivery_report_is_kept_on_the_case_of_the_mail_it_is_about(self, intake: Intake) -> None:
        first = await opened(intake)
        report = (
            f"Return-Path: <>\nFrom: MAILER-DAEMON@mx.example\nTo: {BOX}\nSubject: Undelivered\n"
            "Content-Type: multipart/report; report-type=delivery-status; boundary=r\n\n--r\n\nnot delivered\n--r\n"
            "Content-Type: message/delivery-status\n\nFinal-Recipient: rfc822; ann@a.example\n--r\n"
            f"Content-Type: text/rfc822-headers\n\nMessage-ID: {signed(first)}\n--r--\n"
        )
        answer = await intake.mail(report, mailbox=BOX)
        assert answer["case_id"] == first["case_id"]
        assert (await contact(intake, answer))["automated"] == "a delivery report"

    async def test_a_mail_of_one_of_us_on_a_case_is_no_customers_word(self, intake: Intake) -> None:
        first = await opened(intake)
        answer = await intake.mail(mail("ana@acme.example", subject="Re: x", In_Reply_To=signed(first)), mailbox=BOX)
        kept = await contact(intake, answer)
        assert (answer["case_id"], kept["automated"]) == (
            first["case_id"],
            "written by one of us, ana@acme.example",
        )
        assert (await intake.get(f"/v1/cases/{first['case_id']}"))["customer"]["email"] == "ann@a.example"

    async def test_two_desks_that_answer_each_other_stop_counting(self, intake: Intake) -> None:
        """freescout#2445, #3670: nothing in their headers says that they are machines."""
        await opened(intake)
        marks = []
        for n in range(budget.LIMIT + 5):
            intake.clock.advance(timedelta(seconds=10))
            answer = await intake.mail(
                mail(subject="Re: Payout", body=f"{n}", In_Reply_To="<1@a.example>"), mailbox=BOX
            )
            marks.append((await contact(intake, answer))["automated"])
        assert marks[: budget.LIMIT - 1] == [None] * (budget.LIMIT - 1)
        assert all("over budget" in mark for mark in marks[budget.LIMIT :])
        other = await intake.mail(mail("bob@b.example", Message_ID="<b@b>"), mailbox=BOX)
        assert (await contact(intake, other))["automated"] is None
        intake.clock.advance(timedelta(hours=3))
        later = await intake.mail(mail(subject="Re: Payout", body="later", In_Reply_To="<1@a.example>"), mailbox=BOX)
        assert (await contact(intake, later))["automated"] is None

    async def test_replicas_share_a_senders_budget(self, replicas: tuple[Intake, Intake]) -> None:
        mails = [mail(body=f"{n}", Message_ID=f"<{n}@a.example>") for n in range(budget.LIMIT + 6)]
        answers = await asyncio.gather(*(replicas[n % 2].mail(each, mailbox=BOX) for n, each in enumerate(mails)))
        kept = [await contact(replicas[0], answer) for answer in answers]
        assert sum(each["automated"] is not None for each in kept) == 6

    async def test_an_import_and_repeats_spend_nothing_and_rows_are_forgotten(self, intake: Intake) -> None:
        await intake.mail(mail(Message_ID="<h@a>"), mailbox=BOX, history="true")
        assert await intake.count("sender_budget") == 0
        await opened(intake)
        await opened(intake)
        async with intake.runtime.db.transaction() as tx:
            assert await tx.scalar("SELECT sum(mails) FROM sender_budget") == 1
            intake.clock.advance(timedelta(hours=3))
            assert await budgets.forget(tx, intake.clock.now()) == 1


@pytest.mark.parametrize("seed", range(4))
async def test_damaged_mails_are_answered_202_and_keep_no_card(intake: Intake, seed: int) -> None:
    """Bytes turned at places that depend on the seed; what a sender does to a mail is no error of ours."""
    paths = sorted(FOLDER.glob("*.eml"))
    for n, path in enumerate(paths[seed % 2 :: 2]):
        raw = bytearray(path.read_bytes())
        for turn in range(seed):
            raw[(turn * 7919 + n * 104729 + seed * 1299709) % len(raw)] = (turn * 31 + seed * 17) % 256
        cut = len(raw) - (seed * 37) % 200
        answer = await intake.mail(bytes(raw[:cut]) + b"\n" + b"4242 4242 4242 4242\n", mailbox=BOX)
        assert answer.get("contact_id") or answer["quarantined"]
    assert "4242 4242 4242 4242" not in await intake.everything_stored()


class TestQuarantine:
    """CASES 40: held with a reason, listed, inspected, released or dropped; never lost."""

    async def test_spam_is_held_until_a_person_releases_it(self, intake: Intake) -> None:
        held = await intake.mail(mail(X_Spam_Flag="YES", body="win a prize"), mailbox=BOX)
        assert (held["quarantined"], held["reason"]) == (True, "spam")
        assert await intake.count("contact") == 0
        [listed] = (await intake.get("/v1/quarantine", state="open"))["items"]
        assert (listed["sender"], listed["mailbox"]) == ("ann@a.example", BOX)
        assert (await intake.get(f"/v1/quarantine/{held['id']}"))["body"] == "win a prize"
        released = await intake.post(f"/v1/quarantine/{held['id']}/release")
        assert (await contact(intake, released))["body"] == "win a prize"
        await intake.post(f"/v1/quarantine/{held['id']}/release", status=409)

    async def test_a_dropped_one_keeps_why_and_nothing_else(self, intake: Intake) -> None:
        held = await intake.mail(mail(X_Spam_Flag="YES", body="win a prize"), mailbox=BOX)
        await intake.post(f"/v1/quarantine/{held['id']}/drop", {"reason": "spam"}, 200)
        kept = await intake.get(f"/v1/quarantine/{held['id']}")
        assert (kept["state"], kept["settled_why"], kept["body"]) == ("dropped", "spam", None)
        assert "prize" not in await intake.everything_stored()

    @pytest.mark.parametrize(
        ("raw", "reason"),
        [
            (b"\x00\xff\xfe binary", "not_an_email"),
            (b"Subject: x\n" + b"Content-Type: message/rfc822\n\n" * 10_000, "too_deep"),
            (b"Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 10_000, "too_many_parts"),
        ],
    )
    async def test_what_cannot_be_read_is_answered_202_with_a_reason(
        self, intake: Intake, raw: bytes, reason: str
    ) -> None:
        assert (await intake.mail(raw, mailbox=BOX))["reason"] == reason
        assert await intake.difference("contacts: accepted → case") == 0

    async def test_the_quoted_and_the_signed_are_shown_and_redacted(self, intake: Intake) -> None:
        card = "4242 4242 4242 4242"
        body = f"new\n\n-- \ncard {card}\n\n> old {card}"
        answer = await intake.mail(mail(subject="Re: x", body=body), mailbox=BOX)
        kept = await contact(intake, answer)
        assert (kept["body"], kept["quoted"]) == ("new", "> old 4242 42** **** 4242")
        assert kept["signature"] == "--\ncard 4242 42** **** 4242"
        assert card not in await intake.everything_stored()


async def test_every_replica_signs_with_the_same_secret(replicas: tuple[Intake, Intake]) -> None:
    made = [Keys(each.keys_db, each.clock, each.runtime.ids).shared_secret("mail") for each in replicas * 3]
    assert len(set(await asyncio.gather(*made))) == 1
