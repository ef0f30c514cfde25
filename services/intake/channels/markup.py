"""HTML to the text that a person sees. Pure, linear in its input, never raises.

The standard library's parser is not used: malformed markup makes it raise or take quadratic time.
"""

import html
import re

MARKUP_LIMIT = 2_000_000  # characters read; a text of 100,000 rarely needs more

_TOKEN = re.compile(r"<(?:!--|(?=[a-zA-Z/!?]))")
_TAG = re.compile(r"</?\s*([a-zA-Z][a-zA-Z0-9:]{0,30})")
_UNSEEN = ("script", "style", "head", "title", "template", "noscript", "svg", "object")
_UNSEEN_END = {name: re.compile(rf"</{name}\b", re.IGNORECASE) for name in _UNSEEN}
_BODY = re.compile(r"<body\b", re.IGNORECASE)
_LINES = frozenset((
    *("address", "article", "aside", "br", "center", "dd", "div", "dl", "dt", "fieldset", "figure", "footer", "form"),
    *("header", "li", "main", "nav", "option", "section", "tbody", "tfoot", "thead", "tr"),
))  # fmt: skip
_APART = frozenset(("p", "h1", "h2", "h3", "h4", "h5", "h6", "table", "ul", "ol", "blockquote", "pre", "hr"))
_HUGE_REFERENCE = re.compile(r"&#0*\d{8,};?")  # html.unescape would choke on a number of thousands of digits


def to_text(markup: str) -> str:
    """Tags away, entities read, blocks on lines of their own, cells apart; scripts, styles and comments left out."""
    markup = markup[:MARKUP_LIMIT]
    out: list[str] = []
    place = 0
    while found := _TOKEN.search(markup, place):
        out.append(_words(markup[place : found.start()]))
        if found[0] == "<!--":
            end = markup.find("-->", found.end())
            place = len(markup) if end < 0 else end + 3
            continue
        end = markup.find(">", found.end())
        stop = len(markup) if end < 0 else end + 1
        tag = _TAG.match(markup, found.start())
        place = stop
        if tag:
            name, closing = tag[1].lower(), markup[found.start() + 1] == "/"
            out.append(_space(name, closing))
            if name in _UNSEEN_END and not closing and markup[stop - 2 : stop] != "/>":
                place = _after_unseen(markup, name, stop)
    out.append(_words(markup[place:]))
    return _tidy("".join(out))


def _words(chunk: str) -> str:
    if "&" in chunk:
        chunk = html.unescape(_HUGE_REFERENCE.sub("\ufffd", chunk))
    return re.sub(r"[ \t\r\n\f]+", " ", chunk)


def _space(name: str, closing: bool) -> str:
    if name in _APART:
        return "\n\n"
    if name in _LINES:
        return "\n"
    if name in ("td", "th") and closing:
        return " "
    return ""


def _after_unseen(markup: str, name: str, place: int) -> int:
    """Past the element; a head that never ends stops at the body, so that its mail is not lost."""
    end = _UNSEEN_END[name].search(markup, place)
    if name == "head" and (body := _BODY.search(markup, place)) and (end is None or body.start() < end.start()):
        return body.start()
    if end is None:
        return place if name in ("head", "title", "noscript", "object", "template", "svg") else len(markup)
    close = markup.find(">", end.end())
    return len(markup) if close < 0 else close + 1


def _tidy(text: str) -> str:
    lines = [line.strip() for line in text.replace("\x00", "\ufffd").split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
