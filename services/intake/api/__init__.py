"""Intake's HTTP routes."""

from fastapi import APIRouter

from services.intake.api import activities, cases, contacts, customers, quarantine, volumes
from services.intake.model import CaseFile
from shared.runtime import Runtime

ROOMS = (contacts, activities, cases, quarantine, customers, volumes)


def routes(runtime: Runtime[CaseFile]) -> APIRouter:
    router = APIRouter()
    for room in ROOMS:
        router.include_router(room.routes(runtime))
    return router
