"""CASES 38: card numbers are masked before anything is stored; what only looks like one is left alone."""

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake import redact
from services.intake.model import Attachment, Contact
from shared.contracts.contacts import Customer
from shared.contracts.words import Channel

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)

# The numbers that payment providers publish for tests, of every scheme and length in use.
CARDS = [
    "4242424242424242",
    "4012888888881881",
    "4222222222222",
    "5555555555554444",
    "2223003122003222",
    "378282246310005",
    "371449635398431",
    "6011111111111117",
    "3056930009020004",
    "30569309025904",
    "38520000023237",
    "3530111333300000",
    "6200000000000005",
    "6205500000000000004",
    "6759649826438453",
    "501800000009",
]
PRINTED = {13: (4, 4, 5), 14: (4, 6, 4), 15: (4, 6, 5), 16: (4, 4, 4, 4), 19: (4, 4, 4, 4, 3)}
SEPARATORS = ["", " ", "-", "\u00a0", "\u2013", " - ", "  "]
words = st.text(alphabet="abcdefgh ,.:;!?\n", max_size=40)


def printed(card: str, separator: str) -> str:
    groups, place = [], 0
    for size in PRINTED.get(len(card), (len(card),)):
        groups.append(card[place : place + size])
        place += size
    return separator.join(groups)


def digits(text: str) -> str:
    return "".join(letter for letter in text if letter.isdecimal() or letter == "*")


@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize("separator", SEPARATORS)
def test_every_scheme_is_masked_however_it_is_printed(card: str, separator: str) -> None:
    masked = redact.text(f"My card is {printed(card, separator)}, exp 12/27 cvv 123.")
    assert masked.counts == {"card": 1}
    assert digits(masked.text) == card[:6] + "*" * (len(card) - 10) + card[-4:] + "1227123"


@pytest.mark.parametrize("before", ["VISA-", "CARD-", "CC-", "my card-", "- ", "ORD -", "ORD: "])
def test_what_speaks_of_a_card_is_no_code(before: str) -> None:
    assert redact.text(f"{before}4242424242424242") == (f"{before}424242******4242", {"card": 1})


def test_what_is_printed_as_a_card_is_one_whatever_stands_before_it() -> None:
    assert redact.text("ORD-4242 4242 4242 4242").counts == {"card": 1}


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("4111 1111\n1111 1111", "4111 11**\n**** 1111"),
        ("> My card: 4111-1111-1111-\r\n> 1111, and", "> My card: 4111-11**-****-\r\n> 1111, and"),
        ("3782 822463\n10005", "3782 82****\n*0005"),
    ],
)
def test_a_card_goes_on_in_the_next_line_where_it_is_broken_between_its_groups(written: str, kept: str) -> None:
    assert redact.text(written) == (kept, {"card": 1})


@pytest.mark.parametrize(
    "numbers",
    [
        *("4111\n1111\n1111\n1111", "4111 1111\n\n1111 1111", "4111111111\n111111", "+4111 1111\n1111 1111"),
        *("1.4111 1111\n1111 1111", "x4111 1111\n1111 1111", "4111 1111\n1111 1112"),
    ],
)
def test_columns_of_numbers_are_no_card(numbers: str) -> None:
    assert redact.text(numbers) == (numbers, {})


@given(card=st.sampled_from(CARDS), before=words, after=words, data=st.data())
def test_no_card_survives_whatever_separates_its_digits(
    card: str, before: str, after: str, data: st.DataObject
) -> None:
    between = data.draw(st.lists(st.sampled_from(SEPARATORS), min_size=len(card) - 1, max_size=len(card) - 1))
    written = card[0] + "".join(gap + digit for gap, digit in zip(between, card[1:], strict=True))
    masked = redact.text(f"{before} {written} {after}")
    assert masked.counts == {"card": 1}
    assert card not in digits(masked.text)


@given(
    card=st.sampled_from(CARDS),
    near=st.from_regex(r"[0-9]{1,8}( [0-9]{1,8}){0,3}", fullmatch=True),
    first=st.booleans(),
)
def test_numbers_beside_a_printed_card_do_not_hide_it(card: str, near: str, first: bool) -> None:
    written = printed(card, " ")
    masked = redact.text(f"{near} {written}" if first else f"{written} {near}")
    assert written not in masked.text


@given(st.text(max_size=200), st.sampled_from(CARDS))
def test_masking_changes_nothing_else_and_needs_no_repeat(around: str, card: str) -> None:
    original = f"{around} {card}"
    masked = redact.text(original).text
    assert len(masked) == len(original)
    assert all(new in (old, redact.MASK) for old, new in zip(original, masked, strict=True))
    assert redact.text(masked) == (masked, {})


def luhn_fails(number: str) -> str:
    """The number with another check digit, as 9 of 10 ids have."""
    return number[:-1] + str((int(number[-1]) + 1) % 10)


@pytest.mark.parametrize("card", CARDS)
def test_ids_that_fail_the_check_digit_stay(card: str) -> None:
    for separator in ("", "-", " ") if len(card) < 17 else ("",):  # the first 16 of 19 may be a card
        original = f"Order {printed(luhn_fails(card), separator)}"
        assert redact.text(original) == (original, {})


@pytest.mark.parametrize(
    "original",
    [
        "call +49 151 12345678 or +1 (415) 555-2671",
        "tel:+353-1-234-5678, +4111111111111 and +378282246310005",
        "https://pay.example/r/4242424242424242?x=5555555555554444 and www.shop.example/4012888888881881",
        "https://pay.example/4242-4242-4242-4242",
        "order ORD4242424242424242, tracking 1Z4242424242424242, sku 4242424242424242X",
        "order ORD-4242424242424242, SO-560011140491 and (PO-378282246310005)",
        "ref_4242424242424242 and 4242424242424242@pay.example",
        "invoice 42424242424242424242 has twenty digits",
        "at 20261122070300, 1732259000000, 1732259000000000 and 1732259000000000000",
        "2026-11-22 07:03:00 to 2026-11-23 18:30",
        "pi is 3.4242424242424242",
        "550e8400-e29b-41d4-a716-446655440000 and 00000000-0000-4050-8097-19728A000000",
        "112-1234567-1234567",
        "USPS 9400111202555842332669",
        "ISBN 978-3-16-148410-0",
        "11 22 33 44 55 66",
    ],
)
def test_phones_urls_ids_and_times_stay(original: str) -> None:
    assert redact.text(original) == (original, {})


@given(st.integers(1, 999), st.integers(10**4, 10**12 - 1), st.sampled_from(["", " ", "-", "("]))
def test_no_phone_number_with_a_plus_is_touched(country: int, number: int, gap: str) -> None:
    original = f"+{country}{gap}{number}"
    assert redact.text(original) == (original, {})


@given(st.integers(1_000_000_000, 2_200_000_000))  # 2001 to 2039
def test_no_timestamp_is_touched(seconds: int) -> None:
    at = datetime.fromtimestamp(seconds, UTC)
    for original in (at.isoformat(" "), f"{at:%Y%m%d%H%M%S}", str(seconds * 1_000), str(seconds * 1_000_000)):
        assert redact.text(original) == (original, {})


def test_phone_like_runs_hide_no_card() -> None:
    assert redact.text("+4242 4242 4242 4242").counts == {"card": 1}
    assert redact.text("call +49 151 1234567 4242 4242 4242 4242").counts == {"card": 1}


def test_two_cards_are_two() -> None:
    masked = redact.text("4242424242424242, 5555555555554444")
    assert masked == ("424242******4242, 555555******4444", {"card": 2})
    side_by_side = redact.text("4242 4242 4242 4242 5555 5555 5555 4444").text
    assert side_by_side.startswith("4242 42** ****")
    assert side_by_side.endswith("5555 55** **** 4444")


def test_digits_of_other_scripts_are_digits() -> None:
    assert redact.text("４２４２ ４２４２ ４２４２ ４２４２").text == "４２４２ ４２** **** ４２４２"


def test_attributes_are_masked_at_any_depth_in_names_and_numbers() -> None:
    original = {"a": [{"card 4242424242424242": "5555555555554444"}], "n": 4242424242424242, "ok": True, "f": 1.5}
    masked, counts = redact.value(original)
    assert counts == {"card": 3}
    assert masked == {
        "a": [{"card 424242******4242": "555555******4444"}],
        "n": "424242******4242",
        "ok": True,
        "f": 1.5,
    }


def test_names_that_look_the_same_when_masked_stay_apart() -> None:
    masked, _ = redact.value({"4242424242424242": 1, "4242420000004242": 2, "4242421111114242": 3})
    assert isinstance(masked, dict)
    assert len(masked) == 3


def test_every_field_that_people_fill_in_is_masked_and_identifiers_are_not() -> None:
    card = "4242 4242 4242 4242"
    contact = redact.contact(
        Contact(
            channel=Channel.EMAIL,
            occurred_at=NOON,
            received_at=NOON,
            external_id="4242424242424242",
            thread="5555555555554444",
            subject=card,
            body=card,
            reason=card,
            tags=(card,),
            attributes={"x": card},
            stated_at=card,
            customer=Customer(id="4012888888881881", name=card, phone=card, tier=card),
            attachments=(Attachment(name=f"{card}.pdf", type="application/pdf", size=1),),
        )
    )
    assert contact.redactions == {"card": 10}
    assert card not in contact.model_dump_json()
    assert (contact.external_id, contact.thread, contact.customer.id) == (
        "4242424242424242",
        "5555555555554444",
        "4012888888881881",
    )


def test_the_fingerprint_gives_no_digit_away() -> None:
    def contact(body: str) -> Contact:
        return redact.contact(Contact(channel=Channel.API, occurred_at=NOON, received_at=NOON, body=body))

    assert contact("4242424242424242").fingerprint == contact("4242420000004242").fingerprint


@pytest.mark.parametrize("hostile", ["4 " * 50_000, "4242 " * 20_000, "4" * 100_000, "4-" * 50_000, "+4 " * 30_000])
def test_a_hostile_text_is_read_in_bounded_time(hostile: str) -> None:
    started = time.monotonic()
    redact.text(hostile)
    assert time.monotonic() - started < 5


class TestRaw:
    """Raw bytes are kept only where nothing can hide in them."""

    def test_a_card_is_masked_even_across_a_folded_line(self) -> None:
        kept = redact.raw(b"X: 4242 4242\r\n 4242 4242\r\n")
        assert kept is not None
        assert digits(kept.decode()) == "424242******4242"
        assert kept.count(b"\r\n") == 2

    @pytest.mark.parametrize(
        "raw",
        [
            b"Content-Transfer-Encoding: BASE64\n\nNDI0MjQyNDI0MjQyNDI0Mg==",
            b"Content-Transfer-Encoding: quoted-printable\n\n424=\n2",
            b"=?utf-8?B?NDI0Mg==?=",
            b"4<b>242</b>",
            b"&#52;242",
            b"4\x002\x004\x002\x00",
            b"\xef\xbc\x94",
            b"x" * (redact.RAW_LIMIT + 1),
        ],
    )
    def test_what_may_hide_digits_is_not_kept(self, raw: bytes) -> None:
        assert redact.raw(raw) is None
