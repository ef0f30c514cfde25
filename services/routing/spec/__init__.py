"""What admins write for routing: teams and rulesets. Strict, immutable documents. Pure."""

from services.routing.spec.rulesets import (
    MAX_RULES,
    Expect,
    FallbackSpec,
    Given,
    GivenContact,
    HandOffRule,
    Language,
    Onward,
    RulesetSpec,
    RuleSpec,
    Skill,
    TestSpec,
    Then,
    When,
)
from services.routing.spec.teams import Assign, Member, TeamFallback, TeamSpec
from services.routing.spec.trials import CanaryTerms, RollbackSpec

__all__ = [
    "MAX_RULES",
    "Assign",
    "CanaryTerms",
    "Expect",
    "FallbackSpec",
    "Given",
    "GivenContact",
    "HandOffRule",
    "Language",
    "Member",
    "Onward",
    "RollbackSpec",
    "RuleSpec",
    "RulesetSpec",
    "Skill",
    "TeamFallback",
    "TeamSpec",
    "TestSpec",
    "Then",
    "When",
]
