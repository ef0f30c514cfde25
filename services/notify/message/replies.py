"""What a reply to one of our mails asks for: its sender, which mail it answers, and its first line. Pure.

A reply acknowledges; its first line may ask for something else. What a machine sent asks for nothing.
"""

import email
import re
from dataclasses import dataclass
from datetime import timedelta
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message as Mail
from email.utils import getaddresses
from html import unescape

MAX_IDS = 100  # References of one mail that are looked at; the newest
MAX_TEXT = 20_000  # characters
MAX_PARTS = 50

_ID = re.compile(r"<([^<>\s]{1,500})>")
_TAGS = re.compile(r"<(style|script|head)\b.*?</\1>|<br\s*/?>|</(?:p|div|li|tr)>|<[^>]*>", re.IGNORECASE | re.DOTALL)
_ATTRIBUTION = re.compile(
    r"^(On\b.*\bwrote:?|Am\b.*\bschrieb.*|Le\b.*|El\b.*|-+ ?Original.*|From: .*|_{5,})$", re.IGNORECASE
)
_SNOOZE = re.compile(r"snooze(?: for)? (\d{1,4}) ?(m|min|mins|minutes?|h|hours?|d|days?)\b", re.IGNORECASE)
_HAND_OVER = re.compile(
    r"hand ?(?:-| )?over(?: it)?(?: to)?:? (?:team )?([a-z0-9][a-z0-9._-]{0,62})\W*$", re.IGNORECASE
)
_RESOLVE = re.compile(r"resolved?\W*$", re.IGNORECASE)
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_BULK = frozenset({"bulk", "junk", "list", "auto_reply", "auto-reply"})
_TELLING = ("X-Autoreply", "X-Autorespond", "X-Autoresponder", "X-Auto-Reply-From", "X-Loop", "List-Id")


@dataclass(frozen=True, slots=True)
class Reply:
    """``automatic``: how we know that a machine wrote it. ``answers``: Message-IDs, the closest first."""

    sender: str | None
    answers: tuple[str, ...]
    automatic: str | None
    first_line: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What the first line asks for; all empty: to acknowledge."""

    snooze: timedelta | None = None
    team: str | None = None
    resolve: bool = False


def read(raw: bytes) -> Reply:
    """Never raises: what cannot be read is empty."""
    mail = email.message_from_bytes(raw)
    given = getaddresses([_text(mail, "From")])
    sender = given[0][1].strip().lower() if len(given) == 1 and "@" in given[0][1] else None
    answers = _ID.findall(_text(mail, "In-Reply-To")) + _ID.findall(_text(mail, "References"))[::-1]
    return Reply(sender, tuple(dict.fromkeys(answers))[:MAX_IDS], _automatic(mail, sender), _first_line(mail))


def asked(first_line: str) -> Asked:
    """``snooze 30m``, ``resolve``, ``hand over to fraud``; anything else acknowledges."""
    line = first_line.strip()
    if found := _SNOOZE.match(line):
        return Asked(snooze=int(found[1]) * _UNITS[found[2][0].lower()])
    if found := _HAND_OVER.match(line):
        return Asked(team=found[1].lower().rstrip("._-"))
    return Asked(resolve=_RESOLVE.match(line) is not None)


def _text(mail: Mail, name: str) -> str:
    value = mail.get(name)
    try:
        return str(make_header(decode_header(str(value)))) if value is not None else ""
    except (LookupError, ValueError, MessageError):
        return str(value)


def _automatic(mail: Mail, sender: str | None) -> str | None:
    submitted = _text(mail, "Auto-Submitted").strip().lower()
    if submitted and not submitted.startswith("no"):
        return f"Auto-Submitted: {submitted}"
    if mail.get_content_type() == "multipart/report":
        return "a delivery report"
    if "Return-Path" in mail and _text(mail, "Return-Path").replace(" ", "") == "<>":
        return "an empty Return-Path"
    if _text(mail, "Precedence").strip().lower() in _BULK:
        return f"Precedence: {_text(mail, 'Precedence').strip().lower()}"
    if sender and sender.startswith(("mailer-daemon@", "postmaster@", "noreply@", "no-reply@")):
        return f"sent by {sender}"
    return next((name for name in _TELLING if name in mail), None)


def _first_line(mail: Mail) -> str:
    """The first line that its author wrote; empty where there is only what it quotes."""
    for line in _body(mail).splitlines():
        text = line.strip()
        if text and (text.startswith(">") or _ATTRIBUTION.match(text)):
            return ""
        if text:
            return text[:300]
    return ""


def _body(mail: Mail) -> str:
    parts = [part for part, _ in zip(mail.walk(), range(MAX_PARTS), strict=False)]
    for kind in ("text/plain", "text/html"):
        for part in parts:
            if part.get_content_type() == kind and part.get_content_disposition() != "attachment":
                return _decoded(part, kind)
    return ""


def _decoded(part: Mail, kind: str) -> str:
    payload = part.get_payload(decode=True)
    raw = payload if isinstance(payload, bytes) else b""
    try:
        text = raw.decode(part.get_content_charset() or "utf-8", "replace")[:MAX_TEXT]
    except LookupError:
        text = raw.decode("utf-8", "replace")[:MAX_TEXT]
    return text if kind == "text/plain" else unescape(_TAGS.sub(_line_or_nothing, text))


def _line_or_nothing(found: re.Match[str]) -> str:
    return "\n" if found[0].lower().startswith(("<br", "</")) else ""
