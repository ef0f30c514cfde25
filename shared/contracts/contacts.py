"""Events on ``contacts``, published by intake."""

from typing import ClassVar, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, JsonValue

from shared.contracts.envelope import EventData
from shared.contracts.words import ActivityKind, Channel, Priority, Status


class Customer(BaseModel):
    """Who contacted us. ``id`` is the upstream's id; every field may be unknown."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str | None = None
    email: str | None = None
    phone: str | None = None  # E.164 where it could be parsed
    name: str | None = None
    tier: str | None = None
    country: str | None = None  # ISO 3166-1 alpha-2


class ContactReceived(EventData):
    """A contact was accepted; it opened the case or joined it."""

    TYPE: ClassVar[str] = "contact.received"

    contact_id: UUID
    case_number: str
    opened_case: bool
    channel: Channel
    source: str | None = None
    external_id: str | None = None
    thread: str | None = None
    url: str | None = None
    received_at: AwareDatetime
    customer: Customer = Customer()
    subject: str = ""
    excerpt: str = ""  # first words of the body, at most 280 characters, redacted
    body: str = ""  # redacted, at most 16,000 characters
    language: str | None = None
    reason: str | None = None
    tags: tuple[str, ...] = ()
    attributes: dict[str, JsonValue] = {}
    automated: bool = False  # an auto-reply or bulk mail: starts and stops no clock
    history: bool = False  # imported: clocks are computed, no page is opened

    def without_person(self) -> Self:
        kept = Customer(tier=self.customer.tier, country=self.customer.country)
        gone: dict[str, object] = {"subject": "", "excerpt": "", "body": "", "url": None, "attributes": {}}
        return self.model_copy(update={**gone, "customer": kept})


class CaseActivity(EventData):
    """Something happened on a case. Only the fields of its ``kind`` are set."""

    TYPE: ClassVar[str] = "case.activity"

    activity_id: UUID
    kind: ActivityKind
    received_at: AwareDatetime
    actor: str | None = None
    public: bool = False
    automated: bool = False
    external_id: str | None = None
    status: Status | None = None  # status_changed
    priority: Priority | None = None  # priority_changed
    tags: tuple[str, ...] | None = None  # tags_changed: the tags from now on
    score: int | None = None  # satisfaction_rated, of `scale`
    scale: int | None = None
    reason: str | None = None  # of a change, in the words of the source
    attributes: dict[str, JsonValue] = {}
    excerpt: str = ""
    history: bool = False

    def without_person(self) -> Self:
        actor = None if self.kind is ActivityKind.CUSTOMER_REPLIED else self.actor
        return self.model_copy(update={"excerpt": "", "actor": actor, "reason": None, "attributes": {}})


class CaseMerged(EventData):
    """This case was merged into ``into``; it is a tombstone from now on."""

    TYPE: ClassVar[str] = "case.merged"

    into: UUID
    into_number: str
    by: str | None = None


class CaseAbsorbed(EventData):
    """This case took over everything of ``source``."""

    TYPE: ClassVar[str] = "case.absorbed"

    source_case: UUID
    source_number: str
    earliest_unanswered_at: AwareDatetime | None = None
    by: str | None = None


class CustomerErased(EventData):
    """Identity and text of this case's customer must be erased; counts and clocks stay."""

    TYPE: ClassVar[str] = "customer.erased"

    customer_id: str  # "" in new events: a name would outlive what is erased
