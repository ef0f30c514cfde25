"""Routes: contacts in, by JSON, in batches, as raw email; and out."""

import asyncio
from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from services.intake import channels
from services.intake.api import lines
from services.intake.api.accept import Accepted, accept, attempts
from services.intake.api.answers import ContactAccepted, ContactAnswer, Quarantined
from services.intake.channels import api as json_channel
from services.intake.channels.adapter import Received, Rejected
from services.intake.model import CaseFile, Contact
from services.intake.model.identity import canonical_email
from services.intake.model.posted import NewContact
from services.intake.store import quarantine, reads
from services.intake.store.quarantine import Held
from shared import telemetry
from shared.auth import Principal
from shared.batch import Work
from shared.errors import Problem, invalid, not_found
from shared.http import allow
from shared.idempotency import IdempotencyKey, claim, fingerprint, normalized, remember
from shared.runtime import Runtime

THREAD_FROM = 65_536  # bytes of a mail that is read off the loop

History = Annotated[bool, Query(description="An import: clocks are computed, nobody is paged")]
Source = Annotated[str | None, Query(min_length=1, max_length=100, description="The system it comes from")]
Mailbox = Annotated[str | None, Query(max_length=320, description="The address that the mail arrived at")]
_NDJSON = {"requestBody": {"required": True, "content": {"application/x-ndjson": {"schema": {"type": "string"}}}}}
_MAIL = {"requestBody": {"required": True, "content": {"message/rfc822": {"schema": {"type": "string"}}}}}
Answered = dict[str, Any]


def routes(runtime: Runtime[CaseFile]) -> APIRouter:
    router = APIRouter(tags=["contacts"])

    @router.post("/v1/contacts", status_code=202, response_model=ContactAccepted)
    async def post_contact(
        new: NewContact,
        principal: Annotated[Principal, Depends(allow("contacts:write"))],
        key: IdempotencyKey = None,
    ) -> Answered:
        """Accept one contact. When this answers, it is committed."""
        outcome = channels.redacted(json_channel.contact(new, Received(runtime.clock.now())))
        if isinstance(outcome, Rejected):
            raise invalid(outcome.detail)
        return await _once(runtime, principal, key, outcome, None)

    @router.post(
        "/v1/contacts/batch",
        dependencies=[Depends(allow("contacts:write"))],
        openapi_extra=_NDJSON,
        response_class=Response,
    )
    async def post_contacts(request: Request, history: History = False) -> Response:
        """Accept contacts, one a line; answers one line for each, with its own status."""
        trace = telemetry.traceparent()

        async def together(contacts: Sequence[Contact]) -> Sequence[Accepted | Problem]:
            return await attempts(runtime, lambda work: accept(work, contacts, trace))

        async def handle(contacts: Sequence[Contact]) -> Sequence[lines.Fate]:
            fates = await lines.each_its_own(contacts, together)
            return [fate if isinstance(fate, Problem) else _answered(fate) for fate in fates]

        def read(line: bytes) -> Contact | Problem:
            outcome = channels.read("api", line, Received(runtime.clock.now(), history=history))
            return invalid(outcome.detail) if isinstance(outcome, Rejected) else outcome

        return await lines.answer(request, read, handle)

    @router.post(
        "/v1/contacts/email",
        status_code=202,
        response_model=ContactAccepted | Quarantined,
        openapi_extra=_MAIL,
    )
    async def post_email(
        request: Request,
        principal: Annotated[Principal, Depends(allow("contacts:write"))],
        mailbox: Mailbox = None,
        source: Source = None,
        history: History = False,
        key: IdempotencyKey = None,
    ) -> Answered:
        """Accept one raw email. What cannot be read is kept in quarantine, and said so."""
        if mailbox is not None and canonical_email(mailbox) is None:
            raise invalid(f"mailbox {mailbox[:100]!r} is no address. Send the one that the mail arrived at.")
        raw = await request.body()
        if not raw.strip():
            raise invalid("The body is empty. Send the raw message, headers first.")
        received = Received(runtime.clock.now(), source, canonical_email(mailbox or "") or "", history)
        if len(raw) < THREAD_FROM:
            outcome = channels.read("email", raw, received)
        else:
            outcome = await asyncio.to_thread(channels.read, "email", raw, received)
        return await _once(runtime, principal, key, outcome, raw)

    @router.get("/v1/contacts/{id}", dependencies=[Depends(allow("read"))])
    async def get_contact(id: UUID) -> ContactAnswer:
        """One contact, as it is kept."""
        async with runtime.db.transaction() as tx:
            row = await reads.contact(tx, id)
        if row is None:
            raise not_found("contact", id)
        return ContactAnswer.of(row)

    return router


async def _once(
    runtime: Runtime[CaseFile],
    principal: Principal,
    key: str | None,
    outcome: Contact | Rejected,
    raw: bytes | None,
) -> Answered:
    """Accept or quarantine in one transaction; the same Idempotency-Key gives the first answer."""
    name = normalized(key) if key is not None else None
    trace = telemetry.traceparent()

    async def body(work: Work[CaseFile]) -> Answered:
        if name is not None:
            stored = await claim(
                work.tx, principal.key_id, name, _print(outcome, raw), work.now, runtime.settings.idempotency_days
            )
            if stored:
                return {**stored.body, "duplicate": True}
        answer = await _accept_or_hold(work, outcome, raw, trace)
        if name is not None:
            await remember(work.tx, principal.key_id, name, 202, answer)
        return answer

    return await attempts(runtime, body)


def _print(outcome: Contact | Rejected, raw: bytes | None) -> bytes:
    """Of what may be kept, where it is known: a hash of an original card number would give it away."""
    if isinstance(outcome, Contact):
        return fingerprint(b"contact", outcome.fingerprint)
    return fingerprint(b"rejected", outcome.raw or raw or b"")


async def _accept_or_hold(
    work: Work[CaseFile], outcome: Contact | Rejected, raw: bytes | None, trace: str | None
) -> Answered:
    if isinstance(outcome, Contact):
        [result] = await accept(work, [outcome], trace)
        if isinstance(result, Accepted):
            return _answered(result)
        if raw is None or outcome.mail is None or result.kind != "different-content":
            raise result
        outcome = _reused(outcome)
    return await hold(work, outcome, raw or b"")


def _reused(contact: Contact) -> Rejected:
    """A sender's Message-ID with other words: not the same mail, and not safely another one."""
    assert contact.mail is not None
    earlier = (contact.mail.message_id, *contact.mail.answers)
    mail = contact.mail.model_copy(update={"message_id": None, "answers": tuple(i for i in earlier if i)})
    salvage = contact.model_copy(update={"mail": mail})
    detail = "Its sender sent another mail under the same Message-ID before. Release it if it is a new message."
    return Rejected("message_id_reused", detail, salvage)


async def hold(work: Work[CaseFile], rejected: Rejected, raw: bytes) -> Answered:
    """Keep what could not be read, as far as it may be kept."""
    readable = rejected.raw is not None or rejected.salvage is not None
    held = Held(
        id=work.ids.new(),
        received_at=work.now,
        channel="email",
        source=rejected.salvage.source if rejected.salvage else None,
        mailbox=rejected.salvage.mail.mailbox if rejected.salvage and rejected.salvage.mail else "",
        reason=rejected.reason,
        detail=rejected.detail,
        size=len(raw),
        raw=rejected.raw,
        sha256=None if readable else sha256(raw).digest(),
        salvage=rejected.salvage,
    )
    await quarantine.keep(work.tx, held)
    return Quarantined(id=held.id, reason=held.reason, detail=held.detail).model_dump(mode="json")


def _answered(accepted: Accepted) -> Answered:
    return ContactAccepted(
        contact_id=accepted.contact_id,
        case_id=accepted.case_id,
        case_number=accepted.case_number,
        opened_case=accepted.opened_case,
        duplicate=accepted.duplicate,
    ).model_dump(mode="json")
