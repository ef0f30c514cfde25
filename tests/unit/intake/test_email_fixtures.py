"""Whole mails of many kinds (tests/data/emails) give the text that a person wrote down after reading them."""

import re
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.intake import channels
from services.intake.channels.adapter import Own, Received, Rejected
from services.intake.model import Contact
from shared.contracts.mailids import case_token, message_id
from tests import emails

FOLDER = Path(__file__).parents[2] / "data" / "emails"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
KEY = b"a key"
OWN = Own.of("help@desk.example", "ana@acme.example,acme.example", KEY)
RECEIVED = Received(NOON, "desk", "help@desk.example", own=OWN)
NAMES = sorted(path.stem for path in FOLDER.glob("*.eml"))
CARD = b"4242424242424242"


def read(name: str) -> Contact:
    outcome = channels.read("email", raw(name), RECEIVED)
    contact = outcome.salvage if isinstance(outcome, Rejected) else outcome
    assert contact is not None
    return contact


@cache
def raw(name: str) -> bytes:
    return (FOLDER / f"{name}.eml").read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_the_text_is_what_a_person_reads(name: str) -> None:
    assert read(name).body == (FOLDER / f"{name}.txt").read_text().removesuffix("\n")


def test_only_spam_is_quarantined_of_them() -> None:
    rejected = {name for name in NAMES if isinstance(channels.read("email", raw(name), RECEIVED), Rejected)}
    assert rejected == {"spam-called-so-by-a-filter"}


def test_what_is_taken_off_the_text_is_kept_beside_it() -> None:
    reply = read("gmail-reply")
    assert reply.quoted.startswith("On Mon, Nov 23, 2026 at")
    assert "Which colour do you want?" in reply.quoted
    assert read("signature-and-list-footer").signature.startswith("--\nBob, Fire Department\n____")
    assert read("iphone-reply-french").signature == "Envoyé de mon iPhone"


def test_a_mail_that_an_agent_forwards_is_its_original_senders() -> None:
    pasted, attached = read("forward-by-an-agent-outlook"), read("forward-by-an-agent-attached")
    assert (pasted.customer.email, pasted.customer.name) == ("carl@customer.example", "Carl Customer")
    assert pasted.quoted == "Came to my own address. Please take it."
    assert "forwarded by ana@acme.example" in pasted.remarks
    assert "the original is dated Sunday, November 22, 2026 9:00 AM" in pasted.remarks
    assert (attached.customer.email, attached.quoted) == ("dora@customer.example", "See attached.")
    assert pasted.mail is not None
    assert (pasted.mail.agent, pasted.mail.sender) == ("ana@acme.example", "carl@customer.example")


def test_a_mail_that_a_customer_forwards_stays_theirs() -> None:
    forwarded = read("forward-by-a-customer-german")
    assert forwarded.customer.email == "juergen@kunde.example"
    assert forwarded.mail is not None
    assert (forwarded.subject, forwarded.mail.forwards, forwarded.mail.prefixes) == ("Rechnung", True, ("WG",))


def test_a_form_that_writes_in_our_name_writes_for_whom_it_says() -> None:
    form = read("contact-form")
    assert (form.customer.name, form.customer.email, form.automated) == ("Eve", "eve@customer.example", None)


def test_attachments_are_named_measured_and_known_by_their_content() -> None:
    contact = read("nested-with-attachments")
    image, invoice, broken = contact.attachments
    assert (image.type, image.detected, image.inline) == ("image/png", "image/png", True)
    assert (invoice.name, invoice.type) == ("Rechnung März.pdf", "application/octet-stream")
    assert (invoice.detected, invoice.size) == ("application/pdf", 16)
    assert (broken.name, broken.problem) == ("broken.jpg", "its base64 is damaged")
    assert broken.sha256
    assert broken.size == len("not*base64*at*all")
    assert [(each.name, each.size) for each in read("uuencoded-and-nul").attachments] == [("note.txt", 5)]


def test_a_delivery_report_knows_whom_and_what_it_is_about() -> None:
    mail = read("delivery-report").mail
    assert mail is not None
    assert (mail.bounced, mail.answers) == (("ann@customer.example",), ("1@desk.example",))


def test_a_date_that_cannot_be_true_is_kept_beside_the_time_of_arrival() -> None:
    contact = read("date-in-2099")
    assert (contact.occurred_at, contact.stated_at) == (NOON, "Thu, 1 Jan 2099 00:00:00 +0000")


@pytest.mark.parametrize("name", ["delivery-report", "out-of-office-without-headers"])
def test_what_a_machine_wrote_is_marked(name: str) -> None:
    assert read(name).automated


def test_a_program_under_the_name_of_a_document_is_held() -> None:
    part = (
        b"Content-Type: application/pdf; name=invoice.pdf\nContent-Disposition: attachment\n\nMZ\x90\x00" + b"\x00" * 99
    )
    mail = b"From: a@a.example\nSubject: x\nContent-Type: multipart/mixed; boundary=b\n\n--b\n" + part + b"\n--b--\n"
    held = channels.read("email", mail, RECEIVED)
    assert isinstance(held, Rejected)
    assert held.reason == "disguised_program"
    assert isinstance(channels.read("email", mail.replace(b"invoice.pdf", b"setup.exe"), RECEIVED), Contact)


class TestTokens:
    """CASES 36: what is ours is verified, and read from wherever mail programs leave it."""

    def found(self, headers: str) -> list[tuple[str, int]]:
        outcome = channels.read("email", f"From: ann@a.example\n{headers}\n\nhi".encode(), Received(NOON, own=OWN))
        assert isinstance(outcome, Contact)
        assert outcome.mail is not None
        return [(token.how, token.number) for token in outcome.mail.tokens]

    def test_a_message_id_of_ours(self) -> None:
        signed = message_id("C-4812", "0190-ab", KEY, "tocsin.example")
        assert self.found(f"In-Reply-To: <{signed}>") == [("signed", 4812)]
        assert self.found(f"References: <x@y> <{signed.upper()}>") == [("signed", 4812)]
        assert self.found(f"In-Reply-To: <{signed.replace('4812', '4813')}>") == []

    def test_an_address_with_a_token(self) -> None:
        token = case_token(4812, KEY)
        assert self.found(f"To: Help <help+{token.upper()}@desk.example>") == [("address", 4812)]
        assert self.found(f"Delivered-To: help+{token}@desk.example") == [("address", 4812)]
        assert self.found("To: help+c4812-aaaaaaaaaaaa@desk.example") == []

    def test_a_subject_that_names_the_case(self) -> None:
        assert self.found("Subject: Re: [C-4812] Payout") == [("subject", 4812)]
        assert self.found(f"Subject: Re: Payout [#{case_token(4812, KEY)}]") == [("subject", 4812)]
        assert self.found("Subject: Re: Payout [c4812-aaaaaaaaaaaa] C-1") == []

    def test_our_own_mail_come_back_is_automatic(self) -> None:
        signed = message_id("C-4812", "0190-ab", KEY, "tocsin.example")
        mail = f"From: ann@a.example\nSubject: x\nMessage-ID: <{signed}>\n\nhi".encode()
        outcome = channels.read("email", mail, RECEIVED)
        assert isinstance(outcome, Contact)
        assert outcome.automated == "our own mail come back"

    def test_an_address_of_ours_is_recognized_where_the_caller_does_not_say_the_mailbox(self) -> None:
        mail = f"From: ann@a.example\nTo: help+{case_token(7, KEY)}@desk.example\nSubject: x\n\nhi".encode()
        outcome = channels.read("email", mail, Received(NOON, own=OWN))
        assert isinstance(outcome, Contact)
        assert outcome.mail is not None
        assert outcome.mail.mailbox == "help@desk.example"


@settings(max_examples=150)
@given(st.data())
def test_a_damaged_mail_never_raises_and_never_keeps_a_card(data: st.DataObject) -> None:
    """Real mails with bytes turned, cut short, headers doubled, and a card number somewhere."""
    mail = bytearray(raw(data.draw(st.sampled_from(NAMES))))
    at = data.draw(st.integers(0, len(mail)))
    mail[at:at] = b" " + CARD + b" "
    for place in data.draw(st.lists(st.integers(0, len(mail) - 1), max_size=12)):
        mail[place] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del mail[data.draw(st.integers(0, len(mail))) :]
    if data.draw(st.booleans()):
        lines = bytes(mail).split(b"\n")
        lines.insert(0, lines[data.draw(st.integers(0, len(lines) - 1))])
        mail = bytearray(b"\n".join(lines))
    outcome = channels.read("email", bytes(mail), RECEIVED)
    contact = outcome.salvage if isinstance(outcome, Rejected) else outcome
    kept = (contact.model_dump_json() if contact else "") + repr(outcome)
    assert not re.search(rf"(?<![\w.@/=-]){CARD.decode()}(?![\w@/=-])", kept)
    kept.encode()


def test_what_is_wrong_with_an_attachment_quotes_no_card() -> None:
    mail = raw("uuencoded-and-nul").replace(b"x-uuencode", CARD + b" x-uuencode")
    outcome = channels.read("email", mail, RECEIVED)
    assert isinstance(outcome, Contact)
    assert outcome.attachments[0].problem == "unknown transfer encoding '424242******4242 x-uuencode'"
    assert outcome.redactions == {"card": 1}


def test_the_command_counts_outcomes(capsys: pytest.CaptureFixture[str]) -> None:
    assert emails.main(str(FOLDER), show=False) == 0
    told = capsys.readouterr().out
    assert "quarantined: spam" in told
    assert f"{len(NAMES)} mails" in told
