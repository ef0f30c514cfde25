"""Hand-off rules: what they may read of what happened on a case, and the first that matches. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self, TypeAlias

from services.routing.model import Assignment, Compiled, HandOffCondition, bounded
from services.routing.model.commands import Issue
from services.routing.rules.steps import Steps
from services.routing.spec import HandOffRule, RulesetSpec
from shared.conditions import ATTRIBUTES, BOOL, STRING, STRINGS, TIMESTAMP, ConditionError, Environment
from shared.contracts.contacts import CaseActivity

ISSUE_UPDATED = "issue_updated"  # the kind of activity that a linked issue is

ENVIRONMENT = Environment(
    {
        "activity.kind": STRING,
        "activity.actor": STRING,
        "activity.public": BOOL,
        "activity.automated": BOOL,
        "activity.status": STRING,
        "activity.priority": STRING,
        "activity.reason": STRING,
        "activity.attributes": ATTRIBUTES,
        "activity.added": STRINGS,  # tags that it added
        "activity.removed": STRINGS,
        "issue.url": STRING,
        "issue.status": STRING,
        "case.team": STRING,
        "case.from_team": STRING,
        "case.person": STRING,
        "case.status": STRING,
        "case.priority": STRING,
        "case.tags": STRINGS,
        "at": TIMESTAMP,
    }
)


@dataclass(frozen=True, slots=True)
class Happened:
    """What happened on a case, as hand-off rules see it."""

    kind: str
    at: datetime
    actor: str | None = None
    public: bool = False
    automated: bool = False
    status: str | None = None
    priority: str | None = None
    reason: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    issue: Issue | None = None

    @classmethod
    def of(cls, activity: CaseActivity, tags: tuple[str, ...]) -> Self:
        """``tags``: those that the case had before."""
        now = tags if activity.tags is None else activity.tags
        return cls(
            activity.kind.value, activity.occurred_at, activity.actor, activity.public, activity.automated,
            activity.status.value if activity.status else None, activity.priority.value if activity.priority else None,
            activity.reason, bounded(activity.attributes),
            tuple(tag for tag in now if tag not in tags), tuple(tag for tag in tags if tag not in now),
        )  # fmt: skip

    @classmethod
    def linked(cls, issue: Issue) -> Self:
        return cls(ISSUE_UPDATED, issue.updated_at, issue.by, issue=issue)


Refused: TypeAlias = tuple[HandOffRule, ConditionError]


def compiling(spec: RulesetSpec, accepted: bool) -> Steps[tuple[tuple[HandOffCondition, ...], list[Refused]]]:
    """The rules, and those that cannot be used; a rule at a time."""
    made: list[HandOffCondition] = []
    refused: list[Refused] = []
    for rule in spec.hand_off:
        try:
            condition = ENVIRONMENT.accepted(rule.when) if accepted else ENVIRONMENT.compile(rule.when)
            made.append(HandOffCondition(rule, condition))
        except ConditionError as wrong:
            refused.append((rule, wrong))
        yield
    return tuple(made), refused


def first(ruleset: Compiled, what: Happened, standing: Assignment) -> HandOffRule | None:
    """The first hand-off rule that matches; None of none."""
    if not ruleset.hand_off:
        return None
    activation = ENVIRONMENT.activation(_values(what, standing))
    return next((each.spec for each in ruleset.hand_off if each.condition.evaluate(activation).holds), None)


def _values(what: Happened, standing: Assignment) -> dict[str, Any]:
    return {
        "activity.kind": what.kind,
        "activity.actor": what.actor,
        "activity.public": what.public,
        "activity.automated": what.automated,
        "activity.status": what.status,
        "activity.priority": what.priority,
        "activity.reason": what.reason,
        "activity.attributes": dict(what.attributes),
        "activity.added": list(what.added),
        "activity.removed": list(what.removed),
        "issue.url": what.issue.url if what.issue else None,
        "issue.status": what.issue.status if what.issue else None,
        "case.team": standing.team,
        "case.from_team": standing.from_team,
        "case.person": standing.person,
        "case.status": standing.status.value,
        "case.priority": standing.priority.value,
        "case.tags": list(standing.tags),
        "at": what.at,
    }
