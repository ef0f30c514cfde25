"""The structure of a raw email: headers, and a tree of parts. Pure, linear in its input, raises ``Unreadable`` only.

Not the standard library's parser: its cost and its recursion grow with nesting, which a sender chooses. Here nesting,
the number of parts and the length of a header are bounded, parts are places in one buffer, and the outer boundary is
read before the inner ones, so that a broken part never swallows its neighbours.
"""

import binascii
import quopri
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from urllib.parse import unquote

DEPTH_LIMIT = 16
PARTS_LIMIT = 500
HEADERS_LIMIT = 1_000  # fields of one part; later ones are passed over
HEADER_BYTES = 16_384  # of one field; the rest is cut
BLOCK_BYTES = 4 * 1_048_576  # of all fields of one part

_FIELD = re.compile(rb"^([!-9;-~]{1,80})[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)", re.MULTILINE)
_FOLD = re.compile(rb"\n[ \t]+")
_PARAMETER = re.compile(r';\s*([^\s=;"]{1,100})\s*=\s*("(?:[^"\\]|\\.)*"?|[^;]*)', re.DOTALL)
_NO_SPACE = re.compile(rb"\s+")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")
_UU = ("x-uuencode", "uuencode", "uue", "x-uue")
_KNOWN = ("", "7bit", "8bit", "binary", "7-bit", "8-bit", "8bits", "7bits", "quoted-printable", "plain", "none", "text")
_PACKED = ("base64", "quoted-printable", *_UU)
_OPENING = re.compile(rb"^--([^\s-][^\n]{0,69}|-[^\n]{1,69})\ncontent-[a-z-]{1,40}:", re.IGNORECASE | re.MULTILINE)
_UU_FILE = re.compile(rb"^begin [0-7]{3,4} ([^\n]{1,250})\n(?:[ -`]{1,90}\n)+end[ \t]*$", re.MULTILINE)
_DASHED = re.compile(rb"^--([^\s-][^\n]{0,69})$", re.MULTILINE)
_MAIL_FIELDS = frozenset(
    b"from to cc subject date message-id in-reply-to references received return-path sender reply-to mime-version "
    b"content-type content-transfer-encoding content-disposition delivered-to".split()
)


class Unreadable(Exception):
    """The bytes cannot be read as a mail; ``reason`` is a stable name. ``top`` is the mail without its parts."""

    def __init__(self, reason: str, detail: str, top: "Part | None" = None) -> None:
        super().__init__(detail)
        self.reason, self.detail, self.top = reason, detail, top


class Headers:
    """The fields of one part, in order; names in lower case, values unfolded, as bytes."""

    def __init__(self, fields: list[tuple[str, bytes]], cut: tuple[str, ...] = ()) -> None:
        self.fields, self.cut = fields, cut

    def first(self, name: str) -> bytes:
        return next((value for key, value in self.fields if key == name), b"")

    def all(self, name: str) -> list[bytes]:
        return [value for key, value in self.fields if key == name]

    def __contains__(self, name: str) -> bool:
        return any(key == name for key, _ in self.fields)


@dataclass(slots=True)
class Part:
    """One part. ``kind`` is its media type; ``children`` are set for a multipart."""

    headers: Headers
    kind: str
    parameters: dict[str, str]
    raw: bytes  # the whole mail
    start: int  # of the body, in ``raw``
    end: int
    children: list["Part"] = field(default_factory=list)

    def body(self) -> bytes:
        """As it came."""
        return self.raw[self.start : self.end]

    def content(self) -> bytes:
        """The body, decoded from its transfer encoding as far as it can be."""
        body = self.body()
        encoding = self.encoding()
        match encoding:
            case "base64":
                return _base64(body)
            case "quoted-printable":
                return quopri.decodestring(body)
        if encoding in _UU:
            return _uuencoded(body)
        return body

    def problem(self) -> str | None:
        """Why the body cannot be decoded as its transfer encoding says; None where it can."""
        body, encoding = self.body(), self.encoding()
        if encoding == "base64":
            letters = _NO_SPACE.sub(b"", body).rstrip(b"=")
            if len(letters) % 4 == 1 or _NOT_BASE64.search(letters):
                return "its base64 is damaged"
        elif encoding in _UU:
            if body.strip() and not _uuencoded(body):
                return "its uuencoding is damaged"
        elif encoding not in _KNOWN:
            return f"unknown transfer encoding {encoding[:40]!r}"
        return None

    def encoding(self) -> str:
        said = self.headers.first("content-transfer-encoding").decode("latin-1").strip(" \t;\"'").lower()
        return said.replace("quoted printable", "quoted-printable")

    def walk(self) -> Iterator["Part"]:
        yield self
        for child in self.children:
            yield from child.walk()


def parse(raw: bytes) -> Part:
    """Read a mail. Raises ``Unreadable``: ``not_an_email``, ``too_deep`` or ``too_many_parts``."""
    raw = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").lstrip(b"\n")
    headers, start = _headers(raw, 0, len(raw))
    if not any(name.encode() in _MAIL_FIELDS for name, _ in headers.fields):
        raise Unreadable("not_an_email", "There is no header of a mail in it. Post the raw message, headers first.")
    try:
        return _Reader(raw).part(headers, start, len(raw), 1, "text/plain")
    except Unreadable as wrong:
        wrong.top = Part(headers, "multipart/mixed", {}, raw, start, start)
        raise


class _Reader:
    """Counts parts while it descends."""

    def __init__(self, raw: bytes) -> None:
        self.raw, self.parts = raw, 0

    def part(self, headers: Headers, start: int, end: int, depth: int, default: str) -> Part:
        self.parts += 1
        if self.parts > PARTS_LIMIT:
            raise Unreadable("too_many_parts", f"The mail has more than {PARTS_LIMIT} parts.")
        if depth > DEPTH_LIMIT:
            raise Unreadable("too_deep", f"The mail's parts are nested deeper than {DEPTH_LIMIT}.")
        kind, parameters = media_type(headers.first("content-type"), default)
        part = Part(headers, kind, parameters, self.raw, start, end)
        if kind.startswith("text/") and depth == 1 and _OPENING.match(self.raw, start, end):
            part.kind = kind = "multipart/mixed"  # and did not say so
        if kind.startswith("multipart/"):
            inner = "message/rfc822" if kind == "multipart/digest" else "text/plain"
            for begin, stop in self._split(parameters, start, end):
                inner_headers, body = _headers(self.raw, begin, stop)
                part.children.append(self.part(inner_headers, body, stop, depth + 1, inner))
            if not part.children:  # no boundary, or one that never comes: read it as text
                part.kind = "text/plain"
        elif kind in ("message/rfc822", "message/global"):
            part.children.append(self._enclosed(part, depth + 1))
        elif kind == "text/plain" and "content-disposition" not in headers and part.encoding() not in _PACKED:
            self._take_out_files(part)
        return part

    def _take_out_files(self, part: Part) -> None:
        """Files that programs from before MIME wrote into the text (``begin 644 name`` … ``end``) become its parts."""
        text = Headers([field for field in part.headers.fields if field[0].startswith("content-")])
        at = part.start
        for found in islice(_UU_FILE.finditer(self.raw, part.start, part.end), PARTS_LIMIT - self.parts):
            name = found[1].replace(b"\\", b"\\\\").replace(b'"', b'\\"')
            file = Headers(
                [
                    ("content-disposition", b'attachment; filename="' + name + b'"'),
                    ("content-transfer-encoding", b"x-uuencode"),
                ]
            )
            part.children += [
                Part(text, part.kind, part.parameters, self.raw, at, found.start()),
                Part(file, "application/octet-stream", {}, self.raw, found.start(), found.end()),
            ]
            at = found.end()
        if part.children:
            part.children.append(Part(text, part.kind, part.parameters, self.raw, at, part.end))
            part.kind = "multipart/mixed"
            self.parts += len(part.children)

    def _enclosed(self, part: Part, depth: int) -> Part:
        """The mail within a mail. Some programs encode it, which they must not."""
        inner = self
        if part.encoding() in _PACKED:
            inner = _Reader(part.content().replace(b"\r\n", b"\n"))
            inner.parts = self.parts
        start, end = (part.start, part.end) if inner is self else (0, len(inner.raw))
        headers, body = _headers(inner.raw, start, end)
        read = inner.part(headers, body, end, depth, "text/plain")
        self.parts = inner.parts
        return read

    def _split(self, parameters: dict[str, str], start: int, end: int) -> Iterator[tuple[int, int]]:
        named = parameters.get("boundary", "") or unquote(parameters.get("boundary*", "").rpartition("'")[2])
        places = list(self._between(named.encode("latin-1", "replace"), start, end)) if named else []
        if places:
            return iter(places)
        opening = _OPENING.search(self.raw, start, end)  # of another name than was said
        opening = opening or (None if named else _DASHED.search(self.raw, start, end))
        return iter(()) if opening is None else self._between(opening[1].rstrip(), start, end)

    def _between(self, marker: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
        begin: int | None = None
        for stop, after, closing in self._delimiters(b"--" + marker, start, end):
            if begin is not None:
                yield begin, max(begin, stop)
            begin = None if closing else after
            if closing:
                return
        if begin is not None and begin < end:
            yield begin, end

    def _delimiters(self, line: bytes, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
        """Of each delimiter line: where the part before it ends, where the next begins, and whether it is the last."""
        place = self.raw.find(line, start, end)
        while place >= 0:
            rest = self.raw.find(b"\n", place, end)
            tail = self.raw[place + len(line) : end if rest < 0 else rest][:80].rstrip(b" \t")
            if (place == start or self.raw[place - 1 : place] == b"\n") and tail in (b"", b"-", b"--"):
                yield max(start, place - 1), end if rest < 0 else rest + 1, tail != b""
            place = self.raw.find(line, place + len(line), end)


def _headers(raw: bytes, start: int, end: int) -> tuple[Headers, int]:
    """The fields from ``start``, and where the body begins. Broken lines between known fields are passed over."""
    if raw.startswith(b"\n", start, end):
        return Headers([]), start + 1
    blank = raw.find(b"\n\n", start, end)
    stop = min(end if blank < 0 else blank, start + BLOCK_BYTES)
    found = list(islice(_FIELD.finditer(raw, start, stop), HEADERS_LIMIT))
    last_known = max((i for i, each in enumerate(found) if each[1].lower() in _MAIL_FIELDS), default=-1)
    ended = start
    for i, each in enumerate(found):
        if i > last_known and each.start() > ended:  # the blank line was forgotten: this is the body
            return _frozen(found[:i]), ended
        ended = each.end() + 1
    if ended < stop and (last_known >= 0 or not found):
        return _frozen(found), ended
    return _frozen(found), end if blank < 0 else blank + 2


def _frozen(found: list[re.Match[bytes]]) -> Headers:
    fields = [(each[1].decode("latin-1").lower(), _FOLD.sub(b" ", each[2][:HEADER_BYTES]).strip()) for each in found]
    cut = (each[1].decode("latin-1").lower() for each in found if len(each[2]) > HEADER_BYTES)
    return Headers(fields, tuple(dict.fromkeys(cut)))


def media_type(value: bytes, default: str) -> tuple[str, dict[str, str]]:
    """``text/plain; charset=x`` → its type in lower case, and its parameters (RFC 2231 put together)."""
    text = value.decode("latin-1")
    kind = text.partition(";")[0].strip().lower()
    if not re.fullmatch(r"[a-z0-9!#$&^_.+-]{1,60}/[a-z0-9!#$&^_.+-]{1,60}", kind):
        kind = default
    return kind, parameters(text)


def parameters(text: str) -> dict[str, str]:
    """The parameters of a header. Values of RFC 2231 keep ``charset''percent-encoding`` for ``words.decode``."""
    plain: dict[str, str] = {}
    pieces: dict[str, list[tuple[int, str]]] = {}
    for found in _PARAMETER.finditer(text):
        name, value = found[1].lower(), _unquoted(found[2].strip())
        stem, star, number = name.rstrip("*").partition("*")
        if star and number.isascii() and number.isdecimal() and len(number) < 4:
            pieces.setdefault(stem + ("*" if name.endswith("*") or stem + "*" in pieces else ""), []).append(
                (int(number), value)
            )
        else:
            plain.setdefault(stem + ("*" if name.endswith("*") else ""), value)
    for name, numbered in pieces.items():
        plain.setdefault(name, "".join(value for _, value in sorted(numbered)))
    return plain


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    return re.sub(r"\\(.)", r"\1", value[1:-1] if len(value) > 1 and value.endswith('"') else value[1:])


def _base64(body: bytes) -> bytes:
    letters = re.sub(rb"[^A-Za-z0-9+/]", b"", body.partition(b"=")[0])  # lists append their footers behind it
    letters = letters[: len(letters) - 1] if len(letters) % 4 == 1 else letters
    try:
        return binascii.a2b_base64(letters + b"=" * (-len(letters) % 4))
    except binascii.Error:
        return body


def _uuencoded(body: bytes) -> bytes:
    out = bytearray()
    for line in body.split(b"\n"):
        if line.startswith(b"begin ") or line in (b"end", b"`", b""):
            continue
        try:
            out += binascii.a2b_uu(line)
        except binascii.Error:
            continue
    return bytes(out)
