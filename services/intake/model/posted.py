"""What is posted as JSON: a contact, an activity, a merge, a day's volumes. Strict; every limit is named here. Pure."""

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Annotated, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    model_validator,
)

from shared.contracts.spec import Instant, Strict, Whole
from shared.contracts.words import ActivityKind, Channel, Priority, Status

SUBJECT_LIMIT = 1_000  # characters
BODY_LIMIT = 100_000  # characters; an event carries the first 16,000
TAGS_LIMIT, TAG_LIMIT = 50, 100
ATTRIBUTES_LIMIT, ATTRIBUTE_NAME_LIMIT = 50, 100
ATTRIBUTES_DEPTH = 4  # of objects and lists inside one another
ATTRIBUTES_BYTES = 16_384  # as JSON
INTEGER_LIMIT = 2**63 - 1  # what programs read as an integer
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)  # a time before it is a broken clock
AHEAD = timedelta(days=1)  # how far a time may be in the future: other people's clocks
VOLUME_LIMIT = 10**15


def _plausible(at: datetime) -> datetime:
    try:
        at = at.astimezone(UTC)
    except OverflowError:
        at = EARLIEST - AHEAD
    if at < EARLIEST:
        raise ValueError(
            f"is before {EARLIEST:%Y}: send the time it happened, or leave it out to use the time of arrival"
        )
    return at


def _web_address(url: str) -> str:
    if not url.lower().startswith(("https://", "http://")):
        raise ValueError("write an address that begins with https:// or http://")
    return url


def _bounded(attributes: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if len(attributes) > ATTRIBUTES_LIMIT:
        raise ValueError(f"{len(attributes)} attributes; the limit is {ATTRIBUTES_LIMIT}")
    waiting: list[tuple[int, JsonValue]] = [(1, attributes)]
    while waiting:
        depth, value = waiting.pop()
        if depth > ATTRIBUTES_DEPTH + 1:
            raise ValueError(f"attributes are nested deeper than {ATTRIBUTES_DEPTH}. Flatten them.")
        if isinstance(value, dict):
            if any(not 1 <= len(name) <= ATTRIBUTE_NAME_LIMIT for name in value):
                raise ValueError(f"the name of an attribute has 1 to {ATTRIBUTE_NAME_LIMIT} characters")
            waiting.extend((depth + 1, inner) for inner in value.values())
        elif isinstance(value, list):
            waiting.extend((depth + 1, inner) for inner in value)
        elif isinstance(value, float) and not math.isfinite(value):
            raise ValueError("an attribute is not a finite number")
        elif isinstance(value, int) and abs(value) > INTEGER_LIMIT:
            raise ValueError(f"{str(value)[:20]}… is too large for a JSON number. Send it as a string.")
    if attributes and (size := len(json.dumps(attributes, ensure_ascii=False).encode())) > ATTRIBUTES_BYTES:
        raise ValueError(f"attributes have {size} bytes; the limit is {ATTRIBUTES_BYTES}")
    return attributes


Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=300)]
Source = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Moment = Annotated[Instant, AfterValidator(_plausible)]
Url = Annotated[str, StringConstraints(max_length=2_000), AfterValidator(_web_address)]
Tag = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=TAG_LIMIT)]
Tags = Annotated[tuple[Tag, ...], Field(max_length=TAGS_LIMIT)]
Attributes = Annotated[dict[str, JsonValue], AfterValidator(_bounded)]


class NewCustomer(Strict):
    """Who contacted us; everything may be unknown. ``id`` is the upstream's own."""

    id: Identifier | None = None
    email: Annotated[str, StringConstraints(strip_whitespace=True, max_length=320)] | None = None
    phone: Annotated[str, StringConstraints(strip_whitespace=True, max_length=60)] | None = None
    name: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)] | None = None
    tier: Line | None = None
    country: Annotated[str, StringConstraints(pattern="^[A-Za-z]{2}$", to_upper=True)] | None = None


class NewContact(Strict):
    """One inbound communication."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "channel": "email",
                    "source": "zendesk-eu",
                    "external_id": "88121-c7",
                    "thread": "88121",
                    "url": "https://acme.zendesk.com/agent/tickets/88121",
                    "occurred_at": "2026-11-22T07:03:00Z",
                    "customer": {"id": "cus_1", "email": "a@b.example", "name": "A", "tier": "enterprise"},
                    "subject": "Payout missing",
                    "body": "Our payout of Friday has not arrived.",
                    "language": "en",
                    "reason": "payout_delay",
                    "tags": ["payouts"],
                    "attributes": {"product": "payouts"},
                }
            ]
        }
    )

    channel: Channel = Channel.API
    source: Source | None = Field(None, description="The system it comes from; scopes external_id and thread.")
    external_id: Identifier | None = Field(None, description="This one message, as the source names it.")
    thread: Identifier | None = Field(None, description="The conversation it belongs to, as the source names it.")
    url: Url | None = Field(None, description="Where a person answers it.")
    occurred_at: Moment | None = Field(None, description="When it happened; the time of arrival where left out.")
    customer: NewCustomer = NewCustomer()
    subject: str = Field("", max_length=SUBJECT_LIMIT)
    body: str = Field("", max_length=BODY_LIMIT)
    language: (
        Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8})*$", max_length=35)] | None
    ) = None
    reason: Annotated[str, StringConstraints(strip_whitespace=True, max_length=100)] | None = None
    tags: Tags = ()
    attributes: Attributes = Field(default_factory=dict)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (
            self.subject.strip()
            or self.body.strip()
            or self.thread
            or self.external_id
            or self.customer != NewCustomer()
        ):
            raise ValueError("the contact is empty: give at least a subject, a body or a customer")
        return self


_FIELDS_OF = {
    ActivityKind.STATUS_CHANGED: ("status",),
    ActivityKind.PRIORITY_CHANGED: ("priority",),
    ActivityKind.TAGS_CHANGED: ("tags",),
    ActivityKind.SATISFACTION_RATED: ("score", "scale"),
}


class NewActivity(Strict):
    """Something that happened on a case, which is named by ``case_id``, or by ``source`` and ``thread``."""

    kind: ActivityKind
    case_id: UUID | None = None
    source: Source | None = None
    thread: Identifier | None = None
    external_id: Identifier | None = Field(None, description="This one activity, as the source names it.")
    occurred_at: Moment | None = None
    actor: Line | None = None
    public: bool | None = Field(None, description="The customer sees it. Replies are public where left out.")
    automated: bool = Field(False, description="A machine did it: it meets no promise and reopens nothing.")
    status: Status | None = None
    priority: Priority | None = None
    tags: Tags | None = Field(None, description="All tags from now on.")
    score: Whole | None = Field(None, ge=0, le=1000)
    scale: Whole | None = Field(None, ge=1, le=1000)
    reason: Line | None = Field(None, description="Why, in the words of the source; hand-off rules may read it.")
    attributes: Attributes = Field(default_factory=dict)
    text: str = Field("", max_length=BODY_LIMIT, description="What was written, where it is known.")

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.case_id is None and self.thread is None:
            raise ValueError("name the case: give case_id, or source and thread")
        wanted = _FIELDS_OF.get(self.kind, ())
        for name in ("status", "priority", "tags", "score", "scale"):
            if (getattr(self, name) is not None) != (name in wanted):
                raise ValueError(f"{self.kind} {'needs' if name in wanted else 'has no'} {name}")
        if self.score is not None and self.scale is not None and self.score > self.scale:
            raise ValueError(f"a score of {self.score} is more than its scale of {self.scale}")
        return self


class Merge(Strict):
    into: Identifier = Field(description="The id or number of the case that goes on.")
    by: Line | None = None


class MergeCustomer(Strict):
    into: Identifier = Field(description="The id, address or phone number of the customer that they are.")
    by: Line | None = None
    reason: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)] | None = None


class Volumes(Strict):
    """How many customers and transactions there were on one day: the denominators of contact rate."""

    active_customers: Whole | None = Field(None, ge=0, le=VOLUME_LIMIT)
    transactions: Whole | None = Field(None, ge=0, le=VOLUME_LIMIT)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.active_customers is None and self.transactions is None:
            raise ValueError("give active_customers, transactions, or both")
        return self
