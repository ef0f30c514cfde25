"""The kinds of things that are redacted, card numbers apart: what each looks like, and what proves it. Pure.

A shape alone is often an order number too, so a kind has a check digit that proves it, or a word ``near`` it (within 40
characters before, or an attribute's name) that says what it is. Shapes are RE2: linear in the text, whatever it is.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import re2
from stdnum import iban, numdb
from stdnum.de import idnr
from stdnum.es import dni, nie
from stdnum.fr import nir
from stdnum.ie import pps
from stdnum.it import codicefiscale
from stdnum.nl import bsn
from stdnum.pl import pesel
from stdnum.us import ssn

NEAR = 40  # characters before a number in which a word may say what it is
Span = tuple[int, int]


def options() -> Any:
    """RE2's, quiet: what is wrong with a pattern is told by the exception."""
    made = re2.Options()
    made.log_errors = False
    return made


def compiled(shape: str) -> Any:
    """A pattern of RE2. Raises ``re2.error``, with what is wrong."""
    return re2.compile(shape, options())


def spans(pattern: Any, original: str) -> Iterator[Span]:
    """Where a pattern matches. By bytes: RE2 knows no lone surrogates, which raw input may have."""
    raw = _bytes(original)
    for found in pattern.finditer(raw):
        start, end = found.span(found.re.groups and 1)
        if start < end:
            before = len(raw[:start].decode("utf-8", "surrogatepass"))
            yield before, before + len(raw[start:end].decode("utf-8", "surrogatepass"))


def _bytes(original: str) -> bytes:
    return original.encode("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True)
class Kind:
    """``shape``: its first group, or all of it, is masked but for ``keep`` letters at either end."""

    name: str
    shape: str
    is_one: Callable[[str], bool] = bool
    near: str | None = None
    keep: tuple[int, int] = (0, 0)
    grown: bool = True  # what is grown together with letters, digits or "_" is something else
    in_urls: bool = False
    length: Callable[[str], int] | None = None  # in letters and digits, where the shape is only how it begins

    @property
    def sieve(self) -> str:
        """Matches every text that may hold one: a word is rarer than nine digits."""
        return self.near or self.shape

    def find(self, original: str, about: str = "") -> Iterator[Span]:
        """What to mask. ``about`` names what the text is of, as an attribute's name does."""
        near = _pattern(self.near) if self.near else None
        for start, end in spans(_pattern(self.shape), original):
            if near and not near.search(_bytes(f"{about} {original[max(0, start - NEAR) : start]}")):
                continue
            if self.grown and joins(original, start - 1):
                continue
            if end := self._proven(original, start, end):
                yield start, end

    def _proven(self, original: str, start: int, end: int) -> int:
        """Where it ends; 0 where it is none."""
        if self.length is not None:
            end = _reach(original, start, self.length(original[start:end]))
        if self.grown and joins(original, end):
            return 0
        return end if start < end and self.is_one(original[start:end]) else 0


def _reach(original: str, start: int, length: int) -> int:
    """Where so many letters and digits end, with at most one space or dash between two; ``start`` where they do not."""
    place, apart = start, 0
    while length and place < len(original) and apart < 2:
        apart = 0 if original[place].isalnum() else apart + 1
        length -= not apart
        place += 1
    return start if length else place


def joins(original: str, place: int) -> bool:
    """True where a letter, a digit or "_" stands there."""
    letter = original[place : place + 1] if place >= 0 else ""
    return letter.isalnum() or letter == "_"


_patterns: dict[str, Any] = {}


def _pattern(shape: str) -> Any:
    if shape not in _patterns:  # of KINDS only: their number is fixed
        _patterns[shape] = compiled(shape)
    return _patterns[shape]


def _has_digit(found: str) -> bool:
    return any(letter.isdigit() for letter in found)


@lru_cache(maxsize=1024)
def _digits_of(country: str) -> int:
    found = numdb.get("iban").info(country)[0][1].get("bban", "")
    return 4 + sum(map(int, re.findall(r"\d+", found))) if found else 0


def _iban_length(found: str) -> int:
    """By its country; 0 where the country has none."""
    return _digits_of(found[:2].upper())


def _is_nino(found: str) -> bool:
    """Prefixes that HMRC never gives."""
    return found[:2] not in ("BG", "GB", "NK", "KN", "TN", "NT", "ZZ")


_API_KEYS = "|".join(
    (
        r"[sr]k_(?:live|test)_[A-Za-z0-9]{10,}",  # Stripe
        r"whsec_[A-Za-z0-9+/=]{16,}",  # Standard Webhooks, Stripe
        r"gh[pousr]_[A-Za-z0-9]{30,}",  # GitHub
        r"github_pat_[A-Za-z0-9_]{20,}",
        r"glpat-[A-Za-z0-9_-]{16,}",  # GitLab
        r"xox[abeoprs]-[A-Za-z0-9-]{10,}",  # Slack
        r"AIza[A-Za-z0-9_-]{30,}",  # Google
        r"sk-[A-Za-z0-9_-]{20,}",  # OpenAI, Anthropic
        r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",  # SendGrid
        r"npm_[A-Za-z0-9]{30,}",
        r"pypi-[A-Za-z0-9_-]{30,}",
        r"tocsin_[A-Za-z0-9_-]{20,}",  # our own
    )
)

_DNI, _NINO = r"(?i)\bdni\b|\bnif\b|identidad", r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]"
_NIR = r"[12] ?\d{2} ?\d{2} ?[0-9AB]{2} ?\d{3} ?\d{3} ?\d{2}"

KINDS: tuple[Kind, ...] = (
    Kind(
        "private_key",
        r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY[A-Z ]*-----.*?(?:-----END [A-Z ]*-----|\z)",
        grown=False,
        in_urls=True,
    ),
    Kind("token", r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*", in_urls=True),  # JWT
    Kind("token", r"(?i)\bbearer[ :=]+([a-z0-9._~+/-]{16,}=*)", _has_digit, in_urls=True),
    Kind("api_key", rf"\b(?:{_API_KEYS})", grown=False, in_urls=True),
    Kind("aws_key", r"\b(?:AKIA|ASIA)[A-Z0-9]{16}", in_urls=True),
    Kind("aws_key", r"[A-Za-z0-9/+]{40}", _has_digit, near=r"(?i)\baws|secret_?access"),
    Kind("iban", r"[A-Za-z]{2}\d{2}[ \x{a0}-]?[A-Za-z0-9]{2}", iban.is_valid, keep=(2, 4), length=_iban_length),
    Kind("it_codice_fiscale", r"(?i)[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]", codicefiscale.is_valid),
    Kind("us_ssn", r"\d{3}-\d{2}-\d{4}", ssn.is_valid),
    Kind("us_ssn", r"\d{3} ?\d{2} ?\d{4}", ssn.is_valid, near=r"(?i)\bssn|social.?security"),
    Kind("uk_nino", rf"{_NINO} \d{{2}} \d{{2}} \d{{2}} [A-D]", _is_nino),
    Kind("uk_nino", rf"{_NINO} ?\d{{6}} ?[A-D]", _is_nino, near=r"(?i)national.?insurance|\bni number|\bnino\b"),
    Kind("es_dni", r"\d{8}[ -]?[A-Za-z]", dni.is_valid, near=_DNI),
    Kind("es_nie", r"[XYZxyz][ -]?\d{7}[ -]?[A-Za-z]", nie.is_valid, near=rf"\bNIE\b|{_DNI}|extranjer"),
    Kind("ie_pps", r"\d{7}[A-Wa-w][A-IWa-iw]?", pps.is_valid, near=r"(?i)\bppsn?\b|personal.?public.?service"),
    Kind("fr_nir", _NIR, nir.is_valid, near=r"(?i)s[ée]curit[ée].?sociale|\bs[ée]cu\b|\bnir\b|\binsee\b"),
    Kind("de_steuer_id", r"\d{2} ?\d{3} ?\d{3} ?\d{3}", idnr.is_valid, near=r"(?i)steuer.?(id|nummer|nr)|\btin\b"),
    Kind("nl_bsn", r"\d{9}", bsn.is_valid, near=r"(?i)\bbsn\b|burgerservice|sofinummer"),
    Kind("pl_pesel", r"\d{11}", pesel.is_valid, near=r"(?i)\bpesel\b"),
)  # fmt: skip
