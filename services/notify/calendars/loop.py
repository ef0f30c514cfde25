"""The loop that fetches calendars and reads them again; replicas share the work by claiming rows."""

import asyncio
from datetime import datetime, timedelta

import structlog

from services.notify.calendars import reading
from services.notify.calendars.fetching import Fetcher, Unreachable
from services.notify.calendars.repetitions import Unreadable
from services.notify.model import CaseState
from services.notify.model.rota import CalendarEvent
from services.notify.model.schedules import ScheduleSpec
from services.notify.store import calendars
from services.notify.store.calendars import KEPT_FOR, Due
from services.notify.store.configuration import SCHEDULE
from shared import resources
from shared.aside import Wake
from shared.egress import Egress
from shared.runtime import Runtime

AHEAD = timedelta(days=400)  # repetitions are counted out this far
AGAIN = timedelta(days=1)  # and again after this
CLAIM = timedelta(seconds=60)  # longer than a fetch and a reading
LOOK_S = 10.0  # a loop that sleeps longer counts as stalled
MAX_CLAIMED = 5  # at once
MAX_ERROR = 500

log = structlog.get_logger()


async def read(text: str, now: datetime) -> list[CalendarEvent]:
    """The events of a calendar that may matter. Raises ``Unreadable``."""
    return await reading.read(text, now - KEPT_FOR, now + AHEAD)


class Calendars:
    """``wake`` is set when a schedule was written."""

    def __init__(self, runtime: Runtime[CaseState]) -> None:
        self._runtime, self.wake = runtime, Wake()
        self._every = timedelta(seconds=runtime.settings.calendar_fetch_s)
        self._fetcher = Fetcher(Egress(runtime.settings.egress_allow))

    async def step(self) -> float:
        """Fetch and read what is due; gives how long to sleep."""
        now = self._runtime.clock.now()
        async with self._runtime.db.transaction() as tx:
            bodies = (await resources.snapshot(tx, 0)).of(SCHEDULE).values()
            specs = [ScheduleSpec.model_validate(each.body) for each in bodies]
            read_here = [layer.calendar for spec in specs for layer in spec.layers if layer.calendar is not None]
            if not read_here:
                return LOOK_S
            await calendars.expect(tx, [each.url for each in read_here if each.url], now)
            sources = sorted({source for spec in specs for source in spec.sources})
            due = await calendars.take_due(tx, sources, now, now + CLAIM, now - AGAIN, MAX_CLAIMED)
        async with asyncio.TaskGroup() as group:
            for each in due:
                group.create_task(self._renew(each))
        return 0.0 if len(due) == MAX_CLAIMED else LOOK_S

    async def _renew(self, due: Due) -> None:
        now = self._runtime.clock.now()
        try:
            fresh = await self._fetch(due)
            events = await read(fresh.body or "", now) if fresh is not due or self._old(due, now) else None
        except (Unreachable, Unreadable) as wrong:
            log.warning("calendar not read", calendar=due.source, error=str(wrong))
            async with self._runtime.db.transaction() as tx:
                await calendars.failed(tx, due.source, str(wrong)[:MAX_ERROR], now, now + self._every)
            return
        async with self._runtime.db.transaction() as tx:
            await resources.version(tx, "FOR UPDATE")
            if events is None:
                await calendars.unchanged(tx, due.source, now, now + self._every)
            elif await calendars.keep(tx, fresh, events, now, now + self._every):
                await resources.touch(tx)

    async def _fetch(self, due: Due) -> Due:
        """``due`` itself where nothing is new."""
        if due.url is None:
            return due
        copy = await self._fetcher.fetch(due.url, due.etag, due.modified)
        if copy.body is None or copy.body == due.body:
            return due
        return Due(due.source, due.url, copy.body, copy.etag, copy.modified)

    def _old(self, due: Due, now: datetime) -> bool:
        return due.read_at is None or due.read_at < now - AGAIN

    async def close(self) -> None:
        await self._fetcher.close()
