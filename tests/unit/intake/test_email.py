"""CASES 36, 37, 40: any bytes become a contact or a named rejection, and a mail becomes what a person would read."""

import base64
import time
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.intake import channels
from services.intake.channels.adapter import Received, Rejected
from services.intake.model import Attachment, Contact
from shared.contracts.words import Channel

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
BOX = "help@desk.example"
CARD = "4242 4242 4242 4242"


def read(raw: bytes | str, history: bool = False) -> Contact:
    outcome = channels.read("email", _bytes(raw), Received(NOON, "desk", BOX, history))
    assert isinstance(outcome, Contact), outcome
    return outcome


def refused(raw: bytes | str) -> Rejected:
    outcome = channels.read("email", _bytes(raw), Received(NOON, "desk", BOX))
    assert isinstance(outcome, Rejected), outcome
    return outcome


def _bytes(raw: bytes | str) -> bytes:
    return raw.encode() if isinstance(raw, str) else raw


def mail(headers: str = "", body: str = "Hello") -> str:
    return f"From: Ann <ann@a.example>\nTo: {BOX}\nSubject: Help\n{headers}\n{body}\n".replace("\n\n\n", "\n\n", 1)


def test_a_plain_mail() -> None:
    contact = read(
        "Date: Mon, 23 Nov 2026 11:00:00 +0100\r\nFrom: =?utf-8?q?Ann_=C3=89?= <Ann@A.Example>\r\n"
        "To: Help <help@desk.example>, bob@b.example\r\nCc: Eve <eve@e.example>\r\n"
        "Subject: =?iso-8859-1?Q?Gr=FC=DFe?=\r\nMessage-ID: <3@x>\r\nIn-Reply-To: <2@x>\r\n"
        "References: <0@x> <1@x>\r\n <2@x>\r\n\r\n"
        "Hello,\r\nwhere is it?\r\n"
    )
    assert (contact.channel, contact.source, contact.received_at) == (Channel.EMAIL, "desk", NOON)
    assert contact.occurred_at == datetime(2026, 11, 23, 10, tzinfo=UTC)
    assert contact.stated_at == "Mon, 23 Nov 2026 11:00:00 +0100"
    assert (contact.customer.name, contact.customer.email) == ("Ann É", "ann@a.example")
    assert (contact.subject, contact.body) == ("Grüße", "Hello,\nwhere is it?")
    assert contact.mail is not None
    assert contact.mail.message_id == "3@x"
    assert contact.mail.answers == ("2@x", "1@x", "0@x")
    assert contact.mail.participants == ("ann@a.example", "bob@b.example", "eve@e.example")
    assert (contact.automated, contact.remarks) == (None, ())


def test_the_plain_form_is_preferred_unless_it_is_empty() -> None:
    both = EmailMessage()
    both["From"], both["Subject"] = "ann@a.example", "x"
    both.set_content("plain words")
    both.add_alternative("<p>rich words</p>", subtype="html")
    assert read(both.as_bytes()).body == "plain words"
    empty = EmailMessage()
    empty["From"], empty["Subject"] = "ann@a.example", "x"
    empty.set_content(" \n")
    empty.add_alternative("<p>rich <b>words</b></p>", subtype="html")
    contact = read(empty.as_bytes())
    assert (contact.body, contact.attachments) == ("rich words", ())


def test_attachments_are_told_of_and_not_kept() -> None:
    message = EmailMessage()
    message["From"], message["Subject"] = "ann@a.example", "x"
    message.set_content("see attached")
    message.add_attachment(b"12345", maintype="application", subtype="pdf", filename=f"card {CARD} größe.pdf")
    message.add_attachment("inner text", filename="C:\\tmp\\notes.txt")
    contact = read(message.as_bytes())
    assert contact.body == "see attached"
    first, second = contact.attachments
    assert first == Attachment(name="card 4242 42** **** 4242 größe.pdf", type="application/pdf", size=5)
    assert (second.name, second.type) == ("notes.txt", "text/plain")
    assert "MTIzNDU" not in contact.model_dump_json()


def test_a_mail_forwarded_as_an_attachment_says_what_the_inner_one_says() -> None:
    inner = EmailMessage()
    inner["From"], inner["Subject"] = "bob@b.example", "The inner one"
    inner.set_content("inner words")
    outer = EmailMessage()
    outer["From"], outer["Subject"] = "ann@a.example", "Fwd"
    outer.add_attachment(inner)
    contact = read(outer.as_bytes())
    assert (contact.customer.email, contact.body) == ("ann@a.example", "inner words")
    assert [each.name for each in contact.attachments] == ["The inner one"]


@pytest.mark.parametrize(
    ("charset", "text"),
    [
        ("utf-8", "Grüße, 漢字"),
        ("iso-8859-1", "Grüße"),
        ("windows-1252", "“Grüße” – 5 €"),
        ("koi8-r", "Привет"),
        ("windows-1251", "Привет"),
        ("iso-2022-jp", "まみむめも"),
        ("shift_jis", "あいうえお"),
        ("euc-jp", "あいうえお"),
        ("gb2312", "汉字"),
        ("gb18030", "汉字"),
        ("big5", "漢字"),
        ("euc-kr", "한국말"),
        ("utf-16", "Grüße"),
        ("utf-7", "Grüße"),
        ("iso-8859-15", "5 €"),
        ("tis-620", "สวัสดี"),
    ],
)
def test_any_charset(charset: str, text: str) -> None:
    body = base64.b64encode(text.encode(charset)).decode()
    headers = f"Content-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: base64\n"
    assert read(mail(headers, body)).body == text


@pytest.mark.parametrize("charset", ["", "nonsense", "us-ascii", "zlib", "punycode", "unicode_escape", "undefined"])
def test_a_missing_wrong_or_hostile_charset_still_gives_words(charset: str) -> None:
    headers = f"Content-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: 8bit\n"
    assert read(mail(headers, "Grüße").encode()).body == "Grüße"
    assert read(mail(headers, "Grüße").encode("latin-1")).body == "Grüße"


def test_eight_bit_headers_are_read_in_the_charset_of_the_text() -> None:
    raw = mail("Content-Type: text/plain; charset=koi8-r\n", "x").replace("Help", "Привет").encode("koi8-r")
    assert read(raw).subject == "Привет"
    assert read(mail().replace("Help", "Grüße").encode()).subject == "Grüße"


def test_a_letter_split_between_two_encoded_words() -> None:
    first, second = (base64.b64encode(half).decode() for half in ("漢".encode()[:2], "漢".encode()[2:]))
    assert read(mail().replace("Help", f"=?utf-8?B?{first}?=\n =?utf-8?B?{second}?= end")).subject == "漢 end"


def test_names_of_files_by_rfc_2231() -> None:
    name = "filename*0*=utf-8''%C3%A4;\n filename*1=b.pdf"
    headers = f"Content-Type: application/pdf\nContent-Disposition: attachment;\n {name}\n"
    assert [each.name for each in read(mail(headers, "x")).attachments] == ["äb.pdf"]


@pytest.mark.parametrize(
    ("field", "name", "address"),
    [
        ("Ann <ann@a.example>", "Ann", "ann@a.example"),
        ('"Last, Ann" <ann@a.example>', "Last, Ann", "ann@a.example"),
        ("ann@a.example (Ann (the) First)", None, "ann@a.example"),
        ("ann@a.example, Bob <bob@b.example>", None, "ann@a.example"),
        ("Friends: ann@a.example;", None, "ann@a.example"),
        ("<ann@a.example>", None, "ann@a.example"),
        ("Ann ann@a.example", "Ann", "ann@a.example"),
        ("Ann", "Ann", None),
        ('"Ann \\"A\\" B" <ann@a.example>', "Ann A B", "ann@a.example"),
        ("=?utf-8?q?Ann=2C_B?= <ann@a.example>", "Ann, B", "ann@a.example"),
        ("ann@a.example <bob@b.example>", "ann@a.example", "bob@b.example"),
        ("((((" * 1000 + "Ann <ann@a.example>", None, None),
    ],
)
def test_senders_as_people_write_them(field: str, name: str | None, address: str | None) -> None:
    contact = read(f"From: {field}\nSubject: x\n\nbody")
    assert (contact.customer.name, contact.customer.email) == (name, address)


def test_no_from_falls_back_to_who_sent_it() -> None:
    assert read("Sender: ann@a.example\nSubject: x\n\nbody").customer.email == "ann@a.example"
    assert read("Subject: x\n\nbody").customer.email is None


@pytest.mark.parametrize(
    "date",
    [
        "",
        "Date: \n",
        "Date: yesterday\n",
        "Date: Thu, 1 Jan 1970 00:00:00 +0000\n",
        "Date: Thu, 1 Jan 2099 00:00:00 +0000\n",
        "Date: Thu, 99 Foo 20260 99:99:99 +9999\n",
    ],
)
def test_no_date_or_one_that_cannot_be_true_is_the_time_of_arrival(date: str) -> None:
    contact = read(mail(date))
    assert contact.occurred_at == NOON
    assert any("the time of arrival counts" in remark for remark in contact.remarks)


def test_a_senders_clock_that_is_ahead_dates_nothing_into_the_future() -> None:
    ahead = format_datetime(NOON + timedelta(hours=3))
    contact = read(mail(f"Date: {ahead}\n"))
    assert (contact.occurred_at, contact.stated_at) == (NOON, ahead)


def test_old_mail_keeps_its_date_only_when_it_is_imported() -> None:
    old = mail("Date: Mon, 1 Jun 2020 10:00:00 +0000\n")
    assert read(old).occurred_at == NOON
    assert read(old, history=True).occurred_at == datetime(2020, 6, 1, 10, tzinfo=UTC)


class TestAutomatic:
    """CASES 37, 18: kept on the case, and marked."""

    @pytest.mark.parametrize(
        "header",
        [
            "Auto-Submitted: auto-replied",
            "Auto-Submitted: auto-generated; x=y",
            "Auto-Submitted: 4242424242424242",
            "Precedence: bulk",
            "Precedence: JUNK",
            "X-Auto-Response-Suppress: DR, OOF, AutoReply",
            "X-Autoreply: yes",
            "X-Loop: ann@a.example",
            "Return-Path: <>",
            "List-Id: News <news.shop.example>",
            "List-Unsubscribe: <mailto:x@shop.example>",
            'Content-Type: multipart/report; boundary="b"',
        ],
    )
    def test_by_its_headers(self, header: str) -> None:
        assert read(mail(f"{header}\n")).automated

    @pytest.mark.parametrize("sender", [BOX, "MAILER-DAEMON@mx.example", "postmaster@mx.example"])
    def test_by_its_sender(self, sender: str) -> None:
        assert read(mail().replace("ann@a.example", sender)).automated

    @pytest.mark.parametrize(
        "header",
        ["Auto-Submitted: no", "Return-Path: <ann@a.example>", "Precedence: normal", "X-Auto-Response-Suppress: None"],
    )
    def test_a_persons_mail_is_not(self, header: str) -> None:
        assert read(mail(f"{header}\n")).automated is None

    @pytest.mark.parametrize("header", ["List-Id: <help.desk.example>", "List-Post: <mailto:help@desk.example>"])
    def test_mail_through_our_own_group_is_a_persons(self, header: str) -> None:
        assert read(mail(f"{header}\nPrecedence: list\nList-Unsubscribe: <mailto:x@desk.example>\n")).automated is None


class TestBroken:
    """CASES 40: quarantined, never dropped; and whatever can be read is read."""

    def test_no_mail_at_all(self) -> None:
        rejected = refused("just words, no headers")
        assert rejected.reason == "not_an_email"
        assert rejected.salvage is not None
        assert rejected.salvage.body == "just words, no headers"

    @pytest.mark.parametrize("raw", [bytes(range(256)) * 40, b"\x00", b"\x89PNG\r\n\x1a\n" + b"\xff" * 500])
    def test_binary(self, raw: bytes) -> None:
        rejected = refused(raw)
        assert (rejected.reason, rejected.salvage, rejected.raw) == ("not_an_email", None, None)

    def test_a_multipart_that_does_not_say_so(self) -> None:
        parts = "----=_x\nContent-Type: text/html\n\n<p>Hello</p>\n----=_x--"
        assert read(mail("Content-Type: text/plain\n", parts)).body == "Hello"

    def test_a_boundary_of_another_name(self) -> None:
        parts = "--other\nContent-Type: text/plain\n\nHello\n--other--"
        assert read(mail("Content-Type: multipart/mixed; boundary=said\n", parts)).body == "Hello"

    def test_a_boundary_in_pieces(self) -> None:
        named = "Content-Type: multipart/mixed; boundary*0*=us-ascii''a%2d; boundary*1*=b\n"
        assert read(mail(named, "--a-b\n\nHello\n--a-b--")).body == "Hello"

    def test_a_mail_within_a_mail_that_is_encoded(self) -> None:
        inner = base64.b64encode(b"Subject: inner\r\nContent-Type: text/plain\r\n\r\nHello").decode()
        head = "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n"
        assert read(mail(head, inner)).body == "Hello"

    def test_mails_within_encoded_mails_are_counted(self) -> None:
        raw = b"Subject: x\n\nhello"
        for _ in range(20):
            raw = b"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n" + base64.b64encode(raw)
        assert refused(raw).reason == "too_deep"

    def test_text_that_claims_to_be_base64(self) -> None:
        assert read(mail("Content-Transfer-Encoding: base64\n", "Hello, where is it?")).body == "Hello, where is it?"

    def test_a_footer_behind_base64(self) -> None:
        said = base64.b64encode("Grüße".encode()).decode()
        assert read(mail("Content-Transfer-Encoding: base64\n", f"{said} ignored")).body == "Grüße"

    @pytest.mark.parametrize("charset", ["gb2312", "koi8-r", "windows-1251", "big5", "iso-8859-2"])
    def test_utf_8_that_claims_to_be_another_charset(self, charset: str) -> None:
        raw = f"Subject: x\nContent-Type: text/plain; charset={charset}\n\nОплата не прошла".encode()
        assert read(raw).body == "Оплата не прошла"

    @pytest.mark.parametrize(("charset", "words"), [("gb18030", "联通付款"), ("koi8-r", "Оплата"), ("big5", "付款")])
    def test_a_charset_that_says_the_truth(self, charset: str, words: str) -> None:
        raw = f"Subject: x\nContent-Type: text/plain; charset={charset}\n\n".encode() + words.encode(charset)
        assert read(raw).body == words

    def test_control_characters_are_shown_as_what_cannot_be_read(self) -> None:
        contact = read("Subject: =?utf-8?q?a=1b[2Jb?=\n\nx\x1b]0;title\x07y\tz")
        assert (contact.subject, contact.body) == ("a\ufffd[2Jb", "x\ufffd]0;title\ufffdy\tz")

    def test_an_empty_mail(self) -> None:
        assert refused("Received: from x\n\n").reason == "empty"

    def test_ten_thousand_nested_parts(self) -> None:
        levels = "".join(f"Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n" for n in range(10_000))
        started = time.monotonic()
        rejected = refused(f"From: Ann <ann@a.example>\nSubject: deep\n{levels}Content-Type: text/plain\n\nhello")
        assert time.monotonic() - started < 2
        assert rejected.reason == "too_deep"
        assert rejected.salvage is not None
        assert (rejected.salvage.customer.email, rejected.salvage.subject) == ("ann@a.example", "deep")

    def test_ten_thousand_nested_messages(self) -> None:
        assert refused("Subject: x\n" + "Content-Type: message/rfc822\n\n" * 10_000).reason == "too_deep"

    def test_ten_thousand_parts_side_by_side(self) -> None:
        raw = "Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n" + "--b\n\nx\n" * 10_000
        assert refused(raw).reason == "too_many_parts"

    def test_a_header_of_a_megabyte(self) -> None:
        contact = read(mail(f"X-Big: {'x' * 1_048_576}\n"))
        assert contact.body == "Hello"
        assert contact.remarks == ("the header 'x-big' was cut", "no date that can be read: the time of arrival counts")

    def test_a_hundred_thousand_headers(self) -> None:
        started = time.monotonic()
        read("From: ann@a.example\n" + "X-A: b\n" * 100_000 + "\nHello")
        assert time.monotonic() - started < 2

    def test_nul_bytes_are_replaced(self) -> None:
        contact = read(mail().replace("Help", "He\x00lp").replace("Hello", "Hel\x00lo"))
        assert (contact.subject, contact.body) == ("He\ufffdlp", "Hel\ufffdlo")

    def test_a_multipart_without_its_boundary_or_its_end(self) -> None:
        assert read(mail("Content-Type: multipart/mixed\n", "--b\n\nwords\n--b--")).body == "words"
        assert read(mail("Content-Type: multipart/mixed; boundary=b\n", "no part at all")).body == "no part at all"
        assert read(mail("Content-Type: multipart/mixed; boundary=b\n", "--b\n\nwords\nmore")).body == "words\nmore"

    def test_an_inner_part_without_end_does_not_swallow_what_follows(self) -> None:
        body = (
            "--out\nContent-Type: multipart/alternative; boundary=in\n\n--in\n\nfirst\n"
            "--out\n\nsecond\n--out--\nepilogue"
        )
        assert read(mail("Content-Type: multipart/mixed; boundary=out\n", body)).body == "first\n\nsecond"

    def test_a_boundary_that_begins_like_another(self) -> None:
        body = "--b\nContent-Type: multipart/mixed; boundary=b2\n\n--b2\n\nfirst\n--b2--\n--b\n\nsecond\n--b--"
        assert read(mail("Content-Type: multipart/mixed; boundary=b\n", body)).body == "first\n\nsecond"

    def test_a_forgotten_blank_line(self) -> None:
        contact = read("From: ann@a.example\nSubject: x\nHello there\nNote: this is text\n\nmore\n")
        assert contact.body == "Hello there\nNote: this is text\n\nmore"

    def test_a_broken_line_between_headers_is_passed_over(self) -> None:
        contact = read("From ann Mon Nov 23\nFrom: ann@a.example\nbroken>\nSubject: x\n\nHello\n")
        assert (contact.customer.email, contact.subject, contact.body) == ("ann@a.example", "x", "Hello")

    def test_broken_base64_and_unknown_encodings_give_what_they_can(self) -> None:
        assert read(mail("Content-Transfer-Encoding: base64\n", "SGVsbG8=!!=\n\nfooter")).body == "Hello"
        assert read(mail("Content-Transfer-Encoding: x-unknown\n", "Hello")).body == "Hello"

    def test_text_beyond_the_limit_is_cut_and_said_so(self) -> None:
        contact = read(mail(body="word " * 30_000))
        assert len(contact.body) <= 100_000
        assert "the body was cut at 100,000 characters" in contact.remarks

    def test_no_card_is_cut_in_two_to_escape(self) -> None:
        contact = read(mail(body="x" * 99_990 + " " + CARD))
        assert "4242 4242" not in contact.body


HEADERS = st.sampled_from([
    *("From", "To", "Cc", "Subject", "Date", "Message-ID", "References", "In-Reply-To", "Content-Type", "List-Id"),
    *("Content-Transfer-Encoding", "Content-Disposition", "MIME-Version", "Auto-Submitted", "Return-Path"),
])  # fmt: skip
TELLING = st.sampled_from([
    *("multipart/mixed; boundary=b", "multipart/alternative; boundary=b", "message/rfc822", "text/html; charset=x"),
    *("base64", "quoted-printable", "x-uuencode", "=?utf-8?B?4pi=?=", "=?iso-2022-jp?B?GyRC?=", "attachment; filename"),
    *("text/plain; charset=utf-16", "text/plain; charset=hz", "<a@b> <c", '"(a', "attachment; filename*0*=x''%"),
])  # fmt: skip
VALUES = st.one_of(st.text(max_size=60), TELLING)
LINES = st.one_of(st.text(max_size=60), st.sampled_from(["--b", "--b--", "", "<p>&#x110000;<!--", "begin 644 x"]))


@settings(max_examples=300)
@given(st.binary(max_size=500))
def test_any_bytes_give_a_contact_or_a_named_rejection(raw: bytes) -> None:
    outcome = channels.read("email", raw, Received(NOON))
    assert isinstance(outcome, Contact) or outcome.reason in ("not_an_email", "empty", "too_deep", "too_many_parts")


@settings(max_examples=500)
@given(st.lists(st.tuples(HEADERS, VALUES), max_size=8), st.lists(LINES, max_size=8), st.binary(max_size=40))
def test_anything_that_looks_like_mail_gives_text_that_can_be_stored(
    headers: list[tuple[str, str]], lines: list[str], tail: bytes
) -> None:
    head = "".join(f"{name}: {value}\n" for name, value in headers)
    raw = (head + "\n" + "\n".join(lines)).encode("utf-8", "replace") + tail
    outcome = channels.read("email", raw, Received(NOON))
    contact = outcome if isinstance(outcome, Contact) else outcome.salvage
    if contact:
        stored = contact.model_dump_json()
        assert "\\u0000" not in stored
        assert stored.encode()


@given(
    st.text(alphabet="ab \n<>&-=", max_size=60),
    st.text(alphabet="ab \n<>&-=", max_size=60),
    st.sampled_from(["7bit", "base64", "quoted-printable"]),
)
def test_no_mail_ever_keeps_a_card_number(before: str, after: str, encoding: str) -> None:
    message = EmailMessage()
    message["From"], message["Subject"] = "ann@a.example", f"card {CARD}"
    message.set_content(f"{before} {CARD} {after}", cte=encoding)
    outcome = channels.read("email", message.as_bytes(), Received(NOON))
    assert isinstance(outcome, Contact)
    assert CARD not in outcome.model_dump_json()


@given(st.text(alphabet="ab \n:", max_size=60))
def test_no_rejection_ever_keeps_a_card_number(around: str) -> None:
    outcome = channels.read("email", f"{around} {CARD} {around}".encode(), Received(NOON))
    kept = outcome.model_dump_json() if isinstance(outcome, Contact) else repr(outcome)
    assert CARD not in kept
