"""Clocks as they follow from a case's history and from what was promised when. Pure, and knows no "now".

A promise follows the case: priority, team and tags are judged at the time of each change, and the configuration at
any time is the one in force then. So the same history gives the same clocks, whatever was learned first, and an edit
never rewrites what ended before it.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from services.sla.calendar import add_business, business_between
from services.sla.decide import history, policies
from services.sla.model import Calendar, Configuration, Held, Level, Opening, Pause, Policy, Promise, Terms
from services.sla.model.metrics import RULES
from services.sla.model.walk import Context, Span, Walk
from shared.contracts.identity import derived as identity
from shared.contracts.words import Metric, Status

UNASSIGNED = Promise(Terms(timedelta(seconds=60), policies.ALWAYS_NAME, "UTC"), policies.BUILT_IN)
Kept = tuple[datetime, Promise]  # since when, and what
MAX_EARLIER = 20  # promises kept of one clock; the first is always one of them
NO_POLICY = "no policy promises it any more"


@dataclass(frozen=True, slots=True)
class Derived:
    """One clock as it should be, apart from what was announced about it."""

    id: UUID
    metric: Metric
    instance: int
    started_at: datetime
    promise: Promise
    promised_at: datetime
    due_at: datetime | None  # None: paused
    levels: tuple[Level, ...]
    pauses: tuple[Pause, ...]
    team: str | None
    history: bool
    ended_at: datetime | None
    met: bool
    why: str  # it ended
    earlier: tuple[Held, ...] = ()  # promises that this one replaced, the first one first


def derive(
    case_id: UUID, opened: Opening, walk: Walk, configuration: Configuration, kept: Mapping[UUID, Kept]
) -> list[Derived]:
    """Every clock of the case, in order of start. ``kept``: promises that stay as they were made, by clock."""
    contexts = history.contexts(walk)
    chosen = _Choice(opened, contexts, configuration)
    found: list[Derived] = []
    for span in (*walk.spans, *walk.open.values()):
        if walk.placed_known_at is None and span.metric is not Metric.UNASSIGNED and not kept:
            continue  # policies look at team and priority; until they are known `unassigned` runs
        clock_id = identity(case_id, span.metric, span.instance)
        if span.metric is Metric.UNASSIGNED:
            promises: list[tuple[datetime, Promise | None]] = [(span.started_at, UNASSIGNED)]
        elif clock_id in kept:
            promises = [kept[clock_id]]
        elif walk.placed_known_at is None:
            continue
        else:
            promises = chosen.promises(span, max(span.known_at, walk.placed_known_at))
        clock = _clock(clock_id, span, promises, walk.statuses, _team(contexts, span))
        if clock is not None:
            found.append(clock)
    return sorted(found, key=lambda each: (each.started_at, each.metric, each.instance))


class _Choice:
    """Which promise holds for a span at any time."""

    def __init__(self, opened: Opening, contexts: Sequence[Context], configuration: Configuration) -> None:
        self._opened, self._contexts, self._configuration = opened, contexts, configuration
        self._values: dict[int, Any] = {}  # what conditions ask about, by context
        self._matched: dict[tuple[int, int], Policy | None] = {}  # by context and edition

    def promises(self, span: Span, known_at: datetime) -> list[tuple[datetime, Promise | None]]:
        """The promise at the start of the span, and each that took its place. ``known_at``: edits after it count."""
        editions = self._configuration.editions
        edits = {edition.since for edition in editions[policies.in_force(self._configuration, known_at) + 1 :]}
        changes = {context.at for context in self._contexts[1:] if context.at > span.started_at}
        found: list[tuple[datetime, Promise | None]] = []
        for at in (span.started_at, *sorted(changes | edits)):
            if found and span.ended_at is not None and at >= span.ended_at:
                break
            policy = self._policy(at, max(at, known_at))
            promise = policy.promises.get(span.metric) if policy else None
            if not found or promise != found[-1][1]:
                found.append((at, promise))
        return found

    def _policy(self, at: datetime, known_at: datetime) -> Policy | None:
        context, edition = number_at(self._contexts, at), policies.in_force(self._configuration, known_at)
        key = context, edition
        if key not in self._matched:
            if context not in self._values:
                self._values[context] = policies.activation(self._opened, self._contexts[context])
            values, in_force = self._values[context], self._configuration.editions[edition]
            before = context, edition - 1
            if before in self._matched:
                self._matched[key] = policies.rematch(in_force, values, self._matched[before])
            else:
                self._matched[key] = policies.match(in_force, values)
        return self._matched[key]


def number_at(contexts: Sequence[Context], at: datetime) -> int:
    """Which team, priority and tags held at an instant; before the first assignment, as that set them."""
    return max(bisect_right(contexts, at, key=lambda context: context.at) - 1, 0)


def context_at(contexts: Sequence[Context], at: datetime) -> Context:
    return contexts[number_at(contexts, at)]


def _clock(
    clock_id: UUID,
    span: Span,
    promises: Sequence[tuple[datetime, Promise | None]],
    statuses: Sequence[tuple[datetime, Status]],
    team: str | None,
) -> Derived | None:
    """The clock of a span, or None where it was never promised.

    Elapsed and paused time carry over from one promise to the next. A promise that is broken by the time of a change
    stays: nothing is broken twice. A stricter one that would have been broken already is due at the change.
    """
    stands: tuple[datetime, Promise, datetime | None, tuple[Pause, ...]] | None = None
    earlier: list[Held] = []
    ended_at, met, why = span.ended_at, span.met, span.why
    for number, (since, promise) in enumerate(promises):
        until = promises[number + 1][0] if number + 1 < len(promises) else None
        if promise is None:
            if stands is not None and until is None:
                ended_at, met, why = since, False, NO_POLICY
            continue
        pauses = _pauses(statuses, promise.terms.pause_on, span.started_at, span.ended_at)
        due = reached(promise.calendar, span.started_at, pauses, promise.terms.within)
        if due is not None and due < since:
            due = since
        if stands is not None:
            earlier.append(_held(*stands[:3]))
        stands = since, promise, due, pauses
        if due is not None and until is not None and due <= until:
            break
    if stands is None:
        return None
    promised_at, promise, due, pauses = stands
    if ended_at != span.ended_at:  # the promise was lost before the span ended
        pauses = _pauses(statuses, promise.terms.pause_on, span.started_at, ended_at)
        due = reached(promise.calendar, span.started_at, pauses, promise.terms.within)
    return Derived(
        id=clock_id,
        metric=span.metric,
        instance=span.instance,
        started_at=span.started_at,
        promise=promise,
        promised_at=promised_at,
        due_at=due,
        levels=_levels(promise, span.started_at, pauses, promised_at),
        pauses=pauses,
        team=team,
        history=span.history,
        ended_at=ended_at,
        met=met,
        why=why,
        earlier=tuple(earlier if len(earlier) <= MAX_EARLIER else (*earlier[:1], *earlier[1 - MAX_EARLIER :])),
    )


def _held(since: datetime, promise: Promise, due: datetime | None) -> Held:
    terms = promise.terms
    versions = terms.policy_version, terms.calendar_version
    return Held(since, terms.policy, terms.within, terms.calendar, *versions, due)


def reached(calendar: Calendar, start: datetime, pauses: Sequence[Pause], amount: timedelta) -> datetime | None:
    """When ``amount`` of business time outside the pauses has passed; None where a pause still lasts before that."""
    left, since = amount, start
    for pause in pauses:
        passed = business_between(calendar, since, pause.since)
        if passed >= left:
            break
        if pause.until is None:
            return None
        left, since = left - passed, pause.until
    return add_business(calendar, since, left)


def _levels(promise: Promise, start: datetime, pauses: Sequence[Pause], promised_at: datetime) -> tuple[Level, ...]:
    found = []
    for share in (*promise.terms.warn_at, *(1 + over for over in promise.terms.overdue_at)):
        at = reached(promise.calendar, start, pauses, promise.terms.within * share)
        found.append(Level(share, None if at is None else max(at, promised_at)))
    return tuple(found)


def _pauses(
    statuses: Sequence[tuple[datetime, Status]], pause_on: Sequence[Status], start: datetime, end: datetime | None
) -> tuple[Pause, ...]:
    """When the case was in one of the statuses, from ``start`` to ``end``; a pause that lasts has no end."""
    found: list[Pause] = []
    for number, (at, status) in enumerate(statuses):
        if status not in pause_on or (end is not None and at >= end):
            continue
        until = statuses[number + 1][0] if number + 1 < len(statuses) else None
        if end is not None and (until is None or until > end):
            until = end
        since = max(at, start)
        if until is not None and until <= since:
            continue
        if found and found[-1].until == since:
            found[-1] = Pause(found[-1].since, until)
        else:
            found.append(Pause(since, until))
    return tuple(found)


def _team(contexts: Sequence[Context], span: Span) -> str | None:
    """Whose clock it is: a team's own belongs to the team it began with, the rest to who had the case at the end."""
    if span.metric is Metric.UNASSIGNED or not contexts:
        return None
    if RULES[span.metric].of_its_team:
        return context_at(contexts, span.started_at).team
    return (context_at(contexts, span.ended_at) if span.ended_at else contexts[-1]).team
