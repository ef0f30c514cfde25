"""What nobody should keep is masked before anything is stored, logged or published. Pure.

Card numbers always (``cards``); bank accounts, national ids and secrets (``kinds``) and a team's own patterns as
configured at start. What is masked is counted by its kind and never kept. Places and lengths stay: each masked letter
becomes a ``*``. Identifiers that upstreams give (``external_id``, ``thread``, the customer's id) are left as they are.

Nearly every text has none of it: one pass of RE2 over all fields of a contact says so, at 2 µs a kilobyte.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast

import re2
from pydantic import JsonValue

from services.intake.model import Activity, Contact
from services.intake.redact import cards
from services.intake.redact.kinds import KINDS, Kind, compiled, options, spans

MASK = "*"
RAW_LIMIT = 1_048_576  # bytes of unreadable input that are kept
CARD = "card"
ALL = frozenset(kind.name for kind in KINDS)
OWN_LIMIT, OWN_LENGTH = 50, 500  # a team's own patterns, and the characters of one
_OWN_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_SEPARATOR = "\n"  # between fields; no number goes on across it

_HIDING = re.compile(
    rb"base64|quoted-printable|uuencode|=\\?|&#|%[0-9a-f]{2}|charset|<[a-z/!][^@<>]{0,200}>|[\x00-\x08\x0e-\x1f]|[^\x00-\x7f]",
    re.IGNORECASE,
)


class Redacted(NamedTuple):
    text: str
    counts: Mapping[str, int]  # how many were masked, by kind


@dataclass(frozen=True, slots=True)
class _Configured:
    """What is looked for. ``sieve``: tells which kinds a text may hold, a card number (0) or ``kinds`` (from 1)."""

    kinds: tuple[Kind, ...]
    own: tuple[tuple[str, Any], ...]
    sieve: Any

    def may_hold(self, original: str) -> tuple[set[int], bool]:
        """Which of ours a text may hold, and whether it holds any of the team's own."""
        raw = original.encode("utf-8", "surrogatepass")
        return set(self.sieve.Match(raw) or ()), any(pattern.search(raw) for _, pattern in self.own)


def _configured(names: frozenset[str], own: Mapping[str, str]) -> _Configured:
    if unknown := names - ALL:
        raise ValueError(f"TOCSIN_REDACT: {', '.join(sorted(unknown))} is unknown. Known: {', '.join(sorted(ALL))}.")
    if len(own) > OWN_LIMIT:
        raise ValueError(f"TOCSIN_REDACT_PATTERNS has {len(own)} patterns; the limit is {OWN_LIMIT}.")
    kinds = tuple(kind for kind in KINDS if kind.name in names)
    sieve = re2.Set.SearchSet(options())
    for shape in (cards.SHAPE, *(kind.sieve for kind in kinds)):
        sieve.Add(shape)
    sieve.Compile()
    return _Configured(kinds, tuple((name, _own(name, shape)) for name, shape in own.items()), sieve)


def _own(name: str, shape: str) -> Any:
    where = f"TOCSIN_REDACT_PATTERNS: {name[:60]!r}"
    if not _OWN_NAME.fullmatch(name) or name in ALL | {CARD}:
        raise ValueError(
            f"{where} is no name of a pattern. Write lower case letters, digits and _, and no kind of ours."
        )
    if not 1 <= len(shape) <= OWN_LENGTH:
        raise ValueError(f"{where} has {len(shape)} characters; the limit is {OWN_LENGTH}.")
    try:
        pattern = compiled(shape)
    except re2.error as wrong:
        raise ValueError(f"{where} is not a pattern of RE2: {wrong}.") from wrong
    if pattern.search(b""):
        raise ValueError(f"{where} matches the empty text. Write what it must contain.")
    return pattern


@dataclass(slots=True)
class _Choice:
    """Made once, at the start of the process: after that masking is a function of its input alone."""

    made: _Configured


_choice = _Choice(_configured(ALL, {}))


def named(setting: str) -> frozenset[str]:
    """The kinds that a setting names: ``all``, ``none``, or names with commas."""
    names = frozenset(name.strip() for name in setting.split(",") if name.strip())
    return ALL if names == {"all"} else names - {"none"}


def configure(names: frozenset[str] = ALL, own: Mapping[str, str] | None = None) -> None:
    """Choose what is looked for beside card numbers, once, at the start of the process.

    ``own``: patterns of RE2 by name; the first group is masked, or all of it. Raises ``ValueError`` with what to do.
    """
    _choice.made = _configured(names, own or {})


def text(original: str, about: str = "", *, is_url: bool = False) -> Redacted:
    """Mask in a text; nothing else changes, not even its length. ``about`` names what the text is of."""
    chosen = _choice.made
    ours, own = chosen.may_hold(f"{about} {original}" if about else original)
    if not ours and not own:
        return Redacted(original, {})
    counts: Counter[str] = Counter()
    letters = list(original)
    current = original
    for kind in (chosen.kinds[n - 1] for n in sorted(ours - {0})):
        found = [] if is_url and not kind.in_urls else list(kind.find(current, about))
        urls = cards.urls(current) if found and not kind.in_urls else []
        found = [(a, b) for a, b in found if not any(u <= a and b <= v for u, v in urls)]
        current = _mask(letters, current, found, kind.keep)
        counts[kind.name] += len(found)
    for name, pattern in chosen.own if own else ():
        found = list(spans(pattern, current))
        current = _mask(letters, current, found, (0, 0))
        counts[name] += len(found)
    if 0 in ours and not is_url:
        counts[CARD], places = cards.find(current)
        for place in places:
            letters[place] = MASK
        current = "".join(letters) if places else current
    return Redacted(current, {name: n for name, n in counts.items() if n})


def _mask(letters: list[str], current: str, found: list[tuple[int, int]], keep: tuple[int, int]) -> str:
    """Mask within ``letters``, white space apart, so that the lines of a text stay; gives the text as it is then."""
    for start, end in found:
        places = [place for place in range(start, end) if not letters[place].isspace()]
        for place in places[keep[0] : len(places) - keep[1]]:
            letters[place] = MASK
    return "".join(letters) if found else current


def url(original: str) -> Redacted:
    """Mask the secrets in a URL; the numbers in it are ids."""
    return text(original, is_url=True)


def file_name(original: str) -> Redacted:
    """In a file's name, an underscore parts words as a space does."""
    masked = text(original.replace("_", " "))
    kept = (new if new == MASK else old for old, new in zip(original, masked.text, strict=True))
    return Redacted("".join(kept), masked.counts)


def value(original: JsonValue, about: str = "") -> tuple[JsonValue, Mapping[str, int]]:
    """Mask within any JSON value, names of fields and numbers included. Its nesting is bounded by who accepted it."""
    mask = _Counting()
    return mask.value(original, about), mask.counts


class _Counting:
    """Masks one field after another and remembers how much of what there was."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def _counted(self, masked: Redacted) -> str:
        self.counts.update(masked.counts)
        return masked.text

    def text(self, original: str, about: str = "") -> str:
        return self._counted(text(original, about))

    def maybe(self, original: str | None) -> str | None:
        return None if original is None else self.text(original)

    def each(self, originals: Iterable[str]) -> tuple[str, ...]:
        return tuple(self.text(one) for one in originals)

    def url(self, original: str | None) -> str | None:
        return None if original is None else self._counted(url(original))

    def file_name(self, original: str | None) -> str | None:
        return None if original is None else self._counted(file_name(original))

    def value(self, original: JsonValue, about: str = "") -> JsonValue:
        match original:
            case str():
                return self.text(original, about)
            case bool() | None:
                return original
            case int() | float():
                written = _number(original)
                masked = self.text(written, about)
                return original if masked == written else masked
            case list():
                return [self.value(each, about) for each in original]
            case dict():
                return self._object(original)

    def _object(self, original: dict[str, JsonValue]) -> JsonValue:
        out: dict[str, JsonValue] = {}
        for name, each in original.items():
            masked = self.text(name)
            while masked in out:  # two names that look the same when masked
                masked += MASK
            out[masked] = self.value(each, name)
        return out


def _number(original: int | float) -> str:
    return str(int(original)) if original == int(original) else str(original)


def contact(original: Contact) -> Contact:
    """Mask in every field that people fill in; identifiers are left as they are."""
    if _choice.made.may_hold(_SEPARATOR.join(_texts(original))) == (set(), False):
        return original
    mask = _Counting()
    who = original.customer
    changed: dict[str, object] = {
        "subject": mask.text(original.subject),
        "body": mask.text(original.body),
        "quoted": mask.text(original.quoted),
        "signature": mask.text(original.signature),
        "url": mask.url(original.url),
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
            each.model_copy(
                update={
                    "name": mask.file_name(each.name),
                    "type": mask.text(each.type),
                    "problem": mask.maybe(each.problem),  # it may quote a header
                }
            )
            for each in original.attachments
        ),
    }
    if not mask.counts:
        return original
    counts = Counter(original.redactions) + mask.counts
    return original.model_copy(update={**changed, "redactions": dict(sorted(counts.items()))})


def _texts(original: Contact) -> Iterator[str]:
    """All that ``contact`` masks in, as the sieve must see it."""
    who = original.customer
    yield from (original.subject, original.body, original.quoted, original.signature, *original.tags, *original.remarks)
    yield from (each for each in (original.url, original.reason, original.stated_at) if each)
    yield from (each for each in (who.name, who.email, who.phone, who.tier) if each)
    for each in original.attachments:
        yield (each.name or "").replace("_", " ")
        yield each.type
        yield each.problem or ""
    if original.attributes:
        yield from _within(original.attributes)


def _within(original: JsonValue) -> Iterator[str]:
    if isinstance(original, dict):
        for name, each in original.items():
            yield name
            yield from _within(each)
    elif isinstance(original, list):
        for each in original:
            yield from _within(each)
    elif isinstance(original, str):
        yield original
    elif isinstance(original, int | float):
        yield _number(original)


def raw(original: bytes) -> bytes | None:
    """Raw bytes with everything masked; None where it could hide in an encoding, in markup or in binary."""
    if len(original) > RAW_LIMIT or _HIDING.search(original):
        return None
    letters = original.decode("utf-8", "surrogateescape")
    # a number may go on in the next line of a folded header; masking keeps every place, so it shows where to mask
    masked = (text(letters).text, text(letters.replace("\r", " ").replace("\n", " ")).text)
    kept = "".join(MASK if MASK in (a, b) else old for old, a, b in zip(letters, *masked, strict=True))
    return kept.encode("utf-8", "surrogateescape")


def activity(original: Activity) -> tuple[Activity, Mapping[str, int]]:
    """Masked, and how much of what was."""
    mask = _Counting()
    masked = replace(
        original,
        text=mask.text(original.text),
        actor=mask.maybe(original.actor),
        tags=None if original.tags is None else mask.each(original.tags),
        reason=mask.maybe(original.reason),
        attributes=cast("dict[str, JsonValue]", mask.value(original.attributes)),
    )
    return masked, mask.counts
