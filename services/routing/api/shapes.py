"""What goes in and out of routing's routes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import AwareDatetime, ConfigDict, Field, JsonValue, StringConstraints, model_validator

from services.routing.lab import Evaluation, Moves
from services.routing.model import ContactFacts, Earlier, RulesetState
from services.routing.rules.lint import Finding, Kind
from services.routing.rules.versions import Difference
from services.routing.spec import FallbackSpec, HandOffRule, RulesetSpec, RuleSpec
from services.routing.store import Listed, StoredRuleset
from shared.contracts.envelope import Because
from shared.contracts.words import Channel, Priority
from shared.http import Answer, Strict

MAX_BACKTEST = 10_000  # contacts

Line = Annotated[str, StringConstraints(max_length=2_000)]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1_000)]


class RulesetBody(RulesetSpec):
    """A ruleset, a note to whoever reads the list of versions, and the version that it was made from."""

    note: Annotated[str, StringConstraints(max_length=500)] | None = None
    based_on: Annotated[int, Field(ge=1, lt=2**31)] | None = None


class ActivateBody(Strict):
    """``expected_active``: refused where another version is active, so that two admins do not undo each other."""

    expected_active: int | None = None
    reason: Reason | None = None


class RollbackBody(ActivateBody):
    """``expected_active``: the version that is to go."""


class RetireBody(Strict):
    reason: Reason | None = None


class BacktestBody(Strict):
    """``against``: the version to compare with, the active one where left out."""

    against: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_BACKTEST)] = MAX_BACKTEST


class TrialCustomer(Strict):
    id: Line | None = None
    email: Line | None = None
    phone: Line | None = None
    name: Line | None = None
    tier: Line | None = None
    country: Line | None = None
    contacts_24h: Annotated[int, Field(ge=0)] | None = None
    contacts_7d: Annotated[int, Field(ge=0)] | None = None


class TrialBody(Strict):
    """A contact as one would post it, or the ``case_id`` of one that came. ``at``: as if it came then."""

    case_id: UUID | None = None
    at: AwareDatetime | None = None
    channel: Channel | None = None
    source: Line | None = None
    external_id: Line | None = None
    thread: Line | None = None
    url: Line | None = None
    occurred_at: AwareDatetime | None = None
    customer: TrialCustomer = TrialCustomer()
    subject: Line = ""
    body: str = ""
    language: Line | None = None
    reason: Line | None = None
    tags: Annotated[tuple[Line, ...], Field(max_length=200)] = ()
    attributes: dict[str, JsonValue] = {}

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Self:
        if self.case_id is None and self.channel is None:
            raise ValueError("give a contact with its channel (email, phone, chat, web or api), or a case_id")
        if self.case_id is not None and self.model_fields_set - {"case_id", "at"}:
            raise ValueError("give a case_id or a contact, not both; `at` goes with either")
        return self

    def facts(self, now: datetime) -> ContactFacts:
        """The contact that is described here; not for a ``case_id``."""
        described = self.model_dump(exclude={"case_id", "at", "occurred_at", "external_id", "thread"})
        return ContactFacts.model_validate({**described, "at": self.at or self.occurred_at or now})


class ListedAnswer(Answer):
    model_config = ConfigDict(frozen=True, from_attributes=True)

    version: int
    state: RulesetState
    author: str
    note: str | None
    created_at: datetime
    activated_at: datetime | None
    based_on: int | None


class RulesetItem(ListedAnswer):
    """A version in the list; ``rules`` is how many it has."""

    rules: int

    @classmethod
    def of(cls, listed: Listed) -> Self:
        return cls.model_validate(listed)


class RulesetAnswer(ListedAnswer):
    """A version, whole."""

    rules: tuple[RuleSpec, ...]
    fallback: FallbackSpec
    hand_off: tuple[HandOffRule, ...]

    @classmethod
    def of(cls, stored: StoredRuleset) -> Self:
        return cls(
            version=stored.version, state=stored.state, author=stored.author, note=stored.note,
            created_at=stored.created_at, activated_at=stored.activated_at, based_on=stored.based_on,
            rules=stored.spec.rules, fallback=stored.spec.fallback, hand_off=stored.spec.hand_off,
        )  # fmt: skip


class WarningAnswer(Answer):
    """What is odd about a rule, what to do, and the other rules that have to do with it."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    rule: str
    kind: Kind
    text: str
    action: str
    others: tuple[str, ...]


class LintAnswer(Answer):
    version: int
    warnings: list[WarningAnswer]

    @classmethod
    def of(cls, version: int, found: Sequence[Finding]) -> Self:
        return cls(version=version, warnings=[WarningAnswer.model_validate(each) for each in found])


class CreatedAnswer(RulesetAnswer):
    """A new version, whole, and what is odd about it."""

    warnings: list[WarningAnswer]

    @classmethod
    def created(cls, stored: StoredRuleset, found: Sequence[Finding]) -> Self:
        warnings = [WarningAnswer.model_validate(each) for each in found]
        return cls(**RulesetAnswer.of(stored).model_dump(), warnings=warnings)


class MovedRule(Answer):
    model_config = ConfigDict(frozen=True, from_attributes=True)

    id: str
    before: int
    after: int


class ChangedRule(Answer):
    model_config = ConfigDict(frozen=True, from_attributes=True)

    before: RuleSpec
    after: RuleSpec


class ChangedFallback(Answer):
    before: FallbackSpec
    after: FallbackSpec


class ChangedHandOff(Answer):
    """All hand-off rules."""

    before: tuple[HandOffRule, ...]
    after: tuple[HandOffRule, ...]


class DiffAnswer(Answer):
    """From version ``before`` to version ``after``, by rule. Places count from 1."""

    before: int
    after: int
    added: list[RuleSpec]
    removed: list[RuleSpec]
    moved: list[MovedRule]
    changed: list[ChangedRule]
    fallback: ChangedFallback | None
    hand_off: ChangedHandOff | None

    @classmethod
    def of(cls, before: int, after: int, found: Difference) -> Self:
        return cls(
            before=before,
            after=after,
            added=list(found.added),
            removed=list(found.removed),
            moved=[MovedRule.model_validate(each) for each in found.moved],
            changed=[ChangedRule.model_validate(each) for each in found.changed],
            fallback=ChangedFallback(before=found.fallback[0], after=found.fallback[1]) if found.fallback else None,
            hand_off=ChangedHandOff(before=found.hand_off[0], after=found.hand_off[1]) if found.hand_off else None,
        )


class WhyNotAnswer(Answer):
    model_config = ConfigDict(frozen=True, from_attributes=True)

    rule: str
    because: str


class PlacementAnswer(Answer):
    """Where a case is, or would be. ``rule`` is null for the fallback.

    ``why_not`` says of the first rules before it why they did not match, ``why_not_more`` counts the others; both are
    recomputed, and null where the contact is not known any more.
    """

    case_id: UUID | None
    team: str
    priority: Priority
    tags: tuple[str, ...]
    skills: tuple[str, ...]
    language: str | None
    ruleset_version: int
    rule: str | None
    because: Because
    assigned_at: datetime | None
    why_not: list[WhyNotAnswer] | None
    why_not_more: int | None


def evaluation(case_id: UUID | None, version: int, found: Evaluation) -> PlacementAnswer:
    return PlacementAnswer(
        case_id=case_id, team=found.match.team, priority=found.match.priority, tags=found.match.tags,
        skills=found.match.skills, language=found.match.language,
        ruleset_version=version, rule=found.match.rule, because=found.match.because, assigned_at=None,
        why_not=why_not(found.earlier), why_not_more=found.earlier.more,
    )  # fmt: skip


def why_not(earlier: Earlier) -> list[WhyNotAnswer]:
    return [WhyNotAnswer.model_validate(each) for each in earlier.rules]


class ExampleAnswer(Answer):
    model_config = ConfigDict(frozen=True, from_attributes=True)

    case_id: UUID
    number: str | None
    rule_before: str | None
    rule_after: str | None


class MoveAnswer(Answer):
    model_config = ConfigDict(frozen=True, from_attributes=True)

    before: str
    after: str
    cases: int
    examples: list[ExampleAnswer]


class BacktestAnswer(Answer):
    """What ``ruleset_version`` would have done to stored cases, newest first, compared with ``against``.

    ``complete`` is false where time ran out before ``limit`` cases: ``cases`` were compared.
    """

    ruleset_version: int
    against: int
    cases: int
    complete: bool
    moved: int
    priority_changed: int
    to_fallback_before: int
    to_fallback_after: int
    moves: list[MoveAnswer]

    @classmethod
    def of(cls, version: int, against: int, found: Moves, complete: bool) -> Self:
        return cls(
            ruleset_version=version, against=against, cases=found.cases, complete=complete, moved=found.moved,
            priority_changed=found.priority_changed, to_fallback_before=found.to_fallback_before,
            to_fallback_after=found.to_fallback_after, moves=[MoveAnswer.model_validate(each) for each in found.moves],
        )  # fmt: skip
