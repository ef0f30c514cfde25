"""Shifts for calendar apps, which send no Authorization header: signed addresses that work until they are revoked."""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Literal, Self
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import model_validator

from services.notify.api.configured import configured
from services.notify.api.links import SigningKey
from services.notify.api.places import place
from services.notify.calendars import writing
from services.notify.model import CaseState, Configuration
from services.notify.model.rota import Shift
from services.notify.oncall import shifts
from services.notify.oncall.targets import person_title
from services.notify.store import schedules as stored
from services.notify.store.configuration import PERSON, SCHEDULE
from services.notify.store.schedules import MAX_FEEDS
from shared import audit, resources
from shared.audit import Act
from shared.auth import Principal
from shared.contracts.spec import Name
from shared.errors import Problem, conflict, not_found
from shared.http import Answer, Cursor, Limit, Listing, Strict, allow, encode_cursor
from shared.openapi import also
from shared.resources import ResourceName
from shared.runtime import Runtime

BACK, AHEAD = timedelta(days=30), timedelta(days=180)
CALENDAR = "text/calendar; charset=utf-8"
_PATHS = {SCHEDULE: "/v1/schedules/{}.ics", PERSON: "/v1/people/{}.ics"}
_CALENDARS: dict[int | str, dict[str, object]] = {
    200: {"content": {"text/calendar": {"schema": {"type": "string"}}}},
    **also(401, 403, 429),
}

Token = Annotated[str | None, Query(max_length=200, description="Of a feed; instead of an API key")]


class FeedAsked(Strict):
    """Exactly one of the two."""

    schedule: Name | None = None
    person: Name | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.schedule is None) == (self.person is None):
            raise ValueError("name one of schedule and person")
        return self


class FeedAnswer(Answer):
    """Whoever has the ``url`` sees the shifts, without a key, until the feed is deleted."""

    id: UUID
    kind: Literal["schedule", "person"]
    name: str
    url: str
    created_at: datetime
    created_by: str


def router(runtime: Runtime[CaseState], signing_key: SigningKey) -> APIRouter:
    routes = APIRouter(tags=["feed"])
    reader = allow("read")

    async def token_of(feed_id: UUID) -> str:
        mac = hmac.new((await signing_key()).encode(), f"feed:{feed_id}".encode(), hashlib.sha256)
        return f"{feed_id.hex}.{mac.hexdigest()}"

    async def admit(request: Request, token: str | None, kind: str, name: str) -> None:
        """Let in who has a key that may read, or the token of a feed of this. Raises 401 and 403 problems."""
        if token is None:
            await reader(request, None)
            return
        try:
            feed_id = UUID(token.partition(".")[0])
        except ValueError:
            raise _revoked() from None
        if not hmac.compare_digest(token.encode(), (await token_of(feed_id)).encode()):
            raise _revoked()
        async with runtime.db.transaction() as tx:
            found = await stored.feed(tx, feed_id)
        if found is None or (found.kind, found.name) != (kind, name):
            raise _revoked()

    def answer(found: Sequence[tuple[str, Shift, str]], title: str) -> Response:
        body = writing.feed(title, found, runtime.clock.now())
        return Response(body, media_type=CALENDAR, headers={"Cache-Control": "private, max-age=300"})

    def spans(found: Configuration, names: Sequence[str]) -> list[tuple[str, Shift]]:
        now = runtime.clock.now()
        rotas = [(name, found.schedules[name]) for name in names]
        return [
            (name, shift)
            for name, rota in rotas
            for shift in shifts(rota.schedule, rota.overrides, now - BACK, now + AHEAD)
        ]

    @routes.get("/v1/schedules/{name}.ics", response_class=Response, responses=_CALENDARS)
    async def of_schedule(name: ResourceName, request: Request, token: Token = None) -> Response:
        """The shifts of 30 days back and 180 ahead, as iCalendar."""
        await admit(request, token, SCHEDULE, name)
        found = await configured(runtime)
        if name not in found.schedules:
            raise not_found(SCHEDULE, name)
        titled = [(s, each, f"{person_title(found, each.person)} on call: {s}") for s, each in spans(found, [name])]
        return answer(titled, f"On call: {name}")

    @routes.get("/v1/people/{name}.ics", response_class=Response, responses=_CALENDARS)
    async def of_person(name: ResourceName, request: Request, token: Token = None) -> Response:
        """One person's shifts in every schedule, 30 days back and 180 ahead, as iCalendar."""
        await admit(request, token, PERSON, name)
        found = await configured(runtime)
        if name not in found.people:
            raise not_found(PERSON, name)
        every = [named for named in spans(found, sorted(found.schedules)) if named[1].person == name]
        return answer([(s, each, f"On call: {s}") for s, each in every], f"On call: {person_title(found, name)}")

    @routes.post("/v1/feeds", status_code=201, responses=also(404, 409))
    async def make(asked: FeedAsked, who: Annotated[Principal, Depends(allow("config:write"))]) -> FeedAnswer:
        """An address for calendar apps. It needs no key: give it to nobody who may not see the shifts."""
        kind, name = (SCHEDULE, asked.schedule) if asked.schedule else (PERSON, asked.person or "")
        made, now = runtime.ids.new(), runtime.clock.now()
        async with runtime.db.transaction() as tx:
            if name not in (await resources.snapshot(tx, 0)).of(kind):
                raise not_found(kind, name)
            if not await stored.add_feed(tx, made, kind, name, who.name, now):
                raise conflict("too-many", f"There are {MAX_FEEDS} feeds, which is the limit. Delete some.")
            await audit.write(tx, who, Act("made", "feed", str(made), facts={kind: name}), now)
        return await shown(made, kind, name, now, who.name)

    @routes.get("/v1/feeds", dependencies=[Depends(allow("config:write"))])
    async def listing(limit: Limit = 50, cursor: Cursor = None) -> Listing[FeedAnswer]:
        async with runtime.db.transaction() as tx:
            rows = await stored.feeds(tx, place(cursor), limit + 1)
        items = [await shown(r.id, r.kind, r.name, r.created_at, r.created_by) for r in rows[:limit]]
        last = items[-1] if len(rows) > limit else None
        return Listing(items=items, next=encode_cursor(last.created_at.isoformat(), str(last.id)) if last else None)

    @routes.delete("/v1/feeds/{feed_id}", status_code=204)
    async def revoke(feed_id: UUID, who: Annotated[Principal, Depends(allow("config:write"))]) -> None:
        """Its address stops working at once."""
        async with runtime.db.transaction() as tx:
            if not await stored.remove_feed(tx, feed_id):
                raise not_found("feed", feed_id)
            await audit.write(tx, who, Act("revoked", "feed", str(feed_id)), runtime.clock.now())

    async def shown(feed_id: UUID, kind: str, name: str, at: datetime, by: str) -> FeedAnswer:
        url = f"{runtime.settings.url}{_PATHS[kind].format(name)}?token={await token_of(feed_id)}"
        return FeedAnswer.model_validate(
            {"id": feed_id, "kind": kind, "name": name, "url": url, "created_at": at, "created_by": by}
        )

    return routes


def _revoked() -> Problem:
    return Problem(
        403, "forbidden", "This address is not one of ours, or it was revoked. POST /v1/feeds makes a new one."
    )
