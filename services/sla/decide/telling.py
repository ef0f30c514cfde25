"""What the world is told of a change of clocks: events on ``clocks``, and the timers that stand. Pure."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from services.sla.decide import firing, history
from services.sla.decide.firing import Announcement
from services.sla.decide.standing import next_step
from services.sla.model import Clock, Opening
from services.sla.model.changed import changed
from services.sla.model.walk import Walk
from shared.contracts import clocks as events
from shared.contracts import duration
from shared.contracts.decision import CancelTimer, SetTimer
from shared.contracts.envelope import Because, EventData
from shared.contracts.trusted import trusted
from shared.contracts.words import ClockState, Priority

_ENDS: dict[ClockState, type[events.ClockMet] | type[events.ClockCancelled] | type[events.ClockWithdrawn]] = {
    ClockState.MET: events.ClockMet,
    ClockState.CANCELLED: events.ClockCancelled,
    ClockState.WITHDRAWN: events.ClockWithdrawn,
}


def difference(was: Clock | None, new: Clock) -> list[type[events.ClockEvent]]:
    """What to tell, in order. A result that turns out otherwise is told again: its last word holds."""
    told: list[type[events.ClockEvent]] = [] if was else [events.ClockStarted]
    if new.ended:
        if was and was.ended and (was.state, was.breached_at is None) == (new.state, new.breached_at is None):
            return []
        if new.breached_at and new.state is not ClockState.WITHDRAWN and not (was and was.breached_at):
            told.append(events.ClockBreached)
        return [*told, _ENDS[new.state]]
    if new.state is ClockState.PAUSED and (was is None or was.state is not ClockState.PAUSED):
        return [*told, events.ClockPaused]
    if new.state is ClockState.BREACHED:  # announced before, taken back, and true after all
        if was and was.state is ClockState.BREACHED:
            return told
        return [*told, *([events.ClockRescheduled] if was and _moved(was, new) else []), events.ClockBreached]
    if was is None:
        return told
    if new.state is ClockState.RUNNING and was.state is ClockState.PAUSED:
        return [events.ClockResumed]
    if was.state is not new.state or _moved(was, new):
        return [events.ClockRescheduled]
    return told


def _moved(was: Clock, new: Clock) -> bool:
    return (was.due_at, was.terms) != (new.due_at, new.terms)


def words(opened: Opening, walk: Walk) -> events.CaseSummary:
    """What a message says of the case, as it is known now."""
    last = next(reversed(history.contexts(walk)), None)
    return trusted(
        events.CaseSummary,
        number=opened.number,
        subject=opened.subject,
        excerpt=opened.excerpt,
        customer_name=opened.customer_name,
        customer_tier=opened.customer_tier,
        customer_country=opened.customer_country,
        url=opened.url,
        team=last.team if last else None,
        priority=last.priority if last else Priority.NORMAL,
        tags=last.tags if last else opened.tags,
        routed=last.routed if last else None,
    )


def said(clock: Clock, occurred_at: datetime) -> dict[str, Any]:
    """What every event says of its clock, in the order of its fields."""
    terms = clock.terms
    return {
        "case_id": clock.case_id,
        "occurred_at": occurred_at,
        "clock_id": clock.id,
        "metric": clock.metric,
        "instance": clock.instance,
        "version": clock.version,
        "started_at": clock.started_at,
        "due_at": clock.due_at,
        "team": clock.team,
        "policy": terms.policy,
        "policy_version": terms.policy_version,
        "within": duration.text(terms.within),
        "calendar": terms.calendar,
        "time_zone": terms.zone,
        "history": clock.history,
        "because": clock.because,
    }


class Teller:
    """Collects the events and timers of one decision."""

    def __init__(self, words: events.CaseSummary, now: datetime) -> None:
        self._words, self._now = words, now
        self.events: list[EventData] = []
        self.timers: list[SetTimer | CancelTimer] = []

    def change(self, was: Clock | None, new: Clock) -> Clock:
        """Tell how the clock changed; gives it with its version after that."""
        for kind in difference(was, new):
            new = self.tell(new, kind)
        self._time(was, new)
        return new

    def vanish(self, was: Clock) -> Clock:
        """Withdraw a clock that nothing calls for any more."""
        if was.state is ClockState.WITHDRAWN:
            return was
        text = f"This {was.metric.replace('_', ' ')} clock was none: what we learned later shows that nothing was owed."
        new = changed(
            was,
            state=ClockState.WITHDRAWN,
            ended_at=self._now,
            breached_at=was.firing.breached_at,
            because=Because(text=text, facts=was.because.facts),
        )
        new = self.tell(new, events.ClockWithdrawn)
        self._time(was, new)
        return new

    def tell(self, clock: Clock, kind: type[events.ClockEvent]) -> Clock:
        """Add one event about the clock, and give the clock with its new version."""
        breach = kind is events.ClockBreached
        clock = changed(clock, version=clock.version + 1, announced=clock.announced or breach)
        fields = said(clock, self._occurred_at(clock, kind))
        if kind in _ENDS.values():
            fields["breached"] = clock.breached_at is not None
        if breach:
            fields |= {"fired_at": self._now, "lagging": False, "summary": self._words}
        self.events.append(trusted(kind, **fields))
        return clock

    def announce(self, clock: Clock, told: Announcement, lagging: bool) -> Clock:
        """The same of a timer that came due, which changes the clock."""
        clock = changed(clock, **self._announced(clock, told), version=clock.version + 1, announced=True)
        because = firing.because(told, clock.because.facts, lagging, self._now)
        fields = said(clock, told.at) | told.more | {"because": because, "lagging": lagging}
        fields |= {"fired_at": self._now, "summary": self._words}
        self.events.append(told.kind.model_validate(fields))
        return clock

    def _announced(self, clock: Clock, told: Announcement) -> dict[str, Any]:
        """What of the clock an announcement changes."""
        if told.kind is events.ClockBreached:
            fired = replace(clock.firing, breached_at=told.at, breach_fired_at=self._now)
            because = Because(text=told.said, facts=clock.because.facts)
            return {"state": ClockState.BREACHED, "breached_at": told.at, "firing": fired, "because": because}
        if told.kind is events.ClockOverdue:
            fired = replace(clock.firing, overdue_share=told.share, overdue_fired_at=self._now)
            return {"overdue": told.share, "firing": fired}
        fired = replace(clock.firing, warned_share=told.share, warned_fired_at=self._now)
        return {"warned_at": told.at, "firing": fired}

    def _occurred_at(self, clock: Clock, kind: type[events.ClockEvent]) -> datetime:
        at: datetime | None = None
        if kind is events.ClockStarted:
            at = clock.started_at
        elif kind is events.ClockPaused and clock.pauses:
            at = clock.pauses[-1].since
        elif kind is events.ClockResumed and clock.pauses:
            at = clock.pauses[-1].until
        elif kind is events.ClockBreached:
            at = clock.breached_at
        elif kind in _ENDS.values():
            at = clock.ended_at
        return at or self._now

    def _time(self, was: Clock | None, new: Clock) -> None:
        """Keep exactly one timer for a running clock: its next step."""
        before, after = next_step(was) if was else None, next_step(new)
        if before == after:
            return
        if before is not None and (after is None or after.step != before.step):
            self.timers.append(CancelTimer(before.subject, before.step))
        if after is not None:
            self.timers.append(after)
