"""Every rule of who has a case: placed once by the rules, handed off by people and by rules, given to persons. Pure.

A case is placed by the first contact that routing sees of it and never placed again. What cannot be done changes
nothing and says why; where nobody waits for the answer (a page asked), it is kept in the case's history.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any

from services.routing import recent
from services.routing.decide import activities, desk, handing, placing
from services.routing.model import CaseState, ClockOutcome, ContactFacts
from services.routing.model.commands import Give, HandOff, LinkIssue, Release
from shared.contracts import clocks
from shared.contracts.contacts import CaseActivity, CaseMerged, ContactReceived, CustomerErased
from shared.contracts.decision import Decision
from shared.contracts.envelope import Because, Event
from shared.contracts.pages import HandoverAsked
from shared.contracts.words import ClockState

Decided = Decision[CaseState]


def decide(state: CaseState, what: object, now: datetime) -> Decided:
    """Decide about an event of contacts, pages or clocks, or about a command."""
    match what.data if isinstance(what, Event) else what:
        case ContactReceived() as contact:
            return _contact(state, contact, now)
        case CaseActivity() as activity:
            return activities.happened(state, activity, now)
        case CustomerErased():
            return _erased(state)
        case CaseMerged() as merged:
            return activities.merged(state, f"Merged into {merged.into_number}; who had it stays on record")
        case HandoverAsked() as asked:
            return handing.asked(state, HandOff(state.case_id, asked.to_team, asked.by, asked.reason), now)
        case HandOff() as command:
            return handing.command(state, command, now)
        case Give() as gift:
            return desk.give(state, gift, now)
        case Release() as release:
            return desk.release(state, release, now)
        case LinkIssue() as link:
            return activities.linked(state, link, now)
        case clocks.ClockEvent() as clock:
            return _clock(state, clock)
        case other:
            name = getattr(other, "TYPE", type(other).__name__)
            return handing.nothing(state, f"{name} does not concern who has the case")


def _contact(state: CaseState, contact: ContactReceived, now: datetime) -> Decided:
    facts = ContactFacts.of(contact, state.recency.get(contact.contact_id))
    told = recent.heard(contact, now)
    heard = state.heard if told is None else (*state.heard, told)
    first = state.contact if state.contact_known else facts
    state = replace(state, heard=heard, contact=first, contact_known=True)
    if state.assignment is not None and not contact.automated:
        return activities.wrote_again(state)
    if state.assignment is not None:
        return handing.nothing(state, f"{state.assignment.team} has the case already")
    return placing.by_rules(state, contact, facts, now)


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
        return handing.nothing(state, f"{clock.TYPE} is no outcome yet")
    # A withdrawn breach was none; a breach that is met late, or cancelled, stays a breach.
    breached = ended == ClockState.BREACHED or (ended != ClockState.WITHDRAWN and getattr(clock, "breached", False))
    outcome = ClockOutcome(
        clock.clock_id, clock.version, clock.metric, clock.instance, ended, breached, clock.team, clock.started_at,
        clock.due_at, clock.occurred_at,
    )  # fmt: skip
    text = f"{clock.metric} {clock.instance} is {ended}"
    return Decision(replace(state, outcomes=(*state.outcomes, outcome)), Because(text=text))
