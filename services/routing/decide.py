"""Every rule of who has a case: placed once by the rules, handed off by people. Pure.

A case is placed by the first contact that routing sees of it and never placed again. What cannot be done changes
nothing and says why; where nobody waits for the answer (a page asked), it is kept in the case's history.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any

from services.routing import recent, rules
from services.routing.model import (
    MAX_HAND_OFFS,
    Assignment,
    CaseState,
    ClockOutcome,
    ContactFacts,
    HandOff,
    Step,
    StepKind,
)
from shared.contracts import clocks
from shared.contracts.assignments import CaseAssigned, CaseHandedOff
from shared.contracts.contacts import CaseActivity, CaseMerged, ContactReceived, CustomerErased
from shared.contracts.decision import Decision
from shared.contracts.envelope import Because, Event
from shared.contracts.pages import HandoverAsked
from shared.contracts.words import ActivityKind, ClockState, Priority

RULES = "the rules"  # who places a case when no person does

Decided = Decision[CaseState]


def decide(state: CaseState, what: object, now: datetime) -> Decided:
    """Decide about an event of contacts, pages or clocks, or about a command."""
    match what.data if isinstance(what, Event) else what:
        case ContactReceived() as contact:
            return _contact(state, contact, now)
        case CaseActivity() as activity:
            return _activity(state, activity)
        case CustomerErased():
            return _erased(state)
        case CaseMerged() as merged:
            return _nothing(state, f"Merged into {merged.into_number}; who had it stays on record")
        case HandoverAsked() as asked:
            return _asked(state, HandOff(state.case_id, asked.to_team, asked.by, asked.reason), now)
        case HandOff() as command:
            return _command(state, command, now)
        case clocks.ClockEvent() as clock:
            return _clock(state, clock)
        case other:
            return _nothing(state, f"{getattr(other, 'TYPE', type(other).__name__)} does not concern who has the case")


def _contact(state: CaseState, contact: ContactReceived, now: datetime) -> Decided:
    facts = ContactFacts.of(contact, state.recency.get(contact.contact_id))
    if (told := recent.heard(contact, now)) is not None:
        state = replace(state, heard=(*state.heard, told))
    if not state.contact_known:
        state = replace(state, contact=facts, contact_known=True)
    if state.assignment is not None:
        return _nothing(state, f"{state.assignment.team} has the case already")
    found = rules.match(state.configuration.ruleset, facts)
    # An imported contact is placed when it came, so that its clocks are computed as if it had been routed then.
    at = min(contact.occurred_at, now) if contact.history else now
    version = state.configuration.ruleset.version
    made = Assignment(
        found.team, found.priority, found.tags, version, found.rule, found.because, at, RULES, found.skills,
        found.language,
    )  # fmt: skip
    return _assign(state, made)


def _assign(state: CaseState, made: Assignment, reason: str | None = None) -> Decided:
    event = CaseAssigned(
        case_id=state.case_id,
        occurred_at=made.assigned_at,
        team=made.team,
        priority=made.priority,
        tags=made.tags,
        ruleset_version=made.ruleset_version,
        rule=made.rule,
        because=made.because,
        skills=made.skills,
        language=made.language,
    )
    return Decision(_give(state, made, StepKind.ASSIGNED, reason), made.because, (event,))


def _command(state: CaseState, wanted: HandOff, now: datetime) -> Decided:
    """A hand-off by hand. A refusal says which in ``because.facts["refused"]``, and the caller tells the person."""
    if state.assignment is None:
        return _refused(state, "not-yet", "Nobody has this case yet, so it cannot be handed off")
    if refusal := _cannot(state, wanted):
        return _refused(state, *refusal)
    return _hand_off(state, state.assignment, wanted, now)


def _asked(state: CaseState, wanted: HandOff, now: datetime) -> Decided:
    """A hand-off asked from a page. Topics have no order: a page may ask before we saw the contact."""
    if refusal := _cannot(state, wanted):
        decided = _refused(state, *refusal)
        if refusal[0] == "same-team" or state.step_count >= MAX_HAND_OFFS:
            return decided
        standing = state.assignment.team if state.assignment else None
        step = Step(
            state.step_count + 1,
            StepKind.REFUSED,
            now,
            wanted.team,
            standing,
            wanted.by,
            wanted.reason,
            decided.because,
        )
        return replace(decided, state=_add(state, step))
    if state.assignment is None:
        return _place_by_hand(state, wanted, now)
    return _hand_off(state, state.assignment, wanted, now)


def _cannot(state: CaseState, wanted: HandOff) -> tuple[str, str] | None:
    if wanted.team not in state.configuration.teams:
        return (
            "unknown-team",
            f"There is no team {wanted.team}. GET /v1/teams lists those there are",
        )
    if state.assignment is not None and state.assignment.team == wanted.team:
        return "same-team", f"{wanted.team} has this case already"
    if state.step_count >= MAX_HAND_OFFS:
        return "too-many-hand-offs", f"This case was handed off {MAX_HAND_OFFS} times, which is the limit"
    return None


def _hand_off(state: CaseState, standing: Assignment, wanted: HandOff, now: datetime) -> Decided:
    because = Because(
        text=f"{wanted.by} handed it from {standing.team} to {wanted.team}: {wanted.reason}",
        facts={"from_team": standing.team, "by": wanted.by, "ruleset_version": standing.ruleset_version,
               "rule": standing.rule},
    )  # fmt: skip
    made = replace(standing, team=wanted.team, because=because, assigned_at=now, by=wanted.by)
    event = CaseHandedOff(
        case_id=state.case_id,
        occurred_at=now,
        team=wanted.team,
        from_team=standing.team,
        priority=standing.priority,
        tags=standing.tags,
        reason=wanted.reason,
        by=wanted.by,
        because=because,
    )
    return Decision(_give(state, made, StepKind.HANDED_OFF, wanted.reason), because, (event,))


def _place_by_hand(state: CaseState, wanted: HandOff, now: datetime) -> Decided:
    ruleset = state.configuration.ruleset
    because = Because(
        text=f"{wanted.by} placed it with {wanted.team} before the rules did: {wanted.reason}",
        facts={"by": wanted.by, "ruleset_version": ruleset.version, "rule": None},
    )
    made = Assignment(wanted.team, ruleset.fallback.priority, (), ruleset.version, None, because, now, wanted.by)
    return _assign(state, made, wanted.reason)


def _activity(state: CaseState, activity: CaseActivity) -> Decided:
    """Priority and tags that people changed go along with the case when it is handed off."""
    standing = state.assignment
    if standing is None:
        return _nothing(state, "Nobody has the case yet")
    if activity.kind == ActivityKind.PRIORITY_CHANGED and activity.priority is not None:
        after = replace(standing, priority=Priority(activity.priority))
        return Decision(replace(state, assignment=after), Because(text=f"Its priority is {activity.priority} now"))
    if activity.kind == ActivityKind.TAGS_CHANGED and activity.tags is not None:
        after = replace(standing, tags=activity.tags)
        return Decision(replace(state, assignment=after), Because(text="Its tags were changed"))
    return _nothing(state, f"{activity.kind} does not concern who has the case")


def _erased(state: CaseState) -> Decided:
    """The person goes; who had the case, by which rule and when stays."""
    contact = state.contact.without_person() if state.contact else None
    standing = state.assignment
    if standing is not None and "inputs" in standing.because.facts:
        facts: dict[str, Any] = {**standing.because.facts, "inputs": {}}
        standing = replace(standing, because=Because(text=standing.because.text, facts=facts))
    after = replace(state, contact=contact, assignment=standing, erased=True)
    return Decision(after, Because(text="The customer was erased: identity and text are gone, counts stay"))


_ENDS = {
    clocks.ClockBreached: ClockState.BREACHED,
    clocks.ClockMet: ClockState.MET,
    clocks.ClockCancelled: ClockState.CANCELLED,
    clocks.ClockWithdrawn: ClockState.WITHDRAWN,
}


def _clock(state: CaseState, clock: clocks.ClockEvent) -> Decided:
    ended = _ENDS.get(type(clock))
    if ended is None:
        return _nothing(state, f"{clock.TYPE} is no outcome yet")
    # A withdrawn breach was none; a breach that is met late, or cancelled, stays a breach.
    breached = ended == ClockState.BREACHED or (ended != ClockState.WITHDRAWN and getattr(clock, "breached", False))
    outcome = ClockOutcome(
        clock.clock_id, clock.version, clock.metric, clock.instance, ended, breached, clock.team, clock.started_at,
        clock.due_at, clock.occurred_at,
    )  # fmt: skip
    text = f"{clock.metric} {clock.instance} is {ended}"
    return Decision(replace(state, outcomes=(*state.outcomes, outcome)), Because(text=text))


def _give(state: CaseState, made: Assignment, kind: StepKind, reason: str | None) -> CaseState:
    """The case is ``made``'s from now on, and its history says so."""
    before = state.assignment.team if state.assignment else None
    step = Step(state.step_count + 1, kind, made.assigned_at, made.team, before, made.by, reason, made.because)
    return _add(replace(state, assignment=made), step)


def _add(state: CaseState, step: Step) -> CaseState:
    return replace(state, step_count=step.number, steps=(*state.steps, step))


def _refused(state: CaseState, kind: str, text: str) -> Decided:
    return Decision(state, Because(text=text, facts={"refused": kind}))


def _nothing(state: CaseState, text: str) -> Decided:
    return Decision(state, Because(text=text))
