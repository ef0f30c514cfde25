"""The routes that every service has for those who run it: health, metrics, the ledger, the AsyncAPI document."""

from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import ConfigDict

from shared import audit, ledger
from shared.auth import Keys
from shared.contracts import asyncapi
from shared.contracts.catalogue import CONSUMES
from shared.errors import Problem, invalid
from shared.health import Health
from shared.http import Answer, Cursor, Limit, Listing, allow, decode_cursor, encode_cursor
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


class ActorAnswer(Answer):
    """``by``: a person, or the name of the key; ``via``: api, slack, link, email, cli or start; ``key``: the key's
    name; ``address``: from where, as the trusted proxies say."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    by: str
    via: str
    key: str | None
    key_id: UUID | None
    address: str | None
    request_id: str | None


class AuditAnswer(Answer):
    """One act. ``kind`` and ``subject`` name what was acted upon; ``service`` and ``number`` this entry."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    service: str
    number: int
    at: datetime
    act: str
    kind: str
    subject: str
    actor: ActorAnswer
    reason: str | None
    facts: dict[str, Any]


Filter = Annotated[str | None, Query(max_length=500, pattern=r"^[^\x00]*$")]


def routes(health: Health, parts: Sequence[Part], keys: Keys) -> APIRouter:
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

    @router.get("/v1/audit", dependencies=[Depends(allow("read"))])
    async def the_audit(
        kind: Filter = None,
        subject: Filter = None,
        by: Filter = None,
        request_id: Filter = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Listing[AuditAnswer]:
        """Who did what, when and from where, newest first: in the services of this process, and to keys."""
        search, after = audit.Search(kind, subject, by, request_id), _place(decode_cursor(cursor, 3))
        found = [await keys.audited(search, limit + 1, after)]
        for part in parts:
            async with part.runtime.db.transaction() as tx:
                found.append(await audit.listing(tx, part.runtime.service.card.name, search, limit + 1, after))
        page = audit.newest(found, limit + 1)
        last = page[limit - 1] if len(page) > limit else None
        following = encode_cursor(last.at.isoformat(), last.service, str(last.number)) if last else None
        return Listing(items=[AuditAnswer.model_validate(each) for each in page[:limit]], next=following)

    return router


def _place(cursor: tuple[str, ...] | None) -> audit.Place | None:
    if cursor is None:
        return None
    try:
        at, number = datetime.fromisoformat(cursor[0]), int(cursor[2])
    except ValueError:
        at, number = None, 0
    if at is None or at.tzinfo is None or not 0 <= number < 2**62:
        raise invalid("This cursor is not one of ours. Leave it out to start from the newest.")
    return audit.Place(at, cursor[1], number)


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
