"""What routing knows: teams, rulesets, the facts of a contact, the assignment of a case. Frozen values only. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Self
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    field_validator,
    model_validator,
)

from shared.conditions import MAX_SOURCE, Condition
from shared.contracts.contacts import ContactReceived, Customer
from shared.contracts.envelope import Because
from shared.contracts.spec import Label, Name, Spec
from shared.contracts.words import Channel, ClockState, Metric, Priority

MAX_RULES = 2_000
MAX_TAGS = 20  # that one rule sets
MAX_MEMBERS = 500
MAX_HAND_OFFS = 500  # of one case, for ever

Tag = Annotated[str, StringConstraints(min_length=1, max_length=100)]
RuleId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")]
When = Annotated[str, StringConstraints(min_length=1, max_length=MAX_SOURCE)]


class TeamSpec(Spec):
    """A team as an admin writes it. ``members`` name people; routing does not check that they exist."""

    label: Label | None = None
    time_zone: str = "UTC"
    members: Annotated[tuple[Name, ...], Field(max_length=MAX_MEMBERS)] = ()

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"there is no time zone {zone[:60]!r}. Write an IANA name such as Europe/Dublin") from None
        return zone

    @field_validator("members")
    @classmethod
    def _once_each(cls, members: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(members)) != len(members):
            raise ValueError("a member is named twice. Name each once")
        return members


class Then(Spec):
    """What a matching rule does. Without a priority the fallback's holds."""

    team: Name
    priority: Priority | None = None
    tags: Annotated[tuple[Tag, ...], Field(max_length=MAX_TAGS)] = ()


class RuleSpec(Spec):
    id: RuleId
    when: When
    then: Then


class FallbackSpec(Spec):
    """Where a case goes that no rule matched; mandatory, so that nothing is unrouted."""

    team: Name
    priority: Priority = Priority.NORMAL


class RulesetSpec(Spec):
    """The ordered rules. The first that matches sets team and priority; tags come from every one that matches."""

    rules: Annotated[tuple[RuleSpec, ...], Field(max_length=MAX_RULES)] = ()
    fallback: FallbackSpec

    @model_validator(mode="after")
    def _ids_once(self) -> Self:
        seen: set[str] = set()
        for number, rule in enumerate(self.rules, 1):
            if rule.id in seen:
                raise ValueError(f"rule {number} has the id {rule.id!r} of an earlier rule. Give each rule its own id")
            seen.add(rule.id)
        return self

    def teams(self) -> dict[str, str]:
        """Every team named, with the first place that names it (``rule 'vip'``, ``the fallback``)."""
        named = {self.fallback.team: "the fallback"}
        for rule in self.rules:
            named.setdefault(rule.then.team, f"rule {rule.id!r}")
        return named


class RulesetState(StrEnum):
    DRAFT = "draft"
    SHADOW = "shadow"
    CANARY = "canary"
    ACTIVE = "active"
    RETIRED = "retired"


class ContactFacts(BaseModel):
    """What rules may know of the contact that opened a case. ``erased``: identity and text are gone."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    number: str | None = None
    at: AwareDatetime
    channel: Channel
    source: str | None = None
    subject: str | None = None
    body: str | None = None
    language: str | None = None
    reason: str | None = None
    tags: tuple[str, ...] = ()
    attributes: dict[str, JsonValue] = {}
    url: str | None = None
    customer: Customer = Customer()
    erased: bool = False

    @classmethod
    def of(cls, contact: ContactReceived) -> Self:
        return cls(
            number=contact.case_number,
            at=contact.occurred_at,
            channel=contact.channel,
            source=contact.source,
            subject=contact.subject,
            body=contact.body,
            language=contact.language,
            reason=contact.reason,
            tags=contact.tags,
            attributes=contact.attributes,
            url=contact.url,
            customer=contact.customer,
        )

    def without_person(self) -> Self:
        """The same without identity and text; what counts are made of stays."""
        kept = Customer(tier=self.customer.tier, country=self.customer.country)
        gone: dict[str, Any] = {"subject": None, "body": None, "attributes": {}, "url": None}
        return self.model_copy(update={**gone, "customer": kept, "erased": True})


@dataclass(frozen=True, slots=True)
class Match:
    """What a ruleset says of one contact. ``rule`` is None where the fallback applies."""

    rule: str | None
    team: str
    priority: Priority
    tags: tuple[str, ...]
    because: Because


@dataclass(frozen=True, slots=True)
class WhyNot:
    """Why one earlier rule did not match."""

    rule: str
    because: str


@dataclass(frozen=True, slots=True)
class Earlier:
    """Why the rules before the one that matched did not: the first of them, and how many more there are."""

    rules: tuple[WhyNot, ...]
    more: int


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule ready to be evaluated. ``reads`` are the fields its condition reads."""

    spec: RuleSpec
    condition: Condition
    reads: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Compiled:
    """A version of the ruleset ready to match (``rules.compile``)."""

    version: int
    rules: tuple[Rule, ...]
    fallback: FallbackSpec


@dataclass(frozen=True, slots=True)
class Configuration:
    """What holds while a batch is decided: the active ruleset and the teams."""

    version: int
    ruleset: Compiled
    teams: Mapping[str, TeamSpec]


class StepKind(StrEnum):
    ASSIGNED = "assigned"
    HANDED_OFF = "handed_off"
    REFUSED = "refused"  # a hand-off that a page asked for and that could not be done; the assignment stands


@dataclass(frozen=True, slots=True)
class Step:
    """One entry of a case's history of custody. ``number`` counts from 1 per case."""

    number: int
    kind: StepKind
    at: datetime
    team: str
    from_team: str | None
    by: str
    reason: str | None
    because: Because


@dataclass(frozen=True, slots=True)
class Assignment:
    """Who has a case now. ``rule``, ``ruleset_version`` and ``because`` are of the last time it was placed."""

    team: str
    priority: Priority
    tags: tuple[str, ...]
    ruleset_version: int
    rule: str | None
    because: Because
    assigned_at: datetime
    by: str


@dataclass(frozen=True, slots=True)
class ClockOutcome:
    """How a promise on a case stands or ended, for forecasts. ``version`` is the clock's: the highest counts."""

    clock_id: UUID
    version: int
    metric: Metric
    instance: int
    state: ClockState
    breached: bool
    team: str | None
    started_at: datetime
    due_at: datetime | None
    at: datetime


@dataclass(frozen=True, slots=True)
class CaseState:
    """A case as routing sees it. ``steps`` and ``outcomes`` are those of the batch at hand, not all there are."""

    case_id: UUID
    configuration: Configuration
    assignment: Assignment | None = None
    contact: ContactFacts | None = None
    step_count: int = 0
    steps: tuple[Step, ...] = ()
    outcomes: tuple[ClockOutcome, ...] = ()


@dataclass(frozen=True, slots=True)
class HandOff:
    """Command: give the case to ``team``. Refused (no event) where it has it, or where nobody has it yet."""

    case_id: UUID
    team: str
    by: str
    reason: str
