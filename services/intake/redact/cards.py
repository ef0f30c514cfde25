"""Where card numbers are in a text. Pure.

A card number is a run of 12 to 19 digits, with spaces and dashes or without, that begins as a card scheme's numbers do
and passes the Luhn check. The first six and last four digits stay, which is what may be kept and what a person needs
to talk about a card. Left alone: what follows a ``+`` (a telephone number), what stands within a URL or UUID, what is
grown together with letters or joined to a code of capitals (``ORD-5600…``), and decimal fractions. A number may go on
in the next line where it is printed in groups and broken between two of them; one that is split over two fields is not
found: neither has it.
"""

import re
from collections.abc import Iterable, Iterator

SHORTEST, LONGEST = 12, 19
PHONE_LONGEST = 15  # digits of an E.164 number
KEPT_FIRST, KEPT_LAST = 6, 4

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
# How numbers are printed that are no cards: in them only what is printed as a card counts.
_OTHERS = {(3, 7, 7), (4, 4, 4, 4, 4, 2)}  # an order of Amazon, a parcel of USPS

_SPACE_OR_DASH = "[ \t\u00a0\u00ad\u1680\u2000-\u2015\u202f\u205f\u2060\u2212\u3000\ufe58\ufe63\ufeff\uff0d-]"
_NEXT_LINE = r"\r?\n[ \t>|]{0,4}"  # with the marks of a quoted mail
_RUN = re.compile(rf"\d(?:{_SPACE_OR_DASH}{{0,3}}\d){{{SHORTEST - 1},}}")
# Over the end of a line, as mail programs break them: only as printed, and broken once, between groups.
_BROKEN = re.compile("|".join(
    rf"(?<![\d.,+])\d{{{first}}}"
    + "".join(rf"{_SPACE_OR_DASH}{{0,3}}(?:{_NEXT_LINE})?\d{{{size}}}" for size in rest)
    + r"(?!\d)"
    for first, *rest in ((4, 4, 4, 4), (4, 6, 5), (4, 6, 4))
))  # fmt: skip
_ONE = rf"\p{{Nd}}(?:{_SPACE_OR_DASH}{{0,3}}\p{{Nd}}){{{SHORTEST - 1}}}"
_TWO_LINES = rf"\p{{Nd}}{{4}}(?:{_SPACE_OR_DASH}{{0,3}}(?:{_NEXT_LINE})?\p{{Nd}}{{4,6}}){{2,3}}"
SHAPE = f"{_ONE}|{_TWO_LINES}"  # of RE2: may be one
_GROUP = re.compile(r"\d+")
_URL = re.compile(r"(?:[a-z][a-z0-9+.-]{1,20}://|www\.)[^\s<>\"']+", re.IGNORECASE)
_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE)
_PHONE_BEFORE = re.compile(r"\+[\s(]{0,2}$")
_CODE_BEFORE = re.compile(
    r"(?<![A-Za-z0-9])(?!(?:CARDS?|CARTE|CARTA|KARTE|CREDIT|DEBIT|VISA|AMEX|PAN|CC|CB|MC|NO|NR|NUM)-)[A-Z]{2,6}-$"
)
_FRACTION_BEFORE = re.compile(r"\d[.,]$")


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


def find(original: str) -> tuple[int, list[int]]:
    """How many card numbers there are, and the places of the digits to mask."""
    masked: list[int] = []
    cards = 0
    addresses: list[tuple[int, int]] | None = None
    for run in _RUN.finditer(original):
        if addresses is None:
            addresses = [*urls(original), *(each.span() for each in _UUID.finditer(original))]
        end = -1
        for card in _cards(original, run.start(), run.end(), addresses):
            cards += card[0] > end  # overlapping readings of the same digits are one card
            end = max(end, card[-1])
            masked.extend(card[KEPT_FIRST:-KEPT_LAST])
    for found in _BROKEN.finditer(original) if "\n" in original else ():
        card = [place for place in range(*found.span()) if original[place].isdecimal()]
        broken_once = found[0].count("\n") == 1 and not _grown(original, *found.span())
        if broken_once and _is_card([int(original[place]) for place in card]):
            cards += 1
            masked.extend(card[KEPT_FIRST:-KEPT_LAST])
    return cards, masked


def urls(original: str) -> list[tuple[int, int]]:
    """Where URLs are in a text: the numbers in them are ids."""
    return [found.span() for found in _URL.finditer(original)]


def _cards(original: str, start: int, end: int, addresses: list[tuple[int, int]]) -> Iterator[list[int]]:
    """The places of the digits of each card within one run of digits."""
    groups = [found.span() for found in _GROUP.finditer(original, start, end)]
    other = tuple(b - a for a, b in groups) in _OTHERS
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
            edge = (first == 0 or last == len(groups) - 1) and not phone and not other
            if sizes not in _PRINTED and not (edge or len(sizes) == 1):
                continue
            stop = groups[last][1]
            if sizes not in _PRINTED and _grown(original, begin, stop):
                continue
            if _is_card([int(original[p]) for p in places]) and not _within(addresses, begin, stop):
                yield places


def _grown(original: str, begin: int, end: int) -> bool:
    """True where the digits are part of something larger: a code with letters, an address, a decimal fraction."""
    before, after = original[begin - 1 : begin], original[end : end + 1]
    if before.isalnum() or after.isalnum() or "_" in (before, after) or "@" in (before, after):
        return True
    if before == "-" and _CODE_BEFORE.search(original, max(0, begin - 7), begin):
        return True
    return bool(_FRACTION_BEFORE.search(original, max(0, begin - 2), begin))


def _within(spans: list[tuple[int, int]], begin: int, end: int) -> bool:
    return any(a <= begin and end <= b for a, b in spans)


def _is_card(digits: list[int]) -> bool:
    prefix = digits[0] * 1000 + digits[1] * 100 + digits[2] * 10 + digits[3]
    if not _LENGTHS[prefix] >> len(digits) & 1:
        return False
    return (sum(digits[-1::-2]) + sum(_DOUBLED[d] for d in digits[-2::-2])) % 10 == 0
