"""Slack's Block Kit and its mrkdwn, read into lines of plain parts that a terminal or a page can draw. Pure.

Shapes: https://docs.slack.dev/reference/block-kit/blocks and https://docs.slack.dev/messaging/formatting-message-text
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_LINK = re.compile(r"<([^<>|\s]+)(?:\|([^<>]*))?>")
_STYLED = re.compile(
    r"(?<![\w*_~`])"
    r"(?:\*(?P<bold>[^*\n]+)\*|_(?P<italic>[^_\n]+)_|~(?P<strike>[^~\n]+)~|`(?P<code>[^`\n]+)`)"
    r"(?![\w*_~`])"
)
_EMOJI = {
    "rotating_light": "🚨",
    "warning": "⚠",
    "white_check_mark": "✅",
    "hourglass_flowing_sand": "⏳",
    "bell": "🔔",
    "alarm_clock": "⏰",
    "eyes": "👀",
    "red_circle": "🔴",
    "large_yellow_circle": "🟡",
    "large_green_circle": "🟢",
}
_SHORTCODE = re.compile(r":([a-z0-9_+-]+):")


@dataclass(frozen=True, slots=True)
class Span:
    """A run of text in one style: plain, bold, italic, strike, code or link."""

    text: str
    style: str = "plain"
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Button:
    label: str
    primary: bool
    action: dict[str, Any]  # what Slack sends back when it is pressed


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a message. ``kind``: header, text, quote, small, rule, or buttons."""

    kind: str
    spans: tuple[Span, ...] = ()
    buttons: tuple[Button, ...] = ()

    @property
    def text(self) -> str:
        return "".join(span.text for span in self.spans)


def lines(payload: dict[str, Any]) -> list[Line]:
    """What a message shows: its blocks and its attachments' blocks; its text alone where it has neither."""
    found = [line for block in payload.get("blocks") or [] for line in _block(block)]
    for attachment in payload.get("attachments") or []:
        found += [line for block in attachment.get("blocks") or [] for line in _block(block)]
    return found or [*_said(payload.get("text") or "", "text")]


def buttons(payload: dict[str, Any]) -> list[Button]:
    return [button for line in lines(payload) for button in line.buttons]


def _block(block: dict[str, Any]) -> Iterator[Line]:
    match block.get("type"):
        case "header":
            yield Line("header", (Span(_plain(block["text"])),))
        case "section":
            if "text" in block:
                yield from _text(block["text"], "text")
            for each in block.get("fields", ()):
                yield from _text(each, "text")
            if block.get("accessory", {}).get("type") == "button":
                yield Line("buttons", buttons=(_button(block["accessory"], block),))
        case "context":
            spans: list[Span] = []
            for element in block.get("elements", ()):
                if "text" in element:
                    spans += [Span("  "), *_element(element)] if spans else _element(element)
            yield Line("small", tuple(spans))
        case "rich_text":
            yield from _rich_text(block)
        case "divider":
            yield Line("rule")
        case "actions":
            pressed = tuple(_button(e, block) for e in block.get("elements", ()) if e.get("type") == "button")
            yield Line("buttons", buttons=pressed)


def _rich_text(block: dict[str, Any]) -> Iterator[Line]:
    for element in block.get("elements", ()):
        kind = "quote" if element.get("type") == "rich_text_quote" else "text"
        spans = []
        for part in element.get("elements", ()):
            style = next(iter(part.get("style", {})), "plain")
            spans.append(Span(part.get("text") or part.get("url") or "", style, part.get("url")))
        yield Line(kind, tuple(spans))


def _button(element: dict[str, Any], block: dict[str, Any]) -> Button:
    action: dict[str, Any] = {
        key: element[key] for key in ("action_id", "value", "text", "style", "url") if key in element
    }
    action |= {"type": "button", "block_id": block.get("block_id", "")}
    return Button(_plain(element["text"]), element.get("style") == "primary", action)


def _text(text: dict[str, Any], kind: str) -> Iterator[Line]:
    if text.get("type") == "plain_text":
        yield Line(kind, (Span(_plain(text)),))
    else:
        yield from _said(text.get("text", ""), kind)


def _element(text: dict[str, Any]) -> list[Span]:
    return [Span(_plain(text))] if text.get("type") == "plain_text" else spans(text.get("text", ""))


def _said(mrkdwn: str, kind: str) -> Iterator[Line]:
    for line in mrkdwn.splitlines() or [""]:
        quoted = line.startswith(("&gt;", ">"))
        yield Line("quote" if quoted else kind, tuple(spans(re.sub(r"^(&gt;|>)\s?", "", line) if quoted else line)))


def spans(mrkdwn: str) -> list[Span]:
    """One line of mrkdwn: links, styles, emoji and the three escaped characters."""
    found: list[Span] = []
    at = 0
    for link in _LINK.finditer(mrkdwn):
        found += _styled(mrkdwn[at : link.start()])
        found.append(_link(link[1], link[2]))
        at = link.end()
    return found + _styled(mrkdwn[at:])


def _link(target: str, label: str | None) -> Span:
    if target.startswith(("!", "@", "#")):  # a date, a person, a channel: shown by its label
        return Span(_unescape(label or target.lstrip("!@#").partition("^")[0]))
    return Span(_unescape(label or target), "link", html.unescape(target))


def _styled(text: str) -> list[Span]:
    found: list[Span] = []
    at = 0
    for match in _STYLED.finditer(text):
        found += [Span(_unescape(text[at : match.start()]))] if match.start() > at else []
        style = match.lastgroup or "plain"
        found.append(Span(_unescape(match[style]), style))
        at = match.end()
    return found + ([Span(_unescape(text[at:]))] if at < len(text) else [])


def _plain(text: dict[str, Any]) -> str:
    return _unescape(text.get("text", ""), emoji=text.get("emoji", True))


def _unescape(text: str, emoji: bool = True) -> str:
    """Slack escapes &, < and > and nothing else."""
    shown = _SHORTCODE.sub(_emoji, text) if emoji else text
    return shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _emoji(code: re.Match[str]) -> str:
    return _EMOJI.get(code[1], code[0])
