"""Every rule of when a clock is announced as started, paused, warned, broken, kept or withdrawn.

Derive, then diff: clocks follow from the case's facts (``history``, ``derive``), what was announced is kept beside
them (``Firing``), and the difference to the clocks that stand is what the world is told. So a late event, a repeat, a
change of configuration and an audit are one mechanism. Only a timer that came due announces a breach that is not over
yet; one that is over already (kept late) is announced with its end.
"""

import dataclasses
from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from services.sla import history
from services.sla.derive import Derived, context_at, derive
from services.sla.model import ENDED, Case, Clock, Firing, Promise, Walk
from services.sla.sentences import because
from shared.contracts import clocks as events
from shared.contracts import duration
from shared.contracts.contacts import CustomerErased
from shared.contracts.decision import CancelTimer, Decision, Fired, Replan, SetTimer
from shared.contracts.envelope import Because, Event, EventData
from shared.contracts.words import ClockState, Metric, Priority

BREACH, WARN = "breach", "warn:"  # steps of timers; a warning's has its share behind it

Timers = tuple[SetTimer | CancelTimer, ...]


def decide(case: Case, message: Event | Fired | Replan, now: datetime) -> Decision[Case]:
    """The clocks of the case after one event, one timer that came due, or a change of configuration."""
    match message:
        case Event():
            return _on_event(case, message, now)
        case Fired():
            return _on_fired(case, message, now)
        case Replan():
            return _settled(case, now, "the configuration changed")
    raise TypeError(f"sla cannot decide about a {type(message).__name__}")


def _on_event(case: Case, event: Event, now: datetime) -> Decision[Case]:
    what = event.data.TYPE
    if isinstance(event.data, CustomerErased):
        if case.opening is None or case.opening.erased:
            return _unchanged(case, "There is nothing of the customer to erase.")
        erased = dataclasses.replace(case, opening=history.erased(case.opening))
        return _unchanged(erased, "Identity and text were erased; clocks stay as they are.")
    opened, fact = history.opening(event), history.fact(event)
    facts = history.added(case.facts, fact) if fact else case.facts
    if facts is case.facts and (opened is None or case.opening is not None):
        return _unchanged(case, f"No clock depends on this {what}, or it is known already.")
    case = dataclasses.replace(case, facts=facts, opening=case.opening or opened)
    if case.opening is not None and len(case.facts) > history.MAX_FACTS:
        kept, folded = history.fold(case.opening, case.facts, case.folded)
        case = dataclasses.replace(case, facts=kept, folded=folded)
    return _settled(case, now, f"{what} was taken into account")


def _unchanged(case: Case, text: str) -> Decision[Case]:
    return Decision(case, Because(text=text))


# Derive, then diff


def _settled(case: Case, now: datetime, reason: str) -> Decision[Case]:
    """The clocks as they should be, and what to tell of the difference to those that stand."""
    planned = dataclasses.replace(case, planned_with=case.configuration.version)
    if case.opening is None:
        return _unchanged(planned, f"{reason}; clocks wait for the contact that opened the case")
    walk = history.walk(case.opening, case.facts, case.folded)
    standing = {clock.id: clock for clock in case.clocks}
    derived = derive(case.case_id, case.opening, walk, case.configuration, _kept(case))
    teller = _Teller(case, walk, now)
    after = {clock.id: clock for clock in case.clocks if _is_settled(clock, case.folded)}
    for each in derived:
        after[each.id] = teller.change(standing.get(each.id), _composed(case, each, standing.get(each.id)))
    for clock in case.clocks:
        if clock.id not in after:
            gone = teller.vanish(clock)
            if gone is not None:
                after[gone.id] = gone
    planned = dataclasses.replace(planned, clocks=_in_order(after.values()))
    told = f"{reason}; {len(teller.events)} changes of clocks" if teller.events else f"{reason}; no clock changed"
    return Decision(planned, Because(text=told), tuple(teller.events), tuple(teller.timers))


def _in_order(clocks: Iterator[Clock] | object) -> tuple[Clock, ...]:
    return tuple(sorted(clocks, key=lambda each: (each.metric, each.instance)))  # type: ignore


def _is_settled(clock: Clock, folded: Walk | None) -> bool:
    """Whether the clock ended among facts that were folded, so that it is not derived again."""
    if folded is None or clock.instance > folded.instances.get(clock.metric, 0):
        return False
    still_open = folded.open.get(clock.metric)
    return still_open is None or still_open.instance != clock.instance


def _kept(case: Case) -> dict[UUID, Promise]:
    """After an erasure conditions can't be asked again, so promises stay as they were made."""
    if case.opening is None or not case.opening.erased:
        return {}
    kept = {}
    for clock in case.clocks:
        calendar = case.configuration.calendar(clock.terms.calendar, clock.terms.calendar_version)
        if calendar is not None:
            kept[clock.id] = Promise(clock.terms, calendar)
    return kept
