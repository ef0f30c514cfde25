"""The small page behind the link in a mail: opening it shows buttons; only pressing one acts.

Mail scanners open every link, so a GET never acts.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import parse_qs
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from services.notify.api import action_page
from services.notify.api.acting import attempt, came_from
from services.notify.message import Message, build, sample
from services.notify.model import CaseState, Purpose
from services.notify.model.commands import Acknowledge, HandOver, Resolve, Snooze
from services.notify.senders import links
from services.notify.senders.blocks import SNOOZES
from services.notify.store import reads
from shared.audit import Actor
from shared.contracts import duration
from shared.errors import invalid, not_found
from shared.http import whence
from shared.runtime import Runtime

SigningKey = Callable[[], Awaitable[str]]
Token = Annotated[str, Query(max_length=links.MAX_TOKEN)]
MAX_FORM = 2_000  # bytes

_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # the address is the authority
    "X-Robots-Tag": "noindex",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'",
}
REFUSED: dict[int | str, dict[str, Any]] = {
    403: {"description": "The link is not ours, or too old", "content": {"text/html": {"schema": {"type": "string"}}}}
}
_FORM = {
    "requestBody": {
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "act": {"enum": ["acknowledge", "snooze", "hand_over", "resolve"]},
                        "for": {"type": "string"},
                        "team": {"type": "string"},
                    },
                }
            }
        }
    }
}


def router(runtime: Runtime[CaseState], signing_key: SigningKey) -> APIRouter:
    routes = APIRouter(tags=["page"])

    async def holder(page_id: UUID, token: str) -> str:
        return links.verify(await signing_key(), page_id, token, runtime.clock.now())  # a target: person:ana

    async def standing(page_id: UUID, target: str, said: str = "") -> HTMLResponse:
        now = runtime.clock.now()
        async with runtime.db.transaction() as tx:
            found = await reads.page(tx, page_id)
            if found is None:
                raise not_found("page", page_id)
            state = (await runtime.service.store.load(tx, [found.case_id], now))[found.case_id]
        message = glance(state, target, page_id)
        return html(action_page.draw(found.case_number or "A case", message, said))

    def glance(state: CaseState, target: str, page_id: UUID) -> Message | None:
        """How the page stands, without the customer's words; None where a later page took its place."""
        now = runtime.clock.now()
        made = sample.delivery(state, target, "link", Purpose.UPDATE, now)
        if made is None or made.page_id != page_id:
            return None
        try:
            return build(state, made, now, words=False)
        except LookupError:
            return None

    @routes.get("/v1/pages/{page_id}/action", responses=REFUSED, response_class=HTMLResponse)
    async def show(page_id: UUID, token: Token = "") -> HTMLResponse:
        """A page with buttons. Shows none of the customer's words, changes nothing."""
        try:
            target = await holder(page_id, token)
        except links.BadLink as bad:
            return html(action_page.plain("This link does not work", str(bad)), status=403)
        return await standing(page_id, target)

    @routes.post("/v1/pages/{page_id}/action", responses=REFUSED, response_class=HTMLResponse, openapi_extra=_FORM)
    async def press(page_id: UUID, request: Request, token: Token = "") -> HTMLResponse:
        """What the buttons do; acknowledges where the form names nothing else."""
        try:
            target = await holder(page_id, token)
        except links.BadLink as bad:
            return html(action_page.plain("This link does not work", str(bad)), status=403)
        who = target.partition(":")[2] or target
        form = _form((await request.body())[:MAX_FORM])
        origin = came_from(request, f"link sent to {target}")
        command = replace(_command(page_id, who, form, runtime), via="link", origin=origin)
        actor = Actor(who, "link", None, None, *whence(request.scope))
        done = await attempt(runtime, page_id, command, actor)
        return await standing(page_id, target, "" if done.changed else done.text)

    return routes


def _form(body: bytes) -> dict[str, str]:
    try:
        return {name: values[0] for name, values in parse_qs(body.decode(), max_num_fields=10).items()}
    except ValueError:
        raise invalid("The form cannot be read.") from None


def _command(page_id: UUID, who: str, form: dict[str, str], runtime: Runtime[CaseState]) -> Any:
    act = form.get("act", "acknowledge")
    if act == "acknowledge":
        return Acknowledge(page_id, who)
    if act == "resolve":
        return Resolve(page_id, who)
    if act == "snooze" and form.get("for") in SNOOZES:
        return Snooze(page_id, who, runtime.clock.now() + duration.parse(form["for"]))
    if act == "hand_over" and form.get("team"):
        return HandOver(page_id, who, form["team"][:63], "asked for by link")
    raise invalid("act: one of acknowledge, snooze with for, hand_over with team, resolve")


def html(text: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(text, status, _HEADERS)
