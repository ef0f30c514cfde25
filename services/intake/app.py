"""Puts intake together."""

from services.intake import CARD, redact
from services.intake.api import routes, shortcuts
from services.intake.api.desk import Desk
from services.intake.api.record import expire
from services.intake.channels.adapter import Own
from services.intake.decide import decide
from services.intake.model import CaseFile
from services.intake.store import IntakeStore, budgets, metadata, reads
from shared.batch import Service
from shared.errors import Misconfigured
from shared.process import Member
from shared.runtime import Runtime
from shared.service import Assembly, Loop

FORGET_EVERY_S = 600.0


def service() -> Service[CaseFile]:
    return Service(CARD, IntakeStore(), decide, metadata)


def assemble(runtime: Runtime[CaseFile]) -> Assembly:
    settings = runtime.settings
    try:
        redact.configure(redact.named(settings.redact), settings.redact_patterns)
        Own.of(settings.mailboxes, settings.agents, b"")  # the routes make it again
    except ValueError as wrong:
        raise Misconfigured(str(wrong)) from wrong

    async def forget() -> float:
        async with runtime.db.transaction() as tx:
            return 0.0 if await budgets.forget(tx, runtime.clock.now()) >= budgets.FORGOTTEN_AT_ONCE else FORGET_EVERY_S

    loops = [Loop("intake budgets", forget), Loop("intake unmatched", lambda: expire(runtime))]
    desk = Desk(runtime)
    return Assembly(routes(runtime, desk), reads.ledger, loops, shortcuts(runtime, desk))


MEMBER = Member(service, assemble)
