"""What would be promised: the policies tried on a case that need not exist."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import Field, JsonValue

from services.sla.api.answers import PreviewAnswer, PromiseAnswer, TriedAnswer
from services.sla.decide import policies
from services.sla.decide.derive import reached
from services.sla.decide.sentences import derivation
from services.sla.model import Case, Clock, Configuration, Opening, Policy, Promise
from services.sla.model.walk import Context
from services.sla.store import SlaStore
from shared.contracts import duration
from shared.contracts.spec import Instant, Strict
from shared.contracts.words import Channel, ClockState, Metric, Priority
from shared.errors import invalid
from shared.http import allow
from shared.runtime import Runtime

YEARS = (1970, 2200)  # of a start that may be asked about
MAX_ATTRIBUTES = 100

_NOBODY = UUID(int=0)
Word = Annotated[str, Field(max_length=200)]
Words = Annotated[tuple[Word, ...], Field(max_length=50)]


class PreviewCustomer(Strict):
    id: Word | None = None
    email: Word | None = None
    phone: Word | None = None
    name: Word | None = None
    tier: Word | None = None
    country: Word | None = None


class PreviewContact(Strict):
    channel: Channel = Channel.EMAIL
    source: Word | None = None
    language: Word | None = None
    reason: Word | None = None
    tags: Words = ()
    attributes: Annotated[dict[Word, JsonValue], Field(max_length=MAX_ATTRIBUTES)] = {}
    customer: PreviewCustomer = PreviewCustomer()


class PreviewCase(Strict):
    team: Word = "frontline"
    priority: Priority = Priority.NORMAL
    tags: Words = ()


class PreviewBody(Strict):
    """A case as it would be; ``at`` is when its customer writes, now where left out."""

    case: PreviewCase = PreviewCase()
    contact: PreviewContact = PreviewContact()
    at: Instant | None = None


def routes(runtime: Runtime[Case], store: SlaStore) -> APIRouter:
    router = APIRouter(tags=["policy"])

    @router.post("/v1/policies/preview", dependencies=[Depends(allow("read"))])
    async def preview(body: PreviewBody) -> PreviewAnswer:
        """Which policy would match, why those before it do not, and each deadline with how it comes about."""
        if body.at and not YEARS[0] <= body.at.year <= YEARS[1]:
            raise invalid(f"at: write an instant between the years {YEARS[0]} and {YEARS[1]}.")
        async with runtime.db.transaction() as tx:
            configured = await store.configuration.read(tx)
        now = runtime.clock.now()
        at = body.at or now
        return _preview(body, at, configured.as_of(max(at, now)))

    return router


def _preview(body: PreviewBody, at: datetime, configured: Configuration) -> PreviewAnswer:
    contact, who = body.contact, body.contact.customer
    opened = Opening(
        number="",
        opened_at=at,
        received_at=at,
        channel=contact.channel,
        source=contact.source,
        language=contact.language,
        reason=contact.reason,
        tags=contact.tags,
        attributes=contact.attributes,
        customer_id=who.id,
        customer_email=who.email,
        customer_name=who.name,
        customer_tier=who.tier,
        customer_country=who.country,
    )
    edition = configured.editions[-1]  # what is configured now, or will be by `at`
    context = Context(at, body.case.team, body.case.priority, body.case.tags)
    tried = policies.tried(edition, opened, context)
    matched = next((each.policy for each in tried if each.matched), None)
    return PreviewAnswer(
        policy=matched.name if matched else None,
        policy_version=matched.version if matched else None,
        promises=_promises(matched, at, configured.libraries) if matched else [],
        tried=[
            TriedAnswer(policy=t.policy.name, position=t.policy.position, matched=t.matched, reason=t.reason)
            for t in tried
        ],
    )


def _promises(policy: Policy, at: datetime, libraries: str) -> list[PromiseAnswer]:
    return [_promise(metric, promise, at, libraries) for metric, promise in policy.promises.items()]


def _promise(metric: Metric, promise: Promise, at: datetime, libraries: str) -> PromiseAnswer:
    def after(share: float) -> datetime:
        due = reached(promise.calendar, at, (), promise.terms.within * share)
        assert due is not None  # only a pause that lasts would leave it open
        return due

    clock = Clock(
        id=_NOBODY,
        case_id=_NOBODY,
        metric=metric,
        instance=1,
        state=ClockState.RUNNING,
        started_at=at,
        terms=promise.terms,
        promised_at=at,
        due_at=after(1),
        levels=(),
        pauses=(),
        team=None,
        history=False,
        libraries=libraries,
    )
    return PromiseAnswer(
        metric=metric,
        within=duration.text(promise.terms.within),
        calendar=promise.terms.calendar,
        due_at=after(1),
        warnings_at=[after(share) for share in promise.terms.warn_at],
        derivation=derivation(clock, promise.calendar),
    )
