"""How a page goes on: it opens, joins, opens again, moves to another team, ends. Pure. Its steps: ``steps.py``."""

from dataclasses import replace
from datetime import datetime, timedelta

from services.notify.decide.draft import Draft
from services.notify.decide.steps import advance, headline_clock, nowhere, tell_again
from services.notify.decide.telling import Ask, queued
from services.notify.model import METRICS, Clock, Page, Purpose
from services.notify.model.specs import On
from services.notify.oncall.targets import again, person_title, policy_of
from shared.contracts.envelope import Because
from shared.contracts.identity import derived
from shared.contracts.pages import PageOpened, PageResolved
from shared.contracts.words import PageState

FLAPS = 3  # pages about warnings alone that came to nothing: the next warning opens none
FLAPS_WITHIN = timedelta(hours=1)


def call(d: Draft, on: On, clock: Clock, team: str | None) -> None:
    """A clock warned, broke, or is over by more: open a page for it, or join the one that is open."""
    if d.state.page is None or not d.page.live:
        _open(d, on, clock, team)
    else:
        _join(d, on, clock)


def unserved(d: Draft, on: On, team: str | None, level: int = 0) -> str | None:
    """Why a new page would tell nobody: warnings and overdue levels concern only policies with a step on them."""
    policy, _ = policy_of(d.state.configuration, team)
    steps = [step for step in policy.spec.steps if step.on == on and (on != On.OVERDUE or step.reached <= level)]
    if on == On.BREACHED or steps:
        return None
    what = f"overdue level {level}" if on == On.OVERDUE else "warnings"
    return f"escalation policy {policy.name} has no step on {what}"


def flapping(d: Draft, on: On) -> str | None:
    """Why a warning opens no page: the warnings before it came to nothing, again and again. A breach always pages."""
    lately = [at for at in d.state.facts.fizzled if at > d.now - FLAPS_WITHIN]
    if on != On.WARNED or len(lately) < FLAPS:
        return None
    return f"the case flaps: {len(lately)} pages about warnings ended by themselves within the hour; a breach will page"


def said(on: On, clock: Clock) -> str:
    """``first reply is broken``"""
    if on == On.OVERDUE:
        return f"{METRICS[clock.metric]} is {clock.overdue_share:.0%} over"
    return f"{METRICS[clock.metric]} {'is broken' if on == On.BREACHED else 'is at risk'}"


def _open(d: Draft, on: On, clock: Clock, team: str | None) -> None:
    policy, why = policy_of(d.state.configuration, team)
    number = d.state.page.number + 1 if d.state.page else 1
    about = {"clock": str(clock.id), "on": on, "team": team, "policy": policy.name, "policy_version": policy.version}
    d.say(f"The {said(on, clock)}; {why}.", **about)
    page = Page(
        id=derived(d.state.case_id, "page", number),
        number=number,
        state=PageState.OPEN,
        version=1,
        opened_at=d.now,
        team=team,
        policy=policy,
        clocks=(clock.id,),
        because=d.because,
        rounds=(0,) * len(policy.spec.steps),
    )
    d.state = replace(d.state, page=page)
    _set_base(d, on, clock)
    d.write("opened")
    d.emit(PageOpened, clocks=page.clocks, escalation_policy=policy.name)
    advance(d)


def _join(d: Draft, on: On, clock: Clock) -> None:
    """A page that is open already learns of one more; those it told are told again, each step once a second at most."""
    page = d.page
    first = _news(page, on, clock)
    fresh = clock.id not in page.clocks
    if fresh:
        d.set_page(clocks=(*page.clocks, clock.id))
    _set_base(d, on, clock)
    runs = page.state == PageState.OPEN or (on == On.OVERDUE and page.state == PageState.EXHAUSTED)
    d.say(f"The page {'goes on' if runs and first else f'is {page.state}'}: the {said(on, clock)} too.",
          clock=str(clock.id), on=on)  # fmt: skip
    d.write("joined")
    if fresh and page.state == PageState.ACKNOWLEDGED:
        _wait_for_reply(d)
    reopen(d, d.now)  # where nothing called when its time was up
    if runs:
        advance(d)  # what is due, or need not wait any more, tells of it at once
    waits = d.page.begins is not None and d.page.begins > d.now
    if (runs and first) or waits or d.page.cycle != page.cycle:
        return
    known = len(d.state.deliveries)
    for number, step in enumerate(page.policy.spec.steps):
        if d.page.rounds[number] != page.rounds[number]:
            continue  # it told just now
        told = page.state == PageState.OPEN and page.rounds[number] > 0
        answers = step.on == on and (on != On.OVERDUE or step.reached == clock.overdue_level)
        if answers and (told or not step.delay):
            tell_again(d, number, clock, on)
    if on == On.BREACHED and page.state == PageState.EXHAUSTED and len(d.state.deliveries) == known:
        nowhere(d, on, f"exhausted:{clock.id}:{clock.version}", "every step had its turn before this broke")


def _news(page: Page, on: On, clock: Clock) -> bool:
    """Whether steps begin to count with it."""
    if on == On.OVERDUE:
        return clock.overdue_level > len(page.base_overdue)
    return page.base(on) is None and (on == On.BREACHED or page.base_breached is None)


def _wait_for_reply(d: Draft) -> None:
    """One more promise is in danger while somebody has the page in hand: it too must lead to a reply."""
    patience = d.page.policy.spec.patience
    if d.page.snoozed_until is None and patience is not None and d.page.reopens_at is None:
        d.set_page(reopens_at=d.now + patience, answered_at=None)


def _set_base(d: Draft, on: On, clock: Clock) -> None:
    if on == On.WARNED:
        if d.page.base_warned is None:
            d.set_page(base_warned=clock.warned_at)
        return
    if d.page.base_breached is None:
        d.set_page(base_breached=clock.breach_fired_at if on == On.BREACHED else d.now)
    known = d.page.base_overdue
    if on == On.OVERDUE and clock.overdue_level > len(known):
        d.set_page(base_overdue=known + (d.now,) * (clock.overdue_level - len(known)))


def begin_anew(d: Draft, base: datetime) -> None:
    """The steps start over from ``base``: nobody has the page in hand any more."""
    page = d.page
    d.set_page(
        state=PageState.OPEN,
        version=page.version + 1,
        cycle=page.cycle + 1,
        base_warned=base if page.base_warned else None,
        base_breached=base if page.base_breached else None,
        base_overdue=(base,) * len(page.base_overdue),
        begins=None,
        begins_because=None,
        holds=(),
        waited_until=None,
        rounds=(0,) * len(page.policy.spec.steps),
        acknowledged_by=None,
        acknowledged_at=None,
        snoozed_until=None,
        snoozed_by=None,
        snoozed_at=None,
        reopens_at=None,
        answered_at=None,
    )


def stand_down(d: Draft, why: str) -> None:
    """No promise of the page is broken any more, though some still run: its steps on breaches wait for the next one."""
    page = d.page
    if page.base_breached is None or headline_clock(d, page, On.BREACHED) is not None:
        return
    about_it = [each for each in d.waiting() if each.purpose == Purpose.CALL and each.on != On.WARNED]
    d.say(f"No promise of this page is broken any more. {why}")
    d.suppress(d.because.text, about_it)
    d.set_page(
        state=PageState.OPEN if page.state == PageState.EXHAUSTED else page.state,
        version=page.version + 1,
        cycle=page.cycle + 1,
        base_breached=None,
        base_overdue=(),
        begins=None,
        begins_because=None,
        holds=(),
        waited_until=None,
        rounds=tuple(n if s.on == On.WARNED else 0 for n, s in zip(page.rounds, page.policy.spec.steps, strict=True)),
    )
    d.write("stood_down")
    advance(d)


def reopen(d: Draft, base: datetime) -> None:
    """A snooze ended, or an acknowledgement led to no reply: the page calls again, its steps counted from ``base``."""
    page = d.page
    if page.state != PageState.ACKNOWLEDGED or page.reopens_at is None or page.reopens_at > d.now:
        return
    if headline_clock(d, page, On.WARNED) is None:
        d.say("What it would call about is paused: it calls when that goes on.")
        return
    by = page.acknowledged_by or "somebody"
    who = person_title(d.state.configuration, by)
    if page.snoozed_until is not None:
        d.say(f"The snooze by {who} ended and the promise is still open: the steps begin anew.")
    else:
        d.say(f"{who} acknowledged the page, and the customer had no reply since: the steps begin anew.")
    begin_anew(d, base)
    d.write("reopened")
    advance(d)
    if page.snoozed_until is None:
        _remind(d, by)


def _remind(d: Draft, by: str) -> None:
    """Whoever acknowledged and forgot is told by every way they have."""
    clock, target = headline_clock(d, d.page, d.page.stage), again(d.state.configuration, f"person:{by}")
    if clock is None or isinstance(target, str):
        return
    told = {each.way for each in d.waiting() if each.target == target.key}
    ask = Ask(d.page.stage, clock.id, "forgotten", cycle=d.page.cycle)
    made = [queued(d, ask, target.key, None, way) for way in target.ways if way.kind not in told]
    d.put(made)
    if made:
        d.say(f"{person_title(d.state.configuration, by)} is reminded by {' and '.join(each.way for each in made)}.")
        d.write("reminded", deliveries=made)


def answered(d: Draft, at: datetime, why: str) -> None:
    """The customer had a reply, or a promise ended: what somebody acknowledged does not page again for want of it."""
    page = d.page
    d.set_page(answered_at=at)
    if page.state == PageState.ACKNOWLEDGED and page.snoozed_until is None and page.reopens_at is not None:
        d.set_page(reopens_at=None)
        d.say(f"{why}: the page does not call again.")
        d.write("answered")


def move(d: Draft, team: str) -> None:
    """The case went to another team: that team's policy serves the steps not yet run."""
    page, (policy, why) = d.page, policy_of(d.state.configuration, team)
    before = page.team
    d.set_page(team=team, handover_to=None)
    only_placing = all(c.metric == "unassigned" for i in page.clocks if (c := d.state.clocks.get(i)) and not c.ended)
    same = policy.name == page.policy.name and page.state == PageState.OPEN
    if only_placing or same:
        d.say(f"The case is with team {team} now; {why}, as before." if same else f"The case is with team {team} now.")
        d.write("team")
        return
    d.say(f"The case went from team {before} to team {team}; {why}, and its steps run from here.", team=team)
    d.suppress(f"The case went to team {team} before it was sent")
    kept_base = page.state == PageState.OPEN
    d.set_page(policy=policy)
    begin_anew(d, d.now)
    if kept_base:  # nobody had it in hand: the steps count from the first breach, as before
        d.set_page(base_warned=page.base_warned, base_breached=page.base_breached, base_overdue=page.base_overdue)
    d.write("team")
    advance(d)


def resolve_page(
    d: Draft,
    why: str,
    by: str | None = None,
    via: str | None = None,
    unsent: str | None = None,
    origin: str | None = None,
) -> None:
    """End the page. What was not sent yet is not sent, with ``unsent`` as the reason."""
    page = d.page
    d.say(why)
    d.suppress(unsent or why)
    over = {"snoozed_until": None, "reopens_at": None, "holds": ()}
    d.set_page(state=PageState.RESOLVED, version=page.version + 1, resolved_by=by, resolved_at=d.now, **over)
    d.write("resolved", by=by, via=via, origin=origin)
    d.emit(PageResolved, by=by)
    if by is None and page.base_breached is None and page.acknowledged_by is None:
        d.set_facts(fizzled=(*d.state.facts.fizzled, d.now)[-FLAPS:])


def damp(d: Draft, why: str) -> None:
    """A warning opens no page, which the last one's history says."""
    if d.state.page is not None:
        told = d.because
        d.because = Because(text=f"A warning opened no page: {why}.", facts=told.facts)
        d.write("damped")
        d.because = told
