"""When a page's steps are due: derived from the page alone."""

from datetime import datetime

from services.notify.model import Page
from services.notify.model.specs import On
from shared.contracts.decision import SetTimer
from shared.contracts.words import PageState


def timers(page: Page | None) -> dict[str, SetTimer]:
    """Every timer that a page wants, by step: derived from the page alone."""
    if page is None or not page.live:
        return {}
    due: dict[str, datetime] = {}
    if page.reopens_at is not None:
        due["reopen"] = page.reopens_at
    for number in range(len(page.policy.spec.steps)):
        coming = upcoming(page, number)
        if coming is not None:
            due[f"step:{number}:{coming[0]}"] = coming[1]
    at = exhausted_at(page) if page.state == PageState.OPEN else None
    if at is not None:
        due["exhaust"] = at
    return {step: SetTimer(page.id, step, at, page.version) for step, at in due.items()}


def upcoming(page: Page, number: int) -> tuple[int, datetime] | None:
    """The next round of a step, and when it is due; None where nothing is to come of it as things stand."""
    spec, step = page.policy.spec, page.policy.spec.steps[number]
    overdue = step.on == On.OVERDUE
    runs = page.state == PageState.OPEN or (overdue and page.state == PageState.EXHAUSTED)
    round_, base = page.rounds[number], page.base(step.on, step.reached)
    if not runs or base is None or not (overdue or step.on == page.stage):
        return None
    if round_ > (0 if overdue else spec.repeat.times):
        return None
    at = base + step.delay + round_ * spec.repeat.period
    return round_, max([at, *(held.until for held in page.holds if held.step == number)])


def exhausted_at(page: Page) -> datetime | None:
    """When every step and repeat has had its time. A warning alone never exhausts a page: its breach is to come."""
    base = page.base(On.BREACHED)
    if base is None:
        return None
    spec = page.policy.spec
    delays = [step.delay for step in spec.steps if step.on == page.stage]
    if not delays:
        return base
    waits = [held.until for held in page.holds] + ([page.waited_until] if page.waited_until else [])
    return max([base + max(delays) + spec.repeat.times * spec.repeat.period, *waits]) + spec.repeat.period
