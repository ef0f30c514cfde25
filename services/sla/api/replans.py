"""Re-plans: how far the open clocks follow the last edit."""

from fastapi import APIRouter, Depends

from services.sla.api.answers import ReplanAnswer
from services.sla.model import Case
from services.sla.store import replan
from shared.errors import invalid
from shared.http import Cursor, Limit, Listing, allow, decode_cursor, encode_cursor
from shared.runtime import Runtime

LONGEST = 19  # digits that any version has


def routes(runtime: Runtime[Case]) -> APIRouter:
    router = APIRouter(tags=["clocks"], dependencies=[Depends(allow("read"))])

    @router.get("/v1/replans")
    async def listing(limit: Limit = 50, cursor: Cursor = None) -> Listing[ReplanAnswer]:
        """What followed each edit of a policy or calendar, newest first: how many cases it touches, how many are done.

        Clocks that come due meanwhile are planned before they fire.
        """
        async with runtime.db.transaction() as tx:
            found = await replan.progress(tx, _before(cursor), limit + 1)
        page = [_answer(each) for each in found[:limit]]
        return Listing(items=page, next=encode_cursor(str(page[-1].version)) if len(found) > limit else None)

    return router


def _before(cursor: str | None) -> int | None:
    place = decode_cursor(cursor, 1)
    if place is None:
        return None
    if not (place[0].isdecimal() and len(place[0]) < LONGEST):
        raise invalid("This cursor is not one of ours. Leave it out to start from the newest.")
    return int(place[0])


def _answer(each: replan.Progress) -> ReplanAnswer:
    state = "done" if each.finished_at else "superseded" if each.superseded else "running"
    return ReplanAnswer(
        version=each.version,
        state=state,
        calendars=None if each.calendars is None else list(each.calendars),
        cases=each.cases,
        done=each.seen,
        started_at=each.started_at,
        moved_at=each.moved_at,
        finished_at=each.finished_at,
    )
