"""Wiring of sla, one straight function."""

from services.sla import CARD, api
from services.sla.decide import decide
from services.sla.model import Case
from services.sla.store import SlaStore, first_start, metadata, reads
from services.sla.store.effective import TakingEffect
from services.sla.store.firing import announcer
from services.sla.store.replan import Replanning
from shared.batch import Service
from shared.process import Member
from shared.runtime import Runtime
from shared.service import Assembly, Loop


def service() -> Service[Case]:
    return Service(CARD, SlaStore(), decide, metadata, first_start, announcer)


def assemble(runtime: Runtime[Case]) -> Assembly:
    store = runtime.service.store
    assert isinstance(store, SlaStore)  # as `service` made it
    return Assembly(
        api.routes(runtime, store),
        reads.ledger,
        [
            Loop("sla replan", Replanning(runtime).step),
            Loop("sla taking effect", TakingEffect(runtime, store.configuration).step),
        ],
    )


MEMBER = Member(service, assemble)
