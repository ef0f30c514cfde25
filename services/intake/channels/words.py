"""Bytes of a mail's headers and texts to words: charsets, encoded words, addresses, ids, dates. Pure; never raises."""

import binascii
import codecs
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote_to_bytes

# Names that mails use for a charset, and what to read it as: often the larger set that its programs really wrote.
_ALIASES = {
    "us-ascii": "cp1252",
    "ascii": "cp1252",
    "ansi_x3.4-1968": "cp1252",
    "iso-8859-1": "cp1252",
    "iso8859-1": "cp1252",
    "iso_8859-1": "cp1252",
    "latin1": "cp1252",
    "latin-1": "cp1252",
    "iso-8859-9": "cp1254",
    "iso-8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "x-gbk": "gb18030",
    "ks_c_5601-1987": "cp949",
    "ks_c_5601": "cp949",
    "euc-kr": "cp949",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "x-sjis": "cp932",
    "windows-31j": "cp932",
    "big5": "big5hkscs",
    "x-euc-jp": "euc_jp",
    "iso-2022-jp": "iso2022_jp_ext",
    "unicode-1-1-utf-7": "utf_7",
    "x-mac-roman": "mac_roman",
    "macintosh": "mac_roman",
    "windows-874": "cp874",
}
_CHARSET = re.compile(
    r"(utf_?(8|16|32|7)|cp\d|iso8859|iso2022|koi8|gb|big5|euc|shift_jis|mac|hz$|johab|ptcp154|kz1048|hp_roman8|tis|ascii|latin)"
)
_ENCODED = re.compile(r"=\?([^?*\s]{1,60})(?:\*[^?\s]*)?\?([bBqQ])\?([^?]*)\?=")
_BETWEEN = re.compile(r"(\?=)\s+(?==\?[^?\s]{1,60}\?[bBqQ]\?)")
_MESSAGE_ID = re.compile(r"<([^<>\s]{3,900})>")
_COMMENT = re.compile(r"\([^()]*\)")
_COLON = re.compile(r"\s*:\s*")
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f]")  # some of them move a terminal's cursor, or worse
_STATEFUL = ("utf-16", "utf-32", "utf-7", "iso2022", "hz")  # whose letters are never bytes above 127 alone
_WIDE = re.compile(r"[^\x00-\x7f]")
SURELY_UTF8 = 4  # letters beyond ASCII: by chance, text of another charset never has as many that are valid UTF-8
_EARLIEST_DATE = datetime(1980, 1, 1, tzinfo=UTC)


def decode(raw: bytes, charset: str = "", otherwise: str = "") -> str:
    """Text of bytes, whatever they are; control characters and what fits no charset become U+FFFD.

    ``otherwise`` is the charset to guess where none is given and it is not UTF-8.
    """
    codec = _codec(charset)
    if codec in (None, "cp1252", "utf-8"):  # the usual mistakes: UTF-8 that claims less, and the reverse
        text = _undeclared(raw, _codec(otherwise) or "cp1252")
    else:
        text = _mislabelled(raw, codec or "utf-8") or _lenient(raw, codec or "utf-8")
    return _CONTROLS.sub("\ufffd", text)


def _codec(charset: str) -> str | None:
    name = charset.strip(" \"'").lower()
    name = _ALIASES.get(name, name)
    try:
        found = codecs.lookup(name).name if name.isascii() and name else ""
    except (LookupError, ValueError):
        return None
    return found if _CHARSET.match(found.replace("-", "_")) else None  # the others are no charsets: zlib, punycode


def _undeclared(raw: bytes, guess: str) -> str:
    if b"\x1b$" in raw or b"\x1b(" in raw:
        try:
            return raw.decode("iso2022_jp_ext")
        except UnicodeDecodeError:
            pass
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return _lenient(raw, guess)


def _mislabelled(raw: bytes, codec: str) -> str:
    """UTF-8 that claims to be another charset; "" where it is not."""
    if raw.isascii() or codec.startswith(_STATEFUL):
        return ""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return ""
    return text if len(_WIDE.findall(text, 0, 1_000)) >= SURELY_UTF8 else ""


def _lenient(raw: bytes, codec: str) -> str:
    try:
        return raw.decode(codec, "replace")
    except (UnicodeError, ValueError):  # a stateful codec may give up all the same
        return raw.decode("utf-8", "replace")


def header(raw: bytes, limit: int = 10_000, charset: str = "") -> str:
    """A header's value as people read it: encoded words decoded, white space made single.

    ``charset`` is that of the mail's text: who writes 8-bit letters into a header means the same.
    """
    text = decode(raw[: limit * 4], otherwise=charset)
    if "=?" in text:
        text = encoded_words(text)
    return " ".join(text.split())[:limit]


def encoded_words(text: str) -> str:
    """RFC 2047. A character split between two words is put together before its charset is read."""
    out: list[str] = []
    pending, charset = b"", ""
    place = 0
    text = _BETWEEN.sub(r"\1", text)
    for found in _ENCODED.finditer(text):
        raw = _word(found[2], found[3])
        adjoining = found.start() == place and pending and found[1].lower() == charset
        if not adjoining:
            out.append(decode(pending, charset))
            pending = b""
            out.append(text[place : found.start()])
        pending, charset, place = pending + raw, found[1].lower(), found.end()
    out.append(decode(pending, charset) if pending else "")
    out.append(text[place:])
    return "".join(out)


def _word(encoding: str, payload: str) -> bytes:
    raw = payload.encode("utf-8", "replace")
    if encoding in "qQ":
        return re.sub(rb"=([0-9A-Fa-f]{2})", lambda hit: bytes([int(hit[1], 16)]), raw.replace(b"_", b" "))
    letters = re.sub(rb"[^A-Za-z0-9+/]", b"", raw)
    letters = letters[:-1] if len(letters) % 4 == 1 else letters
    try:
        return binascii.a2b_base64(letters + b"=" * (-len(letters) % 4))
    except binascii.Error:
        return raw


def file_name(parameters: dict[str, str], name: str) -> str | None:
    """A parameter that names a file: plain, with encoded words, or by RFC 2231."""
    if extended := parameters.get(name + "*"):
        charset, _, rest = extended.partition("'")
        _, quote, value = rest.partition("'")
        text = decode(unquote_to_bytes(value if quote else extended), charset if quote else "")
    elif plain := parameters.get(name):
        text = header(plain.encode("latin-1", "replace"))
    else:
        return None
    return " ".join(re.split(r"[\\/]", text)[-1].split())[:255] or None


def addresses(raw: bytes, limit: int = 200, charset: str = "") -> list[tuple[str, str]]:
    """The (name, address) pairs of an address header, in order; the address is "" where there is only a name."""
    text = decode(raw, otherwise=charset)
    return [pair for part in _listed(text, limit) if (pair := _address(part)) != ("", "")]


def _listed(text: str, limit: int) -> Iterator[str]:
    """The members of a comma-separated list: commas within quotes, comments and angles count for nothing."""
    piece: list[str] = []
    quoted, comment, angle, escaped = False, 0, False, False
    for letter in text:
        if escaped:
            escaped = False
        elif letter == "\\":
            escaped = True
        elif letter == '"' and not comment:
            quoted = not quoted
        elif not quoted and letter == "(":
            comment += 1
        elif not quoted and letter == ")" and comment:
            comment -= 1
            continue
        elif not quoted and not comment and letter in "<>":
            angle = letter == "<"
        elif not quoted and not comment and not angle and letter in ",;":
            yield "".join(piece)
            piece, limit = [], limit - 1
            if limit <= 0:
                return
            continue
        elif not quoted and not comment and not angle and letter == ":" and "@" not in piece:
            piece = []  # the name of a group
            continue
        if not comment:
            piece.append(letter)
    yield "".join(piece)


def _address(part: str) -> tuple[str, str]:
    before, angle, after = part.rpartition("<")
    if angle:
        address, name = after.partition(">")[0], before
    elif "@" in part and " " not in part.strip():
        address, name = part, ""
    else:
        found = re.search(r"[^\s<>\"'(),;:]{1,64}@[^\s<>\"'(),;:]{1,255}", part)
        address, name = (found[0], part.replace(found[0], " ")) if found else ("", part)
    name = re.sub(r"\\(.)", r"\1", name).replace('"', " ").strip()
    if "=?" in name:
        name = encoded_words(name)
    return " ".join(name.split()).strip("'")[:200], "".join(address.split()).strip("\"'")


def message_ids(raw: bytes) -> list[str]:
    """The ids of a Message-ID, In-Reply-To or References header, in order, without their brackets."""
    text = decode(raw)
    found = _MESSAGE_ID.findall(text)
    if not found:
        found = [word for word in text.split() if "@" in word and 3 <= len(word) <= 900 and "<" not in word]
    return list(dict.fromkeys(found))


def date(raw: bytes) -> datetime | None:
    """The instant of a Date header, UTC; None where it is none, or one that no mail can have."""
    text = _COLON.sub(":", _COMMENT.sub(" ", decode(raw[:200])))
    try:
        found = parsedate_to_datetime(text)
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):  # what the standard library's parser is known to raise
        return None
    return found if found >= _EARLIEST_DATE else None
