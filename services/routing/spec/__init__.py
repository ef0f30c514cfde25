"""What admins write for routing: teams and rulesets. Strict, immutable documents. Pure."""

from services.routing.spec.rulesets import (
    MAX_RULES,
    FallbackSpec,
    HandOffRule,
    Language,
    Onward,
    RulesetSpec,
    RuleSpec,
    Skill,
    Then,
)
from services.routing.spec.teams import Assign, Member, TeamFallback, TeamSpec

__all__ = [
    "MAX_RULES",
    "Assign",
    "FallbackSpec",
    "HandOffRule",
    "Language",
    "Member",
    "Onward",
    "RuleSpec",
    "RulesetSpec",
    "Skill",
    "TeamFallback",
    "TeamSpec",
    "Then",
]
