"""Slack's own rules for a message: its blocks, their texts and their limits."""

from collections.abc import Iterator
from typing import Any

MAX_BLOCKS, MAX_TEXT = 50, 40_000
_TEXTS = {"header": 150, "section": 3000, "button": 75}
_KNOWN = {
    "header": {"type", "text", "block_id"},
    "section": {"type", "text", "fields", "accessory", "block_id", "expand"},
    "context": {"type", "elements", "block_id"},
    "actions": {"type", "elements", "block_id"},
    "divider": {"type", "block_id"},
}


def complaints(body: dict[str, Any]) -> list[str]:
    """What Slack would refuse in a message, in words; empty where it would take it."""
    found = [] if len(body["text"]) <= MAX_TEXT else ["text is too long"]
    blocks = body.get("blocks", [])
    if not isinstance(blocks, list) or len(blocks) > MAX_BLOCKS:
        return [*found, f"no more than {MAX_BLOCKS} blocks"]
    for place, block in enumerate(blocks):
        found += [f"{wrong} [json-pointer:/blocks/{place}]" for wrong in _block(block)]
    metadata = body.get("metadata")
    if metadata is not None and not ({"event_type", "event_payload"} <= set(metadata)):
        found.append("metadata needs event_type and event_payload")
    return found


def _block(block: dict[str, Any]) -> Iterator[str]:
    kind = block.get("type")
    if kind not in _KNOWN:
        yield f"unsupported type: {kind}"
        return
    if unknown := set(block) - _KNOWN[kind]:
        yield f"invalid additional property: {sorted(unknown)[0]}"
    if kind == "header":
        yield from _text(block.get("text"), _TEXTS[kind], ("plain_text",))
    elif kind == "section":
        if "text" not in block and "fields" not in block:
            yield "section needs text or fields"
        if "text" in block:
            yield from _text(block["text"], _TEXTS[kind])
        if len(block.get("fields", [])) > 10:
            yield "no more than 10 items allowed: fields"
        for each in block.get("fields", []):
            yield from _text(each, 2000)
    elif kind == "context":
        if not 1 <= len(block.get("elements", [])) <= 10:
            yield "1 to 10 items allowed: elements"
        for each in block.get("elements", []):
            yield from _text(each, 3000)
    elif kind == "actions":
        names = [each.get("action_id") for each in block.get("elements", [])]
        if len(set(names)) != len(names) or len(block.get("block_id", "")) > 255:
            yield "action_ids must differ; a block_id has 255 characters at most"
        if not 1 <= len(block.get("elements", [])) <= 25:
            yield "1 to 25 items allowed: elements"
        for each in block.get("elements", []):
            yield from _button(each)


def _button(button: dict[str, Any]) -> Iterator[str]:
    if button.get("type") == "static_select":
        yield from _menu(button)
        return
    if button.get("type") != "button":
        yield f"unsupported element: {button.get('type')}"
        return
    if unknown := set(button) - {"type", "text", "action_id", "value", "url", "style", "confirm"}:
        yield f"invalid additional property: {sorted(unknown)[0]}"
    yield from _text(button.get("text"), _TEXTS["button"], ("plain_text",))
    if (
        len(button.get("value", "")) > 2000
        or len(button.get("url", "")) > 3000
        or len(button.get("action_id", "")) > 255
    ):
        yield "value, url or action_id is too long"
    if button.get("style", "primary") not in ("primary", "danger"):
        yield "style: primary or danger"


def _menu(menu: dict[str, Any]) -> Iterator[str]:
    if unknown := set(menu) - {"type", "placeholder", "action_id", "options", "confirm"}:
        yield f"invalid additional property: {sorted(unknown)[0]}"
    yield from _text(menu.get("placeholder"), 150, ("plain_text",))
    if not 1 <= len(menu.get("options", [])) <= 100:
        yield "1 to 100 items allowed: options"
    for option in menu.get("options", []):
        yield from _text(option.get("text"), 75, ("plain_text",))
        if not 1 <= len(option.get("value", "")) <= 150:
            yield "value must have 1 to 150 characters"
    for name, limit in {"title": 100, "text": 300, "confirm": 30, "deny": 30}.items() if "confirm" in menu else ():
        yield from _text(menu["confirm"].get(name), limit)


def _text(text: Any, limit: int, kinds: tuple[str, ...] = ("mrkdwn", "plain_text")) -> Iterator[str]:
    if not isinstance(text, dict) or text.get("type") not in kinds or not isinstance(text.get("text"), str):
        yield f"must be a text object of {' or '.join(kinds)}"
        return
    allowed = {"type", "text", "emoji"} if text["type"] == "plain_text" else {"type", "text", "verbatim"}
    if unknown := set(text) - allowed:
        yield f"invalid additional property: {sorted(unknown)[0]}"
    if not 1 <= len(text["text"]) <= limit:
        yield f"must have 1 to {limit} characters"
