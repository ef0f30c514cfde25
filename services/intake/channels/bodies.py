"""The text of a mail that a person reads, out of its parts. Pure."""

import re

from services.intake.channels import markup, words
from services.intake.channels.mime import Part, parameters
from services.intake.model.posted import BODY_LIMIT

READ_LIMIT = (
    BODY_LIMIT * 2 + 2_000
)  # characters of one part that are read: earlier mails and signature are taken off after
_TEXTS = ("text/plain", "text/html", "text/enriched", "text/markdown", "text")
_RICH = ("text/html", "text/enriched")
_UNDECLARED_HTML = re.compile(r"\s{0,200}<(?:!doctype html|html|head|body|p|div|table|center|font)\b", re.IGNORECASE)
_SPACES_AT_END = re.compile(r"(?<![ \t])[ \t]+$", re.MULTILINE)


def text_of(mail: Part, report: bool = False) -> tuple[str, set[int]]:
    """The text, and the parts it was taken from, by id."""
    used: set[int] = set()
    text = _text(mail, used)
    if report:  # it speaks for itself, not for the mail that it returns
        said = next((part for part in mail.walk() if part.kind == "message/delivery-status"), None)
        text = text if text.strip() or said is None else words.decode(said.content()[:READ_LIMIT])
    elif not text.strip():  # a mail forwarded as an attachment and nothing else
        inner = next((part for part in mail.walk() if part.kind.startswith("message/") and part.children), None)
        text = _text(inner.children[0], used) if inner else text
    return text.strip("\n"), used


def _text(part: Part, used: set[int]) -> str:
    if part.kind == "multipart/alternative":
        return _alternative(part, used)
    if part.kind.startswith("multipart/"):
        texts = [_text(child, used) for child in part.children]
        return "\n\n".join(text for text in texts if text.strip())
    if part.kind not in _TEXTS or is_file(part):
        return ""
    used.add(id(part))
    charset = part.parameters.get("charset", "")
    text = words.decode(part.content()[: READ_LIMIT * 4], charset)
    if "\ufffd" in text and part.problem() is not None:  # it was never encoded, whatever it says
        text = words.decode(part.body()[: READ_LIMIT * 4], charset)
    undeclared = "content-type" not in part.headers and _UNDECLARED_HTML.match(text)
    if part.kind in _RICH or undeclared:
        return markup.to_text(text)[:READ_LIMIT]
    text = text[:READ_LIMIT].replace("\r\n", "\n").replace("\r", "\n")
    if part.parameters.get("format", "").strip().lower() == "flowed":
        text = _joined(text, part.parameters.get("delsp", "").strip().lower() == "yes")
    return _SPACES_AT_END.sub(lambda end: " " if _is_separator(text, end.start()) else "", text)


def _joined(text: str, spaces_go: bool) -> str:
    """The paragraphs that RFC 3676 broke: a line that ends with a space goes on in the next one of the same quote."""
    out: list[str] = []
    going_on: int | None = None  # how deep the line before was quoted, where it is not at its end
    for line in text.split("\n"):
        marks = len(line) - len(line.lstrip(">"))
        said = line[marks:].removeprefix(" ")  # the space that keeps a line from looking like something else
        if going_on == marks and said != "-- ":
            out[-1] = (out[-1].removesuffix(" ") if spaces_go else out[-1]) + said
        else:
            out.append(f"{'>' * marks} {said}" if marks else said)
        going_on = marks if said.endswith(" ") and said != "-- " else None
    return "\n".join(out)


def _is_separator(text: str, end: int) -> bool:
    """``-- `` before a signature is the one line whose space at the end says something."""
    return text[max(0, end - 3) : end] in ("\n--", "--")


def _alternative(part: Part, used: set[int]) -> str:
    """The plain form where it says anything, else the richest one that does."""
    plain_first = sorted(part.children, key=lambda child: child.kind != "text/plain")
    chosen = ""
    for child in plain_first:
        text = _text(child, used)
        chosen = chosen if chosen.strip() else text
    return chosen


def is_file(part: Part) -> bool:
    disposition = part.headers.first("content-disposition").partition(b";")[0].strip().lower()
    return disposition == b"attachment" or file_name(part) is not None


def file_name(part: Part) -> str | None:
    disposition = parameters(part.headers.first("content-disposition").decode("latin-1"))
    return words.file_name(disposition, "filename") or words.file_name(part.parameters, "name")
