"""Embedded mode: all four services in one process, on one port. The same code as apart; only the log differs."""

from collections.abc import Callable

from services.intake.app import MEMBER as INTAKE
from services.notify.app import MEMBER as NOTIFY
from services.routing.app import MEMBER as ROUTING
from services.sla.app import MEMBER as SLA
from shared.process import run
from shared.settings import Settings

MEMBERS = (INTAKE, ROUTING, SLA, NOTIFY)


async def up(settings: Settings, ready: Callable[[str], None] | None = None) -> None:
    """Migrate, make the objects of a first start, and run until told to stop."""
    await run(settings, MEMBERS, "embedded", alone=False, ready=ready)
