"""How a page goes on: it opens, joins, runs its steps, goes further when nobody can be told, ends. Pure.

Step times are absolute: base + after + round × every, where the base is the first warning or breach that the page
knows, as committed. What is due runs in the decision that finds it due; timers only make that decision happen.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from services.notify.decide.draft import Draft
from services.notify.decide.lanes import head_start
from services.notify.model import METRICS, Clock, Delivery, Page, Purpose, Target, Way
from services.notify.model.plan import exhausted_at
from services.notify.model.specs import On
from services.notify.oncall.targets import NOWHERE, policy_of, resolve, title
from shared.contracts.identity import derived
from shared.contracts.pages import PageEscalated, PageExhausted, PageOpened, PageResolved
from shared.contracts.words import DeliveryState, PageState


def call(d: Draft, on: On, clock: Clock, team: str | None) -> None:
    """A clock warned or broke: open a page for it, or join the one that is open, and tell who must know."""
    if d.state.page is None or not d.page.live:
        _open(d, on, clock, team)
    else:
        _join(d, on, clock)


def unserved(d: Draft, on: On, team: str | None) -> str | None:
    """Why a new page would tell nobody: a warning concerns only policies with a step on warnings."""
    policy, _ = policy_of(d.state.configuration, team)
    if on == On.BREACHED or any(step.on == on for step in policy.spec.steps):
        return None
    return f"escalation policy {policy.name} has no step on warnings"


def _open(d: Draft, on: On, clock: Clock, team: str | None) -> None:
    policy, why = policy_of(d.state.configuration, team)
    number = d.state.page.number + 1 if d.state.page else 1
    what = f"{METRICS[clock.metric]} {'is broken' if on == On.BREACHED else 'is at risk'}"
    d.say(
        f"The {what}; {why}.", clock=str(clock.id), on=on, team=team, policy=policy.name, policy_version=policy.version
    )
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
    """A page that is open already learns of one more; those it told are told again."""
    page = d.page
    first = page.base(on) is None and (on == On.BREACHED or page.base_breached is None)
    if clock.id not in page.clocks:
        d.set_page(clocks=(*page.clocks, clock.id))
    _set_base(d, on, clock)
    what = f"the {METRICS[clock.metric]} {'is broken' if on == On.BREACHED else 'is at risk'} too"
    if page.state == PageState.OPEN and first:
        d.say(f"The page goes on: {what}.", clock=str(clock.id), on=on)
        d.write("joined")
        advance(d)
        return
    d.say(f"The page is {page.state}; {what}.", clock=str(clock.id), on=on)
    d.write("joined")
    for number, step in enumerate(page.policy.spec.steps):
        told = page.state == PageState.OPEN and page.rounds[number] > 0
        if step.on == on and (told or not step.delay):
            _run(d, number, 0, f"{on}:{clock.id}:{clock.version}", clock)


def _set_base(d: Draft, on: On, clock: Clock) -> None:
    if on == On.BREACHED and d.page.base_breached is None:
        d.set_page(base_breached=clock.breach_fired_at)
    elif on == On.WARNED and d.page.base_warned is None:
        d.set_page(base_warned=clock.warned_at)


def advance(d: Draft) -> None:
    """Run every step that is due; of several rounds that are due, only the latest."""
    page, spec = d.page, d.page.policy.spec
    base = page.base(page.stage)
    if page.state != PageState.OPEN or base is None:
        return
    for number, step in enumerate(spec.steps):
        round_ = d.page.rounds[number]
        if step.on != page.stage or round_ > spec.repeat.times:
            continue
        due = base + step.delay + round_ * spec.repeat.period
        if due > d.now:
            continue
        latest = min(spec.repeat.times, round_ + (d.now - due) // spec.repeat.period)
        _behind(d, number, latest + 1)
        _run(d, number, latest)
    at = exhausted_at(d.page)
    if at is not None and at <= d.now:
        _exhaust(d)


def _behind(d: Draft, number: int, rounds: int) -> None:
    d.set_page(rounds=tuple(rounds if n == number else r for n, r in enumerate(d.page.rounds)))


def _run(d: Draft, number: int, round_: int, cause: str = "", clock: Clock | None = None) -> None:
    """One step tells its people; where it reaches nobody, the next one does at once."""
    page, step = d.page, d.page.policy.spec.steps[number]
    on = On(step.on)
    headline = clock or headline_clock(d, page, on)
    if headline is None:
        d.say(f"Step {number + 1} tells nobody: what it would call about is paused or over.", step=number, round=round_)
        d.write("skipped")
        return
    targets, troubles = resolve(d.state.configuration, step.notify, d.now)
    for trouble in troubles:
        d.trouble(f"step {number + 1} of {page.policy.name}: {trouble}")
    made = send(d, targets, Ask(on, headline.id, cause, number, round_, page.cycle))
    _explain(d, number, round_, targets, troubles)
    d.write("step", deliveries=made)
    d.emit(PageEscalated, step=number, round=round_, targets=tuple(each.key for each in targets))
    if not targets:
        forward(d, number, round_, "; ".join(troubles))


def _explain(d: Draft, number: int, round_: int, targets: Sequence[Target], troubles: Sequence[str]) -> None:
    told = ", ".join(title(d.state.configuration, each.key) for each in targets)
    again = f", for the {_ordinal(round_ + 1)} time" if round_ else ""
    text = f"Step {number + 1} tells {told}{again}" if told else f"Step {number + 1} reaches nobody"
    d.say(f"{text}{'; ' if troubles else ''}{'; '.join(troubles)}.", step=number, round=round_, troubles=list(troubles))


def _ordinal(number: int) -> str:
    endings = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{'th' if 10 <= number % 100 <= 20 else endings.get(number % 10, 'th')}"


def headline_clock(d: Draft, page: Page, on: On) -> Clock | None:
    """The clock that a message of this kind is about: broken before at risk, then the earliest due."""
    calling = [c for i in page.clocks if (c := d.state.clocks.get(i)) and c.calls(on)]
    return min(calling, key=_urgency, default=None)


def _urgency(clock: Clock) -> tuple[bool, datetime, str]:
    return clock.breached_at is None, clock.breached_at or clock.due_at or clock.started_at, str(clock.id)


@dataclass(frozen=True, slots=True)
class Ask:
    """What asks for messages: which step and round, or another ``cause``; about which clock."""

    on: On
    clock_id: UUID
    cause: str
    step: int | None = None
    round: int = 0
    cycle: int = 0
    purpose: Purpose = Purpose.CALL


def send(d: Draft, targets: Sequence[Target], ask: Ask) -> list[Delivery]:
    """Queue one message to each target. The same ask makes the same deliveries: once."""
    every = [queued(d, ask, each.key, each.via, each.ways[0]) for each in targets]
    made = [each for each in every if each.id not in d.state.deliveries]
    if ask.purpose == Purpose.CALL:
        _supersede(d, made)
    d.put(made)
    return made


def queued(d: Draft, ask: Ask, target: str, via: str | None, way: Way) -> Delivery:
    parts = (ask.cycle, ask.step, ask.round, ask.cause, ask.purpose, target, way.kind)
    summary = d.state.facts.summary
    return Delivery(
        id=derived(d.page.id, "delivery", *parts),
        page_id=d.page.id,
        target=target,
        via=via,
        way=way.kind,
        lane=way.lane,
        purpose=ask.purpose,
        on=ask.on,
        cycle=ask.cycle,
        step=ask.step,
        round=ask.round,
        cause=ask.cause,
        clock_id=ask.clock_id,
        state=DeliveryState.QUEUED,
        created_at=d.now,
        next_at=d.now,
        head_start=head_start(summary.priority if summary else None, ask.on, ask.purpose),
    )


def other_way(d: Draft, failed: Delivery, way: Way) -> Delivery:
    """The same message by another way, such as email after Slack."""
    ask = Ask(failed.on, failed.clock_id, failed.cause, failed.step, failed.round, failed.cycle, failed.purpose)
    return queued(d, ask, failed.target, failed.via, way)


def _supersede(d: Draft, made: Sequence[Delivery]) -> None:
    """A message that never left gives way to a later one to the same target: it says more."""
    targets = {each.target for each in made}
    stale = [
        each
        for each in d.waiting()
        if each.target in targets and each.purpose == Purpose.CALL and not each.attempts and each.token is None
    ]
    d.suppress("A later message to the same target says more", stale)


def forward(d: Draft, step: int, round_: int, why: str) -> None:
    """A step reached nobody: the next one that answers to the same runs at once; after the last, the catch-all."""
    steps = d.page.policy.spec.steps
    for number in range(step + 1, len(steps)):
        if steps[number].on == steps[step].on and d.page.rounds[number] <= round_:
            _behind(d, number, round_ + 1)
            _run(d, number, round_)
            return
    nowhere(d, On(steps[step].on), f"{step}:{round_}", why)


def nowhere(d: Draft, on: On, cause: str, why: str) -> None:
    """Nobody is left to tell: the catch-all is told."""
    clock = headline_clock(d, d.page, on)
    if clock is None:
        return
    made = send(d, [NOWHERE], Ask(on, clock.id, cause, cycle=d.page.cycle))
    if made:
        d.say(f"The catch-all is told: {why}.", why=why)
        d.write("catch_all", deliveries=made)


def _exhaust(d: Draft) -> None:
    on = d.page.stage
    told = any(step.on == on for step in d.page.policy.spec.steps)
    why = "every step ran and nobody acknowledged" if told else f"policy {d.page.policy.name} has no step on {on}"
    d.set_page(state=PageState.EXHAUSTED, version=d.page.version + 1)
    nowhere(d, on, "exhausted", why)
    d.say(f"The page is exhausted: {why}. It went to the catch-all.")
    d.write("exhausted")
    d.emit(PageExhausted)


def begin_anew(d: Draft, base: datetime) -> None:
    """The steps start over from ``base``: nobody has the page in hand any more."""
    page = d.page
    d.set_page(
        state=PageState.OPEN,
        version=page.version + 1,
        cycle=page.cycle + 1,
        base_warned=base if page.base_warned else None,
        base_breached=base if page.base_breached else None,
        rounds=(0,) * len(page.policy.spec.steps),
        acknowledged_by=None,
        acknowledged_at=None,
        snoozed_until=None,
    )


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
        d.set_page(base_warned=page.base_warned, base_breached=page.base_breached)
    d.write("team")
    advance(d)


def resolve_page(d: Draft, why: str, by: str | None = None, via: str | None = None, unsent: str | None = None) -> None:
    """End the page. What was not sent yet is not sent, with ``unsent`` as the reason."""
    d.say(why)
    d.suppress(unsent or why)
    d.set_page(
        state=PageState.RESOLVED, version=d.page.version + 1, resolved_by=by, resolved_at=d.now, snoozed_until=None
    )
    d.write("resolved", by=by, via=via)
    d.emit(PageResolved, by=by)
