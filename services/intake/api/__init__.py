"""Intake's HTTP routes."""

from fastapi import APIRouter

from services.intake.api import activities, cases, contacts, customers, hooks, quarantine, rate, sources, volumes
from services.intake.api.desk import Desk
from services.intake.model import CaseFile
from shared.gate import Shortcut
from shared.runtime import Runtime

ROOMS = (sources, cases, quarantine, customers, volumes, rate)
INBOUND = (contacts, hooks, activities)


def shortcuts(runtime: Runtime[CaseFile], desk: Desk) -> dict[str, Shortcut]:
    """By path, past the framework."""
    return {"/v1/contacts": contacts.shortcut(runtime, desk)}


def routes(runtime: Runtime[CaseFile], desk: Desk) -> APIRouter:
    router = APIRouter()
    for inbound in INBOUND:
        router.include_router(inbound.routes(runtime, desk))
    for room in ROOMS:
        router.include_router(room.routes(runtime))
    return router
