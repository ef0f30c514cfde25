"""A second, slow answer to what the clocks of a case are: written from docs/sla.md, shares no code with the service.

It looks at the whole history at once and counts every five minutes one by one. Times are in steps of five minutes
after the start of the story, and everything that happens lies on such a step.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.unit.sla.stories import START

STEP = timedelta(minutes=5)
FIRST, LAST = -300, 6000  # the steps that are looked at: about a day before, three weeks after
DONE = ("solved", "closed")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True)
class Happened:
    """One fact, as its sender tells it. ``order``: topic and number in it, where instants are equal."""

    kind: str
    at: int
    known: int
    order: tuple[int, int]
    word: str = ""  # a status, priority or team
    since: int = 0  # absorbed: the other customer has waited since
    priority: str = "normal"  # assigned


@dataclass(frozen=True)
class Promise:
    policy: str
    within: int  # steps
    calendar: tuple[bool, ...] | None = field(repr=False)  # open or not, for each step; None: always
    pauses: tuple[str, ...]


@dataclass(frozen=True)
class Policy:
    name: str
    holds: Callable[[str, str], bool]  # of team and priority
    promises: Mapping[str, Promise]


Edition = tuple[int, Sequence[Policy]]  # since when, and the policies in order


@dataclass
class Span:
    metric: str
    number: int
    start: int
    known: int
    end: int | None = None
    met: bool = False


@dataclass(frozen=True)
class Verdict:
    """What has to be true of a clock: its policy, when it began, is due and ended, whether it was met, and broken."""

    policy: str | None
    start: int
    due: int | None
    end: int | None
    met: bool
    broken: bool


def opening_hours(weekly: Mapping[str, Any], zone: str, extra: Sequence[date] = ()) -> tuple[bool, ...]:
    """Open or not, at each step, by the wall time there; no shift here lasts over midnight."""
    found = []
    for step in range(FIRST, LAST):
        wall = (START + step * STEP).astimezone(ZoneInfo(zone))
        now, hours = wall.strftime("%H:%M"), weekly.get(DAYS[wall.weekday()], [])
        found.append(wall.date() not in extra and any(a <= now < b for a, b in hours))
    return tuple(found)


def joined(before: Sequence[bool], after: Sequence[bool], day: datetime) -> tuple[bool, ...]:
    """One calendar until a day begins, and another from then on."""
    change = (day - START) // STEP - FIRST
    return (*before[:change], *after[change:])


class Oracle:
    def __init__(self, facts: Sequence[Happened], received: int, editions: Sequence[Edition]) -> None:
        self.editions, self.received = editions, received
        happened = {f.order: min(f.at, f.known) for f in facts}
        self.began = min(happened[f.order] for f in facts if f.kind == "contact")
        moments = [(max(happened[f.order], self.began), f.order, f) for f in facts]
        self.facts = [(at, f) for at, _, f in sorted(moments, key=lambda each: each[:2])]
        self.spans: list[Span] = []
        self.open: dict[str, Span] = {}
        self.status, self.statuses = "new", [(FIRST, "new")]
        self.team: str | None = None
        self.placed_known: int | None = None
        self.contexts: list[tuple[int, str, str]] = []  # since, team, priority
        self.said: list[tuple[int, str, str]] = []  # since, "team" or "priority", which
        self.first_priority = "normal"
        self.wrote = self.replied = self.engaged = self.merged = False

    # What is owed when

    def begin(self, metric: str, at: int, known: int) -> None:
        if metric not in self.open and self.status not in DONE:
            number = 1 + sum(span.metric == metric for span in self.spans)
            self.open[metric] = Span(metric, number, at, known)
            self.spans.append(self.open[metric])

    def finish(self, at: int, met: bool, *metrics: str) -> None:
        for metric in metrics:
            span = self.open.pop(metric, None)
            if span is not None:
                span.end, span.met = max(at, span.start), met

    def walk(self) -> None:
        self.begin("unassigned", self.received, self.received)
        for at, fact in self.facts:
            if not self.merged:
                getattr(self, "on_" + fact.kind)(at, fact)

    def on_contact(self, at: int, fact: Happened) -> None:
        if self.status == "closed":
            return
        self.wrote = True
        if self.status in ("pending", "solved"):
            self.change_status(at, fact, "open")
        self.begin("next_reply" if self.replied else "first_reply", at, fact.known)
        self.begin("resolution", at, fact.known)

    def on_reply(self, at: int, fact: Happened) -> None:
        if fact.at < self.began:
            return
        self.finish(at, True, "first_reply", "next_reply", "pickup", "update")
        if self.wrote:
            self.begin("update", at, fact.known)
        self.replied, self.engaged = self.replied or self.wrote, True

    def on_taken(self, at: int, fact: Happened) -> None:
        self.finish(at, True, "pickup")
        self.engaged = True

    def on_status(self, at: int, fact: Happened) -> None:
        if fact.word != self.status:
            self.change_status(at, fact, fact.word)

    def change_status(self, at: int, fact: Happened, status: str) -> None:
        was, self.status = self.status, status
        self.statuses.append((at, status))
        if was == "on_hold":
            self.finish(at, True, "engineering_wait")
        if status in DONE:
            self.finish(at, True, "resolution", "team_wait")
            self.finish(at, False, "first_reply", "next_reply", "update", "pickup")
        elif was in DONE:
            if self.wrote:
                self.begin("resolution", at, fact.known)
            if self.team is not None:
                self.begin("team_wait", at, fact.known)
        if status == "on_hold":
            self.begin("engineering_wait", at, fact.known)

    def on_priority(self, at: int, fact: Happened) -> None:
        self.said.append((at, "priority", fact.word))

    def on_team(self, at: int, fact: Happened) -> None:
        if fact.word == self.team:
            return
        first, self.team = self.team is None, fact.word
        if first:
            self.first_priority, self.placed_known = fact.priority, fact.known
            self.said.insert(0, (FIRST, "team", fact.word))
            at = max(at, self.received)
            self.finish(at, True, "unassigned")
        else:
            self.said.append((at, "team", fact.word))
            self.finish(at, True, "team_wait")
            self.finish(at, False, "pickup")
        self.begin("pickup", at, fact.known)
        self.begin("team_wait", at, fact.known)
        if first and self.engaged:
            self.finish(at, True, "pickup")

    def on_absorbed(self, at: int, fact: Happened) -> None:
        if self.status in DONE:
            return
        self.wrote, since = True, min(fact.since, at)
        waiting = "next_reply" if self.replied else "first_reply"
        if waiting in self.open:
            self.open[waiting].start = min(self.open[waiting].start, since)
        self.begin(waiting, since, fact.known)
        self.begin("resolution", at, fact.known)

    def on_merged(self, at: int, fact: Happened) -> None:
        self.merged = True
        self.finish(at, False, *tuple(self.open))

    # What was promised, and when that is

    def promised(self, metric: str, at: int, known: int) -> Promise | None:
        team, priority = "", self.first_priority
        for since, what, word in self.said:
            if since <= at:
                team, priority = (word, priority) if what == "team" else (team, word)
        in_force = [policies for since, policies in self.editions if since <= max(at, known)] or [self.editions[0][1]]
        policy = next((each for each in in_force[-1] if each.holds(team, priority)), None)
        return policy.promises.get(metric) if policy else None

    def due(self, span: Span, promise: Promise, end: int | None) -> int | None:
        """The first step by which so many steps have passed that were open, and not paused while it ran."""
        left, at, paused = promise.within, span.start, self.statuses
        place = 0
        while left:
            if at >= LAST:
                return None
            while place + 1 < len(paused) and paused[place + 1][0] <= at:
                place += 1
            still = paused[place][1] in promise.pauses and (end is None or at < end)
            if not still and (promise.calendar is None or promise.calendar[at - FIRST]):
                left -= 1
            at += 1
        return at

    def verdict(self, span: Span, now: int) -> Verdict | None:
        if self.placed_known is None:
            return None
        known = max(span.known, self.placed_known)
        changes: list[tuple[int, Promise | None]] = []
        moments = {since for since, _ in self.editions} | {since for since, _, _ in self.said}
        for at in sorted({span.start} | {each for each in moments if each > span.start}):
            if at > span.start and span.end is not None and at >= span.end:
                break
            promise = self.promised(span.metric, at, known)
            if not changes or promise != changes[-1][1]:
                changes.append((at, promise))
        stands: tuple[Promise, int | None] | None = None
        end, met = span.end, span.met
        for (at, promise), following in zip(changes, [*(at for at, _ in changes[1:]), None], strict=True):
            if promise is None:
                if stands is not None and following is None:
                    end, met = at, False
                continue
            due = self.due(span, promise, span.end)
            due = None if due is None else max(due, at)
            stands = promise, due
            if due is not None and following is not None and due <= following:
                break
        if stands is None:
            return None
        promise, due = stands
        if end != span.end:
            due = self.due(span, promise, end)
        broken = due is not None and (end > due if end is not None else due <= now)
        return Verdict(promise.policy, span.start, due, end, met, broken)


def clocks(
    facts: Sequence[Happened], received: int, editions: Sequence[Edition], now: int
) -> dict[tuple[str, int], Verdict]:
    """Every promised clock of the case, as it must stand at ``now``; ``unassigned`` apart."""
    oracle = Oracle(facts, received, editions)
    oracle.walk()
    found = {(s.metric, s.number): oracle.verdict(s, now) for s in oracle.spans if s.metric != "unassigned"}
    return {key: verdict for key, verdict in found.items() if verdict is not None}
