"""What programs do to a mail on its way: paragraphs broken (RFC 3676), files by Outlook, or uuencoded."""

import base64
import binascii

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake import channels
from services.intake.channels.adapter import Received
from services.intake.model import Contact
from tests.unit.intake.test_email import BOX, NOON, mail, read

FLOWED = "Content-Type: text/plain; charset=utf-8; format=flowed"


def body(text: str, more: str = "") -> str:
    return read(mail(f"{FLOWED}{more}\n", text)).body


def test_a_paragraph_that_was_broken_is_one_line_again() -> None:
    text = "Our payout of Friday has \nnot arrived, \nand nobody answers.\n\nIt is 4 EUR.\nPlease help."
    joined = "Our payout of Friday has not arrived, and nobody answers.\n\nIt is 4 EUR.\nPlease help."
    assert body(text) == joined


def test_without_the_word_lines_stay() -> None:
    assert read(mail("Content-Type: text/plain\n", "one \ntwo")).body == "one\ntwo"


def test_in_a_script_without_spaces_the_spaces_go() -> None:
    assert body("お支払いが \n届きません", "; delsp=yes") == "お支払いが届きません"


def test_what_was_kept_from_looking_like_a_quote_loses_its_space() -> None:
    assert body(" From here on \n >it is\n  indented") == "From here on >it is\n indented"


def test_quotes_of_another_depth_and_signatures_are_not_joined() -> None:
    contact = read(mail(f"{FLOWED}\n", "Any news? \n> we look \n> into it \n>> really \nThanks \n-- \nAnn \nShop"))
    assert contact.body.splitlines()[0] == "Any news?"
    assert "we look into it" in contact.body + contact.quoted
    assert "Thanks -- " not in contact.body
    assert contact.signature.strip().endswith("Shop")


@given(text=st.text(alphabet="ab >-\n", max_size=200), gone=st.booleans())
def test_no_word_is_lost_or_made(text: str, gone: bool) -> None:
    contact = read(mail(f"{FLOWED}{'; delsp=yes' if gone else ''}\n", text))
    said = [letter for letter in contact.body + contact.quoted + contact.signature if letter in "ab"]
    assert said == [letter for letter in text if letter in "ab"]


@pytest.mark.parametrize(
    "headers", ['application/ms-tnef; name="winmail.dat"', 'application/octet-stream; name="WINMAIL.DAT"']
)
def test_what_outlook_packed_is_kept_as_a_file_that_says_why_it_is_not_read(headers: str) -> None:
    packed = base64.b64encode(b"\x78\x9f\x3e\x22" + bytes(200)).decode()
    raw = (
        f"From: Ann <ann@a.example>\nTo: {BOX}\nSubject: Help\nMIME-Version: 1.0\n"
        'Content-Type: multipart/mixed; boundary="b"\n\n--b\nContent-Type: text/plain\n\nSee the file.\n'
        f"--b\nContent-Type: {headers}\nContent-Transfer-Encoding: base64\n\n{packed}\n--b--\n"
    )
    contact = channels.read("email", raw.encode(), Received(NOON, "desk", BOX))
    assert isinstance(contact, Contact)
    assert contact.body == "See the file."
    [found] = contact.attachments
    assert (found.name or "").lower() == "winmail.dat"
    assert found.problem is not None
    assert found.problem.startswith("Outlook's own format (TNEF)")
    assert found.sha256 is not None


def uuencoded(name: str, content: bytes) -> str:
    lines = (binascii.b2a_uu(content[at : at + 45]).decode() for at in range(0, len(content), 45))
    return f"begin 644 {name}\n{''.join(lines)}`\nend\n"


def test_files_that_were_written_into_the_text_are_attachments_and_not_text() -> None:
    image = b"\x89PNG\r\n\x1a\n" + bytes(range(200))
    text = f"See the two files.\n\n{uuencoded('scréen.png', image)}\n{uuencoded('notes.txt', b'hello')}Thanks\n"
    contact = read(mail("Content-Type: text/plain; charset=utf-8\n", text))
    assert contact.body.split() == ["See", "the", "two", "files.", "Thanks"]
    assert [(each.name, each.size, each.detected) for each in contact.attachments] == [
        ("scréen.png", len(image), "image/png"),
        ("notes.txt", 5, None),
    ]


@pytest.mark.parametrize(
    "text", ["begin 644 is how it starts\nbut no file\nend", "begin 644 x\nend", "We begin 10 am\nend"]
)
def test_words_that_look_like_the_start_of_a_file_stay_words(text: str) -> None:
    contact = read(mail("Content-Type: text/plain\n", text))
    assert (contact.body, contact.attachments) == (text, ())
