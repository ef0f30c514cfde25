"""What a message says: one pure function from the state to words, the same for every channel.

The order and the style are one: what is wrong and by how much, which case, the customer's words, when it was due, why
it came here, why you, who is next. Times are in the reader's zone. No ids, no ISO durations.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from services.notify import stages
from services.notify.message.fields import cut, fields, what
from services.notify.message.times import reader_of, when
from services.notify.model import METRICS, CaseState, Clock, Delivery, Purpose
from services.notify.model.threads import root_of
from shared.contracts.clocks import CaseSummary
from shared.contracts.words import PageState

__all__ = ["Message", "Row", "build", "cut", "link"]

MAX_SUBJECT = 90  # characters of the customer's words in a headline
MAX_QUOTE = 220
MAX_LINE = 500
MAX_URL = 2_000
MAX_TEAMS = 100  # that a page can be handed to from a message: what a menu of Slack holds

_URL = re.compile(r"https?://[^\s<>\"'`|\\^{}\x00-\x20\x7f]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Row:
    """One case of a digest. ``over``: it needs nobody any more."""

    page_id: UUID
    number: str
    text: str
    url: str | None
    over: bool
    can_acknowledge: bool


@dataclass(frozen=True, slots=True)
class Message:
    """The words, before any channel draws them. Nothing is escaped yet."""

    delivery_id: UUID
    page_id: UUID
    purpose: Purpose
    lock: str  # the text of a lock screen
    headline: str
    subject: str  # of a mail; the same for every message of a page
    context: tuple[str, ...]
    quote: str | None
    fields: tuple[tuple[str, str], ...]
    sentences: tuple[str, ...]  # the same for readers of prose
    case_url: str | None
    can_acknowledge: bool
    live: bool = True  # the page is not resolved, so it can be snoozed and handed over
    teams: tuple[str, ...] = ()  # that it can be handed to
    follows: str | None = None  # the provider's name for the page's first message there
    lines: tuple[str, ...] = ()  # what happened, of purpose ``history``
    rows: tuple[Row, ...] = ()  # the cases of a digest
    body: str | None = None  # an admin's own words in place of ours, escaped for the channel
    trouble: str | None = None  # why an admin's own words were not used
    facts: dict[str, Any] = field(default_factory=dict)  # for machines


def build(state: CaseState, delivery: Delivery, now: datetime, words: bool = True) -> Message:
    """The message of a claimed delivery; ``words``: it may have the customer's own.

    Raises ``LookupError`` where its clock or page is not in the state.
    """
    passed = stages.run(stages.outgoing(state, delivery, now))
    clock, summary = passed.clock, state.facts.summary
    if clock is None or summary is None:
        raise LookupError(f"delivery {delivery.id} is about nothing that is known")
    words = words and passed.words
    subject = cut(summary.subject, MAX_SUBJECT) if words else ""
    quote = cut(summary.excerpt, MAX_QUOTE) if words else ""
    wrong = what(clock, delivery.purpose, now)
    reader = reader_of(state, delivery, clock)
    lines = fields(state, delivery, clock, summary, reader, now)
    tier = f" ({summary.customer_tier})" if summary.customer_tier else ""
    calls, page = delivery.purpose in (Purpose.CALL, Purpose.UPDATE), passed.page
    root = root_of(state, delivery)
    return Message(
        delivery_id=delivery.id,
        page_id=delivery.page_id,
        purpose=delivery.purpose,
        lock=f"{summary.number} {wrong}{_colon(subject)}{tier}",
        headline=f"{wrong[0].upper()}{wrong[1:]}{_colon(subject)}",
        subject=f"{summary.number}{_colon(subject)}" if subject else f"{summary.number} needs an answer",
        context=_context(summary),
        quote=quote or None,
        fields=tuple(lines),
        sentences=tuple(_sentences(summary, clock, wrong, quote, lines)),
        case_url=link(summary.url),
        can_acknowledge=calls and page.state in (PageState.OPEN, PageState.EXHAUSTED),
        live=calls and page.live,
        teams=_teams(state),
        follows=delivery.follows or (root.receipt if root else None),
        lines=tuple(f"{when(each.at, reader, now)} {cut(each.text, MAX_LINE)}" for each in delivery.lines),
        facts=_facts(state, passed, clock, summary, subject, quote),
    )


def link(url: str | None) -> str | None:
    """An address that a button may lead to: http or https, nothing hidden in it."""
    if url is None or len(url) > MAX_URL or not _URL.fullmatch(url):
        return None
    return url


def _colon(text: str) -> str:
    return f": {text}" if text else ""


def _teams(state: CaseState) -> tuple[str, ...]:
    """Teams that we know of, but for the one that has the case."""
    named = {team for policy in state.configuration.policies.values() for team in policy.spec.teams}
    known = named | set(state.facts.teams_seen)
    return tuple(sorted(known - {state.page.team if state.page else None}))[:MAX_TEAMS]


def _context(summary: CaseSummary) -> tuple[str, ...]:
    about = ", ".join(part for part in (summary.customer_tier, summary.customer_country) if part)
    name = cut(summary.customer_name or "", 60) or "a customer"
    who = f"{name} ({about})" if about else name
    return tuple(part for part in (summary.number, who, str(summary.priority), summary.team) if part)


def _sentences(
    summary: CaseSummary, clock: Clock, what: str, quote: str, fields: Sequence[tuple[str, str]]
) -> list[str]:
    """The same as prose, for a mail."""
    name = METRICS[clock.metric]
    rest = what.removeprefix(name).strip()
    lines = [f"The {name} on {summary.number} {rest if rest.startswith('was') else f'is {rest}'}."]
    lines.append(_waiting(summary))
    if quote:
        lines.append(f"They wrote: “{quote}”")
    openings = {"Routed": "Why it is with this team:", "Also": "Also:", "Why": "Why:", "Next": "Next:"}
    openings["Due"] = "It was due" if clock.breached_at else "It is due"
    for label, text in fields:
        at = _preposition(text) if label == "Due" else ""
        lines.append(f"{openings.get(label, label)} {at}{text}{'' if text[-1] in '.!?' else '.'}")
    return lines


def _preposition(moment: str) -> str:
    """For ``03:03 …`` and ``Mon 23 Nov 03:03 …``; nothing for ``in 6 min``."""
    if moment[2:3] == ":":
        return "at "
    return "on " if moment[:3] in ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun") else ""


def _waiting(summary: CaseSummary) -> str:
    who = _context(summary)[1]
    team = f" and with team {summary.team}" if summary.team else ""
    return f"{who[0].upper()}{who[1:]} is waiting; the case is {summary.priority}{team}."


def _facts(
    state: CaseState, passed: stages.Outgoing, clock: Clock, summary: CaseSummary, subject: str, quote: str
) -> dict[str, Any]:
    page = passed.page
    return {
        "page_id": str(passed.delivery.page_id),
        "case_id": str(state.case_id),
        "case_number": summary.number,
        "case_url": summary.url,
        "state": str(page.state),
        "acknowledged_by": page.acknowledged_by,
        "team": page.team,
        "priority": str(summary.priority),
        "metric": str(clock.metric),
        "due_at": _iso(clock.breached_at or clock.due_at),
        "breached_at": _iso(clock.breached_at),
        "customer_tier": summary.customer_tier,
        "subject": subject or None,
        "excerpt": quote or None,
        "routed": summary.routed.text if summary.routed else None,
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
