"""The steps of a page: run when due, skipped where a condition is false, held until somebody is on duty, further. Pure.

Step times are absolute: base + after + round × every, where the base is the first warning, breach or overdue level that
the page knows, as committed. What is due runs in the decision that finds it due; timers only make that decision happen.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from services.notify import rules
from services.notify.decide.draft import Draft
from services.notify.decide.telling import Ask, send
from services.notify.model import Clock, Delivery, Held, Page, Purpose, Target
from services.notify.model.escalation import DUTY, DeferSpec
from services.notify.model.plan import exhausted_at, upcoming
from services.notify.model.specs import On
from services.notify.oncall.opening import Duty, duty, opens
from services.notify.oncall.targets import NOWHERE, following, resolve, title
from services.notify.oncall.wall import wording
from shared.conditions import Outcome
from shared.contracts.pages import PageEscalated, PageExhausted
from shared.contracts.words import PageState

MAX_NEXT = 3  # people of a schedule who are tried after the one on call, in one round of a step
AGAIN_AFTER = timedelta(seconds=1)  # the same step tells nobody twice within it


def advance(d: Draft) -> None:
    """Run every step that is due; of several rounds that are due, only the latest."""
    if d.page.state not in (PageState.OPEN, PageState.EXHAUSTED) or d.page.base(d.page.stage) is None:
        return
    _defer_page(d)
    spec = d.page.policy.spec
    for number in range(len(spec.steps)):
        coming = upcoming(d.page, number)
        if coming is None or coming[1] > d.now:
            continue
        round_, step = coming[0], spec.steps[number]
        if step.on != On.OVERDUE:
            due = (d.page.base(d.page.stage) or d.now) + step.delay + round_ * spec.repeat.period
            round_ = min(spec.repeat.times, round_ + max(d.now - due, timedelta(0)) // spec.repeat.period)
        _go(d, number, round_)
    if d.page.state == PageState.OPEN:
        _nobody_yet(d)
        at = exhausted_at(d.page)
        if at is not None and at <= d.now:
            _exhaust(d)


def reconsider(d: Draft) -> None:
    """What is known of the case changed: what waits may not have to wait any more."""
    for held in d.page.holds:
        clock = headline_clock(d, d.page, On(d.page.policy.spec.steps[held.step].on))
        wait = _wait(d, held.step, clock, d.page.rounds[held.step]).at if clock is not None else None
        if wait is None or wait <= d.now:
            _release(d, held.step)
    advance(d)


def _go(d: Draft, number: int, round_: int) -> bool:
    """One round of a step: told, or held until somebody is on duty. False where its condition lets it tell nobody."""
    headline = headline_clock(d, d.page, On(d.page.policy.spec.steps[number].on))
    if headline is None:
        _behind(d, number, round_ + 1)
        d.say(f"Step {number + 1} tells nobody: what it would call about is paused or over.", step=number, round=round_)
        d.write("skipped")
        return True
    wrong = _unwanted(d, number, headline, round_)
    if wrong is not None:
        _behind(d, number, round_ + 1)
        d.say(f"Step {number + 1} tells nobody: {wrong}.", step=number, round=round_)
        d.write("skipped")
        return False
    wait = _wait(d, number, headline, round_)
    if wait.at is not None and wait.at > d.now:
        _hold(d, number, wait.at, wait.who)
        return True
    _behind(d, number, round_ + 1)
    _run(d, number, round_, headline, wait)
    return True


def _behind(d: Draft, number: int, rounds: int) -> None:
    _release(d, number)
    d.set_page(rounds=tuple(rounds if n == number else r for n, r in enumerate(d.page.rounds)))


def tell_again(d: Draft, number: int, clock: Clock, on: On) -> None:
    """A step that told already tells of one more clock: once, and not within a second of the last time."""
    wrong = _unwanted(d, number, clock, 0)
    if wrong is not None:
        d.say(f"Step {number + 1} tells nobody of it: {wrong}.", step=number)
        d.write("skipped")
        return
    on_warnings = d.page.policy.spec.steps[number].on == On.WARNED
    if on_warnings and d.page.stage == On.BREACHED and not d.page.rounds[number]:
        _behind(d, number, 1)  # it does not run by itself beside a breach, and need not when nothing is broken any more
    wait, at, reason = _wait(d, number, clock, 0), d.now, None
    if wait.at is not None and wait.at > at:
        at, reason = wait.at, wait.who
    told = _told_at(d, number)
    if told is not None and told + AGAIN_AFTER > at:
        at, reason = told + AGAIN_AFTER, "The same step told a moment ago: what is new since goes out together"
    _run(d, number, 0, clock, wait, f"{on}:{clock.id}:{clock.version}", (at, reason) if at > d.now else None)


def _told_at(d: Draft, number: int) -> datetime | None:
    """When the step last told somebody, in this cycle; what still waits gives way to what comes."""
    return max(
        (
            each.since or each.created_at
            for each in d.state.deliveries.values()
            if (each.page_id, each.cycle, each.step) == (d.page.id, d.page.cycle, number) and each.attempts
        ),
        default=None,
    )


def _run(
    d: Draft,
    number: int,
    round_: int,
    headline: Clock,
    wait: Duty,
    cause: str = "",
    later: tuple[datetime, str | None] | None = None,
) -> None:
    """One step tells its people; where it reaches nobody, the next one does at once."""
    page, step = d.page, d.page.policy.spec.steps[number]
    targets, troubles = resolve(d.state.configuration, step.notify, later[0] if later else d.now)
    if wait.people is not None:
        targets = [each for each in targets if _on_duty(each, wait.people)]
    for trouble in troubles:
        d.trouble(f"step {number + 1} of {page.policy.name}: {trouble}")
    not_before, reason = later or (None, None)
    ask = Ask(On(step.on), headline.id, cause, number, round_, page.cycle, not_before=not_before, reason=reason)
    made = send(d, targets, ask)
    _explain(d, number, round_, targets, troubles)
    d.write("step", deliveries=made)
    d.emit(PageEscalated, step=number, round=round_, targets=tuple(each.key for each in targets))
    if not targets:
        forward(d, number, round_, "; ".join(troubles) or "nobody is on duty")


def _on_duty(target: Target, people: frozenset[str]) -> bool:
    kind, _, name = target.key.partition(":")
    return kind != "person" or name in people or (target.via or "").startswith("schedule:")


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


# Conditions, and waiting for duty


def _holds(d: Draft, source: str, clock: Clock, round_: int) -> Outcome:
    return rules.holds(source, rules.Asked(d.page, clock, d.state.facts.summary, d.now, round_))


def _unwanted(d: Draft, number: int, clock: Clock, round_: int) -> str | None:
    """Why a step tells nobody of this clock, where its condition says so."""
    step = d.page.policy.spec.steps[number]
    if step.when is None:
        return None
    outcome = _holds(d, step.when, clock, round_)
    if outcome.holds:
        return None
    return f"its condition {step.when} is not met" + (f" ({outcome.reason})" if outcome.reason else "")


def _wait(d: Draft, number: int, clock: Clock, round_: int) -> Duty:
    """Until when a step waits, and why; whom it tells then. Now, where it waits for nothing."""
    page, step = d.page, d.page.policy.spec.steps[number]
    defer = step.defer
    if defer is None or not _asks(d, defer, clock, round_):
        return Duty(d.now)
    if defer.until != DUTY:
        hours = page.policy.spec.hours[defer.until]
        at = opens(hours, d.now)
        if at is None:
            d.trouble(f"step {number + 1} of {page.policy.name}: {defer.until} does not open within a year")
            return Duty(d.now)
        return Duty(at, f"It waits until {defer.until} opens, {wording(at, hours.time_zone)}")
    found = duty(d.state.configuration, step.notify, d.now)
    if found.at is None:
        d.trouble(f"step {number + 1} of {page.policy.name}: nobody it names is on duty within a year")
        return Duty(d.now)
    if found.at <= d.now:
        return found
    spec = d.state.configuration.people.get(found.who)
    who = title(d.state.configuration, f"person:{found.who}")
    zone = (spec.time_zone if spec else None) or "UTC"
    return replace(found, who=f"It waits until {who} is on duty, {wording(found.at, zone)}", people=None)


def _asks(d: Draft, defer: DeferSpec, clock: Clock, round_: int = 0) -> bool:
    return defer.when is None or _holds(d, defer.when, clock, round_).holds


def _hold(d: Draft, number: int, until: datetime, why: str) -> None:
    held = Held(number, until, why)
    known = any((each.step, each.why) == (number, why) for each in d.page.holds)
    others = tuple(each for each in d.page.holds if each.step != number)
    d.set_page(holds=tuple(sorted((*others, held), key=lambda each: each.step)))
    if not known:
        d.say(f"Step {number + 1} is held. {why}.", step=number, until=until.isoformat())
        d.write("held")


def _release(d: Draft, number: int) -> None:
    left = tuple(each for each in d.page.holds if each.step != number)
    if left != d.page.holds:
        d.set_page(holds=left, waited_until=d.now)


def _defer_page(d: Draft) -> None:
    """Where the policy defers, the steps count from the opening; not before, and with the same distances."""
    page, defer = d.page, d.page.policy.spec.defer
    base = page.base_breached or page.base_warned
    if defer is None or page.state != PageState.OPEN or base is None:
        return
    if page.begins is not None and base <= page.begins <= d.now:
        return  # it has begun
    clock = headline_clock(d, page, page.stage)
    hours = page.policy.spec.hours[defer.until]
    opening = opens(hours, base) if clock is not None and _asks(d, defer, clock) else base
    if opening is None:
        d.trouble(f"{page.policy.name}: {defer.until} does not open within a year")
    if opening is not None and opening > base:
        if opening != page.begins:
            why = f"It waits until {defer.until} opens, {wording(opening, hours.time_zone)}"
            d.set_page(begins=opening, begins_because=why)
            if opening > d.now:
                d.say(f"The page is held. {why}.", until=opening.isoformat())
                d.write("held")
    elif page.begins is not None and page.begins > d.now:
        d.say("The page waits no more: what made it wait does not hold any more.")
        d.set_page(begins=d.now, begins_because=d.because.text)
        d.write("released")


# Further


def forward(d: Draft, step: int, round_: int, why: str) -> None:
    """A step reached nobody: the next one that answers to the same runs at once; after the last, the catch-all."""
    steps = d.page.policy.spec.steps
    for number in range(step + 1, len(steps)):
        reached = d.page.base(On(steps[number].on), steps[number].reached) is not None
        due = steps[number].on == steps[step].on and reached and d.page.rounds[number] <= round_
        if due and _go(d, number, round_):
            return
    nowhere(d, On(steps[step].on), f"{step}:{round_}", why)


def next_on_call(d: Draft, failed: Delivery) -> bool:
    """Whoever was on call could not be told by any way: who is next on that schedule is told instead."""
    kind, _, name = (failed.via or "").partition(":")
    if kind != "schedule" or failed.purpose != Purpose.CALL or d.page.state != PageState.OPEN:
        return False
    round_ = (failed.page_id, failed.cycle, failed.step, failed.round, failed.cause)
    same = [
        each
        for each in d.state.deliveries.values()
        if (each.page_id, each.cycle, each.step, each.round, each.cause) == round_
    ]
    tried = {each.target.partition(":")[2] for each in same if each.target.startswith("person:")}
    if len(tried) > MAX_NEXT or failed.cycle != d.page.cycle:
        return False
    target = following(d.state.configuration, name, d.now, tried)
    if target is None:
        return False
    ask = Ask(failed.on, failed.clock_id, failed.cause, failed.step, failed.round, failed.cycle)
    made = send(d, [target], ask)
    first, then = (title(d.state.configuration, key) for key in (failed.target, target.key))
    d.say(f"{then}, next on schedule {name}, is told instead of {first}.")
    d.write("next_on_call", deliveries=made)
    return True


def nowhere(d: Draft, on: On, cause: str, why: str) -> None:
    """Nobody is left to tell: the catch-all is told."""
    clock = headline_clock(d, d.page, on)
    if clock is None:
        return
    made = send(d, [NOWHERE], Ask(on, clock.id, cause, cycle=d.page.cycle))
    if made:
        d.say(f"The catch-all is told: {why}.", why=why)
        d.write("catch_all", deliveries=made)


def _nobody_yet(d: Draft) -> None:
    """Every step on breaches had its turn, and their conditions let them tell nobody at all."""
    page, steps = d.page, d.page.policy.spec.steps
    turns = [page.rounds[n] > 0 for n, step in enumerate(steps) if step.on == On.BREACHED]
    if page.stage != On.BREACHED or page.holds or not turns or not all(turns):
        return
    this = [each for each in d.state.deliveries.values() if (each.page_id, each.cycle) == (page.id, page.cycle)]
    if not any(each.purpose == Purpose.CALL for each in this):
        nowhere(d, On.BREACHED, "conditions", f"no step of policy {page.policy.name} tells anybody of this case")


def _exhaust(d: Draft) -> None:
    on = d.page.stage
    told = any(step.on == on for step in d.page.policy.spec.steps)
    why = "every step ran and nobody acknowledged" if told else f"policy {d.page.policy.name} has no step on {on}"
    d.set_page(state=PageState.EXHAUSTED, version=d.page.version + 1)
    nowhere(d, on, "exhausted", why)
    d.say(f"The page is exhausted: {why}. It went to the catch-all.")
    d.write("exhausted")
    d.emit(PageExhausted)
