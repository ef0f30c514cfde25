"""Random lives of cases, told in any order and more than once, against an oracle that shares no code (oracle.py).

A failure prints the history and a blob that repeats it.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.sla.decide.policies import Stored, configuration
from services.sla.model import Clock, Configuration
from shared.contracts.envelope import Event
from tests.unit.sla import oracle
from tests.unit.sla.oracle import STEP, Edition, Happened, Policy, Promise
from tests.unit.sla.stories import LONG_AGO, START, Desk, Story, policy, target

OFFICE = {day: [["09:00", "13:00"], ["14:00", "17:30"]] for day in ("mon", "tue", "wed", "thu", "fri")}
SHORT = {day: [["10:00", "15:00"]] for day in ("mon", "tue", "wed", "sat")}
CLOSED = date(2026, 11, 5)
DUBLIN = {"time_zone": "Europe/Dublin", "weekly": OFFICE, "holidays": {"extra": [CLOSED.isoformat()]}}
NEW_HOURS = {"time_zone": "Europe/Dublin", "weekly": SHORT}
CHANGES = {**NEW_HOURS, "effective_from": "2026-11-04"}
HOURS: dict[str, tuple[bool, ...] | None] = {
    "old": oracle.opening_hours(OFFICE, "Europe/Dublin", [CLOSED]),
    "new": oracle.opening_hours(SHORT, "Europe/Dublin"),
    "24x7": None,
}
assert HOURS["old"] is not None
assert HOURS["new"] is not None
HOURS["changed"] = oracle.joined(HOURS["old"], HOURS["new"], datetime(2026, 11, 4, tzinfo=UTC))

PAUSES = {"total": (), "requester_wait": ("pending",), "agent_work": ("pending", "on_hold")}
# metric, steps, calendar, counts
TARGETS: dict[str, list[tuple[str, int, str, str]]] = {
    "urgent": [
        ("first_reply", 6, "24x7", "total"),
        ("next_reply", 9, "office", "total"),
        ("resolution", 48, "24x7", "agent_work"),
        ("team_wait", 20, "24x7", "agent_work"),
    ],
    "payments": [
        ("first_reply", 30, "office", "total"),
        ("pickup", 4, "24x7", "total"),
        ("update", 24, "office", "total"),
        ("resolution", 90, "office", "requester_wait"),
        ("engineering_wait", 12, "24x7", "total"),
    ],
    "rest": [
        ("first_reply", 12, "24x7", "total"),
        ("next_reply", 12, "24x7", "total"),
        ("pickup", 3, "office", "total"),
        ("update", 18, "24x7", "requester_wait"),
        ("resolution", 60, "24x7", "total"),
        ("team_wait", 40, "office", "total"),
        ("engineering_wait", 24, "office", "total"),
    ],
    "strict": [
        ("first_reply", 3, "24x7", "total"),
        ("resolution", 30, "office", "agent_work"),
        ("update", 8, "24x7", "total"),
    ],
}
WHEN = {"urgent": "case.priority == 'urgent'", "payments": "case.team == 'payments'", "rest": "true", "strict": "true"}
HOLDS = {
    "urgent": lambda _team, priority: priority == "urgent",
    "payments": lambda team, _priority: team == "payments",
    "rest": lambda _team, _priority: True,
}
EDITS = ["strict rest", "no rest", "rest again", "no urgent", "new hours", "changed hours"]


def document(of: str, position: int) -> dict[str, Any]:
    targets = []
    for metric, steps, hours, counts in TARGETS[of]:
        more = {"counts": counts} if metric in ("update", "resolution", "team_wait") else {}
        within = f"PT{steps * 5}M"
        targets.append(target(metric, within, calendar="dublin" if hours == "office" else hours, **more))
    return policy(*targets, when=WHEN[of], position=position)


class World:
    """Policies and calendars with their edits, for the service and for the oracle."""

    def __init__(self, edits: Sequence[tuple[int, str]]) -> None:
        self.stored = [Stored(LONG_AGO, "calendar", "dublin", 1, DUBLIN)]
        self.versions = {"dublin": 1}
        self.policies, self.hours = {"urgent": "urgent", "payments": "payments", "rest": "rest"}, "old"
        for place, name in enumerate(self.policies):
            self._store(LONG_AGO, "policy", name, document(name, place))
        self.editions: list[Edition] = [(oracle.FIRST * 100, self._edition())]
        for at, edit in sorted(edits):
            self._edit(START + at * STEP, edit)
            self.editions.append((at, self._edition()))

    def _store(self, at: datetime, kind: str, name: str, body: dict[str, Any] | None) -> None:
        self.versions[name] = self.versions.get(name, 0) + 1
        self.stored.append(Stored(at, kind, name, self.versions[name], body))

    def _edit(self, at: datetime, edit: str) -> None:
        match edit:
            case "strict rest" | "rest again":
                self.policies["rest"] = "strict" if edit == "strict rest" else "rest"
                self._store(at, "policy", "rest", document(self.policies["rest"], 2))
            case "no rest" | "no urgent":
                if self.policies.pop(edit.removeprefix("no "), None):
                    self._store(at, "policy", edit.removeprefix("no "), None)
            case "new hours":
                self.hours = "new"
                self._store(at, "calendar", "dublin", NEW_HOURS)
            case "changed hours":
                self.hours = "changed" if self.hours in ("old", "changed") else self.hours
                self._store(at, "calendar", "dublin", CHANGES)

    def _edition(self) -> list[Policy]:
        order = [name for name in ("urgent", "payments", "rest") if name in self.policies]
        return [Policy(name, HOLDS[name], self._promises(name)) for name in order]

    def _promises(self, name: str) -> Mapping[str, Promise]:
        found = {}
        for metric, steps, hours, counts in TARGETS[self.policies[name]]:
            open_ = HOURS[self.hours if hours == "office" else hours]
            found[metric] = Promise(name, steps, open_, PAUSES[counts])
        return found

    def up_to(self, at: datetime) -> Configuration:
        known = [each for each in self.stored if each.at <= at]
        return configuration(len(known), known)


KINDS = (
    *("contact", "contact", "reply", "reply", "note", "auto", "taken", "acknowledged", "absorbed"),
    *("pending", "on_hold", "open", "solved", "solved", "closed", "urgent", "low", "payments", "frontline"),
)
STEPS = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(-3, 400), st.sampled_from([0, 0, 0, 1, 30])), max_size=14
)


def told(steps: Sequence[tuple[str, int, int]], assigned: tuple[int, str], merged: int | None, received: int) -> Story:
    story = Story()
    story.contact(0, received * 5)
    story.assigned("frontline", at=assigned[0] * 5, priority=assigned[1])
    for kind, step, delay in steps:
        at, known = step * 5, (step + delay) * 5
        match kind:
            case "contact" | "auto":
                story.contact(at, known, automated=kind == "auto")
            case "reply":
                story.reply(at, known)
            case "note" | "taken":
                story.activity({"note": "note_added", "taken": "picked_up"}[kind], at, known, actor="ana")
            case "urgent" | "low":
                story.priority(kind, at, known)
            case "payments" | "frontline":
                story.handed_off(kind, at, known)
            case "acknowledged":
                story.acknowledged(at, known)
            case "absorbed":
                story.absorbed(at, since=at - 40)
            case _:
                story.status(kind, at, known)
    if merged is not None:
        story.merged(merged * 5)
    return story


def facts(story: Story) -> list[Happened]:
    """The same events, as the oracle reads them."""
    rank, found = {"contacts": 0, "assignments": 1, "pages": 2}, []
    for event in story.events:
        data: Any = event.data
        kind, more = _read(data)
        if kind:
            known = (event.recorded_at - START) // STEP
            at = (data.occurred_at - START) // STEP
            found.append(Happened(kind, at, known, (rank[event.topic], event.sequence), **more))
    return found


def _read(data: Any) -> tuple[str | None, dict[str, Any]]:
    match data.TYPE:
        case "contact.received":
            return None if data.automated else "contact", {}
        case "case.assigned" | "case.handed_off":
            return "team", {"word": data.team, "priority": data.priority.value}
        case "page.acknowledged":
            return "taken", {}
        case "case.absorbed":
            return "absorbed", {"since": (data.earliest_unanswered_at - START) // STEP}
        case "case.merged":
            return "merged", {}
    kinds = {"agent_replied": "reply", "picked_up": "taken", "status_changed": "status", "priority_changed": "priority"}
    word = data.status or data.priority
    return kinds.get(data.kind.value), {"word": word.value} if word else {}


def stands(clock: Clock) -> oracle.Verdict:
    def step(at: datetime | None) -> int | None:
        assert at is None or (at - START) % STEP == timedelta(0)
        return None if at is None else (at - START) // STEP

    start = step(clock.started_at)
    assert start is not None
    met, broken = clock.met_at is not None, clock.breached_at is not None
    return oracle.Verdict(clock.terms.policy, start, step(clock.due_at), step(clock.ended_at), met, broken)


@settings(max_examples=2_000, print_blob=True, suppress_health_check=list(HealthCheck))
@given(
    steps=STEPS,
    assigned=st.tuples(st.integers(0, 12), st.sampled_from(["normal", "urgent"])),
    merged=st.sampled_from([None, None, None, 150]),
    received=st.sampled_from([0, 0, 2]),
    edits=st.lists(st.tuples(st.integers(1, 300), st.sampled_from(EDITS)), max_size=3, unique_by=lambda each: each[0]),
    order=st.randoms(use_true_random=False),
)
def test_any_history_in_any_order_gives_the_clocks_that_the_whole_history_calls_for(
    steps: list[tuple[str, int, int]],
    assigned: tuple[int, str],
    merged: int | None,
    received: int,
    edits: list[tuple[int, str]],
    order: Any,
) -> None:
    story, world = told(steps, assigned, merged, received), World(edits)
    events: list[Event] = [*story.events, *order.sample(story.events, len(story.events) // 2)]
    order.shuffle(events)
    now = 1000
    desk = Desk(world.up_to(LONG_AGO))
    turns = sorted((order.randrange(len(events) + 1), START + at * STEP) for at, _ in edits)
    known = LONG_AGO
    for place, event in enumerate(events):
        for turn, at in turns:
            if turn == place:
                known = max(known, at)
                desk.replan(world.up_to(known), START + now * STEP)
        desk.take(event, START + now * STEP)
    desk.replan(world.up_to(START + now * STEP), START + now * STEP)
    desk.wake(START + now * STEP)
    right = oracle.clocks(facts(story), received, world.editions, now)
    found = {
        (clock.metric.value, clock.instance): stands(clock)
        for clock in desk.case.clocks
        if clock.metric != "unassigned"
    }
    assert found == right
