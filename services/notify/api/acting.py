"""Pages: what they are, and acting on them. Each act may be repeated: the second answers the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field, StringConstraints, model_validator

from services.notify.api import answers
from services.notify.api.deliveries import listed
from services.notify.api.places import place
from services.notify.model import CaseState
from services.notify.model.commands import Acknowledge, HandOver, Resolve, Snooze, TakeOver, Unsnooze
from services.notify.model.specs import Length, Reason
from services.notify.store import reads
from shared import audit
from shared.audit import Act, Actor
from shared.auth import Principal
from shared.batch import Input
from shared.contracts import duration
from shared.contracts.spec import Instant, Name
from shared.contracts.words import PageState
from shared.errors import invalid, not_found
from shared.http import Cursor, Limit, Listing, Strict, allow, encode_cursor
from shared.runtime import Runtime

LONGEST_SNOOZE = timedelta(days=7)
MAX_ORIGIN = 200

Who = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Holder = Annotated[Principal, Depends(allow("pages:write"))]

_ACTS = {
    Acknowledge: "acknowledged",
    TakeOver: "took over",
    Resolve: "resolved",
    Snooze: "snoozed",
    Unsnooze: "took snooze back",
    HandOver: "asked to hand over",
}


class Acting(Strict):
    """``by``: the person who acts, where it is not the holder of the key."""

    by: Who | None = None


class Explained(Acting):
    reason: Reason | None = None


class Snoozing(Explained):
    """``until`` a time, or ``for`` a duration such as PT30M."""

    until: Instant | None = None
    for_: Annotated[Length | None, Field(alias="for")] = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.until is None) == (self.for_ is None):
            raise ValueError('write either until, a time, or for, a duration such as "PT30M"')
        return self

    def end(self, now: datetime) -> datetime:
        return self.until if self.until is not None else now + duration.parse(self.for_ or "PT0S")


class HandingOver(Acting):
    team: Name
    reason: Reason


@dataclass(frozen=True, slots=True)
class Done:
    """What came of an act. ``text`` says it; ``changed``: it is in the page's history now."""

    page: reads.StoredPage
    text: str
    changed: bool


async def attempt(runtime: Runtime[CaseState], page_id: UUID, command: Any, by: Actor) -> Done:
    """Decide about a page, and give it as it is then. Raises a 404 problem."""
    [done] = await attempt_all(runtime, [(page_id, command)], by)
    return done


async def attempt_all(runtime: Runtime[CaseState], asked: Sequence[tuple[UUID, Any]], by: Actor) -> list[Done]:
    """The same for many pages, in one transaction: none is done, or all are. What changes is audited."""
    ids = [page_id for page_id, _ in asked]
    async with runtime.unit() as work:
        found = await reads.pages_by_id(work.tx, ids)
        if missing := [page_id for page_id in ids if page_id not in found]:
            raise not_found("page", missing[0])
        await work.lock([each.case_id for each in found.values()])
        decisions = await work.apply([Input(found[page_id].case_id, command) for page_id, command in asked])
        changed = [bool(decision.state.history) for decision in decisions]
        acts = [
            Act(_ACTS[type(command)], "page", str(page_id), facts={"case": found[page_id].case_number})
            for (page_id, command), new in zip(asked, changed, strict=True)
            if new
        ]
        await audit.write_all(work.tx, by, acts, work.now)
        after = await reads.pages_by_id(work.tx, ids)
    told = zip(ids, decisions, changed, strict=True)
    return [Done(after[page_id], decision.because.text, new) for page_id, decision, new in told]


async def act(runtime: Runtime[CaseState], page_id: UUID, command: Any, who: Principal) -> reads.StoredPage:
    """The same for whom the page is answer enough."""
    return (await attempt(runtime, page_id, command, Actor.of(who, command.by))).page


def router(runtime: Runtime[CaseState]) -> APIRouter:
    routes = APIRouter(tags=["page"])
    reading = [Depends(allow("read"))]

    @routes.get("/v1/pages", dependencies=reading)
    async def pages(
        state: Annotated[PageState | None, Query()] = None,
        case_id: Annotated[UUID | None, Query()] = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Listing[answers.PageAnswer]:
        async with runtime.db.transaction() as tx:
            found = await reads.pages(tx, state, case_id, place(cursor), limit + 1)
        last = found[limit - 1].page if len(found) > limit else None
        following = encode_cursor(last.opened_at.isoformat(), str(last.id)) if last else None
        return Listing(items=[answers.page(each) for each in found[:limit]], next=following)

    @routes.get("/v1/pages/{page_id}", dependencies=reading)
    async def whole(page_id: UUID) -> answers.WholePage:
        """With its promises, its deliveries, and its history."""
        async with runtime.db.transaction() as tx:
            found = await reads.page(tx, page_id)
            if found is None:
                raise not_found("page", page_id)
            sent = await listed(tx, runtime.clock.now(), reads.MAX_HISTORY, reads.Search(page_id=page_id))
            clocks, history = await reads.clocks_of(tx, page_id), await reads.history(tx, page_id)
        return answers.whole_page(found, clocks, history, sent)

    @routes.post("/v1/pages/{page_id}/acknowledge")
    async def acknowledge(
        page_id: UUID, who: Holder, request: Request, body: Acting | None = None
    ) -> answers.PageAnswer:
        """Its steps stop. Without a reply it pages again at ``reopens_at``."""
        by, origin = _acts(body, who, request)
        return answers.page(await act(runtime, page_id, Acknowledge(page_id, by, origin=origin), who))

    @routes.post("/v1/pages/{page_id}/take-over")
    async def take_over(
        page_id: UUID, who: Holder, request: Request, body: Explained | None = None
    ) -> answers.PageAnswer:
        """Have in hand what somebody else acknowledged."""
        by, origin = _acts(body, who, request)
        asked = TakeOver(page_id, by, reason=body.reason if body else None, origin=origin)
        return answers.page(await act(runtime, page_id, asked, who))

    @routes.post("/v1/pages/{page_id}/resolve")
    async def resolve(page_id: UUID, who: Holder, request: Request, body: Acting | None = None) -> answers.PageAnswer:
        """End the page by hand; what calls later opens a new one."""
        by, origin = _acts(body, who, request)
        return answers.page(await act(runtime, page_id, Resolve(page_id, by, origin=origin), who))

    @routes.post("/v1/pages/{page_id}/snooze")
    async def snooze(page_id: UUID, body: Snoozing, who: Holder, request: Request) -> answers.PageAnswer:
        """Quiet until then; if the promise is still open, its steps begin anew."""
        now = runtime.clock.now()
        until = body.end(now)
        if not now < until <= now + LONGEST_SNOOZE:
            raise invalid(f"until: write a time from now to {LONGEST_SNOOZE.days} days ahead")
        by, origin = _acts(body, who, request)
        asked = Snooze(page_id, by, until, reason=body.reason, origin=origin)
        return answers.page(await act(runtime, page_id, asked, who))

    @routes.delete("/v1/pages/{page_id}/snooze")
    async def unsnooze(page_id: UUID, who: Holder, request: Request, by: Who | None = None) -> answers.PageAnswer:
        """Take a snooze back: the page is as before, acknowledged or open with its steps from the first."""
        asked = Unsnooze(page_id, by or who.name, origin=came_from(request, f"key {who.name}"))
        return answers.page(await act(runtime, page_id, asked, who))

    @routes.post("/v1/pages/{page_id}/hand-over", status_code=202)
    async def hand_over(page_id: UUID, body: HandingOver, who: Holder, request: Request) -> answers.PageAnswer:
        """Ask routing to give the case to another team; the page follows when it has."""
        by, origin = _acts(body, who, request)
        command = HandOver(page_id, by, body.team, body.reason, origin=origin)
        return answers.page(await act(runtime, page_id, command, who))

    return routes


def _acts(body: Acting | None, who: Principal, request: Request) -> tuple[str, str]:
    """Who acts, and from where."""
    return (body.by if body else None) or who.name, came_from(request, f"key {who.name}")


def came_from(request: Request, what: str) -> str:
    """From where somebody acts: ``key ci-bot, 10.0.0.7``."""
    return f"{what}, {request.client.host if request.client else 'unknown'}"[:MAX_ORIGIN]
