"""HTML to the text that a person sees. Pure, linear in its input, never raises.

The standard library's parser is not used: malformed markup makes it raise or take quadratic time.
"""

import html
import re

MARKUP_LIMIT = 2_000_000  # characters read; a text of 100,000 rarely needs more

_WHITE = re.compile(r"[ \t\r\n\f\v]+")
_SPACES = re.compile(r"[ \t\r\f\v]+")
_TOKEN = re.compile(r"<(?:!--|(?=[a-zA-Z/!?]))")
_TAG = re.compile(r"</?\s*([a-zA-Z][a-zA-Z0-9:]{0,30})")
_UNSEEN = ("script", "style", "title", "template", "noscript", "svg", "object")
_UNSEEN_END = {name: re.compile(rf"</{name}\b", re.IGNORECASE) for name in _UNSEEN}
_LINES = frozenset((
    *("address", "article", "aside", "center", "dd", "div", "dl", "dt", "fieldset", "figure", "footer", "form"),
    *("header", "li", "main", "nav", "option", "section", "tbody", "tfoot", "thead", "tr"),
))  # fmt: skip
_APART = frozenset(("p", "h1", "h2", "h3", "h4", "h5", "h6", "table", "ul", "ol", "blockquote", "pre", "hr"))
_QUOTE, _UNQUOTE = "\x0e", "\x0f"  # around what a mail program quotes
_CITED = re.compile(
    r"\b(?:type\s*=\s*[\"']?cite|class\s*=\s*[\"'][^\"'>]{0,200}(?:gmail_quote|cite|quote))", re.IGNORECASE
)
_QUOTES_LIMIT = 5  # levels shown
_MARKS = str.maketrans("", "", _QUOTE + _UNQUOTE)
_BREAK = "\v"  # the edge of a block: a new line where there is none yet
_BREAKS = re.compile(r"(?<![ \v]) *\v[ \v]*")  # each run is looked at from its begin only: else quadratic
_BREAKS_AT_LINE = re.compile(r"(?<![ \v])[ \v]*\n[ \v]*")
_HUGE_REFERENCE = re.compile(r"&#0*\d{8,};?")  # html.unescape would choke on a number of thousands of digits


def has_tags(text: str) -> bool:
    return _TOKEN.search(text) is not None


def to_text(markup: str) -> str:
    """Tags away, entities read, blocks on lines of their own, cells apart; scripts, styles and comments left out."""
    markup = markup[:MARKUP_LIMIT].translate(_MARKS)
    out: list[str] = []
    cites: list[bool] = []  # of each open blockquote, whether it quotes a mail
    drawn = 0  # within so many <pre>
    endless: set[str] = set()  # elements that never end any more: looked for once
    place = 0
    while found := _TOKEN.search(markup, place):
        out.append(_words(markup[place : found.start()], drawn > 0))
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
            drawn = max(0, drawn + (-1 if closing else 1)) if name == "pre" else drawn
            if name == "blockquote":
                out.append(_cite(markup[found.start() : stop][:500], closing, cites))
            if name in _UNSEEN_END and not closing and markup[stop - 2 : stop] != "/>":
                place = _after_unseen(markup, name, stop, endless)
    out.append(_words(markup[place:], drawn > 0))
    return _tidy("".join(out))


def _words(chunk: str, as_drawn: bool) -> str:
    if "&" in chunk:
        chunk = html.unescape(_HUGE_REFERENCE.sub("\ufffd", chunk))
    chunk = _SPACES.sub(" ", chunk) if as_drawn else _WHITE.sub(" ", chunk)
    return chunk.replace("\u00a0", " ")


def _space(name: str, closing: bool) -> str:
    if name in _APART:
        return "\n\n"
    if name == "br":
        return "\n"
    if name in _LINES:
        return _BREAK
    if name in ("td", "th") and closing:
        return " "
    return ""


def _cite(tag: str, closing: bool, cites: list[bool]) -> str:
    if closing:
        return _UNQUOTE + "\n" if cites and cites.pop() else ""
    cites.append(_CITED.search(tag) is not None)
    return _QUOTE + "\n" if cites[-1] else ""


def _after_unseen(markup: str, name: str, place: int, endless: set[str]) -> int:
    """Past the element. What never ends hides only what is no text anyway."""
    end = None if name in endless else _UNSEEN_END[name].search(markup, place)
    if end is None:
        endless.add(name)
        return len(markup) if name in ("script", "style") else place
    close = markup.find(">", end.end())
    return len(markup) if close < 0 else close + 1


def _tidy(text: str) -> str:
    text = _BREAKS.sub("\n", _BREAKS_AT_LINE.sub("\n", text.replace("\x00", "\ufffd")))
    lines = _quoted(text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _quoted(lines: list[str]) -> list[str]:
    """Stripped, and with ``>`` before what was quoted."""
    out: list[str] = []
    depth = 0
    for line in lines:
        opened, closed = line.count(_QUOTE), line.count(_UNQUOTE)
        bare = line.translate(_MARKS).strip()
        depth += opened
        prefix = ">" * min(depth, _QUOTES_LIMIT)
        if bare or not (opened or closed):
            out.append(f"{prefix} {bare}".strip() if prefix else bare)
        depth = max(0, depth - closed)
    return out
