"""What is configured, for routes that read it."""

from datetime import datetime

from services.notify.model import CaseState, Configuration, Rota
from services.notify.store.configuration import SCHEDULE, build
from shared import resources
from shared.errors import invalid, not_found
from shared.runtime import Runtime

FIRST_YEAR, LAST_YEAR = 1970, 2150  # of the times that one may ask about


async def configured(runtime: Runtime[CaseState]) -> Configuration:
    async with runtime.db.transaction() as tx:
        return await build(tx, await resources.snapshot(tx, 0))


async def rota_of(runtime: Runtime[CaseState], name: str) -> tuple[Rota, Configuration]:
    """A schedule with its overrides, and all the rest. Raises a 404 problem."""
    found = await configured(runtime)
    if name not in found.schedules:
        raise not_found(SCHEDULE, name)
    return found.schedules[name], found


def sensible(field: str, at: datetime) -> datetime:
    """Raises a 422 problem on a time that no rota knows of."""
    if not FIRST_YEAR <= at.year <= LAST_YEAR:
        raise invalid(f"{field}: write a time between the years {FIRST_YEAR} and {LAST_YEAR}")
    return at
