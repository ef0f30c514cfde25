"""When a page's steps are due: derived from the page alone."""

from datetime import datetime

from services.notify.model import Page
from shared.contracts.decision import SetTimer
from shared.contracts.words import PageState


def timers(page: Page | None) -> dict[str, SetTimer]:
    """Every timer that a page wants, by step: derived from the page alone."""
    if page is None or not page.live:
        return {}
    due: dict[str, datetime] = {}
    if page.snoozed_until is not None:
        due["reopen"] = page.snoozed_until
    base = page.base(page.stage)
    if page.state == PageState.OPEN and base is not None:
        spec = page.policy.spec
        for number, step in enumerate(spec.steps):
            round_ = page.rounds[number]
            if step.on == page.stage and round_ <= spec.repeat.times:
                due[f"step:{number}:{round_}"] = base + step.delay + round_ * spec.repeat.period
        at = exhausted_at(page)
        if at is not None:
            due["exhaust"] = at
    return {step: SetTimer(page.id, step, at, page.version) for step, at in due.items()}


def exhausted_at(page: Page) -> datetime | None:
    """When every step and repeat has had its time. A warning alone never exhausts a page: its breach is to come."""
    if page.base_breached is None:
        return None
    spec = page.policy.spec
    delays = [step.delay for step in spec.steps if step.on == page.stage]
    if not delays:
        return page.base_breached
    return page.base_breached + max(delays) + (spec.repeat.times + 1) * spec.repeat.period
