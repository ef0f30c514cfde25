"""How a template would look with a real case, before anybody is told in its words. ``configuring`` keeps them."""

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import StringConstraints, model_validator

from services.notify.api.configuring import check_template
from services.notify.message import Message, build, sample
from services.notify.message.templates import BadTemplate, written
from services.notify.model import CaseState, Purpose
from services.notify.model.specs import TemplateSpec
from services.notify.senders import blocks, console, email
from services.notify.store import reads
from services.notify.store.configuration import TEMPLATE
from shared.contracts.spec import Name
from shared.errors import conflict, invalid, not_found
from shared.http import Answer, Strict, allow
from shared.openapi import also
from shared.runtime import Runtime

Target = Annotated[str, StringConstraints(pattern=r"^(person|destination):[a-z0-9][a-z0-9._-]{0,62}$")]


class Previewing(Strict):
    """``template`` as it would be PUT, or the ``name`` of one that is there; ``case``: an id or a number."""

    template: TemplateSpec | None = None
    name: Name | None = None
    channel: Literal["slack", "email", "webhook", "console"]
    case: Annotated[str, StringConstraints(min_length=1, max_length=40)]
    target: Target = "destination:console"  # the reader, for the zone and for why they are told

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.template is None) == (self.name is None):
            raise ValueError("write either template or name")
        return self


class Preview(Answer):
    """``text``: in plain text; ``blocks``: as Slack gets it; ``html``: as a mail; ``trouble``: why it is not used."""

    headline: str
    text: str
    blocks: list[dict[str, Any]] | None = None
    html: str | None = None
    trouble: str | None = None


def router(runtime: Runtime[CaseState]) -> APIRouter:
    routes = APIRouter(tags=[TEMPLATE])

    @routes.post("/v1/templates/preview", responses=also(404, 409), dependencies=[Depends(allow("read"))])
    async def preview(body: Previewing) -> Preview:
        """The message as it would leave now about the latest page of a real case. Sends and keeps nothing."""
        if body.template is not None:
            check_template(body.template)
        state = await _case(runtime, body.case)
        spec = body.template or state.configuration.templates.get(body.name or "")
        if spec is None:
            raise not_found(TEMPLATE, body.name)
        now = runtime.clock.now()
        made = sample.delivery(state, body.target, body.channel, Purpose.CALL, now)
        try:
            message = build(state, made, now) if made is not None else None
        except LookupError:
            message = None
        if message is None:
            raise conflict("no-page", "This case has no page that calls for anybody, so there is nothing to say.")
        try:
            return _drawn(written(spec, body.channel, message), body.channel)
        except BadTemplate as bad:
            return _drawn(message, body.channel, str(bad))

    return routes


async def _case(runtime: Runtime[CaseState], name: str) -> CaseState:
    async with runtime.db.transaction() as tx:
        try:
            case_id: UUID | None = UUID(name)
        except ValueError:
            case_id = await reads.case_numbered(tx, name.upper())
        if case_id is None:
            raise not_found("case", name)
        found = await runtime.service.store.load(tx, [case_id], runtime.clock.now())
    if found[case_id].facts.summary is None:
        raise invalid(f"Nothing was ever due on case {name}, so there is nothing to say about it.")
    return found[case_id]


def _drawn(message: Message, channel: str, trouble: str | None = None) -> Preview:
    text = email.plain(message, None) if channel == "email" else console.draw(message, None)
    return Preview(
        headline=message.headline,
        text=text,
        blocks=blocks.draw(message) if channel == "slack" else None,
        html=email.html(message, None) if channel == "email" else None,
        trouble=trouble,
    )
