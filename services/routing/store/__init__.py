"""All SQL of routing: its tables, the state of cases, the versions of the ruleset."""

from services.routing.store import audit, desks, issues, preparing, rulesets, trials
from services.routing.store.cases import (
    RoutingStore,
    StoredAssignment,
    assignment,
    case_id,
    contact,
    ledger,
)
from services.routing.store.rulesets import TEAM, Listed, StoredRuleset, first_start
from services.routing.store.tables import metadata

__all__ = [
    "TEAM",
    "Listed",
    "RoutingStore",
    "StoredAssignment",
    "StoredRuleset",
    "assignment",
    "audit",
    "case_id",
    "contact",
    "desks",
    "first_start",
    "issues",
    "ledger",
    "metadata",
    "preparing",
    "rulesets",
    "trials",
]
