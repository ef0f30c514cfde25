"""Block Kit and mrkdwn are read as Slack documents them, and drawn so that nothing from outside passes as ours."""

import io
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from services.demo import browser
from services.demo.blocks import Span, buttons, lines, spans
from services.demo.claims import Claims
from services.demo.screen import Screen
from services.demo.slack import Post
from shared.clock import ManualClock

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def said(text: str) -> dict[str, str]:
    return {"type": "mrkdwn", "text": text}


def plain(text: str) -> dict[str, str]:
    return {"type": "plain_text", "text": text}


ACKNOWLEDGE = {"type": "button", "action_id": "ack", "value": "v1", "style": "primary", "text": plain("Acknowledge")}
OPEN = {"type": "button", "action_id": "open", "url": "https://x.example/1", "text": plain("Open")}
PAYLOAD: dict[str, Any] = {
    "text": "C-300 first reply 1 s late",
    "blocks": [
        {"type": "header", "text": plain("First reply 1 s late: Payout missing")},
        {"type": "section", "text": said("*C-300* for <https://x.example/1|Orla> &amp; Co\n&gt; pay us")},
        {"type": "section", "fields": [said("*Due*\n09:00"), said("*Why*\nvip")]},
        {"type": "context", "elements": [said("urgent"), said("payments")]},
        {"type": "divider"},
        {"type": "actions", "block_id": "page", "elements": [ACKNOWLEDGE, OPEN]},
    ],
}


@pytest.mark.parametrize(
    ("mrkdwn", "expected"),
    [
        ("plain", [Span("plain")]),
        ("*bold* and _soft_", [Span("bold", "bold"), Span(" and "), Span("soft", "italic")]),
        ("2*3*4 snake_case_name", [Span("2*3*4 snake_case_name")]),
        ("<https://a.example/?q=1&amp;r=2|here>", [Span("here", "link", "https://a.example/?q=1&r=2")]),
        ("<https://a.example>", [Span("https://a.example", "link", "https://a.example")]),
        ("<!date^1732266000^{time}|09:00>", [Span("09:00")]),
        ("<@U1|ana>", [Span("ana")]),
        ("a &lt;b&gt; &amp;amp;", [Span("a <b> &amp;")]),
        (":warning: late", [Span("⚠ late")]),
        ("12:30:45", [Span("12:30:45")]),
    ],
)
def test_mrkdwn_is_read_as_slack_shows_it(mrkdwn: str, expected: list[Span]) -> None:
    assert spans(mrkdwn) == expected


def test_every_kind_of_block_becomes_lines() -> None:
    found = lines(PAYLOAD)
    assert [(line.kind, line.text) for line in found] == [
        ("header", "First reply 1 s late: Payout missing"),
        ("text", "C-300 for Orla & Co"),
        ("quote", "pay us"),
        ("text", "Due"),
        ("text", "09:00"),
        ("text", "Why"),
        ("text", "vip"),
        ("small", "urgent  payments"),
        ("rule", ""),
        ("buttons", ""),
    ]
    assert [button.label for button in buttons(PAYLOAD)] == ["Acknowledge", "Open"]
    assert buttons(PAYLOAD)[0].action["value"] == "v1"


def test_plain_text_is_unescaped_and_has_emoji_only_where_wanted() -> None:
    header = {"type": "header", "text": {"type": "plain_text", "text": "A &amp; B :bell:", "emoji": False}}
    assert lines({"blocks": [header]})[0].text == "A & B :bell:"


def test_a_message_without_blocks_is_its_text() -> None:
    assert [line.text for line in lines({"text": "one\ntwo"})] == ["one", "two"]


def test_blocks_of_attachments_count_too() -> None:
    assert [line.text for line in lines({"text": "t", "attachments": [{"blocks": PAYLOAD["blocks"][:1]}]})] == [
        "First reply 1 s late: Payout missing"
    ]


def screen(encoding: str = "utf-8", **how: Any) -> tuple[Screen, io.TextIOWrapper]:
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace")
    console = Console(file=out, width=80, highlight=False, **how)
    return Screen(ManualClock(NOW), Claims(), console), out


def written(out: io.TextIOWrapper) -> str:
    out.flush()
    assert isinstance(out.buffer, io.BytesIO)
    return out.buffer.getvalue().decode()


def test_a_message_is_drawn_within_80_columns_without_colours() -> None:
    shown, out = screen()
    shown.slack(Post("1.1", "#payments-alerts", PAYLOAD, NOW))
    text = written(out)
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    for said in ("#payments-alerts", "Tocsin", "Payout missing", "[ Acknowledge ]", "pay us"):
        assert said in text


def test_a_terminal_that_knows_only_ascii_gets_only_ascii() -> None:
    shown, out = screen("ascii")
    shown.scene(1, "Up")
    shown.claim(True, "it held", "")
    shown.claim(False, "", "it did not")
    shown.slack(Post("1.1", "#payments-alerts", {"text": "plain"}, NOW))
    text = written(out)
    assert text.isascii()
    assert "?" not in text
    assert "ok it held" in text
    assert "NOT TRUE: it did not" in text


def test_a_customers_words_are_never_read_as_markup() -> None:
    shown, out = screen()
    shown.slack(Post("1.1", "#a", {"text": "[bold red]pay[/] [link=http://evil]x[/link]"}, NOW))
    shown.claim(True, "rule [dim]x[/]", "")
    text = written(out)
    assert "[bold red]pay[/] [link=http://evil]x[/link]" in text
    assert "rule [dim]x[/]" in text


@dataclass(frozen=True)
class Shown:
    ts: str
    channel: str
    payload: dict[str, Any]


def test_the_page_shows_each_channel_with_buttons_that_post() -> None:
    html = browser.render([Shown("1.1", "#payments-alerts", PAYLOAD)])
    assert "#payments-alerts" in html
    assert '<form method="post" action="/press">' in html
    assert 'name="ts" value="1.1"' in html
    assert 'class="primary" name="action" value="ack">Acknowledge</button>' in html
    assert '<a href="https://x.example/1">Open</a>' in html


def test_what_came_last_is_at_the_top_of_the_page() -> None:
    html = browser.render(
        [Shown(ts, channel, {"text": f"said at {ts}"}) for ts, channel in (("1", "#zoo"), ("2", "#ark"), ("3", "#zoo"))]
    )
    places = [html.index(text) for text in ("#zoo", "said at 3", "said at 1", "#ark", "said at 2")]
    assert places == sorted(places)


def test_nothing_from_outside_becomes_markup_of_the_page() -> None:
    hostile = {"text": "&lt;script&gt;alert(1)&lt;/script&gt; <javascript:alert(1)|press> \"'"}
    html = browser.render([Shown("1.1", '#"><script>', hostile)])
    assert "<script" not in html
    assert not re.search(r"href=.javascript", html)


def test_a_count_down_is_told_now_and_then_where_nothing_can_be_redrawn() -> None:
    shown, out = screen()
    with shown.bar("posting", 10) as step:
        for _ in range(10):
            step()
    assert written(out).split("\n")[:2] == ["  posting: 5/10", "  posting: 10/10"]
