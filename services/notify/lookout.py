"""The loop that looks ahead: gaps on call and whatever else cannot work, measured and logged before it bites."""

import asyncio
from datetime import datetime, timedelta

import structlog

from services.notify.model import CaseState
from services.notify.oncall.problems import Outside, Trouble, problems
from services.notify.store import reads
from services.notify.store.configuration import build
from shared import resources, telemetry
from shared.contracts.words import PageState
from shared.runtime import Runtime
from shared.settings import Settings

EVERY = timedelta(minutes=5)
LOOK_S = 10.0  # a loop that sleeps longer counts as stalled
REPEAT = timedelta(days=1)  # what still stands is logged again

log = structlog.get_logger()


def outside_of(settings: Settings) -> Outside:
    return Outside(settings.slack_token is not None, settings.smtp_url is not None, settings.catch_all)


class Lookout:
    """Measures the configuration of one notify."""

    def __init__(self, runtime: Runtime[CaseState]) -> None:
        self._runtime, self._outside = runtime, outside_of(runtime.settings)
        self._ahead = timedelta(days=runtime.settings.look_ahead_days)
        self._logged: dict[Trouble, datetime] = {}
        self._looked_at: datetime | None = None

    async def step(self) -> float:
        """Look, where it is time; gives how long to sleep."""
        now = self._runtime.clock.now()
        async with self._runtime.db.reading() as tx:
            pages = await reads.standing(tx)
        for state in (PageState.OPEN, PageState.ACKNOWLEDGED, PageState.EXHAUSTED):
            telemetry.PAGES.labels(state).set(pages.get(state, 0))
        if self._looked_at is not None and now < self._looked_at + EVERY:
            return LOOK_S
        self._looked_at = now
        async with self._runtime.db.transaction() as tx:
            configuration = await build(tx, await resources.snapshot(tx, 0))
        found = await asyncio.to_thread(problems, configuration, self._outside, now, self._ahead)
        self._measure(found, now)
        lately = {trouble: at for trouble, at in self._logged.items() if at > now - REPEAT}
        known = {_same(each) for each in lately}
        for trouble in found:
            if _same(trouble) not in known:
                log.warning("cannot work as configured", kind=trouble.kind, name=trouble.name, problem=trouble.text)
                lately[trouble] = now
        self._logged = lately
        return LOOK_S

    def _measure(self, found: list[Trouble], now: datetime) -> None:
        telemetry.PROBLEMS.clear()
        telemetry.ON_CALL_GAP.clear()
        for kind in ("person", "destination", "schedule", "escalation-policy", "catch-all"):
            telemetry.PROBLEMS.labels(kind).set(sum(each.kind == kind for each in found))
        for trouble in reversed(found):  # the first of a schedule is written last, and stays
            if trouble.gap:
                ahead = (trouble.at - now).total_seconds() if trouble.at is not None else 0.0
                telemetry.ON_CALL_GAP.labels(trouble.name).set(ahead)


def _same(trouble: Trouble) -> tuple[str, str, bool, datetime | str | None]:
    """What makes it the same trouble as time passes: the text of a gap says how far away it is."""
    return trouble.kind, trouble.name, trouble.gap, trouble.at if trouble.gap else trouble.text
