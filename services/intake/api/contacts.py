"""Routes: contacts in, by JSON, in batches, as raw email; and out."""

import asyncio
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from services.intake import channels
from services.intake.api import lines
from services.intake.api.answers import ContactAccepted, ContactAnswer, Quarantined, answered
from services.intake.api.desk import Brought, Desk
from services.intake.channels import api as json_channel
from services.intake.channels.adapter import Own, Received, Rejected
from services.intake.model import CaseFile, Contact
from services.intake.model.identity import canonical_email
from services.intake.model.posted import NewContact
from services.intake.store import reads
from shared.auth import Principal
from shared.errors import Problem, invalid, not_found
from shared.gate import Shortcut
from shared.http import allow
from shared.idempotency import EXPIRES_HEADER, IdempotencyKey
from shared.openapi import also
from shared.runtime import Runtime

THREAD_FROM = 65_536  # bytes of a mail that is read off the loop

History = Annotated[bool, Query(description="An import: clocks are computed, nobody is paged")]
Source = Annotated[str | None, Query(min_length=1, max_length=100, description="The system it comes from")]
Mailbox = Annotated[str | None, Query(max_length=320, description="The address that the mail arrived at")]
_NDJSON: dict[str, Any] = {"requestBody": {"content": {"application/x-ndjson": {"schema": {}}}}}
_MAIL = {"requestBody": {"required": True, "content": {"message/rfc822": {"schema": {"type": "string"}}}}}


def shortcut(runtime: Runtime[CaseFile], desk: Desk) -> Shortcut:
    """``post_contact`` past the framework."""

    def read(raw: bytes) -> Contact | None:
        desk.contacts.check_room()
        outcome = channels.read("api", raw, Received(runtime.clock.now()))
        return outcome if isinstance(outcome, Contact) else None

    async def answer(principal: Principal, contact: Contact, size: int, key: str | None) -> Response:
        return answered(await desk.contact(principal.key_id, key, Brought(contact), size))

    return Shortcut("contacts:write", read, answer)


def routes(runtime: Runtime[CaseFile], desk: Desk) -> APIRouter:
    router = APIRouter(tags=["contacts"])
    own = Own.of(runtime.settings.mailboxes, runtime.settings.agents, runtime.settings.mail_secret)

    @router.post(
        "/v1/contacts",
        status_code=202,
        response_model=ContactAccepted,
        responses={202: {"headers": EXPIRES_HEADER}, **also(409)},
    )
    async def post_contact(
        new: NewContact,
        principal: Annotated[Principal, Depends(allow("contacts:write"))],
        key: IdempotencyKey = None,
    ) -> Response:
        """Accept one contact. When this answers, it is committed."""
        outcome = channels.redacted(json_channel.contact(new, Received(runtime.clock.now())))
        if isinstance(outcome, Rejected):
            raise invalid(outcome.detail)
        return answered(await desk.contact(principal.key_id, key, Brought(outcome), len(new.body)))

    @router.post(
        "/v1/contacts/batch",
        dependencies=[Depends(allow("contacts:write"))],
        openapi_extra=_NDJSON,
        response_class=Response,
    )
    async def post_contacts(request: Request, history: History = False) -> Response:
        """Accept contacts, one a line; answers one line for each, with its own status."""

        def read(line: bytes) -> Contact | Problem:
            outcome = channels.read("api", line, Received(runtime.clock.now(), history=history))
            return invalid(outcome.detail) if isinstance(outcome, Rejected) else outcome

        return await lines.answer(request, read, desk.contact_lines)

    @router.post(
        "/v1/contacts/email",
        status_code=202,
        response_model=ContactAccepted | Quarantined,
        responses={202: {"headers": EXPIRES_HEADER}, **also(409)},
        openapi_extra=_MAIL,
    )
    async def post_email(
        request: Request,
        principal: Annotated[Principal, Depends(allow("contacts:write"))],
        mailbox: Mailbox = None,
        source: Source = None,
        history: History = False,
        key: IdempotencyKey = None,
    ) -> Response:
        """Accept one raw email. What cannot be read is kept in quarantine, and said so."""
        if mailbox is not None and canonical_email(mailbox) is None:
            raise invalid(f"mailbox {mailbox[:100]!r} is no address. Send the one that the mail arrived at.")
        raw = await request.body()
        if not raw.strip():
            raise invalid("The body is empty. Send the raw message, headers first.")
        received = Received(runtime.clock.now(), source, canonical_email(mailbox or "") or "", history, own)
        if len(raw) < THREAD_FROM:
            outcome = channels.read("email", raw, received)
        else:
            outcome = await asyncio.to_thread(channels.read, "email", raw, received)
        return answered(await desk.contact(principal.key_id, key, Brought(outcome, raw), len(raw)))

    @router.get("/v1/contacts/{id}", dependencies=[Depends(allow("read"))])
    async def get_contact(id: UUID) -> ContactAnswer:
        """One contact, as it is kept."""
        async with runtime.db.transaction() as tx:
            row = await reads.contact(tx, id)
        if row is None:
            raise not_found("contact", id)
        return ContactAnswer.of(row)

    return router
