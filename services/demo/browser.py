"""The Slack stand-in's page for people: what stands in each channel, with buttons that work. Pure."""

from collections.abc import Sequence
from html import escape
from typing import Any, Protocol

from services.demo.blocks import Button, Line, Span, lines

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 46rem; padding: 0 1rem;
       color: #1d1c1d; background: #fff }
h2 { font-size: 1.1rem; border-bottom: 1px solid #ddd; padding-bottom: .3rem }
article { margin: 1rem 0; padding-left: .8rem; border-left: 4px solid #ddd }
article header { font-weight: 700 } time { color: #616061; font-weight: 400; font-size: .8rem }
.header { font-weight: 700; font-size: 1.05rem } .small { color: #616061; font-size: .85rem }
.quote { border-left: 4px solid #ddd; padding-left: .6rem }
button { font: inherit; font-weight: 700; padding: .4rem 1rem; border: 1px solid #bbb; border-radius: 4px;
         background: #fff; cursor: pointer } .primary { background: #007a5a; color: #fff; border-color: #007a5a }
@media (prefers-color-scheme: dark) { body { background: #1a1d21; color: #d1d2d3 } button { color: inherit;
  background: #222529 } h2, article { border-color: #444 } time, .small { color: #ababad } }
"""
_TAGS = {"bold": "strong", "italic": "em", "strike": "s", "code": "code"}


class Standing(Protocol):
    """A message as it reads now."""

    @property
    def ts(self) -> str: ...
    @property
    def channel(self) -> str: ...
    @property
    def payload(self) -> dict[str, Any]: ...


def render(messages: Sequence[Standing]) -> str:
    """The whole page. Opening it changes nothing; only a pressed button does."""
    by_channel: dict[str, list[Standing]] = {}
    for each in sorted(messages, key=lambda m: m.ts, reverse=True):
        by_channel.setdefault(each.channel, []).append(each)  # so the channel with the latest message comes first
    shown = "".join(_channel(name, found) for name, found in by_channel.items())
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="2">'
        '<meta name="viewport" content="width=device-width"><title>Slack, as the demo has it</title>'
        f"<style>{STYLE}</style></head><body><h1>Slack, as the demo has it</h1>"
        "<p>Each message is the one that Tocsin sent, and the buttons call it back as Slack does.</p>"
        f"{shown or '<p>No message yet.</p>'}</body></html>"
    )


def _channel(name: str, messages: Sequence[Standing]) -> str:
    return f"<section><h2>{escape(name)}</h2>{''.join(_message(each) for each in messages)}</section>"


def _message(message: Standing) -> str:
    body = "".join(_line(line, message.ts) for line in lines(message.payload))
    return f"<article><header>Tocsin <small>APP</small></header>{body}</article>"


def _line(line: Line, ts: str) -> str:
    if line.kind == "rule":
        return "<hr>"
    if line.kind == "buttons":
        return f'<form method="post" action="/press">{"".join(_button(b, ts) for b in line.buttons)}</form>'
    return f'<div class="{line.kind}">{"".join(map(_span, line.spans)) or "&nbsp;"}</div>'


def _button(button: Button, ts: str) -> str:
    """A link where Slack shows one, else a button that sends its action."""
    if url := _web(button.action.get("url")):
        return f'<a href="{escape(url)}">{escape(button.label)}</a> '
    primary = ' class="primary"' if button.primary else ""
    action = escape(str(button.action.get("action_id", "")))
    return (
        f'<input type="hidden" name="ts" value="{escape(ts)}">'
        f'<button{primary} name="action" value="{action}">{escape(button.label)}</button> '
    )


def _span(span: Span) -> str:
    text = escape(span.text)
    if url := _web(span.url):
        return f'<a href="{escape(url)}">{text}</a>'
    tag = _TAGS.get(span.style)
    return f"<{tag}>{text}</{tag}>" if tag else text


def _web(url: object) -> str | None:
    """An address that a browser may follow; nothing that runs."""
    return url if isinstance(url, str) and url.startswith(("https://", "http://")) else None
