"""Routes: webhooks of other systems, trusted by their signature; and calls, chats and forms posted with an API key."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, Literal
from uuid import UUID

import structlog
from fastapi import APIRouter, Depends, Request

from services.intake import channels
from services.intake.api.accept import attempts
from services.intake.api.activities import posted_activity
from services.intake.api.answers import ActivityRecorded, ContactAccepted
from services.intake.api.desk import Answered, Brought, Desk
from services.intake.api.record import Posted as Posting
from services.intake.api.sources import Sources
from services.intake.channels.adapter import Received, Rejected
from services.intake.channels.hook import Delivery, Draft, Hook, Ignored, Posted
from services.intake.channels.shape import keepable, whose
from services.intake.model import CaseFile, Contact
from services.intake.model.posted import NewActivity, NewContact
from services.intake.model.sources import SourceSpec
from services.intake.store import quarantine
from services.intake.store.quarantine import Held
from shared import telemetry
from shared.batch import Work
from shared.errors import Problem, invalid, not_found
from shared.http import Answer, allow, check_rate
from shared.openapi import also
from shared.resources import ResourceName
from shared.runtime import Runtime

_NOBODY = UUID(int=0)  # webhooks have no API key, and no Idempotency-Key
THREAD_FROM = 65_536  # bytes of a body that is read off the loop

Outcome = Literal["accepted", "duplicate", "ignored", "quarantined"]
log = structlog.get_logger()


class Taken(Answer):
    """What became of it. Committed, as every 2xx here."""

    outcome: Outcome
    contacts: tuple[ContactAccepted, ...] = ()
    activities: tuple[ActivityRecorded, ...] = ()
    quarantine_id: UUID | None = None
    detail: str | None = None


_BODY = {
    "requestBody": {
        "required": True,
        "description": "As the sender's own documentation has it. docs/sources.md says what becomes of it.",
        "content": {
            "application/json": {"schema": {}},
            "application/x-www-form-urlencoded": {"schema": {"type": "object"}},
        },
    }
}


def routes(runtime: Runtime[CaseFile], desk: Desk) -> APIRouter:
    router = APIRouter(tags=["hooks"])
    sources = Sources()

    async def named() -> Mapping[str, SourceSpec]:
        async with runtime.db.transaction() as tx:
            return await sources.read(tx)

    @router.post("/v1/hooks/{source}", status_code=202, openapi_extra=_BODY, responses=also(401, 409, 429))
    async def receive(source: ResourceName, request: Request) -> Taken:
        """A webhook of a configured source, in its vendor's own shape. Its signature is its key; no API key counts."""
        spec = (await named()).get(source)
        hook = channels.HOOKS.get(spec.kind) if spec else None
        if spec is None or hook is None:
            check_rate(request.scope, "hooks", "to unknown sources")
            raise not_found("source", source)
        try:  # before anything is computed for who may be anybody
            check_rate(request.scope, ("hooks", source), "of this source")
        except Problem:
            telemetry.WEBHOOKS.labels(source, "limited").inc()
            raise
        delivery = Delivery(f"{runtime.settings.url}{request.url.path}", dict(request.headers), await request.body())
        now = runtime.clock.now()
        if wrong := hook.verify(spec.secrets, delivery, now):
            telemetry.WEBHOOKS.labels(source, "refused").inc()
            raise Problem(401, "unauthorized", wrong)
        taken = await _take(runtime, desk, hook, source, spec, delivery, Received(now, source))
        telemetry.WEBHOOKS.labels(source, taken.outcome).inc()
        return taken

    for kind, hook in channels.HOOKS.items():
        if hook.posted is not None:
            router.post(
                f"/v1/contacts/{kind}",
                name=f"post_{kind}",
                status_code=202,
                tags=["contacts"],
                description=hook.posted.__doc__,
                responses=also(404, 409),
                dependencies=[Depends(allow("contacts:write"))],
            )(_posting(runtime, desk, named, hook.posted))
    return router


def _posting(runtime: Runtime[CaseFile], desk: Desk, named: Any, model: type[Posted]) -> Any:
    """The route of one kind of document."""

    async def post(document: Posted) -> Taken:
        name = document.source
        source = (await named()).get(name) or SourceSpec(kind="standard")
        received = Received(runtime.clock.now(), name)
        return await _commit(runtime, desk, document.drafts(received, source), name, source, received, not model.grows)

    post.__annotations__["document"] = model  # FastAPI reads the body's model from the annotation
    return post


async def _take(
    runtime: Runtime[CaseFile],
    desk: Desk,
    hook: Hook,
    name: str,
    source: SourceSpec,
    delivery: Delivery,
    received: Received,
) -> Taken:
    if len(delivery.body) < THREAD_FROM:
        outcome = channels.read_hook(hook, delivery, received, source)
    else:
        outcome = await asyncio.to_thread(channels.read_hook, hook, delivery, received, source)
    if isinstance(outcome, Ignored):
        log.info("webhook ignored", source=name, webhook=outcome.event[:100])
        return Taken(outcome="ignored", detail=f"Nothing follows from {outcome.event[:100]}.")
    if isinstance(outcome, Rejected):
        return await _hold(runtime, hook, name, outcome, delivery.body)
    try:
        return await _commit(runtime, desk, outcome, name, source, received)
    except Problem as problem:
        if problem.status not in (404, 422):
            raise  # the sender repeats it: what is here already is known by its ids
        rejected = Rejected(problem.kind.replace("-", "_"), problem.detail, raw=keepable(delivery.body))
        return await _hold(runtime, hook, name, rejected, delivery.body)


async def _commit(
    runtime: Runtime[CaseFile],
    desk: Desk,
    drafts: Sequence[Draft],
    name: str | None,
    source: SourceSpec,
    received: Received,
    strict: bool = False,
) -> Taken:
    """Contacts first, then what happened on their cases; each part commits, and all before the answer.

    ``strict``: the same id with other content is refused. A webhook that comes again is the same, whatever it says.
    """
    made = [channels.completed(new, name, source, received) for new in drafts if isinstance(new, NewContact)]
    happened = [new.model_copy(update={"source": name}) for new in drafts if isinstance(new, NewActivity)]
    trace = telemetry.traceparent()
    posted = [posted_activity(runtime, new, False, trace) for new in happened]
    for each in (*made, *posted):
        if isinstance(each, Rejected):
            raise invalid(each.detail)
        if isinstance(each, Problem):
            raise each
    contacts = await _contacts(desk, [each for each in made if isinstance(each, Contact)])
    activities = await _activities(desk, [each for each in posted if isinstance(each, Posting)])
    accepted = [ContactAccepted.model_validate(each) for each in _here(contacts, strict)]
    recorded = [ActivityRecorded.model_validate(each) for each in _here(activities, strict)]
    new = not all([*(each.duplicate for each in accepted), *(each.duplicate for each in recorded)])
    return Taken(outcome="accepted" if new else "duplicate", contacts=tuple(accepted), activities=tuple(recorded))


async def _contacts(desk: Desk, contacts: Sequence[Contact]) -> Sequence[Answered | Problem]:
    """One shares a transaction with other requests; several have their own, in order."""
    if len(contacts) != 1:
        size = sum(len(each.body) for each in contacts)
        return await desk.contact_lines(contacts, size) if contacts else ()
    try:
        return [(await desk.contact(_NOBODY, None, Brought(contacts[0]), len(contacts[0].body)))[0]]
    except Problem as problem:
        return [problem]


async def _activities(desk: Desk, posted: Sequence[Posting]) -> Sequence[Answered | Problem]:
    if len(posted) != 1:
        size = sum(len(each.activity.text) for each in posted)
        return await desk.activity_lines(posted, size) if posted else ()
    try:
        return [(await desk.activity(_NOBODY, None, posted[0], len(posted[0].activity.text)))[0]]
    except Problem as problem:
        return [problem]


def _here(fates: Sequence[Answered | Problem], strict: bool) -> Iterator[Answered]:
    """The answers. What came before, with other words, is here already; raises any other problem."""
    for fate in fates:
        if not isinstance(fate, Problem):
            yield fate
        elif strict or fate.kind not in ("different-content", "gone"):
            raise fate


async def _hold(runtime: Runtime[CaseFile], hook: Hook, name: str, rejected: Rejected, body: bytes) -> Taken:
    """Keep what cannot be read, as far as it may be kept: a person posts what it says, or drops it."""

    async def keep(work: Work[CaseFile]) -> UUID:
        held = Held(
            id=work.ids.new(),
            received_at=work.now,
            channel=hook.channel,
            source=name,
            mailbox="",
            reason=rejected.reason,
            detail=rejected.detail,
            size=len(body),
            raw=rejected.raw,
            sha256=None if rejected.raw is not None else sha256(body).digest(),
            salvage=rejected.salvage,
            sender=whose(body),
        )
        await quarantine.keep(work.tx, [held])
        return held.id

    held_id = await attempts(runtime, keep)
    return Taken(outcome="quarantined", quarantine_id=held_id, detail=rejected.detail)
