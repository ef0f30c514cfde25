"""Every business rule of notify begins here: what each input means for the case's page. Pure.

``escalate.py`` has the rules of steps, ``deliver.py`` those of one message, ``stages.py`` what a message passes.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any

from services.notify.decide import deliver
from services.notify.decide.acts import act
from services.notify.decide.draft import Draft
from services.notify.decide.escalate import (
    answered,
    call,
    damp,
    flapping,
    move,
    reopen,
    resolve_page,
    stand_down,
    unserved,
)
from services.notify.decide.follow import follow
from services.notify.decide.steps import advance, reconsider
from services.notify.model import METRICS, CaseState, Clock, Facts
from services.notify.model.commands import Act, Claim, Overdue, Recorded, Retry, Unmute, Wait
from services.notify.model.escalation import MAX_LEVEL
from services.notify.model.specs import On
from shared.contracts.assignments import CaseAssigned, CaseHandedOff
from shared.contracts.clocks import (
    CaseSummary,
    ClockBreached,
    ClockCancelled,
    ClockEvent,
    ClockMet,
    ClockOverdue,
    ClockPaused,
    ClockWarned,
    ClockWithdrawn,
)
from shared.contracts.contacts import CaseActivity, CaseMerged, ContactReceived, CustomerErased
from shared.contracts.decision import Decision, Fired
from shared.contracts.envelope import Because, Event
from shared.contracts.words import ActivityKind, ClockState, Metric

MAX_TEAMS_SEEN = 20

_Calling = ClockWarned | ClockBreached | ClockOverdue
_OURS = (Metric.PICKUP, Metric.TEAM_WAIT, Metric.ENGINEERING_WAIT, Metric.UNASSIGNED)  # that end without a reply

_ENDS: dict[type[ClockEvent], ClockState] = {
    ClockMet: ClockState.MET,
    ClockCancelled: ClockState.CANCELLED,
    ClockWithdrawn: ClockState.WITHDRAWN,
}


def decide(state: CaseState, what: Any, now: datetime) -> Decision[CaseState]:
    """What one event, timer or command means. Anything that is no concern of ours changes nothing."""
    d = Draft(state, now)
    match what:
        case Event(data=ClockWarned() | ClockBreached() | ClockOverdue() as data):
            _fired(d, data)
        case Event(data=ClockMet() | ClockCancelled() | ClockWithdrawn() as data):
            _ended(d, data)
        case Event(data=ClockEvent() as data):
            _changed(d, data)
        case Event(data=CaseAssigned() | CaseHandedOff() as data):
            _assigned(d, data)
        case Event(data=ContactReceived() as data):
            _words(d, data)
        case Event(data=CaseActivity() as data):
            _activity(d, data)
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
        case Wait():
            deliver.wait(d, what)
        case Overdue():
            deliver.overdue(d, what)
        case Retry():
            deliver.retry(d, what)
        case Unmute():
            deliver.unmute(d, what)
        case Act():
            act(d, what)
    follow(d, len(state.history))
    return d.done()


# Clocks


def _fired(d: Draft, data: _Calling) -> None:
    known = d.state.clocks.get(data.clock_id)
    if known is not None and data.version <= known.version:
        d.say("This is known already.", clock=str(data.clock_id), version=data.version)
        return
    on, clock = _called(data, known)
    _learn(d, data)
    team = _team(d.state.facts, data.summary)
    page_stands = d.state.page is not None and d.state.page.live
    flaps = None if page_stands or data.history else flapping(d, on)
    clock = replace(clock, ignored=None if page_stands else _unwanted(d, clock, on, team) or flaps)
    if data.history:
        clock = replace(clock, ignored="imported history opens no page")
    d.put_clock(clock)
    if clock.ignored:
        d.say(f"No page: {clock.ignored}.", clock=str(clock.id), on=on)
        if clock.ignored == flaps and flaps is not None:
            damp(d, flaps)
    else:
        call(d, on, clock, team)


def _called(data: _Calling, known: Clock | None) -> tuple[On, Clock]:
    """What the event says of its clock, and for which steps it calls."""
    clock = _clock(data, known)
    if isinstance(data, ClockWarned):
        return On.WARNED, replace(_unbroken(clock), warned_at=data.fired_at)
    if isinstance(data, ClockBreached):
        return On.BREACHED, replace(clock, breached_at=data.occurred_at, breach_fired_at=data.fired_at, paused=False)
    return On.OVERDUE, replace(
        clock,
        breached_at=clock.breached_at or data.due_at or data.occurred_at,
        breach_fired_at=clock.breach_fired_at or data.fired_at,
        overdue_level=max(clock.overdue_level, min(data.level, MAX_LEVEL)),
        overdue_share=data.over,
    )


def _unwanted(d: Draft, clock: Clock, on: On, team: str | None) -> str | None:
    if d.state.facts.merged_into is not None:
        return f"the case was merged into {d.state.facts.merged_into}"
    return unserved(d, on, team, clock.overdue_level)


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


def _unbroken(clock: Clock) -> Clock:
    return replace(clock, breached_at=None, breach_fired_at=None, overdue_level=0, overdue_share=0.0)


def _team(facts: Facts, summary: CaseSummary) -> str | None:
    """Who has the case: the assignments say, unless the clock names a team that they have not told us of yet."""
    if facts.team is not None and (summary.team is None or summary.team in facts.teams_seen):
        return facts.team
    return summary.team


def _changed(d: Draft, data: ClockEvent) -> None:
    """Paused, resumed, rescheduled: matters only for a clock that called already. It may be broken no more."""
    known = d.state.clocks.get(data.clock_id)
    if known is None or data.version <= known.version:
        d.say("A clock that has not called for anybody.")
        return
    clock = replace(_clock(data, known), paused=isinstance(data, ClockPaused))
    if clock.breach_fired_at is not None and (clock.due_at is None or clock.due_at > clock.breach_fired_at):
        clock = _unbroken(clock)
    d.put_clock(clock)
    what = f"The {METRICS[data.metric]} clock: {data.because.text}"
    d.say(what, clock=str(data.clock_id))
    if d.state.page is None or not d.page.live:
        return
    stand_down(d, what)
    if not isinstance(data, ClockPaused):
        reopen(d, d.now)


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
        if clock.metric not in _OURS:
            answered(d, data.occurred_at, f"The {METRICS[clock.metric]} clock is {ended}")
        stand_down(d, f"The {METRICS[clock.metric]} clock is {ended}.")
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
    if page is not None and page.live:
        if page.team != data.team:
            move(d, data.team)
        reconsider(d)


def _activity(d: Draft, data: CaseActivity) -> None:
    """A reply is what a page is for; priority and tags are what its conditions ask."""
    facts, page = d.state.facts, d.state.page
    if page is None or not page.live or data.history:
        d.say("No open page asks about this activity.")
        return
    if data.kind == ActivityKind.AGENT_REPLIED and data.public and not data.automated:
        if data.occurred_at >= page.opened_at:
            d.say("The customer had a reply.")
            answered(d, data.occurred_at, "The customer had a reply")
    elif facts.summary is not None and data.kind in (ActivityKind.PRIORITY_CHANGED, ActivityKind.TAGS_CHANGED):
        changes = {"priority": data.priority, "tags": data.tags}
        known = {name: value for name, value in changes.items() if value is not None}
        d.set_facts(summary=facts.summary.model_copy(update=known))
        d.say("Its priority or tags changed.")
        reconsider(d)


def _learn(d: Draft, data: _Calling) -> None:
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
    """Without identity, text and where it is answered, where the customer asked for that."""
    if not erased:
        return summary
    routed = Because(text=summary.routed.text) if summary.routed else None
    who = {"customer_name": None, "customer_country": None, "url": None}
    return summary.model_copy(update={"subject": "", "excerpt": "", **who, "routed": routed})


# Time


def _due(d: Draft, fired: Fired) -> None:
    page = d.state.page
    if page is None or page.id != fired.subject or page.version != fired.version or not page.live:
        d.say("The page has moved on since this was set.", step=fired.step)
        return
    d.now = max(d.now, fired.due_at)
    reopen(d, fired.due_at)
    advance(d)
