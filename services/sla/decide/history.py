"""Facts in order become spans in which something is owed to somebody, whether or not a policy promises it. Pure.

``_Walker`` says which moments a fact is, in the state that the case is in; the table of metrics (``model/metrics.py``)
says what each moment starts, meets and ends.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from services.sla.decide.facts import OLDEST, began, ordered
from services.sla.model import DONE, Fact, FactKind, Opening
from services.sla.model.metrics import BY_MOMENT, Moment, Needs, Rule
from services.sla.model.walk import Context, Shift, Span, Walk
from shared.contracts.words import Metric, Priority, Status

MAX_FACTS = 1_000  # of one case; beyond, the oldest half is folded into where it had come to


def walk(opened: Opening, facts: Sequence[Fact], folded: Walk | None = None) -> Walk:
    """Where the case stands after all facts, with every span, ended or open. ``folded``: what came before them."""
    start = folded or Walk(began=began(opened, facts))
    walker = _Walker(opened, start)
    for at, each in ordered(facts, start.until or start.began or opened.opened_at):
        walker.step(at, each)
    return walker.stands()


def fold(opened: Opening, facts: tuple[Fact, ...], folded: Walk | None) -> tuple[tuple[Fact, ...], Walk]:
    """Fold the older half of the facts into a walk. What they ended is settled and never derived again."""
    moments = ordered(facts, folded.until if folded and folded.until else began(opened, facts))
    older = [each for _, each in moments[: len(moments) // 2]]
    gone = {(each.topic, each.sequence) for each in older}
    kept = tuple(each for each in facts if (each.topic, each.sequence) not in gone)
    return kept, _trimmed(walk(opened, older, folded))


def _trimmed(stands: Walk) -> Walk:
    """Only what open spans still need of the past."""
    since = min((span.started_at for span in stands.open.values()), default=stands.until)
    passed = [at for at, _ in stands.statuses if since is not None and at <= since]
    statuses = stands.statuses[max(len(passed) - 1, 0) :]
    return dataclasses.replace(stands, spans=(), statuses=statuses[-MAX_FACTS:], shifts=_joined(stands.shifts, since))


def _joined(shifts: Sequence[Shift], since: datetime | None) -> tuple[Shift, ...]:
    """The shifts, with those up to ``since`` made one."""
    old = [each for each in shifts if since is not None and each.at <= since]
    if len(old) < 2:
        return tuple(shifts)
    one = old[0]
    for each in old[1:]:
        one = Shift(
            each.at,
            each.team or one.team,
            each.routed or one.routed,
            each.priority or one.priority,
            one.tags if each.tags is None else each.tags,
        )
    return one, *shifts[len(old) :]


def contexts(stands: Walk) -> tuple[Context, ...]:
    """Team, priority and tags over time, the first for all time before too; none before the first assignment.

    What people said of priority and tags holds over what the rules set, also where they said it first.
    """
    if stands.placed is None:
        return ()
    found = [stands.placed]
    for each in stands.shifts:
        was = found[-1]
        found.append(
            Context(
                each.at,
                each.team or was.team,
                each.priority or was.priority,
                was.tags if each.tags is None else each.tags,
                each.routed or was.routed,
            )
        )
    return tuple(found)


class _Walker:
    """Takes facts in order and opens and ends spans."""

    def __init__(self, opened: Opening, start: Walk) -> None:
        self._opened, self._began = opened, start.began or opened.opened_at
        self._count, self._until = start.count, start.until
        self._status, self._statuses = start.status, list(start.statuses)
        self._placed, self._placed_known_at = start.placed, start.placed_known_at
        self._team, self._shifts = start.team, list(start.shifts)
        self._contacted, self._replied, self._engaged = start.contacted, start.replied, start.engaged
        self._merged, self._history = start.merged, start.history
        self._instances, self._open, self._spans = dict(start.instances), dict(start.open), list(start.spans)
        self._steps: Mapping[FactKind, Callable[[datetime, Fact], None]] = {
            FactKind.CONTACTED: self._on_contacted,
            FactKind.CUSTOMER_REPLIED: self._on_contacted,
            FactKind.REPLIED: self._on_replied,
            FactKind.PICKED_UP: self._on_picked_up,
            FactKind.STATUS: self._on_status,
            FactKind.PRIORITY: self._on_said,
            FactKind.TAGS: self._on_said,
            FactKind.PLACED: self._on_placed,
            FactKind.ABSORBED: self._on_absorbed,
            FactKind.MERGED: self._on_merged,
        }
        if not self._instances:
            self._history = opened.history
            # Ours, so from when we received it: an upstream that posts late is not routing's fault.
            self._happens(Moment.RECEIVED, opened.received_at, opened.received_at)

    def step(self, at: datetime, each: Fact) -> None:
        self._count, self._until = self._count + 1, at
        if not self._merged:
            self._steps[each.kind](at, each)

    def stands(self) -> Walk:
        return Walk(
            began=self._began,
            count=self._count,
            until=self._until,
            status=self._status,
            statuses=tuple(self._statuses),
            placed=self._placed,
            placed_known_at=self._placed_known_at,
            team=self._team,
            shifts=tuple(self._shifts),
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
        if self._status is Status.CLOSED:
            return  # intake opens another case for what comes now
        self._contacted, self._history = True, each.history
        if self._status in (Status.PENDING, Status.SOLVED):
            self._set_status(at, each, Status.OPEN)
        self._happens(self._asked(), at, each.known_at)
        self._happens(Moment.WROTE, at, each.known_at)

    def _asked(self) -> Moment:
        return Moment.ASKED_AGAIN if self._replied else Moment.ASKED

    def _on_replied(self, at: datetime, each: Fact) -> None:
        if each.occurred_at < self._began:
            return  # what was said before the customer wrote is no reply to it
        self._happens(Moment.REPLIED, at, each.known_at, f"{each.by or 'an agent'} replied")
        self._replied = self._replied or self._contacted
        self._engaged = True

    def _on_picked_up(self, at: datetime, each: Fact) -> None:
        verb = "acknowledged the page" if each.topic == "pages" else "took the case"
        self._happens(Moment.TAKEN, at, each.known_at, f"{each.by or 'somebody'} {verb}")
        self._engaged = True

    def _on_status(self, at: datetime, each: Fact) -> None:
        if each.status is not None and each.status is not self._status:
            self._set_status(at, each, each.status)

    def _on_said(self, at: datetime, each: Fact) -> None:
        self._shifts.append(Shift(at, priority=each.priority, tags=each.tags))

    def _on_placed(self, at: datetime, each: Fact) -> None:
        before, team = self._team, each.team or ""
        if team == before:
            return
        self._team = team
        if before is None:
            self._placed = Context(self._began, team, each.priority or Priority.NORMAL, each.tags or (), each.routed)
            self._placed_known_at = each.known_at
        else:  # a hand-off moves the case and says nothing new of priority and tags
            self._shifts.append(Shift(at, team=team, routed=each.routed))
        at = max(at, self._opened.received_at) if before is None else at
        why = f"the case went to {team}" if before is None else f"the case was handed off to {team} by {before}"
        self._happens(Moment.PLACED if before is None else Moment.HANDED_OFF, at, each.known_at, why)
        if before is None and self._engaged:
            self._happens(Moment.TAKEN, at, each.known_at, "somebody was at work on the case already")

    def _on_absorbed(self, at: datetime, each: Fact) -> None:
        """The customer of the absorbed case waits here now, since then."""
        if each.since is None or self._status in DONE:
            return
        self._contacted = True
        since, asked = min(max(each.since, each.known_at - OLDEST), at), self._asked()
        for rule in BY_MOMENT[asked]:
            waiting = self._open.get(rule.metric)
            if waiting is not None and since < waiting.started_at:
                self._open[rule.metric] = dataclasses.replace(waiting, started_at=since)
        self._happens(asked, since, each.known_at)
        self._happens(Moment.WROTE, at, each.known_at)

    def _on_merged(self, at: datetime, each: Fact) -> None:
        self._merged = True
        self._happens(Moment.MERGED, at, each.known_at, f"the case was merged into {each.other}")

    def _set_status(self, at: datetime, each: Fact, status: Status) -> None:
        was, self._status = self._status, status
        self._statuses.append((at, status))
        done, why = status in DONE, f"the case was {status}"
        if was is Status.ON_HOLD and not done:
            self._happens(Moment.RELEASED, at, each.known_at, f"the case was {status} again")
        if done:
            self._happens(Moment.SOLVED, at, each.known_at, why)
        elif was in DONE:
            self._happens(Moment.REOPENED, at, each.known_at)
        if status is Status.ON_HOLD:
            self._happens(Moment.HELD, at, each.known_at)

    def _happens(self, moment: Moment, at: datetime, known_at: datetime, why: str = "") -> None:
        """What the table says of this moment: clocks end first, and then they start."""
        for rule in BY_MOMENT[moment]:
            if moment in rule.meets:
                self._end(rule.metric, at, True, why)
            elif moment in rule.cancels:
                self._end(rule.metric, at, False, why)
            if moment in rule.starts and self._can_start(rule):
                self._instances[rule.metric] = self._instances.get(rule.metric, 0) + 1
                self._open[rule.metric] = Span(rule.metric, self._instances[rule.metric], at, known_at, self._history)

    def _can_start(self, rule: Rule) -> bool:
        """Not while it runs already; nothing is owed on a case that is done."""
        if rule.metric in self._open or self._status in DONE:
            return False
        if rule.needs is Needs.CUSTOMER:
            return self._contacted
        return rule.needs is not Needs.TEAM or self._team is not None

    def _end(self, metric: Metric, at: datetime, met: bool, why: str) -> None:
        span = self._open.pop(metric, None)
        if span is not None:
            self._spans.append(dataclasses.replace(span, ended_at=max(at, span.started_at), met=met, why=why))
