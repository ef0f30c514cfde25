"""Every rule of when a clock is announced as started, paused, warned, broken, kept or withdrawn. Pure.

Derive, then diff: clocks follow from the case's facts (``history``, ``derive``), what was announced is kept beside
them (``Firing``), and the difference to the clocks that stand is what the world is told (``telling``). So a late
event, a repeat, a change of configuration and an audit are one mechanism. Only a timer that came due announces a
breach that is not over yet; one that is over when we learn of it (kept late) is announced with its end.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from services.sla.decide import facts, history
from services.sla.decide.derive import Kept, derive
from services.sla.decide.sentences import PROMISED, broken
from services.sla.decide.standing import composed, next_step
from services.sla.decide.telling import Teller, words
from services.sla.model import Case, Clock, Firing, Gone, Level, Opening, Promise
from services.sla.model.walk import Walk
from shared.contracts import clocks as events
from shared.contracts import duration
from shared.contracts.contacts import CustomerErased
from shared.contracts.decision import Decision, Fired, Replan
from shared.contracts.envelope import Because, Event
from shared.contracts.words import ClockState

PUNCTUAL = timedelta(seconds=1)  # a timer that fires within this says nothing of being late


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
            replace(case, opening=opening, words=said),
            "Identity and text were erased; clocks stay as they are.",
        )
    opened, fact = facts.opening(event), facts.fact(event)
    known = facts.added(case.facts, fact) if fact else case.facts
    if known is case.facts and (opened is None or case.opening is not None):
        return _unchanged(case, f"No clock depends on this {what}, or it is known already.")
    case = replace(case, facts=known, opening=case.opening or opened)
    if case.opening is not None and len(case.facts) > history.MAX_FACTS:
        kept, folded = history.fold(case.opening, case.facts, case.folded)
        case = replace(case, facts=kept, folded=folded)
    return _settled(case, now, f"{what} was taken into account")


def _settled(case: Case, now: datetime, reason: str) -> Decision[Case]:
    """The clocks as they should be, and what to tell of the difference to those that stand."""
    case = replace(case, planned_with=case.configuration.version)
    if case.opening is None:
        return _unchanged(case, f"{reason}; clocks wait for the contact that opened the case.")
    opened = case.opening
    walk = history.walk(opened, case.facts, case.folded)
    said = words(opened, walk)
    case, teller = replace(case, words=said, owed=len(walk.open)), Teller(said, now)
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
        replace(case, clocks=_in_order(after.values()), gone=gone),
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
    """Announce the highest level that has passed, once: those below it are passed over.

    Asks only for the clock and the case's ``words``, so that a store may load no more than these.
    """
    clock = next((each for each in case.clocks if each.id == fired.subject), None)
    if clock is None:
        return _unchanged(case, "The timer's clock is gone.")
    if clock.version != fired.version:
        return _unchanged(case, f"The timer is of version {fired.version}; the clock is at version {clock.version}.")
    step = next_step(clock)
    if step is None:
        return _unchanged(case, f"The clock is {clock.state}: it has nothing to announce.")
    if step.due_at > now:
        early = f"{step.step} is due only at {step.due_at.isoformat()}; the timer is set again."
        return Decision(case, Because(text=early), timers=(step,))
    if case.words is None:
        return _unchanged(case, "The case was never opened.")
    teller = Teller(case.words, now)
    if clock.state is ClockState.BREACHED:
        after = _overdue(clock, fired, teller, now)
    elif clock.due_at is not None and clock.due_at <= now:
        after = _breached(clock, fired, teller, now)
    else:
        after = _warned(clock, fired, teller, now)
    following = next_step(after)
    return Decision(
        replace(case, clocks=tuple(after if each.id == clock.id else each for each in case.clocks)),
        after.because,
        tuple(teller.events),
        () if following is None else (following,),
    )


def _breached(clock: Clock, fired: Fired, teller: Teller, now: datetime) -> Clock:
    firing = replace(clock.firing, breached_at=clock.due_at, breach_fired_at=now)
    why = broken(clock)
    changes = {"state": ClockState.BREACHED, "breached_at": clock.due_at, "firing": firing, "because": why}
    passed_over = [each for each in clock.levels if _ahead(each, clock)]
    told = _announced(why, clock.due_at or now, fired, passed_over, now)
    return teller.announce(clock, changes, events.ClockBreached, lagging=fired.lagging, because=told)


def _overdue(clock: Clock, fired: Fired, teller: Teller, now: datetime) -> Clock:
    """How far it is over, in the promise's own time; missed levels collapse to the highest."""
    levels = [each for each in clock.levels if each.share > 1]
    passed = [each for each in levels if each.share > 1 + (clock.overdue or 0.0) and each.at and each.at <= now]
    *passed_over, level = passed
    number = levels.index(level)
    over = clock.terms.overdue_at[number]
    firing = replace(clock.firing, overdue_share=over, overdue_fired_at=now)
    by = clock.terms.within * over
    text = f"{PROMISED[clock.metric]} is {duration.words(by)} overdue, {over * 100:g} % over. {clock.because.text}"
    told = _announced(Because(text=text, facts=clock.because.facts), level.at or now, fired, passed_over, now)
    more = {"over": over, "level": number + 1, "overdue_by": duration.text(by), "occurred_at": level.at or now}
    changes = {"overdue": over, "firing": firing}
    return teller.announce(clock, changes, events.ClockOverdue, lagging=fired.lagging, because=told, **more)


def _warned(clock: Clock, fired: Fired, teller: Teller, now: datetime) -> Clock:
    passed = [each for each in clock.levels if _ahead(each, clock) and each.at is not None and each.at <= now]
    *passed_over, level = passed
    firing = replace(clock.firing, warned_share=level.share, warned_fired_at=now)
    changes = {"warned_at": level.at, "firing": firing}
    left = clock.terms.within - clock.terms.within * level.share
    text = (
        f"{level.share * 100:g} % of the time for {PROMISED[clock.metric].lower()} has passed, "
        f"{duration.words(left)} is left. {clock.because.text}"
    )
    told = _announced(Because(text=text, facts=clock.because.facts), level.at or now, fired, passed_over, now)
    said = {"share": level.share, "left": duration.text(left)}
    return teller.announce(clock, changes, events.ClockWarned, **said, lagging=fired.lagging, because=told)


def _ahead(level: Level, clock: Clock) -> bool:
    """Whether it is a warning that was not announced yet."""
    return level.share < 1 and (
        clock.warned_at is None or clock.firing.warned_share is None or level.share > clock.firing.warned_share
    )


def _announced(base: Because, at: datetime, fired: Fired, passed_over: list[Level], now: datetime) -> Because:
    """How late the announcement is, and what it stands for."""
    late, text = now - at, base.text
    if late > PUNCTUAL:
        text += f" This is said {duration.words(late)} late."
    if fired.lagging:
        text += " Not everything that happened was read yet."
    facts = base.facts | {
        "late_seconds": late.total_seconds(),
        "lagging": fired.lagging,
        "passed_over": [level.share for level in passed_over],
    }
    return Because(text=text, facts=facts)
