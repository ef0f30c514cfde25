"""Replies to our mails: ``POST /v1/pages/email`` takes them raw, from whatever receives mail for ``SMTP_FROM``."""

from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request

from services.notify.api import answers
from services.notify.api.acting import LONGEST_SNOOZE, attempt_all, came_from
from services.notify.api.configured import configured
from services.notify.message import replies
from services.notify.model import CATCH_ALL, CaseState
from services.notify.model.commands import Acknowledge, HandOver, Resolve, Snooze
from services.notify.oncall.targets import named
from services.notify.store import digests, reads
from shared.audit import Actor
from shared.auth import Principal
from shared.contracts.mailids import unique_of_message_id
from shared.contracts.words import DeliveryState
from shared.errors import Problem, invalid
from shared.http import Answer, allow
from shared.openapi import also
from shared.runtime import Runtime

_MAIL = {"requestBody": {"required": True, "content": {"message/rfc822": {"schema": {"type": "string"}}}}}
_PAGE = "page-"  # begins the id of a page's thread; the rest are deliveries


class ReplyAnswer(Answer):
    """``done``: what came of it; null where nothing did, because of ``ignored``."""

    done: str | None = None
    ignored: str | None = None
    page: answers.PageAnswer | None = None


def router(runtime: Runtime[CaseState]) -> APIRouter:
    routes = APIRouter(tags=["page"])

    @routes.post("/v1/pages/email", responses=also(404), openapi_extra=_MAIL)
    async def reply(request: Request, who: Annotated[Principal, Depends(allow("pages:write"))]) -> ReplyAnswer:
        """A reply acknowledges its page, or does what its first line asks: ``snooze 30m``, ``resolve``,
        ``hand over to fraud``; a reply to a digest does it with all that it names. Its sender must have been told;
        what a machine sent does nothing."""
        found = replies.read(await request.body())
        if found.automatic is not None:
            return ReplyAnswer(ignored=f"It was sent by a machine: {found.automatic}.")
        pages = await _pages(runtime, found)
        by = await _told(runtime, pages[0], found.sender)
        origin = came_from(request, f"mail from {found.sender}, by key {who.name}")
        how = {"via": "email", "origin": origin}
        asked = [(each, replace(_command(each, by, found.first_line, runtime), **how)) for each in pages]
        first, *others = await attempt_all(runtime, asked, Actor.of(who, by, via="email"))
        more = f" So for {len(others)} more." if others else ""
        return ReplyAnswer(done=f"{first.text}{more}", page=answers.page(first.page))

    return routes


async def _pages(runtime: Runtime[CaseState], found: replies.Reply) -> list[UUID]:
    """The pages whose mail it answers, known by a Message-ID that we signed. Raises a 422 problem."""
    key = runtime.settings.mail_secret
    for each in found.answers:
        unique = unique_of_message_id(each, key)
        if unique is None:
            continue
        try:
            if unique.startswith(_PAGE):
                return [UUID(unique.removeprefix(_PAGE))]
            async with runtime.db.transaction() as tx:
                row = await reads.delivery(tx, UUID(unique), runtime.clock.now())
                named = await digests.cases(tx, UUID(unique)) if row is None else []
        except ValueError:
            continue
        if row is not None or named:
            return [each.page_id for each in ([row] if row is not None else named)]
    raise invalid("This answers none of our mails: no In-Reply-To or References names one. Send the raw reply, whole.")


async def _told(runtime: Runtime[CaseState], page_id: UUID, sender: str | None) -> str:
    """The person who replies, by name where we know it. Raises a 403 problem where they were not told."""
    configuration = await configured(runtime)
    async with runtime.db.transaction() as tx:
        sent = await reads.deliveries(tx, runtime.clock.now(), reads.MAX_HISTORY, reads.Search(page_id=page_id))
    told: dict[str, str] = {}
    people = {spec.email.lower(): name for name, spec in configuration.people.items() if spec.email}
    for row in sent:
        if row.state != DeliveryState.SENT and not row.lost:
            continue
        kind, _, name = row.target.partition(":")
        person = configuration.people.get(name) if kind == "person" else None
        if person is not None and person.email:
            told[person.email.lower()] = name
        place = name if kind == "destination" else runtime.settings.catch_all if row.target == CATCH_ALL else None
        for address in getattr(named(configuration, place), "to", ()) if place else ():
            told[address.lower()] = people.get(address.lower(), address)
    if sender is None or sender not in told:
        raise Problem(403, "forbidden", "Its sender was not told of this page by mail, so the reply does nothing.")
    return told[sender]


def _command(page_id: UUID, by: str, first_line: str, runtime: Runtime[CaseState]) -> Any:
    asked = replies.asked(first_line)
    if asked.snooze is not None:
        return Snooze(page_id, by, runtime.clock.now() + min(asked.snooze, LONGEST_SNOOZE))
    if asked.team is not None:
        return HandOver(page_id, by, asked.team, "asked for by mail")
    return Resolve(page_id, by) if asked.resolve else Acknowledge(page_id, by)
