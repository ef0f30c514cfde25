"""Puts routing together."""

from services.routing import CARD, api
from services.routing.decide import decide
from services.routing.dispatcher import Dispatcher
from services.routing.model import CaseState
from services.routing.preparing import Preparing
from services.routing.store import RoutingStore, first_start, ledger, metadata
from services.routing.trials import Trials
from shared.batch import Service
from shared.process import Member
from shared.runtime import Runtime
from shared.service import Assembly, Loop


def service() -> Service[CaseState]:
    store = RoutingStore()
    return Service(CARD, store, decide, metadata, first_start, learn=store.learn)


def assemble(runtime: Runtime[CaseState]) -> Assembly:
    store = runtime.service.store
    assert isinstance(store, RoutingStore)  # what `service` made
    preparing = Preparing(runtime, store)
    ready = Loop("routing versions", preparing.step, close=preparing.close)
    desk = Loop("routing desk", Dispatcher(runtime, store).step, runtime.wake_sender)
    trials = Loop("routing trials", Trials(runtime, store).step)
    return Assembly(router=api.routes(runtime, store, preparing), ledger=ledger, loops=(ready, desk, trials))


MEMBER = Member(service, assemble)
