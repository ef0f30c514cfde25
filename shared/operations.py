"""The routes that every service has for those who run it: health, metrics, the ledger, the AsyncAPI document."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from shared import ledger
from shared.contracts import asyncapi
from shared.contracts.catalogue import CONSUMES
from shared.errors import Problem
from shared.health import Health
from shared.http import Answer, allow
from shared.service import Part


class HealthAnswer(Answer):
    status: str
    stalled: list[str] = []


class LedgerLine(Answer):
    """One hop. ``difference`` is in minus all the rest: 0 when quiet. ``whole`` is false where the other service of
    the hop answers for the rest: ask it too, or run ``tocsin ledger``, which asks all."""

    hop: str
    unit: str
    terms: dict[str, int]
    whole: bool
    difference: int


class LedgerAnswer(Answer):
    lines: list[LedgerLine]
    balanced: bool


def routes(health: Health, parts: Sequence[Part]) -> APIRouter:
    router = APIRouter(tags=["operations"])

    @router.get("/livez")
    async def livez() -> HealthAnswer:
        """Alive: every loop has made progress lately."""
        if stalled := health.stalled():
            raise Problem(
                503, "stalled", f"No progress lately: {', '.join(stalled)}. Restart this process.", stalled=stalled
            )
        return HealthAnswer(status="alive")

    @router.get("/readyz")
    async def readyz() -> HealthAnswer:
        """Ready: started, not draining, and the database answers."""
        if not health.ready:
            raise Problem(503, "not-ready", "Starting or draining. Ask again shortly.", {"Retry-After": "1"})
        for part in parts:
            async with part.runtime.db.transaction() as tx:
                await tx.scalar("SELECT 1")
        return HealthAnswer(status="ready", stalled=health.stalled())

    @router.get("/metrics", dependencies=[Depends(allow("read"))], response_class=Response)
    async def metrics() -> Response:
        """Prometheus metrics."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    @router.get("/asyncapi.json")
    async def asyncapi_document() -> JSONResponse:
        """The events between the services, as AsyncAPI 3."""
        return JSONResponse(
            asyncapi.document(CONSUMES, version("tocsin"), parts[0].runtime.settings.kafka_topic_prefix)
        )

    @router.get("/v1/ledger", dependencies=[Depends(allow("read"))])
    async def the_ledger() -> LedgerAnswer:
        """Where everything accepted is. Each term counts rows; none is a remainder."""
        lines = [_line(line) for line in ledger.merge(await entries(parts))]
        return LedgerAnswer(lines=lines, balanced=all(line.difference == 0 for line in lines if line.whole))

    return router


async def entries(parts: Sequence[Part]) -> list[ledger.Entry]:
    """All counts of the services in this process."""
    found: list[ledger.Entry] = []
    for part in parts:
        card = part.runtime.service.card
        found += await ledger.platform_entries(
            part.runtime, [name for name, topics in CONSUMES.items() if card.publishes in topics]
        )
        async with part.runtime.db.transaction() as tx:
            found += await part.assembly.ledger(tx)
    return found


def _line(line: ledger.Line) -> LedgerLine:
    terms: dict[Any, int] = dict(line.terms)
    return LedgerLine(hop=line.hop, unit=line.unit, terms=terms, whole=line.whole, difference=line.difference)
