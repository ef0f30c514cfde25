"""HTTP routes of routing: teams, rulesets and their lab, assignments."""

from fastapi import APIRouter

from services.routing.api import activation, assignments, rulesets
from services.routing.model import CaseState
from services.routing.spec import TeamSpec
from services.routing.store import TEAM, RoutingStore
from services.routing.store.rulesets import uses_of_team
from shared import resources
from shared.runtime import Runtime

TEAMS = resources.Kind(kind=TEAM, path="/v1/teams", model=TeamSpec, uses=uses_of_team)


def routes(runtime: Runtime[CaseState], store: RoutingStore) -> APIRouter:
    router = APIRouter()
    router.include_router(resources.routes(runtime, TEAMS))
    router.include_router(activation.routes(runtime, store))
    router.include_router(rulesets.routes(runtime, store))
    router.include_router(assignments.routes(runtime, store))
    return router
