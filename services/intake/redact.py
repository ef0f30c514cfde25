"""Card numbers are masked before anything is stored, logged or published. Pure.

A card number is a run of 12 to 19 digits, with spaces and dashes or without, that begins as a card scheme's numbers do
and passes the Luhn check. The first six and last four digits stay, which is what may be kept and what a person needs to
talk about a card. Left alone: what follows a ``+`` (a telephone number), what stands within a URL, what is grown
together with letters (an order or tracking number), decimal fractions, and the fields that are identifiers.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from pydantic import JsonValue

from services.intake.model import Activity, Contact

SHORTEST, LONGEST = 12, 19
PHONE_LONGEST = 15  # digits of an E.164 number
KEPT_FIRST, KEPT_LAST = 6, 4
MASK = "*"
RAW_LIMIT = 1_048_576  # bytes of unreadable input that are kept

# First digits, from and to, and the lengths in use: the schemes' published ranges.
_SCHEMES: tuple[tuple[str, str, Iterable[int]], ...] = (
    ("4", "4", (13, 16, 19)),  # Visa
    ("51", "55", (16,)),  # Mastercard
    ("2221", "2720", (16,)),  # Mastercard
    ("34", "34", (15,)),  # American Express
    ("37", "37", (15,)),  # American Express
    ("300", "305", range(14, 20)),  # Diners Club
    ("3095", "3095", range(14, 20)),  # Diners Club
    ("36", "36", range(14, 20)),  # Diners Club
    ("38", "39", range(14, 20)),  # Diners Club
    ("35", "35", range(16, 20)),  # JCB
    ("1800", "1800", (15,)),  # JCB
    ("2131", "2131", (15,)),  # JCB
    ("6011", "6011", range(16, 20)),  # Discover
    ("644", "649", range(16, 20)),  # Discover
    ("65", "65", range(16, 20)),  # Discover, RuPay, Troy
    ("62", "62", range(16, 20)),  # UnionPay
    ("81", "81", range(16, 20)),  # UnionPay, RuPay
    ("60", "60", (16,)),  # RuPay, Hipercard
    ("82", "82", (16,)),  # RuPay
    ("2200", "2204", range(16, 20)),  # Mir
    ("9792", "9792", (16,)),  # Troy
    ("636", "639", range(16, 20)),  # InterPayment, InstaPayment
    ("50", "50", range(12, 20)),  # Maestro, Verve, Elo
    ("56", "58", range(12, 20)),  # Maestro
    ("6304", "6304", range(12, 20)),  # Maestro
    ("6759", "6759", range(12, 20)),  # Maestro
    ("6761", "6763", range(12, 20)),  # Maestro
)
# How cards are printed. Another grouping counts at the ends of a run only: a list of numbers looks like that inside.
_PRINTED = {(4, 4, 4, 4), (4, 4, 4, 4, 3), (4, 6, 5), (4, 6, 4), (4, 4, 5), (6, 13)}

_SPACE_OR_DASH = "[ \\t\u00a0\u00ad\u1680\u2000-\u2015\u202f\u205f\u2060\u2212\u3000\ufe58\ufe63\ufeff\uff0d-]"
_RUN = re.compile(rf"\d(?:{_SPACE_OR_DASH}{{0,3}}\d){{{SHORTEST - 1},}}")
_GROUP = re.compile(r"\d+")
_URL = re.compile(r"(?:[a-z][a-z0-9+.-]{1,20}://|www\.)[^\s<>\"']+", re.IGNORECASE)
_PHONE_BEFORE = re.compile(r"\+[\s(]{0,2}$")
_FRACTION_BEFORE = re.compile(r"\d[.,]$")


_HIDING = re.compile(
    rb"base64|quoted-printable|uuencode|=\\?|&#|%[0-9a-f]{2}|charset|<[a-z/!][^@<>]{0,200}>|[\x00-\x08\x0e-\x1f]|[^\x00-\x7f]",
    re.IGNORECASE,
)


def _lengths() -> tuple[int, ...]:
    """For each four first digits, the lengths of cards that begin so, one bit each."""
    table = [0] * 10_000
    for first, last, lengths in _SCHEMES:
        bits = sum(1 << n for n in lengths)
        rest = 4 - len(first)
        for prefix in range(int(first) * 10**rest, (int(last) + 1) * 10**rest):
            table[prefix] |= bits
    return tuple(table)


_LENGTHS = _lengths()
_DOUBLED = tuple(2 * d - 9 if d > 4 else 2 * d for d in range(10))


class Redacted(NamedTuple):
    text: str
    cards: int  # how many were masked


def text(original: str) -> Redacted:
    """Mask every card number in a text; nothing else changes, not even its length."""
    masked: list[int] = []
    cards = 0
    urls: list[tuple[int, int]] | None = None
    for run in _RUN.finditer(original):
        if urls is None:
            urls = [found.span() for found in _URL.finditer(original)]
        found = list(_cards(original, run.start(), run.end(), urls))
        end = -1
        for card in found:
            cards += card[0] > end  # overlapping readings of the same digits are one card
            end = max(end, card[-1])
            masked.extend(card[KEPT_FIRST:-KEPT_LAST])
    if not masked:
        return Redacted(original, 0)
    letters = list(original)
    for place in masked:
        letters[place] = MASK
    return Redacted("".join(letters), cards)


def _cards(original: str, start: int, end: int, urls: list[tuple[int, int]]) -> Iterator[list[int]]:
    """The places of the digits of each card within one run of digits."""
    groups = [found.span() for found in _GROUP.finditer(original, start, end)]
    phone = bool(_PHONE_BEFORE.search(original, max(0, start - 3), start))
    for first, (begin, _) in enumerate(groups):
        places: list[int] = []
        for last in range(first, len(groups)):
            places.extend(range(*groups[last]))
            if len(places) > LONGEST:
                break
            if len(places) < SHORTEST or (phone and len(places) <= PHONE_LONGEST - (first > 0)):
                continue
            sizes = tuple(b - a for a, b in groups[first : last + 1])
            edge = (first == 0 or last == len(groups) - 1) and not phone
            if sizes not in _PRINTED and not (edge or len(sizes) == 1):
                continue
            stop = groups[last][1]
            if sizes not in _PRINTED and _grown(original, begin, stop):
                continue
            if _is_card([int(original[p]) for p in places]) and not _within(urls, begin, stop):
                yield places


def _grown(original: str, begin: int, end: int) -> bool:
    """True where the digits are part of something larger: a code with letters, an address, a decimal fraction."""
    before, after = original[begin - 1 : begin], original[end : end + 1]
    if before.isalnum() or after.isalnum() or "_" in (before, after) or "@" in (before, after):
        return True
    return bool(_FRACTION_BEFORE.search(original, max(0, begin - 2), begin))


def _within(spans: list[tuple[int, int]], begin: int, end: int) -> bool:
    return any(a <= begin and end <= b for a, b in spans)


def _is_card(digits: list[int]) -> bool:
    prefix = digits[0] * 1000 + digits[1] * 100 + digits[2] * 10 + digits[3]
    if not _LENGTHS[prefix] >> len(digits) & 1:
        return False
    return (sum(digits[-1::-2]) + sum(_DOUBLED[d] for d in digits[-2::-2])) % 10 == 0


def value(original: JsonValue) -> tuple[JsonValue, int]:
    """Mask within any JSON value, names of fields and numbers included. Its nesting is bounded by who accepted it."""
    match original:
        case str():
            return text(original)
        case bool() | None:
            return original, 0
        case int() | float():
            masked = text(str(int(original)) if original == int(original) else str(original))
            return (masked.text, 1) if masked.cards else (original, 0)
        case list():
            inner = [value(each) for each in original]
            return [each for each, _ in inner], sum(n for _, n in inner)
        case dict():
            return _object(original)


def _object(original: dict[str, JsonValue]) -> tuple[JsonValue, int]:
    out: dict[str, JsonValue] = {}
    cards = 0
    for name, each in original.items():
        masked_name, in_name = text(name)
        while masked_name in out:  # two card numbers that look the same when masked
            masked_name += MASK
        out[masked_name], in_value = value(each)
        cards += in_name + in_value
    return out, cards


class _Counting:
    """Masks one field after another and remembers how many cards there were."""

    def __init__(self) -> None:
        self.cards = 0

    def text(self, original: str) -> str:
        masked = text(original)
        self.cards += masked.cards
        return masked.text

    def maybe(self, original: str | None) -> str | None:
        return None if original is None else self.text(original)

    def each(self, originals: Iterable[str]) -> tuple[str, ...]:
        return tuple(self.text(one) for one in originals)

    def value(self, original: JsonValue) -> JsonValue:
        masked, cards = value(original)
        self.cards += cards
        return masked


def contact(original: Contact) -> Contact:
    """Mask in every field that people fill in; identifiers and the URL are left as they are."""
    mask = _Counting()
    who = original.customer
    changed: dict[str, object] = {
        "subject": mask.text(original.subject),
        "body": mask.text(original.body),
        "reason": mask.maybe(original.reason),
        "tags": mask.each(original.tags),
        "attributes": mask.value(original.attributes),
        "stated_at": mask.maybe(original.stated_at),
        "remarks": mask.each(original.remarks),
        "customer": who.model_copy(
            update={
                "name": mask.maybe(who.name),
                "email": mask.maybe(who.email),
                "phone": mask.maybe(who.phone),
                "tier": mask.maybe(who.tier),
            }
        ),
        "attachments": tuple(
            each.model_copy(update={"name": mask.maybe(each.name), "type": mask.text(each.type)})
            for each in original.attachments
        ),
    }
    if not mask.cards:
        return original
    return original.model_copy(update={**changed, "redactions": original.redactions + mask.cards})


def raw(original: bytes) -> bytes | None:
    """Raw bytes with every card number masked; None where digits could hide in an encoding, in markup or in binary."""
    if len(original) > RAW_LIMIT or _HIDING.search(original):
        return None
    letters = original.decode("utf-8", "surrogateescape")
    # a number may go on in the next line of a folded header; masking keeps every place, so it shows where to mask
    masked = text(letters.replace("\r", " ").replace("\n", " ")).text
    kept = "".join(new if new == MASK else old for old, new in zip(letters, masked, strict=True))
    return kept.encode("utf-8", "surrogateescape")


def activity(original: Activity) -> Activity:
    mask = _Counting()
    return replace(
        original,
        text=mask.text(original.text),
        actor=mask.maybe(original.actor),
        tags=None if original.tags is None else mask.each(original.tags),
    )
