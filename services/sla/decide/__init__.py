"""Every rule of when a clock is announced as started, paused, warned, broken, kept or withdrawn. Pure.

Derive, then diff: clocks follow from the case's facts (``history``, ``derive``), what was announced is kept beside
them (``Firing``), and the difference to the clocks that stand is what the world is told (``telling``). So a late
event, a repeat, a change of configuration and an audit are one mechanism. Only a timer that came due announces a
breach that is not over yet; one that is over when we learn of it (kept late) is announced with its end.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from services.sla.decide import facts, firing, history
from services.sla.decide.derive import Kept, derive
from services.sla.decide.standing import composed, next_step
from services.sla.decide.telling import Teller, words
from services.sla.model import Case, Clock, Firing, Gone, Opening, Promise
from services.sla.model.changed import changed
from services.sla.model.walk import Walk
from shared.contracts.contacts import CustomerErased
from shared.contracts.decision import Decision, Fired, Replan
from shared.contracts.envelope import Because, Event


def decide(case: Case, message: Event | Fired | Replan, now: datetime) -> Decision[Case]:
    """The clocks of the case after one event, one timer that came due, or a change of configuration."""
    match message:
        case Event():
            return _on_event(case, message, now)
        case Fired():
            return _on_fired(case, message, now)
        case Replan():
            return _settled(case, now, "The configuration changed")
    raise TypeError(f"sla cannot decide about a {type(message).__name__}")


def _unchanged(case: Case, text: str) -> Decision[Case]:
    return Decision(case, Because(text=text))


# Events: derive, then diff


def _on_event(case: Case, event: Event, now: datetime) -> Decision[Case]:
    what = event.data.TYPE
    if isinstance(event.data, CustomerErased):
        if case.opening is None or case.opening.erased:
            return _unchanged(case, "There is nothing of the customer to erase.")
        opening = facts.erased(case.opening)
        said = words(opening, history.walk(opening, case.facts, case.folded))
        return _unchanged(
            changed(case, opening=opening, words=said),
            "Identity and text were erased; clocks stay as they are.",
        )
    opened, fact = facts.opening(event), facts.fact(event)
    known = facts.added(case.facts, fact) if fact else case.facts
    if known is case.facts and (opened is None or case.opening is not None):
        return _unchanged(case, f"No clock depends on this {what}, or it is known already.")
    case = changed(case, facts=known, opening=case.opening or opened)
    if case.opening is not None and len(case.facts) > history.MAX_FACTS:
        kept, folded = history.fold(case.opening, case.facts, case.folded)
        case = changed(case, facts=kept, folded=folded)
    return _settled(case, now, f"{what} was taken into account")


def _settled(case: Case, now: datetime, reason: str) -> Decision[Case]:
    """The clocks as they should be, and what to tell of the difference to those that stand."""
    case = changed(case, planned_with=case.configuration.version)
    if case.opening is None:
        return _unchanged(case, f"{reason}; clocks wait for the contact that opened the case.")
    opened = case.opening
    walk = history.walk(opened, case.facts, case.folded)
    said = words(opened, walk)
    case, teller = changed(case, words=said, owed=len(walk.open)), Teller(said, now)
    standing = {clock.id: clock for clock in case.clocks}
    after = {clock.id: clock for clock in case.clocks if is_final(clock, opened, case.folded)}
    for each in derive(case.case_id, opened, walk, case.configuration.as_of(now), kept(case)):
        if each.id not in after:
            was = standing.get(each.id)
            after[each.id] = teller.change(was, composed(case, each, was))
    gone = {clock_id: was for clock_id, was in case.gone.items() if clock_id not in after}
    for clock in case.clocks:
        if clock.id not in after:
            left = teller.vanish(clock)
            if left.firing == Firing():
                gone[left.id] = Gone(
                    left.version, left.announced
                )  # it leaves no row: nobody but consumers ever heard of it
            else:
                after[left.id] = left
    told = f"{len(teller.events)} events about its clocks" if teller.events else "no clock changed"
    return Decision(
        changed(case, clocks=_in_order(after.values()), gone=gone),
        Because(text=f"{reason}; {told}."),
        tuple(teller.events),
        tuple(teller.timers),
    )


def _in_order(clocks: Iterable[Clock]) -> tuple[Clock, ...]:
    return tuple(sorted(clocks, key=lambda each: (each.metric, each.instance)))


def is_final(clock: Clock, opened: Opening, folded: Walk | None) -> bool:
    """Whether the clock ended with facts that are no longer kept: folded, or erased."""
    if opened.erased and clock.ended:
        return True
    if folded is None or clock.instance > folded.instances.get(clock.metric, 0):
        return False
    still_open = folded.open.get(clock.metric)
    return still_open is None or still_open.instance != clock.instance


def kept(case: Case) -> dict[UUID, Kept]:
    """After an erasure conditions can't be asked again: promises stay as they were made."""
    if case.opening is None or not case.opening.erased:
        return {}
    kept: dict[UUID, Kept] = {}
    for clock in case.clocks:
        calendar = case.configuration.calendar(clock.terms.calendar, clock.terms.calendar_version)
        if calendar is not None:
            kept[clock.id] = clock.promised_at, Promise(clock.terms, calendar)
    return kept


# Timers that came due


def _on_fired(case: Case, fired: Fired, now: datetime) -> Decision[Case]:
    """Announce the highest level that has passed, once."""
    clock = next((each for each in case.clocks if each.id == fired.subject), None)
    if clock is None:
        return _unchanged(case, "The timer's clock is gone.")
    if clock.version != fired.version:
        return _unchanged(case, f"The timer is of version {fired.version}; the clock is at version {clock.version}.")
    step = next_step(clock)
    if step is None:
        return _unchanged(case, f"The clock is {clock.state}: it has nothing to announce.")
    if case.words is None:
        return _unchanged(case, "The case was never opened.")
    told = firing.announcement(firing.due_of(clock), now)
    if told is None:
        early = f"{step.step} is due only at {step.due_at.isoformat()}; the timer is set again."
        return Decision(case, Because(text=early), timers=(step,))
    if not told.known(fired):
        text = f"More has passed, at {told.at.isoformat()}: the timer waits until all up to then is read."
        return Decision(case, Because(text=text), timers=(replace(step, due_at=told.at),))
    teller = Teller(case.words, now)
    after = teller.announce(clock, told, fired.lagging)
    following = next_step(after)
    return Decision(
        changed(case, clocks=tuple(after if each.id == clock.id else each for each in case.clocks)),
        after.because,
        tuple(teller.events),
        () if following is None else (following,),
    )
