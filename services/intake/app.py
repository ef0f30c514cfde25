"""Puts intake together."""

from services.intake import CARD, redact
from services.intake.api import routes
from services.intake.decide import decide
from services.intake.model import CaseFile
from services.intake.store import IntakeStore, metadata, reads
from shared.batch import Service
from shared.process import Member
from shared.runtime import Runtime
from shared.service import Assembly


def service() -> Service[CaseFile]:
    return Service(CARD, IntakeStore(), decide, metadata)


def assemble(runtime: Runtime[CaseFile]) -> Assembly:
    settings = runtime.settings
    redact.configure(redact.named(settings.redact), settings.redact_patterns)
    return Assembly(router=routes(runtime), ledger=reads.ledger)


MEMBER = Member(service, assemble)
