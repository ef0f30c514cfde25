"""Many cases in one message: every one of them named. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from services.notify.message import Message, Row, cut
from services.notify.model import Purpose

MAX_ROWS = 250  # of one message; more cases make more messages
MAX_ROW = 160  # characters


def digests(messages: Sequence[Message], about: str) -> list[Message]:
    """As few messages as name every case, in the order given. ``about``: ``payments``, what they have in common.

    The first of them lends its key and its page; a case that is over stays, struck out.
    """
    parts = [messages[at : at + MAX_ROWS] for at in range(0, len(messages), MAX_ROWS)]
    return [_digest(part, about, number, len(parts)) for number, part in enumerate(parts, 1)]


def _digest(messages: Sequence[Message], about: str, number: int, of: int) -> Message:
    first, rows = messages[0], tuple(_row(each) for each in messages)
    calling = sum(not row.over for row in rows)
    over = len(rows) - calling
    part = f" ({number} of {of})" if of > 1 else ""
    count = f"{calling} {'case needs' if calling == 1 else 'cases need'} an answer" if calling else _all_over(over)
    headline = f"{count} in {about}{part}"
    named = ", ".join(row.number for row in rows[:3]) + (f" and {len(rows) - 3} more" if len(rows) > 3 else "")
    context = (f"{len(rows)} cases", *([f"{over} over"] if over else []))
    return replace(
        first,
        lock=f"{headline}: {named}",
        headline=headline,
        subject=f"{about} needs answers",
        context=context,
        quote=None,
        fields=(),
        sentences=tuple(f"{row.number}: {row.text}{' (over)' if row.over else ''}." for row in rows),
        case_url=None,
        can_acknowledge=any(row.can_acknowledge for row in rows),
        live=False,
        teams=(),
        lines=(),
        rows=rows,
        facts={**first.facts, "cases": [each.facts for each in messages]},
    )


def _all_over(over: int) -> str:
    return f"All {over} cases are over" if over > 1 else "The case is over"


def _row(message: Message) -> Row:
    number = message.context[0]
    over = message.purpose == Purpose.WITHDRAWN or not message.live
    text = cut(message.lock.removeprefix(number).strip(), MAX_ROW)
    return Row(message.page_id, number, text, message.case_url, over, message.can_acknowledge)
