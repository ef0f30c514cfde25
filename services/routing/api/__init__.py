"""HTTP routes of routing: teams, rulesets and their lab, assignments."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter

from services.routing.api import activation, assignments, custody, lab, people, rulesets, trials
from services.routing.model import CaseState
from services.routing.preparing import Preparing
from services.routing.spec import TeamSpec
from services.routing.store import TEAM, RoutingStore
from services.routing.store.rulesets import uses_of_team
from shared import resources
from shared.errors import Problem, invalid
from shared.runtime import Runtime


def _stored(team: Any, _before: Mapping[str, Any] | None) -> dict[str, Any]:
    body: dict[str, Any] = team.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return body


def _check(name: str, team: Any, snapshot: resources.Snapshot) -> None:
    fallback = team.fallback.team if team.fallback else None
    if fallback == name:
        raise invalid("fallback.team: a team is no fallback of itself. Name another, or leave it out.")
    if fallback is not None and fallback not in snapshot.of(TEAM):
        raise Problem(422, "unknown-team", f"fallback.team: there is no team {fallback}. Make it first.")


TEAMS = resources.Kind(kind=TEAM, path="/v1/teams", model=TeamSpec, check=_check, uses=uses_of_team, kept=_stored)


def routes(runtime: Runtime[CaseState], store: RoutingStore, preparing: Preparing) -> APIRouter:
    router = APIRouter()
    router.include_router(resources.routes(runtime, TEAMS))
    router.include_router(people.routes(runtime, store))
    router.include_router(custody.routes(runtime))
    router.include_router(activation.routes(runtime, preparing))
    router.include_router(lab.routes(runtime, store))
    router.include_router(trials.routes(runtime, preparing))
    router.include_router(rulesets.routes(runtime, store))
    router.include_router(assignments.routes(runtime, store))
    return router
