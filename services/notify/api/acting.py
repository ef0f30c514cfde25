"""Pages: what they are, and acting on them. Each act may be repeated: the second answers the same."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime, StringConstraints

from services.notify.api import answers
from services.notify.api.deliveries import listed
from services.notify.api.places import place
from services.notify.model import CaseState
from services.notify.model.commands import Acknowledge, HandOver, Resolve, Snooze
from services.notify.model.specs import Reason
from services.notify.store import reads
from shared.auth import Principal
from shared.batch import Input
from shared.contracts.spec import Name
from shared.contracts.words import PageState
from shared.errors import invalid, not_found
from shared.http import Cursor, Limit, Listing, Strict, allow, encode_cursor
from shared.runtime import Runtime

LONGEST_SNOOZE = timedelta(days=7)

Who = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Actor = Annotated[Principal, Depends(allow("pages:write"))]


class Acting(Strict):
    """``by``: the person who acts, where it is not the holder of the key."""

    by: Who | None = None


class Snoozing(Acting):
    until: AwareDatetime


class HandingOver(Acting):
    team: Name
    reason: Reason


@dataclass(frozen=True, slots=True)
class Done:
    """What came of an act. ``text`` says it; ``changed``: it is in the page's history now."""

    page: reads.StoredPage
    text: str
    changed: bool


async def attempt(runtime: Runtime[CaseState], page_id: UUID, command: Any) -> Done:
    """Decide about a page, and give it as it is then. Raises a 404 problem."""
    async with runtime.unit() as work:
        found = await reads.page(work.tx, page_id)
        if found is None:
            raise not_found("page", page_id)
        await work.lock([found.case_id])
        [decision] = await work.apply([Input(found.case_id, command)])
        after = await reads.page(work.tx, page_id)
    return Done(after or found, decision.because.text, bool(decision.state.history))


async def act(runtime: Runtime[CaseState], page_id: UUID, command: Any) -> reads.StoredPage:
    """The same for whom the page is answer enough."""
    return (await attempt(runtime, page_id, command)).page


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

    def acts(path: str, command: Callable[[UUID, str], Any]) -> None:
        async def done(page_id: UUID, who: Actor, body: Acting | None = None) -> answers.PageAnswer:
            by = (body.by if body else None) or who.name
            return answers.page(await act(runtime, page_id, command(page_id, by)))

        routes.post(f"/v1/pages/{{page_id}}/{path}", name=path)(done)

    acts("acknowledge", Acknowledge)
    acts("resolve", Resolve)

    @routes.post("/v1/pages/{page_id}/snooze")
    async def snooze(page_id: UUID, body: Snoozing, who: Actor) -> answers.PageAnswer:
        """Quiet until then; if the promise is still open, its steps begin anew."""
        now = runtime.clock.now()
        if not now < body.until <= now + LONGEST_SNOOZE:
            raise invalid(f"until: write a time from now to {LONGEST_SNOOZE.days} days ahead")
        return answers.page(await act(runtime, page_id, Snooze(page_id, body.by or who.name, body.until)))

    @routes.post("/v1/pages/{page_id}/hand-over", status_code=202)
    async def hand_over(page_id: UUID, body: HandingOver, who: Actor) -> answers.PageAnswer:
        """Ask routing to give the case to another team; the page follows when it has."""
        command = HandOver(page_id, body.by or who.name, body.team, body.reason)
        return answers.page(await act(runtime, page_id, command))

    return routes
