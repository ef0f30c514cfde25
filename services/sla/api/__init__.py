"""HTTP routes of sla: calendars, policies and their preview, clocks and how they came about."""

from fastapi import APIRouter

from services.sla.api import clocks, configuring, preview, replans
from services.sla.model import Case
from services.sla.store import SlaStore
from shared.runtime import Runtime


def routes(runtime: Runtime[Case], store: SlaStore) -> APIRouter:
    router = APIRouter()
    router.include_router(configuring.routes(runtime))
    router.include_router(preview.routes(runtime, store))
    router.include_router(clocks.routes(runtime, store))
    router.include_router(replans.routes(runtime))
    return router
