"""The small page behind the link in a mail: opening it shows a button; only pressing the button acts.

Mail scanners open every link, so a GET never acts.
"""

from collections.abc import Awaitable, Callable
from html import escape
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from services.notify.api.acting import act
from services.notify.model import METRICS, CaseState, Clock
from services.notify.model.commands import Acknowledge
from services.notify.senders import links
from services.notify.store import reads
from shared.contracts.words import PageState
from shared.errors import not_found
from shared.runtime import Runtime

SigningKey = Callable[[], Awaitable[str]]
Token = Annotated[str, Query(max_length=links.MAX_TOKEN)]

_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # the address is the authority
    "X-Robots-Tag": "noindex",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'",
}

_STYLE = (
    "body{margin:0;font:18px/1.5 system-ui,sans-serif;background:Canvas;color:CanvasText}"
    "main{max-width:32rem;margin:0 auto;padding:3rem 1.25rem}"
    "h1{margin:0 0 .5rem;font-size:1.5rem}p{margin:0 0 1.5rem}"
    "button{width:100%;padding:1rem;border:0;border-radius:.5rem;background:#b3261e;color:#fff;"
    "font:600 1.1rem system-ui,sans-serif;cursor:pointer}"
    "button:focus-visible{outline:3px solid #1a73e8;outline-offset:2px}"
)


def router(runtime: Runtime[CaseState], signing_key: SigningKey) -> APIRouter:
    routes = APIRouter(tags=["page"])

    async def holder(page_id: UUID, token: str) -> str:
        who = links.verify(await signing_key(), page_id, token, runtime.clock.now())
        return who.partition(":")[2] or who  # a target, such as person:ana

    async def promises(page_id: UUID) -> tuple[reads.StoredPage, list[Clock]]:
        async with runtime.db.transaction() as tx:
            found = await reads.page(tx, page_id)
            if found is None:
                raise not_found("page", page_id)
            return found, await reads.clocks_of(tx, page_id)

    @routes.get("/v1/pages/{page_id}/action", response_class=HTMLResponse)
    async def show(page_id: UUID, token: Token = "") -> HTMLResponse:
        """A page with a button. Shows nothing of the customer, changes nothing."""
        try:
            await holder(page_id, token)
        except links.BadLink as bad:
            return _html("This link does not work", str(bad), status=403)
        stored, clocks = await promises(page_id)
        can = stored.page.state in (PageState.OPEN, PageState.EXHAUSTED)
        return _html(_title(stored), _state(stored, clocks), button=can)

    @routes.post("/v1/pages/{page_id}/action", response_class=HTMLResponse)
    async def acknowledge(page_id: UUID, token: Token = "") -> HTMLResponse:
        """What the button does."""
        try:
            who = await holder(page_id, token)
        except links.BadLink as bad:
            return _html("This link does not work", str(bad), status=403)
        stored = await act(runtime, page_id, Acknowledge(page_id, who, "link"))
        _, clocks = await promises(page_id)
        return _html(_title(stored), _state(stored, clocks))

    return routes


def _title(stored: reads.StoredPage) -> str:
    return stored.case_number or "A case"


def _state(stored: reads.StoredPage, clocks: list[Clock]) -> str:
    page = stored.page
    if page.state == PageState.ACKNOWLEDGED:
        return f"Acknowledged by {page.acknowledged_by}. Nobody else is paged. Answer the customer to end it."
    if page.state == PageState.RESOLVED:
        return "This is over: nothing is left to do."
    broken = [f"The {METRICS[clock.metric]} is late." for clock in clocks if clock.breached_at and clock.ended is None]
    risky = [
        f"The {METRICS[clock.metric]} is at risk." for clock in clocks if not clock.breached_at and not clock.ended
    ]
    return " ".join([*broken, *risky, "Nobody has taken it yet."])


def _html(title: str, text: str, button: bool = False, status: int = 200) -> HTMLResponse:
    form = '<form method="post"><button>Acknowledge</button></form>' if button else ""
    body = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{escape(title)}</title><style>{_STYLE}'
        f"</style></head><body><main><h1>{escape(title)}</h1><p>{escape(text)}</p>{form}</main></body></html>"
    )
    return HTMLResponse(body, status, _HEADERS)
