"""Intake's HTTP routes."""

from fastapi import APIRouter

from services.intake.api import activities, cases, contacts, customers, hooks, quarantine, rate, sources, volumes
from services.intake.api.desk import Desk
from services.intake.model import CaseFile
from shared.runtime import Runtime

ROOMS = (sources, cases, quarantine, customers, volumes, rate)
INBOUND = (contacts, hooks, activities)


def routes(runtime: Runtime[CaseFile]) -> APIRouter:
    router = APIRouter()
    desk = Desk(runtime)
    for inbound in INBOUND:
        router.include_router(inbound.routes(runtime, desk))
    for room in ROOMS:
        router.include_router(room.routes(runtime))
    return router
