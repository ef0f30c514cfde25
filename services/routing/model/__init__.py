"""What routing knows: the facts of a contact, compiled rules, the assignment of a case. Frozen values only. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, JsonValue

from services.routing.model.commands import Issue
from services.routing.model.trials import Enrolment, place
from services.routing.spec import FallbackSpec, HandOffRule, RuleSpec, TeamSpec
from shared.conditions import Activation, Condition
from shared.conditions.asked import Alternatives
from shared.conditions.work import BODY_CHARACTERS, LIST_ITEMS, TEXT_CHARACTERS
from shared.contracts.contacts import ContactReceived
from shared.contracts.envelope import Because
from shared.contracts.words import Channel, ClockState, Metric, Priority, Status

RULES = "the rules"  # who places a case when no person does
MAX_HAND_OFFS = 500  # of one case, for ever, and as often a person takes it
PING_PONG = 3  # times that a case came right back to a team it had left: rules move it no more, and it is flagged

# What rules see of a contact is bounded, so that evaluating is, whatever was posted.
MAX_DEPTH = 8  # of attributes within attributes; what is deeper is unknown to rules
_INT64 = range(-(2**63), 2**63)
_FLOAT_MAX = 10**300


class RulesetState(StrEnum):
    DRAFT = "draft"
    SHADOW = "shadow"
    CANARY = "canary"
    ACTIVE = "active"
    RETIRED = "retired"


def _text(value: Any, limit: int = TEXT_CHARACTERS) -> Any:
    """A text cut to its limit. Half of a surrogate pair, which no database stores, becomes a question mark."""
    if not isinstance(value, str):
        return value
    value = value[:limit]
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def _body(value: Any) -> Any:
    return _text(value, BODY_CHARACTERS)


def _tags(value: Any) -> Any:
    return tuple(_text(tag) for tag in value[:LIST_ITEMS]) if isinstance(value, list | tuple) else value


def bounded(value: Any, depth: int = MAX_DEPTH) -> Any:
    """JSON as CEL and the database can hold it: integers of 64 bits, bounded lists, maps, texts and depth."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return value if value in _INT64 else float(min(max(value, -_FLOAT_MAX), _FLOAT_MAX))
    if depth == 0:
        return None
    if isinstance(value, Mapping):
        return {_text(str(key)): bounded(item, depth - 1) for key, item in list(value.items())[:LIST_ITEMS]}
    return [bounded(item, depth - 1) for item in value[:LIST_ITEMS]]


Text = Annotated[str, BeforeValidator(_text)]


class Person(BaseModel):
    """The customer, as far as rules may know.

    ``contacts_24h`` and ``contacts_7d`` count this customer's contacts up to and with this one (``recent``); None where
    nobody can tell: no id, email or phone, or an imported contact from long ago.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", from_attributes=True)

    id: Text | None = None
    email: Text | None = None
    phone: Text | None = None
    name: Text | None = None
    tier: Text | None = None
    country: Text | None = None
    contacts_24h: int | None = None
    contacts_7d: int | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """What is kept of a contact to count by. ``customer`` is a digest of who it was."""

    contact_id: UUID
    customer: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Recency:
    """How many contacts a customer made in the last 24 hours and 7 days, with the one at hand."""

    contacts_24h: int
    contacts_7d: int


class ContactFacts(BaseModel):
    """What rules may know of the contact that opened a case, bounded. ``erased``: identity and text are gone."""

    model_config = ConfigDict(frozen=True, extra="ignore", from_attributes=True)

    number: Text | None = None
    at: AwareDatetime
    channel: Channel
    source: Text | None = None
    subject: Text | None = None
    body: Annotated[str, BeforeValidator(_body)] | None = None
    language: Text | None = None
    reason: Text | None = None
    tags: Annotated[tuple[str, ...], BeforeValidator(_tags)] = ()
    attributes: Annotated[dict[str, JsonValue], BeforeValidator(bounded)] = {}
    url: Text | None = None
    customer: Person = Person()
    erased: bool = False

    @classmethod
    def of(cls, contact: ContactReceived, recency: Recency | None = None) -> Self:
        who = contact.customer
        person = Person(
            id=who.id, email=who.email, phone=who.phone, name=who.name, tier=who.tier, country=who.country,
            contacts_24h=recency.contacts_24h if recency else None,
            contacts_7d=recency.contacts_7d if recency else None,
        )  # fmt: skip
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
            customer=person,
        )

    def without_person(self) -> Self:
        """The same without identity and text; what counts are made of stays."""
        kept = self.customer.model_copy(update={"id": None, "email": None, "phone": None, "name": None})
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
    skills: tuple[str, ...] = ()
    language: str | None = None


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
    """A rule ready to be evaluated. ``asks`` is what must hold for it, ``digest`` the same for the same condition."""

    spec: RuleSpec
    condition: Condition
    digest: bytes
    asks: Alternatives


@dataclass(frozen=True, slots=True)
class HandOffCondition:
    """A hand-off rule ready to be evaluated."""

    spec: HandOffRule
    condition: Condition


@dataclass(frozen=True, slots=True)
class Compiled:
    """A version of the ruleset ready to match (``rules.compile``).

    ``candidates`` gives the places of the rules that could match, in order, from a contact's values.
    """

    version: int
    rules: Sequence[Rule]
    fallback: FallbackSpec
    candidates: Callable[[Activation], Sequence[int]]
    hand_off: tuple[HandOffCondition, ...] = ()


@dataclass(frozen=True, slots=True)
class Canary:
    """A version that decides a share of new cases."""

    trial: int
    share: float
    ruleset: Compiled

    def takes(self, case_id: UUID) -> bool:
        return place(self.trial, case_id) < self.share


@dataclass(frozen=True, slots=True)
class Configuration:
    """What holds while a batch is decided: the active ruleset, the teams, the canary, the trial of the shadow."""

    version: int
    ruleset: Compiled
    teams: Mapping[str, TeamSpec]
    canary: Canary | None = None
    shadow: int | None = None

    def placed_by(self, version: int, case_id: UUID) -> Compiled:
        """The rules that hold for a case which this version placed: the canary's for its own, else the active."""
        canary = self.canary
        is_canary = canary is not None and version == canary.ruleset.version and canary.takes(case_id)
        return canary.ruleset if canary and is_canary else self.ruleset


class StepKind(StrEnum):
    ASSIGNED = "assigned"
    HANDED_OFF = "handed_off"
    TAKEN = "taken"  # by a person of the team that has it
    RELEASED = "released"  # by that person; it waits for another
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
    person: str | None = None


@dataclass(frozen=True, slots=True)
class Assignment:
    """Who has a case now. ``rule``, ``ruleset_version`` and ``because`` are of the last time it was placed.

    ``skills`` and ``language`` are what the rule asks of the person who takes it. ``waiting``: nobody of the team has
    it yet, and the desk looks for somebody. ``status`` is that of the case, as activities tell. ``from_team`` had it
    before; ``returns`` counts how often it came right back; ``fallen`` are teams it left for want of people.
    """

    team: str
    priority: Priority
    tags: tuple[str, ...]
    ruleset_version: int
    rule: str | None
    because: Because
    assigned_at: datetime
    by: str
    skills: tuple[str, ...] = ()
    language: str | None = None
    person: str | None = None
    waiting: bool = False
    status: Status = Status.OPEN
    from_team: str | None = None
    returns: int = 0
    fallen: tuple[str, ...] = ()

    @property
    def active(self) -> bool:
        """It counts as work that somebody has to do now: not where others are waited for, and not once it is done."""
        return self.status in (Status.NEW, Status.OPEN)


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
    """A case as routing sees it. ``contact``, ``heard``, ``steps``, ``outcomes``, ``issues`` and ``enrolled`` are what
    the batch at hand brought.

    ``recency``: of the contacts in the batch at hand, by contact id.

    ``contact_known``: the contact that opened the case is here or stored, though not loaded with every event.
    """

    case_id: UUID
    configuration: Configuration
    assignment: Assignment | None = None
    contact: ContactFacts | None = None
    contact_known: bool = False
    erased: bool = False
    step_count: int = 0
    steps: tuple[Step, ...] = ()
    outcomes: tuple[ClockOutcome, ...] = ()
    heard: tuple[Heard, ...] = ()
    recency: Mapping[UUID, Recency] = field(default_factory=dict)
    issues: tuple[Issue, ...] = ()
    enrolled: tuple[Enrolment, ...] = ()
