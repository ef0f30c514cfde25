"""What goes in and out of routing's routes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from services.routing.model import Earlier, RulesetState
from services.routing.rules.lint import Finding, Kind
from services.routing.rules.versions import Difference
from services.routing.spec import FallbackSpec, HandOffRule, RulesetSpec, RuleSpec, TestSpec
from services.routing.store import Listed, StoredRuleset
from shared.contracts.envelope import Because
from shared.contracts.spec import Whole
from shared.contracts.words import Priority
from shared.http import Answer, Strict

Line = Annotated[str, StringConstraints(max_length=2_000)]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1_000)]


class RulesetBody(RulesetSpec):
    """A ruleset, a note to whoever reads the list of versions, and the version that it was made from."""

    note: Annotated[str, StringConstraints(max_length=500)] | None = None
    based_on: Annotated[Whole, Field(ge=1, lt=2**31)] | None = None


class ActivateBody(Strict):
    """``expected_active``: refused where another version is active, so that two admins do not undo each other."""

    expected_active: Whole | None = None
    reason: Reason | None = None


class ForceBody(ActivateBody):
    """``force``: also where a test of the ruleset fails; with the reason, which is kept."""

    force: bool = False

    @model_validator(mode="after")
    def _why(self) -> Self:
        if self.force and self.reason is None:
            raise ValueError("force needs a reason: it is kept in the audit log")
        return self


class RollbackBody(ActivateBody):
    """``expected_active``: the version that is to go."""


class RetireBody(Strict):
    reason: Reason | None = None


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
    tests: tuple[TestSpec, ...]

    @classmethod
    def of(cls, stored: StoredRuleset, listed: Listed | None = None) -> Self:
        """``listed``: what became of it since it was read."""
        state, activated_at = (listed or stored).state, (listed or stored).activated_at
        return cls(
            version=stored.version, state=state, author=stored.author, note=stored.note,
            created_at=stored.created_at, activated_at=activated_at, based_on=stored.based_on,
            rules=stored.spec.rules, fallback=stored.spec.fallback, hand_off=stored.spec.hand_off,
            tests=stored.spec.tests,
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
        return cls(**dict(RulesetAnswer.of(stored)), warnings=[WarningAnswer.model_validate(each) for each in found])


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


def why_not(earlier: Earlier) -> list[WhyNotAnswer]:
    return [WhyNotAnswer.model_validate(each) for each in earlier.rules]
