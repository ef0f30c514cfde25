"""People, destinations, schedules and escalation policies: PUT, GET, DELETE, with their names checked."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter

from services.notify import rules
from services.notify.calendars.loop import AGAIN
from services.notify.calendars.loop import read as read_calendar
from services.notify.calendars.repetitions import Unreadable
from services.notify.lookout import outside_of
from services.notify.message import templates
from services.notify.model import CaseState
from services.notify.model.escalation import EscalationPolicySpec
from services.notify.model.rota import CalendarEvent
from services.notify.model.schedules import CalendarSpec, ScheduleSpec
from services.notify.model.specs import (
    CONSOLE,
    DEFAULT,
    KEYED,
    TEMPLATED,
    DestinationSpec,
    PersonSpec,
    TemplateSpec,
)
from services.notify.oncall.problems import of_schedule
from services.notify.store import calendars as stored_calendars
from services.notify.store.calendars import Due
from services.notify.store.configuration import DESTINATION, PERSON, POLICY, SCHEDULE, TEMPLATE, build, switch_on
from shared import resources
from shared.conditions import ConditionError
from shared.db import Tx
from shared.egress import Egress
from shared.errors import conflict, invalid
from shared.resources import Kind, Snapshot
from shared.runtime import Runtime

_SECRETS = {
    "webhook": 'write one to sign with; make it with: echo "whsec_$(openssl rand -base64 32)"',
    "pagerduty": "write the integration key of the service's Events API v2 integration",
    "opsgenie": "write the key of an API integration",
}
MAX_NAMED = 20  # unknown names that one error lists


def router(runtime: Runtime[CaseState], wake_calendars: asyncio.Event) -> APIRouter:
    whole = APIRouter()
    calendars = _Calendars(runtime, wake_calendars)
    catch_all = runtime.settings.catch_all
    egress = Egress(runtime.settings.egress_allow)

    def check_destination(name: str, spec: DestinationSpec, snapshot: Snapshot) -> None:
        _check_destination(name, spec, snapshot, egress)

    def destination_uses(snapshot: Snapshot, name: str) -> list[str]:
        return (
            _always(name, CONSOLE) + _always(name, catch_all, "CATCH_ALL") + _in_policies(snapshot, DESTINATION, name)
        )

    kinds = (
        Kind(PERSON, "/v1/people", PersonSpec, uses=_person_uses),
        Kind(
            DESTINATION,
            "/v1/destinations",
            DestinationSpec,  # a union, each of whose members is a Spec
            check=check_destination,
            uses=destination_uses,
            kept=_keep_secret,
            stored=switch_on,
        ),
        Kind(
            SCHEDULE,
            "/v1/schedules",
            ScheduleSpec,
            check=_check_schedule,
            uses=_schedule_uses,
            prepare=calendars.read,
            stored=calendars.keep,
        ),
        Kind(TEMPLATE, "/v1/templates", TemplateSpec, check=_check_template, uses=_template_uses),
        Kind(POLICY, "/v1/escalation-policies", EscalationPolicySpec, check=_check_policy, uses=_policy_uses),
    )
    for kind in kinds:
        whole.include_router(resources.routes(runtime, kind))
    return whole


class _Calendars:
    """Calendars that are written into the layers of a schedule: read before it is stored, kept with it."""

    def __init__(self, runtime: Runtime[CaseState], wake: asyncio.Event) -> None:
        self._runtime, self._wake = runtime, wake
        self._outside = outside_of(runtime.settings)
        self._ahead = timedelta(days=runtime.settings.look_ahead_days)
        self._egress = Egress(runtime.settings.egress_allow)

    async def read(self, spec: ScheduleSpec) -> list[tuple[CalendarSpec, list[CalendarEvent]]]:
        found = []
        for number, layer in enumerate(spec.layers):
            if layer.calendar is not None and layer.calendar.text is not None:
                try:
                    events = await read_calendar(layer.calendar.text, self._runtime.clock.now())
                except Unreadable as wrong:
                    raise invalid(f"layers.{number}.calendar.text: {wrong}") from None
                found.append((layer.calendar, events))
            elif layer.calendar is not None:
                refusal = self._egress.literal_refusal(urlsplit(layer.calendar.url or "").hostname or "")
                if refusal:
                    raise invalid(f"layers.{number}.calendar.url: {refusal}")
        return found

    async def keep(self, tx: Tx, name: str, read: list[tuple[CalendarSpec, list[CalendarEvent]]]) -> Mapping[str, Any]:
        """The answer says at once what cannot work."""
        now = self._runtime.clock.now()
        for calendar, events in read:
            due = Due(calendar.source, None, calendar.text, None, None)
            if await stored_calendars.keep(tx, due, events, now, now + AGAIN):
                await resources.touch(tx)
        built = await build(tx, await resources.snapshot(tx, 0))
        self._wake.set()
        return {"warnings": [each.text for each in of_schedule(built, name, self._outside, now, self._ahead)]}


def _check_destination(name: str, spec: DestinationSpec, snapshot: Snapshot, egress: Egress) -> None:
    _refuse_unknown({TEMPLATE: {spec.root.template} if spec.root.template else set()}, snapshot)
    if not isinstance(spec.root, KEYED):
        return
    if refusal := egress.literal_refusal(urlsplit(spec.root.url).hostname or ""):
        raise invalid(f"url: {refusal}")
    before = snapshot.of(DESTINATION).get(name)
    if not spec.root.secret and not _same_kind(spec, before.body if before else None):
        raise invalid(f"secret: {_SECRETS[spec.root.kind]}")


def _keep_secret(spec: DestinationSpec, before: Mapping[str, Any] | None) -> dict[str, Any]:
    body = spec.root.model_dump(mode="json", exclude_unset=True)
    if isinstance(spec.root, KEYED) and not spec.root.secret and before is not None:
        body["secret"] = before["secret"]
    return body


def _check_template(_name: str, spec: TemplateSpec, _snapshot: Snapshot) -> None:
    check_template(spec)


def check_template(spec: TemplateSpec) -> None:
    """Raises a 422 problem that says where and why."""
    for channel in TEMPLATED:
        words = spec.of(channel)
        for part in ("headline", "body"):
            try:
                templates.check(getattr(words, part, None) or "")
            except templates.BadTemplate as bad:
                raise invalid(f"{channel}.{part}: {bad}") from None


def _template_uses(snapshot: Snapshot, name: str) -> list[str]:
    found = snapshot.of(DESTINATION).values()
    return [f"{DESTINATION} {each.name}" for each in found if each.body.get("template") == name]


def _same_kind(spec: DestinationSpec, before: Mapping[str, Any] | None) -> bool:
    """Whether the secret that stands is one for this."""
    return before is not None and before.get("kind") == spec.root.kind and "secret" in before


def _check_schedule(_name: str, spec: ScheduleSpec, snapshot: Snapshot) -> None:
    named = {person for layer in spec.layers for person in layer.people or ()}
    _refuse_unknown({PERSON: named}, snapshot)


def _check_policy(name: str, spec: EscalationPolicySpec, snapshot: Snapshot) -> None:
    try:
        rules.check(spec)
    except ConditionError as wrong:
        raise invalid(str(wrong)) from None
    entries = [entry for step in spec.steps for entry in step.notify]
    named = {kind: {e.name for e in entries if e.kind == kind} for kind in (DESTINATION, PERSON, SCHEDULE)}
    named[DESTINATION] -= {CONSOLE}
    _refuse_unknown(named, snapshot)
    for other, resource in snapshot.of(POLICY).items():
        both = sorted(set(spec.teams) & set(resource.body.get("teams", ())))
        if other != name and both:
            raise conflict(
                "served-already", f"Escalation policy {other} serves {', '.join(both)}. Take the team out there first."
            )


def _refuse_unknown(named: Mapping[str, set[str]], snapshot: Snapshot) -> None:
    unknown = [f"{kind} {name}" for kind, names in named.items() for name in sorted(names - snapshot.of(kind).keys())]
    if unknown:
        raise invalid(
            f"There is no {', no '.join(unknown[:MAX_NAMED])}. PUT what is missing first, or correct the name."
        )


def _always(name: str, kept: str, why: str = "every team that no escalation policy names") -> list[str]:
    return [why] if name == kept else []


def _person_uses(snapshot: Snapshot, name: str) -> list[str]:
    schedules = [
        f"{SCHEDULE} {each.name}"
        for each in snapshot.of(SCHEDULE).values()
        if any(name in layer.get("people", ()) for layer in each.body["layers"])
    ]
    return schedules + _in_policies(snapshot, PERSON, name)


def _schedule_uses(snapshot: Snapshot, name: str) -> list[str]:
    return _in_policies(snapshot, SCHEDULE, name)


def _policy_uses(_snapshot: Snapshot, name: str) -> list[str]:
    return _always(name, DEFAULT)


def _in_policies(snapshot: Snapshot, kind: str, name: str) -> list[str]:
    return [
        f"{POLICY} {each.name}"
        for each in snapshot.of(POLICY).values()
        if any(entry.get(kind) == name for step in each.body["steps"] for entry in step["notify"])
    ]
