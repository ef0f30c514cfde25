"""Calendars and policies: what one document cannot check alone."""

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import APIRouter

from services.sla import calendar
from services.sla.api import versions
from services.sla.decide.policies import ALWAYS_NAME, BUILT_IN, ENVIRONMENT
from services.sla.model import Calendar, Case
from services.sla.model.spec import CalendarSpec, PolicySpec, Target
from services.sla.store import CALENDAR, POLICY
from shared import resources
from shared.conditions import ConditionError
from shared.contracts import duration
from shared.errors import conflict, invalid
from shared.resources import Kind, Snapshot
from shared.runtime import Runtime


def _stored(spec: Any, _before: Mapping[str, Any] | None) -> dict[str, Any]:
    body: dict[str, Any] = spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return body


def _targets(snapshot: Snapshot) -> Iterator[tuple[str, Target]]:
    """Every target of every policy, with the policy's name."""
    for name, each in snapshot.of(POLICY).items():
        for target in PolicySpec.model_validate(each.body).targets:
            yield name, target


def _check_calendar(name: str, spec: CalendarSpec, snapshot: Snapshot) -> None:
    hours = calendar.compiled(name, 0, spec)
    if name == ALWAYS_NAME and not hours.always:
        raise invalid(f"{ALWAYS_NAME} is open around the clock, always. Give other hours another name.")
    for policy, target in _targets(snapshot):
        if target.calendar == name:
            _check_hours(f"policy {policy}, ", target, hours)


def _uses_of_calendar(snapshot: Snapshot, name: str) -> list[str]:
    uses = sorted({f"policy {policy}" for policy, target in _targets(snapshot) if target.calendar == name})
    return [*uses, "whatever names no calendar"] if name == ALWAYS_NAME else uses


def _check_policy(name: str, spec: PolicySpec, snapshot: Snapshot) -> None:
    try:
        ENVIRONMENT.compile(spec.when)
    except ConditionError as wrong:
        raise invalid(f"when: {wrong}") from None
    for other, resource in snapshot.of(POLICY).items():
        if other != name and resource.body["position"] == spec.position:
            raise conflict("position-taken", f"Policy {other} is at position {spec.position}. Choose another position.")
    for target in spec.targets:
        _check_hours("", target, _hours(target, snapshot))


def _hours(target: Target, snapshot: Snapshot) -> Calendar:
    stored = snapshot.of(CALENDAR).get(target.calendar)
    if stored is not None:
        return calendar.compiled(stored.name, stored.version, CalendarSpec.model_validate(stored.body))
    if target.calendar == ALWAYS_NAME:
        return BUILT_IN
    here = f"PUT /v1/calendars/{target.calendar} first"
    raise invalid(f"{target.metric}: there is no calendar {target.calendar}. {here}, or name one that there is.")


def _check_hours(whose: str, target: Target, hours: Calendar) -> None:
    """Business time has no days, and a deadline must be found within the years that are searched."""
    try:
        within = duration.parse(target.within, business=not hours.always)
        for mark in (*target.warn_at, *target.overdue_at):
            if isinstance(mark, str):
                duration.parse(mark, business=not hours.always)
    except ValueError as wrong:
        raise invalid(f"{whose}{target.metric}: {wrong}") from None
    within *= 1 + max(target.overdue, default=0.0)
    if not hours.always and within > calendar.weekly_time(hours) * calendar.MAX_WEEKS:
        detail = (
            f"{target.within} is more than calendar {hours.name} opens in four years. Promise less, or open longer."
        )
        raise invalid(f"{whose}{target.metric}: {detail}")


def routes(runtime: Runtime[Case]) -> APIRouter:
    calendars = Kind(CALENDAR, "/v1/calendars", CalendarSpec, _check_calendar, _uses_of_calendar, kept=_stored)
    policies = Kind(POLICY, "/v1/policies", PolicySpec, _check_policy, kept=_stored)
    router = APIRouter()
    router.include_router(resources.routes(runtime, calendars))
    router.include_router(resources.routes(runtime, policies))
    router.include_router(versions.routes(runtime, CALENDAR, calendars.path))
    router.include_router(versions.routes(runtime, POLICY, policies.path))
    return router
