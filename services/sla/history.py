"""What happened to a case: events become facts, facts in order become spans in which something is owed. Pure.

The table of metrics, as docs/sla.md gives it to readers, is ``_Walker`` below: what starts, meets and ends each.
"""

import dataclasses
from bisect import bisect_left
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from operator import attrgetter

from services.sla.model import DONE, Context, Fact, FactKind, Opening, Span, Walk
from shared.contracts.assignments import CaseAssigned, CaseHandedOff
from shared.contracts.contacts import CaseAbsorbed, CaseActivity, CaseMerged, ContactReceived
from shared.contracts.envelope import Event
from shared.contracts.pages import PageAcknowledged
from shared.contracts.words import ActivityKind, Metric, Priority, Status

MAX_FACTS = 1_000  # of one case; beyond, the oldest half is folded into where it had come to
OLDEST = timedelta(days=3650)  # a contact is taken to have happened at most this long before it was received

_RANK = {"contacts": 0, "assignments": 1, "pages": 2}
_REPLIES = (Metric.FIRST_REPLY, Metric.NEXT_REPLY)


def opening(event: Event) -> Opening | None:
    """What to remember of the contact that opened the case; None for any other event."""
    data = event.data
    if not isinstance(data, ContactReceived) or not data.opened_case:
        return None
    who = data.customer
    return Opening(
        number=data.case_number,
        opened_at=max(min(data.occurred_at, data.received_at), data.received_at - OLDEST),
        received_at=data.received_at,
        channel=data.channel,
        source=data.source,
        language=data.language,
        reason=data.reason,
        tags=data.tags,
        attributes=data.attributes,
        customer_id=who.id,
        customer_email=who.email,
        customer_name=who.name,
        customer_tier=who.tier,
        customer_country=who.country,
        subject=data.subject,
        excerpt=data.excerpt,
        url=data.url,
        history=data.history,
    )


def erased(opened: Opening) -> Opening:
    """Without identity and text; what policies and reports count by stays."""
    return dataclasses.replace(
        opened,
        customer_id=None,
        customer_email=None,
        customer_name=None,
        subject="",
        excerpt="",
        url=None,
        attributes={},
        erased=True,
    )


def fact(event: Event) -> Fact | None:
    """The fact in an event, or None where no clock could ever depend on it: notes, ratings, automated mail."""
    data, known_at = event.data, event.recorded_at

    def made(kind: FactKind, **more: object) -> Fact:
        bare = Fact(event.topic, event.sequence, kind, data.occurred_at, known_at)
        return dataclasses.replace(bare, **more)

    match data:
        case ContactReceived():
            if data.automated:
                return None
            return made(FactKind.CONTACTED, known_at=data.received_at, history=data.history)
        case CaseActivity():
            activity = _activity(data)
            return activity and made(activity[0], known_at=data.received_at, history=data.history, **activity[1])
        case CaseAssigned() | CaseHandedOff():
            by = data.by if isinstance(data, CaseHandedOff) else None
            return made(
                FactKind.PLACED, team=data.team, priority=data.priority, tags=data.tags, routed=data.because, by=by
            )
        case PageAcknowledged():
            return made(FactKind.PICKED_UP, by=data.by)
        case CaseMerged():
            return made(FactKind.MERGED, other=data.into_number)
        case CaseAbsorbed():
            return made(FactKind.ABSORBED, since=data.earliest_unanswered_at, other=data.source_number)
    return None


def _activity(data: CaseActivity) -> tuple[FactKind, Mapping[str, object]] | None:
    match data.kind:
        case ActivityKind.AGENT_REPLIED if data.public and not data.automated:
            return FactKind.REPLIED, {"by": data.actor}
        case ActivityKind.CUSTOMER_REPLIED if not data.automated:
            return FactKind.CONTACTED, {}
        case ActivityKind.PICKED_UP if not data.automated:
            return FactKind.PICKED_UP, {"by": data.actor}
        case ActivityKind.STATUS_CHANGED if data.status is not None:
            return FactKind.STATUS, {"status": data.status, "by": data.actor}
        case ActivityKind.PRIORITY_CHANGED if data.priority is not None:
            return FactKind.PRIORITY, {"priority": data.priority}
        case ActivityKind.TAGS_CHANGED if data.tags is not None:
            return FactKind.TAGS, {"tags": data.tags}
    return None


def added(facts: tuple[Fact, ...], new: Fact) -> tuple[Fact, ...]:
    """The facts with one more, or the same tuple where it is known already. Kept by topic and sequence."""
    key = attrgetter("topic", "sequence")
    at = bisect_left(facts, key(new), key=key)
    if at < len(facts) and key(facts[at]) == key(new):
        return facts
    return (*facts[:at], new, *facts[at:])


def ordered(opened: Opening, facts: tuple[Fact, ...], since: datetime | None = None) -> list[tuple[datetime, Fact]]:
    """Facts with the instants they count at, in order: none before the case, none after it was known."""
    first = max(opened.opened_at, since) if since else opened.opened_at
    placed = [(max(min(each.occurred_at, each.known_at), first), each) for each in facts]
    return sorted(placed, key=lambda each: (each[0], _RANK[each[1].topic], each[1].sequence))


def walk(opened: Opening, facts: tuple[Fact, ...], folded: Walk | None = None) -> Walk:
    """Where the case stands after all facts, with every span, ended or open. ``folded``: what came before them."""
    walker = _Walker(opened, folded or Walk())
    for at, each in ordered(opened, facts, folded.until if folded else None):
        walker.step(at, each)
    return walker.stands()


def fold(opened: Opening, facts: tuple[Fact, ...], folded: Walk | None) -> tuple[tuple[Fact, ...], Walk]:
    """Fold the older half of the facts into a walk. What they ended is settled and never derived again."""
    moments = ordered(opened, facts, folded.until if folded else None)
    older = [each for _, each in moments[: len(moments) // 2]]
    gone = {(each.topic, each.sequence) for each in older}
    kept = tuple(each for each in facts if (each.topic, each.sequence) not in gone)
    return kept, _trimmed(walk(opened, tuple(older), folded))


def _trimmed(stands: Walk) -> Walk:
    """Only what open spans still need of the past."""
    since = min((span.started_at for span in stands.open.values()), default=stands.until)
    passed = [at for at, _ in stands.statuses if since is not None and at <= since]
    statuses = stands.statuses[max(len(passed) - 1, 0) :]
    return dataclasses.replace(stands, spans=(), statuses=statuses[-MAX_FACTS:], contexts=stands.contexts[-MAX_FACTS:])


class _Walker:
    """Takes facts in order and opens and ends spans."""

    def __init__(self, opened: Opening, start: Walk) -> None:
        self._opened = opened
        self._count, self._until = start.count, start.until
        self._status, self._statuses = start.status, list(start.statuses)
        self._contexts, self._placed_known_at = list(start.contexts), start.placed_known_at
        self._contacted, self._replied, self._engaged = start.contacted, start.replied, start.engaged
        self._merged, self._history = start.merged, start.history
        self._instances, self._open, self._spans = dict(start.instances), dict(start.open), list(start.spans)
        self._steps: Mapping[FactKind, Callable[[datetime, Fact], None]] = {
            FactKind.CONTACTED: self._on_contacted,
            FactKind.REPLIED: self._on_replied,
            FactKind.PICKED_UP: self._on_picked_up,
            FactKind.STATUS: self._on_status,
            FactKind.PRIORITY: self._on_context,
            FactKind.TAGS: self._on_context,
            FactKind.PLACED: self._on_placed,
            FactKind.ABSORBED: self._on_absorbed,
            FactKind.MERGED: self._on_merged,
        }
        if not self._instances:
            self._history = opened.history
            # Ours, so from when we received it: an upstream that posts late is not routing's fault.
            self._start(Metric.UNASSIGNED, opened.received_at, opened.received_at)

    def step(self, at: datetime, each: Fact) -> None:
        self._count, self._until = self._count + 1, at
        if not self._merged:
            self._steps[each.kind](at, each)

    def stands(self) -> Walk:
        return Walk(
            count=self._count,
            until=self._until,
            status=self._status,
            statuses=tuple(self._statuses),
            contexts=tuple(self._contexts),
            placed_known_at=self._placed_known_at,
            contacted=self._contacted,
            replied=self._replied,
            engaged=self._engaged,
            merged=self._merged,
            history=self._history,
            instances=self._instances,
            open=self._open,
            spans=tuple(self._spans),
        )

    def _on_contacted(self, at: datetime, each: Fact) -> None:
        self._contacted, self._history = True, each.history
        if self._status is Status.PENDING or self._status in DONE:
            self._set_status(at, Status.OPEN)
        self._start(Metric.NEXT_REPLY if self._replied else Metric.FIRST_REPLY, at, each.known_at)
        self._start(Metric.RESOLUTION, at, each.known_at)

    def _on_replied(self, at: datetime, each: Fact) -> None:
        if each.occurred_at < self._opened.opened_at:
            return  # what was said before the customer wrote is no reply to it
        for metric in (*_REPLIES, Metric.PICKUP):
            self._end(metric, at, True, f"{each.by or 'an agent'} replied")
        self._replied = self._replied or self._contacted
        self._engaged = True

    def _on_picked_up(self, at: datetime, each: Fact) -> None:
        verb = "acknowledged the page" if each.topic == "pages" else "took the case"
        self._end(Metric.PICKUP, at, True, f"{each.by or 'somebody'} {verb}")
        self._engaged = True

    def _on_status(self, at: datetime, each: Fact) -> None:
        if each.status is None or each.status is self._status:
            return
        reopened = self._status in DONE and each.status not in DONE
        self._set_status(at, each.status)
        if each.status in DONE:
            why = f"the case was {each.status}"
            self._end(Metric.RESOLUTION, at, True, why)
            for metric in (*_REPLIES, Metric.PICKUP):
                self._end(metric, at, False, why)
        elif reopened and self._contacted:
            self._start(Metric.RESOLUTION, at, each.known_at)

    def _on_context(self, at: datetime, each: Fact) -> None:
        if not self._contexts:
            return  # before the first assignment nothing is promised, and that sets priority and tags anew
        was = self._contexts[-1]
        priority = was.priority if each.priority is None else each.priority
        tags = was.tags if each.tags is None else each.tags
        self._contexts.append(dataclasses.replace(was, at=at, priority=priority, tags=tags))

    def _on_placed(self, at: datetime, each: Fact) -> None:
        before = self._contexts[-1].team if self._contexts else None
        team, priority = each.team or "", each.priority or Priority.NORMAL
        if before is None:
            self._placed_known_at = each.known_at
            self._end(Metric.UNASSIGNED, max(at, self._opened.received_at), True, f"the case went to {team}")
        self._contexts.append(Context(at, team, priority, each.tags or (), each.routed))
        if team == before:
            return
        self._end(Metric.PICKUP, at, False, f"the case was handed off to {team} before {before} took it")
        self._start(Metric.PICKUP, at, each.known_at)
        if self._status in DONE:
            self._end(Metric.PICKUP, at, False, f"the case was {self._status} already")
        elif before is None and self._engaged:
            self._end(Metric.PICKUP, at, True, "somebody was at work on the case already")

    def _on_absorbed(self, at: datetime, each: Fact) -> None:
        """The customer of the absorbed case waits here now, since then."""
        if each.since is None or self._status in DONE:
            return
        self._contacted = True
        since = min(max(each.since, each.known_at - OLDEST), at)
        waiting = next((m for m in _REPLIES if m in self._open), None)
        if waiting is None:
            self._start(Metric.NEXT_REPLY if self._replied else Metric.FIRST_REPLY, since, each.known_at)
        elif since < self._open[waiting].started_at:
            self._open[waiting] = dataclasses.replace(self._open[waiting], started_at=since)
        self._start(Metric.RESOLUTION, at, each.known_at)

    def _on_merged(self, at: datetime, each: Fact) -> None:
        self._merged = True
        for metric in tuple(self._open):
            self._end(metric, at, False, f"the case was merged into {each.other}")

    def _set_status(self, at: datetime, status: Status) -> None:
        self._status = status
        self._statuses.append((at, status))

    def _start(self, metric: Metric, at: datetime, known_at: datetime) -> None:
        if metric in self._open:
            return
        self._instances[metric] = self._instances.get(metric, 0) + 1
        self._open[metric] = Span(metric, self._instances[metric], at, known_at, self._history)

    def _end(self, metric: Metric, at: datetime, met: bool, why: str) -> None:
        span = self._open.pop(metric, None)
        if span is not None:
            self._spans.append(dataclasses.replace(span, ended_at=max(at, span.started_at), met=met, why=why))
