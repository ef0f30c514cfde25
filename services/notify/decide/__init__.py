"""Every business rule of notify begins here: what each input means for the case's page. Pure.

``escalate.py`` has the rules of steps, ``deliver.py`` those of one message, ``stages.py`` what a message passes.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any

from services.notify.decide import deliver
from services.notify.decide.draft import Draft
from services.notify.decide.escalate import advance, begin_anew, call, move, resolve_page, unserved
from services.notify.decide.follow import follow
from services.notify.model import METRICS, CaseState, Clock, Facts
from services.notify.model.commands import (
    Acknowledge,
    Claim,
    HandOver,
    Overdue,
    Recorded,
    Resolve,
    Retry,
    Snooze,
    Unmute,
)
from services.notify.model.specs import On
from services.notify.oncall.targets import person_title
from shared.contracts.assignments import CaseAssigned, CaseHandedOff
from shared.contracts.clocks import (
    CaseSummary,
    ClockBreached,
    ClockCancelled,
    ClockEvent,
    ClockMet,
    ClockPaused,
    ClockWarned,
    ClockWithdrawn,
)
from shared.contracts.contacts import CaseMerged, ContactReceived, CustomerErased
from shared.contracts.decision import Decision, Fired
from shared.contracts.envelope import Because, Event
from shared.contracts.pages import HandoverAsked, PageAcknowledged
from shared.contracts.words import ClockState, PageState

MAX_TEAMS_SEEN = 20

_ENDS: dict[type[ClockEvent], ClockState] = {
    ClockMet: ClockState.MET,
    ClockCancelled: ClockState.CANCELLED,
    ClockWithdrawn: ClockState.WITHDRAWN,
}


def decide(state: CaseState, what: Any, now: datetime) -> Decision[CaseState]:
    """What one event, timer or command means. Anything that is no concern of ours changes nothing."""
    d = Draft(state, now)
    match what:
        case Event(data=ClockWarned() | ClockBreached() as data):
            _fired(d, data)
        case Event(data=ClockMet() | ClockCancelled() | ClockWithdrawn() as data):
            _ended(d, data)
        case Event(data=ClockEvent() as data):
            _changed(d, data)
        case Event(data=CaseAssigned() | CaseHandedOff() as data):
            _assigned(d, data)
        case Event(data=ContactReceived() as data):
            _words(d, data)
        case Event(data=CaseMerged() as data):
            _merged(d, data)
        case Event(data=CustomerErased()):
            _erased(d)
        case Fired():
            _due(d, what)
        case Claim():
            deliver.claim(d, what)
        case Recorded():
            deliver.recorded(d, what)
        case Overdue():
            deliver.overdue(d, what)
        case Retry():
            deliver.retry(d, what)
        case Unmute():
            deliver.unmute(d, what)
        case Acknowledge() | Resolve() | Snooze() | HandOver():
            _command(d, what)
    follow(d, len(state.history))
    return d.done()


# Clocks


def _fired(d: Draft, data: ClockWarned | ClockBreached) -> None:
    known = d.state.clocks.get(data.clock_id)
    if known is not None and data.version <= known.version:
        d.say("This is known already.", clock=str(data.clock_id), version=data.version)
        return
    on = On.BREACHED if isinstance(data, ClockBreached) else On.WARNED
    clock = _clock(data, known)
    if on == On.BREACHED:
        clock = replace(clock, breached_at=data.occurred_at, breach_fired_at=data.fired_at, paused=False)
    else:
        clock = replace(clock, warned_at=data.fired_at)
    _learn(d, data)
    team = _team(d.state.facts, data.summary)
    page_stands = d.state.page is not None and d.state.page.live
    clock = replace(clock, ignored=None if page_stands else _unwanted(d, data, on, team))
    if data.history:
        clock = replace(clock, ignored="imported history opens no page")
    d.put_clock(clock)
    if clock.ignored:
        d.say(f"No page: {clock.ignored}.", clock=str(clock.id), on=on)
    else:
        call(d, on, clock, team)


def _unwanted(d: Draft, data: ClockWarned | ClockBreached, on: On, team: str | None) -> str | None:
    if d.state.facts.merged_into is not None:
        return f"the case was merged into {d.state.facts.merged_into}"
    return unserved(d, on, team)


def _clock(data: ClockEvent, known: Clock | None) -> Clock:
    """The clock with what the event says of it. Its last word holds: one that had ended may run again."""
    if known is not None:
        again = replace(known, version=data.version, due_at=data.due_at, within=data.within, calendar=data.calendar)
        return replace(again, ended=None, ended_at=None, ended_because=None)
    return Clock(
        id=data.clock_id,
        metric=data.metric,
        instance=data.instance,
        version=data.version,
        started_at=data.started_at,
        due_at=data.due_at,
        within=data.within,
        calendar=data.calendar,
        time_zone=data.time_zone,
        policy=data.policy,
    )


def _team(facts: Facts, summary: CaseSummary) -> str | None:
    """Who has the case: the assignments say, unless the clock names a team that they have not told us of yet."""
    if facts.team is not None and (summary.team is None or summary.team in facts.teams_seen):
        return facts.team
    return summary.team


def _changed(d: Draft, data: ClockEvent) -> None:
    """Paused, resumed, rescheduled: matters only for a clock that called already."""
    known = d.state.clocks.get(data.clock_id)
    if known is None or data.version <= known.version:
        d.say("A clock that has not called for anybody.")
        return
    d.put_clock(replace(_clock(data, known), paused=isinstance(data, ClockPaused)))
    d.say(f"The {METRICS[data.metric]} clock: {data.because.text}", clock=str(data.clock_id))


def _ended(d: Draft, data: ClockMet | ClockCancelled | ClockWithdrawn) -> None:
    known = d.state.clocks.get(data.clock_id)
    if known is None or data.version <= known.version:
        d.say("A clock that has not called for anybody.")
        return
    ended = _ENDS[type(data)]
    clock = replace(
        _clock(data, known), ended=ended, ended_at=data.occurred_at, ended_because=data.because.text, paused=False
    )
    d.put_clock(clock)
    d.say(f"The {METRICS[clock.metric]} clock is {ended}: {data.because.text}", clock=str(clock.id))
    page = d.state.page
    if page is None or clock.id not in page.clocks:
        return
    left = [i for i in page.clocks if (c := d.state.clocks.get(i)) is not None and c.ended is None]
    if page.live and not left:
        why = f"Nothing is left to do: the {METRICS[clock.metric]} clock is {ended}. {data.because.text}"
        resolve_page(d, why, unsent=f"Recovered before it was sent: the {METRICS[clock.metric]} clock is {ended}")
    elif page.live:
        d.write("clock_ended")
    if ended == ClockState.WITHDRAWN:
        deliver.correct(d)


# The case


def _assigned(d: Draft, data: CaseAssigned | CaseHandedOff) -> None:
    seen = (*(team for team in d.state.facts.teams_seen if team != data.team), data.team)[-MAX_TEAMS_SEEN:]
    d.set_facts(team=data.team, teams_seen=seen)
    d.say(f"The case is with team {data.team}.", team=data.team)
    summary = d.state.facts.summary
    if summary is not None:
        changes = {"team": data.team, "priority": data.priority, "tags": data.tags, "routed": data.because}
        d.set_facts(summary=_scrubbed(summary.model_copy(update=changes), d.state.facts.erased))
    page = d.state.page
    if page is not None and page.live and page.team != data.team:
        move(d, data.team)


def _learn(d: Draft, data: ClockWarned | ClockBreached) -> None:
    """Keep what the clock says of the case, but for words that a later contact brought."""
    facts, summary = d.state.facts, data.summary
    if facts.summary is not None and facts.words_at is not None and facts.words_at > data.fired_at:
        kept = {"excerpt": facts.summary.excerpt, "customer_name": facts.summary.customer_name}
        summary = summary.model_copy(update=kept)
    d.set_facts(summary=_scrubbed(summary, facts.erased))


def _words(d: Draft, data: ContactReceived) -> None:
    """A page that is open quotes the customer's latest words."""
    facts = d.state.facts
    page_stands = d.state.page is not None and d.state.page.live
    if not page_stands or facts.summary is None or data.automated or data.history or facts.erased:
        d.say("No open page quotes this contact.")
        return
    if facts.words_at is not None and data.occurred_at <= facts.words_at:
        d.say("Later words are known already.")
        return
    name = data.customer.name or facts.summary.customer_name
    summary = facts.summary.model_copy(update={"excerpt": data.excerpt, "customer_name": name})
    d.set_facts(summary=summary, words_at=data.occurred_at)
    d.say("The page quotes the customer's latest words.", contact=str(data.contact_id))


def _merged(d: Draft, data: CaseMerged) -> None:
    d.set_facts(merged_into=data.into_number)
    d.say(f"The case was merged into {data.into_number}.")
    if d.state.page is not None and d.state.page.live:
        resolve_page(d, f"The case was merged into {data.into_number}; its promises go on there.")


def _erased(d: Draft) -> None:
    summary = d.state.facts.summary
    d.set_facts(erased=True, summary=_scrubbed(summary, True) if summary else None)
    d.say("The customer's identity and words are erased.")


def _scrubbed(summary: CaseSummary, erased: bool) -> CaseSummary:
    """Without identity and text, where the customer asked for that."""
    if not erased:
        return summary
    routed = Because(text=summary.routed.text) if summary.routed else None
    nothing = {"subject": "", "excerpt": "", "customer_name": None, "customer_country": None, "routed": routed}
    return summary.model_copy(update=nothing)


# Time and people


def _due(d: Draft, fired: Fired) -> None:
    page = d.state.page
    if page is None or page.id != fired.subject or page.version != fired.version or not page.live:
        d.say("The page has moved on since this was set.", step=fired.step)
        return
    d.now = max(d.now, fired.due_at)
    if page.snoozed_until is not None and page.snoozed_until <= d.now:
        d.say(f"The snooze by {page.acknowledged_by} ended and the promise is still open: the steps begin anew.")
        begin_anew(d, page.snoozed_until)
        d.write("reopened")
    advance(d)


def _command(d: Draft, asked: Acknowledge | Resolve | Snooze | HandOver) -> None:
    page = d.state.page
    if page is None or page.id != asked.page_id or not page.live:
        d.say("The page is over.")
        return
    who = person_title(d.state.configuration, asked.by)
    match asked:
        case Acknowledge():
            _acknowledge(d, asked, who)
        case Resolve():
            resolve_page(d, f"{who} resolved the page.", by=asked.by, via=asked.via)
        case Snooze():
            if page.snoozed_until == asked.until:
                d.say("It is snoozed until then already.")
                return
            _acknowledge(d, Acknowledge(asked.page_id, asked.by, asked.via), who)
            d.set_page(snoozed_until=asked.until, version=d.page.version + 1)
            d.say(f"{who} snoozed the page.", until=asked.until.isoformat())
            d.write("snoozed", by=asked.by, via=asked.via)
        case HandOver() if page.handover_to == asked.to_team:
            d.say(f"Routing was asked already to hand the case to team {asked.to_team}.")
        case HandOver():
            d.set_page(handover_to=asked.to_team)
            d.say(f"{who} asked to hand the case to team {asked.to_team}: {asked.reason}", team=asked.to_team)
            d.write("handover_asked", by=asked.by, via=asked.via)
            d.emit(HandoverAsked, to_team=asked.to_team, by=asked.by, reason=asked.reason)


def _acknowledge(d: Draft, asked: Acknowledge, who: str) -> None:
    page = d.page
    if page.state == PageState.ACKNOWLEDGED:
        d.say(f"{person_title(d.state.configuration, page.acknowledged_by or '')} has it already.")
        return
    d.say(f"{who} acknowledged the page: its steps stop.")
    d.suppress(f"{who} acknowledged the page before it was sent")
    d.set_page(state=PageState.ACKNOWLEDGED, version=page.version + 1, acknowledged_by=asked.by, acknowledged_at=d.now)
    d.write("acknowledged", by=asked.by, via=asked.via)
    d.emit(PageAcknowledged, by=asked.by)
