"""Digests: which cases one message named, what has become of them, and the page behind its link in a mail."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse
from sqlalchemy import Row

from services.notify.api import action_page
from services.notify.api.acting import attempt_all, came_from
from services.notify.api.links import REFUSED, SigningKey, Token, html
from services.notify.api.places import LaneName, place
from services.notify.decide.storms import Digest, about, standing
from services.notify.message import Message
from services.notify.model import CaseState
from services.notify.model.commands import Acknowledge
from services.notify.senders import links
from services.notify.senders.drawing import draw
from services.notify.store import digests
from shared.audit import Actor
from shared.contracts.words import DeliveryState, PageState
from shared.errors import not_found
from shared.http import Answer, Cursor, Limit, Listing, allow, encode_cursor, whence
from shared.runtime import Runtime


class DigestState(StrEnum):
    """It gathers cases before it is sent; it is being sent; it takes in what comes; it takes in no more."""

    GATHERING = "gathering"
    SENDING = "sending"
    OPEN = "open"
    CLOSED = "closed"


class DigestAnswer(Answer):
    """``cases``: how many it names; ``over``: how many of them need nobody any more."""

    id: UUID
    about: str
    lane: str
    target: str
    way: str
    state: DigestState
    opened_at: datetime
    cases: int
    over: int
    lost: int
    receipt: str | None


class NamedAnswer(Answer):
    """One case of a digest."""

    case_id: UUID
    case_number: str | None
    page_id: UUID
    page_state: PageState
    acknowledged_by: str | None
    delivery_id: UUID
    state: DeliveryState


class WholeDigest(DigestAnswer):
    named: list[NamedAnswer]


def router(runtime: Runtime[CaseState], signing_key: SigningKey) -> APIRouter:
    routes = APIRouter(tags=["delivery"])
    reading = [Depends(allow("read"))]

    @routes.get("/v1/digests", dependencies=reading)
    async def every(lane: LaneName = None, limit: Limit = 50, cursor: Cursor = None) -> Listing[DigestAnswer]:
        """Messages that name many cases each, newest first."""
        now = runtime.clock.now()
        async with runtime.db.transaction() as tx:
            rows = await digests.listing(tx, lane, place(cursor), limit + 1)
        last = rows[limit - 1] if len(rows) > limit else None
        following = encode_cursor(last.opened_at.isoformat(), str(last.id)) if last else None
        return Listing(items=[_answer(row, now) for row in rows[:limit]], next=following)

    @routes.get("/v1/digests/{digest_id}", dependencies=reading)
    async def whole(digest_id: UUID) -> WholeDigest:
        """With every case that it names, in its order."""
        async with runtime.db.transaction() as tx:
            row = await digests.one(tx, digest_id)
            if row is None:
                raise not_found("digest", digest_id)
            named = await digests.cases(tx, digest_id)
        cases = [NamedAnswer(**{name: getattr(each, name) for name in NamedAnswer.model_fields}) for each in named]
        return WholeDigest(**dict(_answer(row, runtime.clock.now())), named=cases)

    async def holder(digest_id: UUID, token: str) -> str:
        return links.verify(await signing_key(), digest_id, token, runtime.clock.now())  # a target: person:ana

    async def standing_now(digest_id: UUID) -> Message | None:
        """How its cases stand, without the customers' words; None where later pages took their place."""
        now = runtime.clock.now()
        async with runtime.db.transaction() as tx:
            row = await digests.one(tx, digest_id)
            if row is None:
                raise not_found("digest", digest_id)
            named = await digests.cases(tx, digest_id)
            states = await runtime.service.store.load(tx, sorted({each.case_id for each in named}), now)
        try:
            members = [(states[each.case_id], each.delivery_id) for each in named]
            return draw(members, digests.digest_of(row), now, words=False)
        except LookupError:
            return None

    @routes.get("/v1/digests/{digest_id}/action", responses=REFUSED, response_class=HTMLResponse)
    async def show(digest_id: UUID, token: Token = "") -> HTMLResponse:
        """A page that names its cases, with a button for all of them. Changes nothing."""
        try:
            await holder(digest_id, token)
        except links.BadLink as bad:
            return html(action_page.plain("This link does not work", str(bad)), status=403)
        return html(action_page.digest(await standing_now(digest_id), ""))

    @routes.post("/v1/digests/{digest_id}/action", responses=REFUSED, response_class=HTMLResponse)
    async def press(digest_id: UUID, request: Request, token: Token = "") -> HTMLResponse:
        """Acknowledges every page that nobody has in hand."""
        try:
            target = await holder(digest_id, token)
        except links.BadLink as bad:
            return html(action_page.plain("This link does not work", str(bad)), status=403)
        message = await standing_now(digest_id)
        free = [row.page_id for row in message.rows if row.can_acknowledge] if message is not None else []
        who, origin = target.partition(":")[2] or target, came_from(request, f"link sent to {target}")
        asked = [(page_id, Acknowledge(page_id, who, via="link", origin=origin)) for page_id in free]
        actor = Actor(who, "link", None, None, *whence(request.scope))
        taken = sum(done.changed for done in await attempt_all(runtime, asked, actor)) if asked else 0
        said = f"You acknowledged {taken} of them." if taken else "There was nothing left to acknowledge."
        return html(action_page.digest(await standing_now(digest_id), said))

    return routes


def _answer(row: Row[Any], now: datetime) -> DigestAnswer:
    digest = digests.digest_of(row)
    same = ("id", "lane", "target", "way", "opened_at", "over", "lost", "receipt")
    return DigestAnswer(
        **{name: getattr(row, name) for name in same},
        about=about(digest.grouping),
        cases=digest.members,
        state=_state(digest, now),
    )


def _state(digest: Digest, now: datetime) -> DigestState:
    if standing(digest, now) is None or (digest.receipt is not None and not digest.changes):
        return DigestState.CLOSED
    if digest.receipt is not None:
        return DigestState.OPEN
    return DigestState.SENDING if digest.members else DigestState.GATHERING
