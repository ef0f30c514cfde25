"""How Slack draws a message: Block Kit. Nothing of the customer's words reaches mrkdwn unescaped."""

from collections.abc import Sequence
from typing import Any

from services.notify.message import Message, Row

MAX_HEADER = 150  # characters; these are Slack's own limits
MAX_SECTION = 3_000
MAX_TEXT = 3_000
MAX_OPTION = 75
MAX_VALUE = 2_000
ROW_SECTIONS = 40  # of a digest; with header, context and buttons under Slack's 50 blocks

# The action_ids of what can be pressed. The actions block is named after its page.
ACKNOWLEDGE, OPEN, SNOOZE, HAND_OVER = "acknowledge", "open", "snooze", "hand_over"
PAGE = "page:"

SNOOZES = {"PT15M": "15 min", "PT30M": "30 min", "PT1H": "1 h", "PT2H": "2 h", "PT4H": "4 h", "PT8H": "8 h"}


def draw(message: Message) -> list[dict[str, Any]]:
    drawn: list[dict[str, Any]] = [
        {
            "type": "header",
            "text": {"type": "plain_text", "text": escape(message.headline, MAX_HEADER), "emoji": False},
        },
        {"type": "context", "elements": [_mrkdwn(escape(" · ".join(message.context), MAX_SECTION))]},
    ]
    if message.body is not None:  # its values are escaped by the template's environment
        drawn.append({"type": "section", "text": _mrkdwn(message.body)})
    elif message.quote:
        drawn.append({"type": "section", "text": _mrkdwn("> " + escape(message.quote, MAX_SECTION - 2))})
    if message.fields and message.body is None:
        share = MAX_SECTION // len(message.fields)
        lines = [f"*{label}* {escape(text, share - len(label) - 4)}" for label, text in message.fields]
        drawn.append({"type": "section", "text": _mrkdwn("\n".join(lines))})
    drawn += _rows(message.rows)
    if elements := [*_buttons(message), *_menus(message)]:
        drawn.append({"type": "actions", "block_id": f"{PAGE}{message.page_id}", "elements": elements})
    return drawn


def _rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The cases of a digest, in as few sections as hold them."""
    sections: list[list[str]] = []
    room = 0
    for row in rows:
        line = _line(row)
        if len(line) + 1 > room:
            sections.append([])
            room = MAX_SECTION
        sections[-1].append(line)
        room -= len(line) + 1
    return [{"type": "section", "text": _mrkdwn("\n".join(lines))} for lines in sections[:ROW_SECTIONS]]


def _line(row: Row) -> str:
    number = escape(row.number, 30)
    url = escape(row.url, 400).replace("|", "%7C") if row.url and len(row.url) <= 300 else None
    name = f"<{url}|{number}>" if url else number
    text = f"{name} {escape(row.text, 400).replace('~', '-')}"
    return f"~{text}~" if row.over else text


def _mrkdwn(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text, "verbatim": True}  # verbatim: no links or mentions made of plain words


def _buttons(message: Message) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if message.rows:
        pages = [str(row.page_id) for row in message.rows if row.can_acknowledge]
        at_once = (MAX_VALUE + 1) // (len(pages[0]) + 1) if pages else 1
        parts = [pages[at : at + at_once] for at in range(0, len(pages), at_once)]
        for number, part in enumerate(parts, 1):
            text = f"Acknowledge all {len(part)}" if len(parts) == 1 else f"Acknowledge {len(part)} ({number})"
            # the action_ids of one block must differ
            found.append(_button(text, action_id=f"{ACKNOWLEDGE}:{number}", value=",".join(part)))
    elif message.can_acknowledge:
        found.append(_button("Acknowledge", action_id=ACKNOWLEDGE, value=str(message.page_id), style="primary"))
    if message.case_url:
        found.append(_button("Open", action_id=OPEN, url=message.case_url))
    return found


def _menus(message: Message) -> list[dict[str, Any]]:
    if not message.live:
        return []
    found = [_menu("Snooze…", SNOOZE, list(SNOOZES.items()))]
    if message.teams:
        confirm = {
            "title": _plain("Hand the case over?"),
            "text": _plain("Its page follows as soon as the other team has it."),
            "confirm": _plain("Hand over"),
            "deny": _plain("Cancel"),
        }
        menu = _menu("Hand over…", HAND_OVER, [(team, team) for team in message.teams])
        found.append({**menu, "confirm": confirm})
    return found


def _menu(placeholder: str, action_id: str, options: Sequence[tuple[str, str]]) -> dict[str, Any]:
    drawn = [{"text": _plain(escape(text, MAX_OPTION)), "value": value} for value, text in options]
    return {"type": "static_select", "action_id": action_id, "placeholder": _plain(placeholder), "options": drawn}


def _button(text: str, **more: str) -> dict[str, Any]:
    return {"type": "button", "text": _plain(text), **more}


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}


def escape(text: str, limit: int) -> str:
    """For Slack: ``<!channel>`` arrives as text. At most ``limit`` characters, and no entity is cut in half."""
    written = _escaped(text)
    if len(written) <= limit:
        return written
    while len(written) >= limit:
        text = text[: -max(1, (len(written) - limit) // len("&amp;"))]
        written = _escaped(text)
    return written + "…"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
