"""A mail's text apart: what its sender newly wrote, the earlier mails it quotes, its signature, the mail it forwards.

By the marks that mail programs leave: ``>``, "… wrote:", "-----Original Message-----", a head of "From: … Sent: …",
``-- ``. Pure; one pass over the lines, each looked at up to a bounded length, so linear in the text whatever it is. The
libraries for it were left out: see docs/adr.
"""

import re
from dataclasses import dataclass

from services.intake.channels.phrases import BEGINS, FORWARDED, LABELS, MOBILE, ORIGINAL, WROTE

LINE_LIMIT = 300  # characters of a line that are looked at
HEAD_LINES = 14  # that a quoted head may take
ATTRIBUTION_LINES = 4  # over which "On …, … wrote:" may be folded
SIGNATURE_LINES, SIGNATURE_LIMIT = 40, 3_000  # after ``-- ``
LOOSE_LINES = 25  # after a ``--`` that may be something else

_QUOTE = re.compile(r"[ \t]{0,3}>(?!From )")
_FIELD = re.compile(r"[\s>*_]{0,6}([^\W\d_][^:：*\n]{0,24}?)[ \u00a0]?\*?[ \u00a0]?[:：][*_]{0,2}[ \t\u00a0]*(.*)")
_RULE = re.compile(r"\s*(?:[-_=*~]{2,}|[-_=*~]+ ).{0,80}?(?:[-_=*~]{2,}|:)?\s*$")
_FOOTER = re.compile(r"_{30,}\s*$")
_DATE = re.compile(r"\d{1,4}[-./ 年:]\s?\d{1,2}|\d{1,2}\.? \w{3,}|\w{3,} \d{1,2}")
_BRACKETED = re.compile(r"[<(][^\s<>()@]{1,64}@[^\s<>()@]{1,200}\.[^\s<>()@]{2,60}[>)]")
_TIME = re.compile(r"\d{1,2}[:.]\d{2}")
_ADDRESS = re.compile(r"[^\s<>\"'(),;:\[\]]{1,64}@[^\s<>\"'(),;:\[\]]{1,255}")


@dataclass(frozen=True, slots=True)
class Forwarded:
    """The mail within: who wrote it, as far as the head says, and what."""

    sender: str  # as it stands in the head: a name, an address, or both
    subject: str
    date: str
    text: str
    marked: bool  # a program says that it is forwarded; else only the head of it is there


@dataclass(frozen=True, slots=True)
class Text:
    new: str
    quoted: str = ""
    signature: str = ""
    forwarded: Forwarded | None = None


def split(text: str, answers: bool, forwards: bool = False) -> Text:
    """``answers``: the mail says that it is a reply; ``forwards``: that it is a forward. Nothing is lost in between.

    Where nothing new is left, all of it is new: a text is never empty because of what this does.
    """
    lines = text.split("\n")
    cut, head = _cut(lines, answers)
    forwarded = _forwarded(lines, cut, head) if head and (forwards or head.marked) else None
    above = lines[:cut]
    own, quotes = _without_quotes(above, answers)
    own, signature = _without_signature(own)
    if forwarded:
        return Text(_tidy(lines), signature="", forwarded=forwarded)
    new, rest = _tidy(own), _tidy([*quotes, *([""] if quotes and cut < len(lines) else []), *lines[cut:]])
    if not new and head is None and cut < len(lines):  # the answer stands under what it quotes
        below = lines[_joined(lines, cut)[1] + 1 :]
        own, quotes = _without_quotes(below, answers)
        own, signature = _without_signature(own)
        new, rest = _tidy(own), _tidy([*lines[: len(lines) - len(below)], *quotes])
        if new:
            return Text(new, rest, _tidy(signature))
    if not new:
        whole, signature = _without_signature(lines)
        return Text(_tidy(whole) or _tidy(lines), "", _tidy(signature) if _tidy(whole) else "")
    return Text(new, rest, _tidy(signature))


def covering(text: str) -> str:
    """The words above a forwarded mail."""
    lines = text.split("\n")
    cut, _ = _cut(lines, False)
    return _tidy(lines[:cut])


@dataclass(frozen=True, slots=True)
class _Head:
    """The head of an earlier mail: where it ends, and what it says."""

    end: int
    fields: dict[str, str]
    marked: bool


def _cut(lines: list[str], answers: bool) -> tuple[int, _Head | None]:
    """The first line of an earlier mail that stands whole under the new words; the end where there is none."""
    for at, line in enumerate(lines):
        short = line[:LINE_LIMIT]
        if not short.strip() or _QUOTE.match(short):
            continue
        if _RULE.match(short) or _begins_forwarded(short):
            if head := _head(lines, at + 1, True):
                return at, _Head(head.end, head.fields, bool(FORWARDED.search(short)))
            if ORIGINAL.search(short) and not FORWARDED.search(short):
                return at, None
            if WROTE.search(short) and _DATE.search(short):  # ---- On 22 Dec … wrote ----
                return at, None
        elif head := _head(lines, at, False):
            return at, head
        elif _attributes(lines, at, answers):
            return at, None
    return len(lines), None


def _begins_forwarded(line: str) -> bool:
    """Apple's "Begin forwarded message:" has no dashes."""
    return len(line) < 80 and line.rstrip().endswith((":", "：")) and FORWARDED.match(line.strip()) is not None


def _head(lines: list[str], start: int, marked: bool) -> _Head | None:
    """The fields of a mail, from ``start`` on: who, and two of when, to whom, about what."""
    fields: dict[str, str] = {}
    blank = 0
    at = start
    for at in range(start, min(start + HEAD_LINES, len(lines))):
        line = lines[at][: LINE_LIMIT * 4]
        if not line.strip():
            blank += 1
            if fields and (blank > 1 or _enough(fields, marked)):
                break
            if blank > 2 or (not marked and not fields):
                return None
            continue
        found = _FIELD.match(line)
        kind = LABELS.get(found[1].strip().casefold()) if found else None
        if found and kind:
            fields.setdefault(kind, found[2].strip(" *_\u00a0"))
            blank = 0
        elif not fields or blank or not _continues(line, fields):
            break
    else:
        at += 1
    return _Head(at, fields, False) if _enough(fields, marked) else None


def _continues(line: str, fields: dict[str, str]) -> bool:
    """A folded list of recipients."""
    return line.startswith((" ", "\t")) or ("to" in fields and "@" in line and "subject" not in fields)


def _enough(fields: dict[str, str], marked: bool) -> bool:
    kinds = fields.keys() - {"cc"}
    if "from" not in kinds or len(kinds) < (2 if marked else 3):
        return False
    return marked or ("subject" in kinds and ("date" in kinds or "@" in fields["from"]))


def _attributes(lines: list[str], at: int, answers: bool) -> bool:
    """True for "On …, … wrote:" over an earlier mail that stands without ``>`` under it."""
    if not BEGINS.match(lines[at].lstrip(" *_")[:40]) and "@" not in lines[at][:LINE_LIMIT]:
        return False
    joined, end = _joined(lines, at)
    address, date = _ADDRESS.search(joined), _DATE.search(joined)
    apart = at == 0 or not lines[at - 1].strip()
    signed = answers and apart and date and _TIME.search(joined) and _BRACKETED.search(joined)  # in any language
    if not joined or not (signed or (WROTE.search(joined) and (date or address))):
        return False
    after = next((line for line in lines[end + 1 : end + 4] if line.strip()), "")
    if _QUOTE.match(after):  # only what has ``>`` is quoted; see _without_quotes
        return False
    if signed:
        return True
    says = joined.rstrip("*_ :：").endswith(("wrote", "schrieb", "écrit", "escribió", "scritto"))
    if answers and says and address:
        return bool(after) or date is not None  # the quote itself may be gone
    return bool(BEGINS.match(joined.lstrip(" *_")) and date) and bool(after)


def _joined(lines: list[str], at: int) -> tuple[str, int]:
    """The lines from ``at`` to one that ends with a colon, as one; "" where none does."""
    pieces: list[str] = []
    for end in range(at, min(at + ATTRIBUTION_LINES, len(lines))):
        line = lines[end].strip()
        if not line or len(line) > LINE_LIMIT:
            return "", at
        pieces.append(line)
        if line.rstrip("*_ ").endswith((":", "：")):
            return " ".join(pieces), end
    return "", at


def _without_quotes(lines: list[str], answers: bool) -> tuple[list[str], list[str]]:
    """Lines without ``>`` and what introduces them; and those lines. Without any sign of a reply, ``>`` is no quote."""
    own: list[str] = []
    quotes: list[str] = []
    removed = False
    at = 0
    while at < len(lines):
        if not _QUOTE.match(lines[at]):
            if not (removed and not lines[at].strip() and own and not own[-1].strip()):
                own.append(lines[at])
                removed = False
            at += 1
            continue
        end = at
        while end < len(lines) and (_QUOTE.match(lines[end]) or _between(lines, end)):
            end += 1
        intro = _introduction(own, lines[at].strip() in (">:", "> :"))
        if intro or answers:
            if quotes:
                quotes.append("")
            quotes += [*own[len(own) - intro :], *lines[at:end]] if intro else lines[at:end]
            del own[len(own) - intro :]
            if own and own[-1].strip():
                own.append("")
            removed = True
        else:
            own += lines[at:end]
        at = end
    return own, quotes


def _between(lines: list[str], at: int) -> bool:
    """An empty line between two quoted ones."""
    return not lines[at].strip() and at + 1 < len(lines) and _QUOTE.match(lines[at + 1]) is not None


def _introduction(own: list[str], folded: bool) -> int:
    """How many of the last lines say who is quoted next. ``folded``: their last ``>:`` is taken for a quote."""
    blank = 0
    while blank < min(2, len(own)) and not own[-1 - blank].strip():
        blank += 1
    joined, found = "", 0
    for count in range(1, ATTRIBUTION_LINES + 1):
        place = len(own) - blank - count
        line = own[place].strip() if place >= 0 else ""
        if (
            not line
            or len(line) > LINE_LIMIT
            or (count == 1 and not folded and not line.endswith((":", "：", "...", "…")))
        ):
            break
        joined = f"{line} {joined}"
        telling = bool(WROTE.search(joined)) + bool(_ADDRESS.search(joined)) + bool(_DATE.search(joined))
        begins = bool(BEGINS.match(line.lstrip(" *_[(")))
        if begins and telling:
            return count + blank
        if not found and telling > (1 if count > 1 or not WROTE.search(joined) else 0):
            found = count + blank
    return found


def _without_signature(lines: list[str]) -> tuple[list[str], list[str]]:
    """The text, and what comes after ``-- ``, after "Sent from my …" or below the rule of a mailing list."""
    lines = list(lines)
    removed: list[str] = []
    for _ in range(3):
        found = _signature(lines)
        if found is None or not any(line.strip() for line in lines[:found]):
            break
        removed = [*lines[found:], *removed]
        del lines[found:]
    return lines, removed


def _signature(lines: list[str]) -> int | None:
    last = len(lines)
    while last and not lines[last - 1].strip():
        last -= 1
    size = 0
    for back, at in enumerate(range(last - 1, max(-1, last - 1 - SIGNATURE_LINES), -1)):
        line = lines[at]
        if size > SIGNATURE_LIMIT:
            return None
        size += len(line)
        bare = line.strip()
        if bare in ("--", "-- ", "—", "– –") and (line.rstrip("\r") == "-- " or back <= LOOSE_LINES):
            return at
        if _FOOTER.fullmatch(line) and back <= LOOSE_LINES and (at == 0 or not lines[at - 1].strip().startswith("--")):
            return at
        if back <= 2 and len(bare) < 80 and MOBILE.match(bare.lstrip("*_([")):
            return at
    return None


def _forwarded(lines: list[str], cut: int, head: _Head) -> Forwarded:
    inner, _ = _without_signature(lines[head.end :])
    return Forwarded(
        sender=head.fields.get("from", ""),
        subject=head.fields.get("subject", ""),
        date=head.fields.get("date", ""),
        text=_tidy(inner) or _tidy(lines[head.end :]),
        marked=head.marked,
    )


def _tidy(lines: list[str]) -> str:
    """Without spaces at the ends of lines and blank lines at both ends."""
    return "\n".join(line.rstrip() for line in lines).strip("\n").strip()
