"""What a message says: one pure function from the state to words, the same for every channel.

The order and the style are one: what is wrong and by how much, which case, the customer's words, when it was due, why
it came here, why you, who is next. Times are in the reader's zone. No ids, no ISO durations.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from services.notify import oncall, stages
from services.notify.message.times import Reader, due, reader_of, when
from services.notify.model import CATCH_ALL, METRICS, CaseState, Clock, Delivery, Purpose
from services.notify.model.plan import timers
from services.notify.model.specs import On
from services.notify.oncall.targets import person_title, resolve, title
from shared.contracts import duration
from shared.contracts.clocks import CaseSummary
from shared.contracts.envelope import Because
from shared.contracts.words import DeliveryState, PageState

MAX_SUBJECT = 90  # characters of the customer's words in a headline
MAX_QUOTE = 220
MAX_REASON = 300
MAX_OTHERS = 3  # other promises of the case that are named

_UNDIRECTED = str.maketrans("", "", "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


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
    facts: dict[str, Any] = field(default_factory=dict)  # for machines


def build(state: CaseState, delivery: Delivery, now: datetime) -> Message:
    """The message of a claimed delivery. Raises ``LookupError`` where its clock or page is not in the state."""
    passed = stages.run(stages.outgoing(state, delivery, now))
    clock, summary = passed.clock, state.facts.summary
    if clock is None or summary is None:
        raise LookupError(f"delivery {delivery.id} is about nothing that is known")
    subject = cut(summary.subject, MAX_SUBJECT) if passed.words else ""
    quote = cut(summary.excerpt, MAX_QUOTE) if passed.words else ""
    what = _what(clock, delivery.purpose, now)
    reader = reader_of(state, delivery, clock)
    fields = _fields(state, delivery, clock, summary, reader, now)
    tier = f" ({summary.customer_tier})" if summary.customer_tier else ""
    return Message(
        delivery_id=delivery.id,
        page_id=delivery.page_id,
        purpose=delivery.purpose,
        lock=f"{summary.number} {what}{_colon(subject)}{tier}",
        headline=f"{what[0].upper()}{what[1:]}{_colon(subject)}",
        subject=f"{summary.number}{_colon(subject)}" if subject else f"{summary.number} needs an answer",
        context=_context(summary),
        quote=quote or None,
        fields=tuple(fields),
        sentences=tuple(_sentences(summary, clock, what, quote, fields)),
        case_url=summary.url,
        can_acknowledge=delivery.purpose == Purpose.CALL and passed.page.state != PageState.ACKNOWLEDGED,
        facts=_facts(state, passed, clock, summary, subject, quote),
    )


def cut(text: str, limit: int) -> str:
    """The customer's words on one line, without control or direction characters, at most ``limit`` characters."""
    line = " ".join("".join(" " if unicodedata.category(c) == "Cc" else c for c in text).split())
    line = line.translate(_UNDIRECTED)
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def _colon(text: str) -> str:
    return f": {text}" if text else ""


def _what(clock: Clock, purpose: Purpose, now: datetime) -> str:
    """``first reply 5 min late``"""
    name = METRICS[clock.metric]
    if purpose == Purpose.WITHDRAWN:
        return f"{name} was in time after all"
    if clock.breached_at is not None:
        return f"{name} {duration.words(max(now, clock.breached_at) - clock.breached_at)} late"
    if clock.due_at is None:
        return f"{name} at risk"
    return f"{name} due in {duration.words(clock.due_at - now)}" if clock.due_at > now else f"{name} due now"


def _context(summary: CaseSummary) -> tuple[str, ...]:
    about = ", ".join(part for part in (summary.customer_tier, summary.customer_country) if part)
    name = cut(summary.customer_name or "", 60) or "a customer"
    who = f"{name} ({about})" if about else name
    return tuple(part for part in (summary.number, who, str(summary.priority), summary.team) if part)


def _fields(
    state: CaseState, delivery: Delivery, clock: Clock, summary: CaseSummary, reader: Reader, now: datetime
) -> list[tuple[str, str]]:
    if delivery.purpose == Purpose.WITHDRAWN:
        why = cut(clock.ended_because or "A reply that was in time arrived late", MAX_REASON)
        return [("Withdrawn", f"the earlier message about {summary.number} was wrong, nothing is owed"), ("Why", why)]
    page = state.page
    if page is None:
        raise LookupError(f"case {state.case_id} has no page")
    found = [("Due", due(clock, reader, now))]
    if others := _others(state, clock, now):
        found.append(("Also", others))
    if summary.routed is not None:
        found.append(("Routed", _routed(summary.routed)))
    if you := _you(state, delivery, reader, now):
        found.append(("You", you))
    if page.state == PageState.ACKNOWLEDGED and page.acknowledged_at is not None:
        who = person_title(state.configuration, page.acknowledged_by or "somebody")
        found.append(("Acknowledged", f"by {who} {when(page.acknowledged_at, reader, now)}"))
    elif delivery.target == CATCH_ALL:
        found.append(("Why", cut(_why_nowhere(state, delivery), MAX_REASON)))
    if upcoming := _next(state, reader, now):
        found.append(("Next", upcoming))
    return found


def _routed(because: Because) -> str:
    """``by enterprise-payouts: tier is enterprise``"""
    rule, text = because.facts.get("rule"), cut(because.text, MAX_REASON).rstrip(".")
    return f"by {text}" if isinstance(rule, str) and text.startswith(rule) else text


def _others(state: CaseState, clock: Clock, now: datetime) -> str:
    page = state.page
    others = [
        c
        for i in (page.clocks if page else ())
        if i != clock.id and (c := state.clocks.get(i)) is not None and c.calls(On.WARNED)
    ]
    others.sort(key=lambda c: (c.breached_at or c.due_at or c.started_at, str(c.id)))
    return "; ".join(_what(c, Purpose.CALL, now) for c in others[:MAX_OTHERS])


def _you(state: CaseState, delivery: Delivery, reader: Reader, now: datetime) -> str:
    """Why this person, and who did not take it before."""
    kind, _, name = delivery.target.partition(":")
    if kind != "person":
        return ""
    via_kind, _, via = (delivery.via or "").partition(":")
    reason = "are named in the escalation policy"
    if via_kind == "schedule" and (rota := state.configuration.schedules.get(via)) is not None:
        shifts = [s for s in oncall.on_call(rota.schedule, rota.overrides, now) if s.person == name]
        reason = f"are on call until {when(shifts[0].end, reader, now)}" if shifts else f"were on call for {via}"
    told = {each.target for each in state.deliveries.values() if _told_before(each, delivery)}
    places = [title(state.configuration, key) for key in sorted(told) if key.startswith("destination:")]
    people = [title(state.configuration, key) for key in sorted(told) if key.startswith("person:")]
    silent = [f"nobody acknowledged in {_and(places)}"] if places else []
    silent += [f"{_and(people)} did not acknowledge"] if people else []
    return "; ".join([reason, *silent])


def _told_before(each: Delivery, now: Delivery) -> bool:
    return (
        each.page_id == now.page_id
        and each.cycle == now.cycle
        and each.purpose == Purpose.CALL
        and each.state == DeliveryState.SENT
        and each.target != now.target
    )


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _why_nowhere(state: CaseState, delivery: Delivery) -> str:
    page = state.page
    if delivery.cause == "exhausted":
        return "every step ran and nobody acknowledged"
    return page.troubles[-1] if page and page.troubles else "nobody else could be told"


def _next(state: CaseState, reader: Reader, now: datetime) -> str:
    """``Li at 03:13``"""
    page = state.page
    coming = sorted(timers(page).values(), key=lambda t: (t.due_at, t.step))
    if page is None or not coming:
        return ""
    step, at = coming[0].step, coming[0].due_at
    moment = when(at, reader, now)
    if step == "reopen":
        return f"pages again at {moment}"
    if step == "exhaust":
        return f"the catch-all at {moment}"
    targets, _ = resolve(state.configuration, page.policy.spec.steps[int(step.split(":")[1])].notify, at)
    names = [title(state.configuration, each.key) for each in targets]
    return f"{_and(names)} at {moment}" if names else f"nobody can be reached at {moment}"


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
