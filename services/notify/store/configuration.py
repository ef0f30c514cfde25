"""What admins configured: as one typed value; and the objects of a first start."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from services.notify.model import Configuration, Policy, Rota
from services.notify.model.escalation import DEFAULT_POLICY, EscalationPolicySpec
from services.notify.model.hours import windows
from services.notify.model.rota import AnyLayer, Calendar, Schedule
from services.notify.model.schedules import ScheduleSpec
from services.notify.model.specs import (
    CONSOLE,
    DEFAULT,
    DEFAULT_DESTINATION,
    DestinationSpec,
    PersonSpec,
    TemplateSpec,
)
from services.notify.oncall.calendars import layer_of
from services.notify.store import calendars as stored
from services.notify.store import schedules
from shared import resources
from shared.db import Tx
from shared.ids import secret
from shared.resources import Resource, Snapshot

PERSON, DESTINATION, SCHEDULE, POLICY = "person", "destination", "schedule", "escalation-policy"
TEMPLATE = "template"
_SYSTEM = "tocsin"


async def build(tx: Tx, snapshot: Snapshot) -> Configuration:
    """The configuration that a snapshot, the overrides and the calendars stand for."""
    overrides = await schedules.overrides(tx)
    people = {n: PersonSpec.model_validate(r.body) for n, r in snapshot.of(PERSON).items()}
    specs = {n: ScheduleSpec.model_validate(r.body) for n, r in snapshot.of(SCHEDULE).items()}
    read = {source for spec in specs.values() for source in spec.sources}
    calendars = await stored.calendars(tx, read)
    return Configuration(
        version=snapshot.version,
        people=people,
        destinations={n: DestinationSpec.model_validate(r.body).root for n, r in snapshot.of(DESTINATION).items()},
        schedules={
            n: Rota(schedule(spec, people, calendars), tuple(overrides.get(n, ()))) for n, spec in specs.items()
        },
        policies={n: _policy(r) for n, r in snapshot.of(POLICY).items()},
        templates={n: TemplateSpec.model_validate(r.body) for n, r in snapshot.of(TEMPLATE).items()},
        off=await _off(tx),
        calendars={source: calendars.get(source, Calendar(source)) for source in sorted(read)},
    )


async def _off(tx: Tx) -> dict[str, str]:
    rows = await tx.rows("SELECT destination, reason FROM off ORDER BY destination")
    return {row.destination: row.reason for row in rows}


async def kind_of(tx: Tx, name: str) -> str | None:
    """The kind of a destination; None where there is none of this name."""
    kind: str | None = await tx.scalar(
        "SELECT body ->> 'kind' FROM resource WHERE kind = :kind AND name = :name", kind=DESTINATION, name=name
    )
    return kind


async def switch_off(tx: Tx, name: str, reason: str, now: datetime) -> None:
    """Send nothing more to a destination."""
    await resources.version(tx, "FOR UPDATE")
    made = await tx.run(
        "INSERT INTO off (destination, reason, at) VALUES (:name, :reason, :now) ON CONFLICT DO NOTHING",
        name=name,
        reason=reason,
        now=now,
    )
    if made:
        await resources.touch(tx)


async def switch_on(tx: Tx, name: str, _prepared: None) -> Mapping[str, Any]:
    """A destination was written again. The caller holds the configuration row."""
    if await tx.run("DELETE FROM off WHERE destination = :name", name=name):
        await resources.touch(tx)
    return {}


def schedule(spec: ScheduleSpec, people: Mapping[str, PersonSpec], calendars: Mapping[str, Calendar]) -> Schedule:
    """A schedule as a value, with what is known of its calendars and of people now."""
    layers: list[AnyLayer] = []
    for layer in spec.layers:
        if layer.calendar is None:
            layers.append(layer.rotation())
        else:
            events = calendars.get(layer.calendar.source, Calendar(layer.calendar.source)).events
            layers.append(layer_of(layer.calendar.source, events, people, layer.zone or spec.zone))
    return Schedule(spec.zone, tuple(layers), windows(spec.covers))


def _policy(resource: Resource) -> Policy:
    return Policy(resource.name, resource.version, EscalationPolicySpec.model_validate(resource.body))


async def signing_key(tx: Tx) -> str:
    """The secret that signs the links in mails; the same for every replica."""
    sealed = await tx.scalar("SELECT value FROM signing_key WHERE name = 'links'")
    key = tx.seal.open(str(sealed))
    if key is None:
        raise LookupError("the key of our links was sealed with another TOCSIN_SECRET_KEY: add that one after a comma")
    return key


async def first_start(tx: Tx, now: datetime) -> None:
    """What one contact needs to end in a page on the console."""
    await tx.run(
        "INSERT INTO signing_key (name, value) VALUES ('links', :value) ON CONFLICT DO NOTHING",
        value=tx.seal.seal(secret("links")),
    )
    snapshot = await resources.snapshot(tx, await resources.version(tx, "FOR UPDATE"))
    made: Mapping[tuple[str, str], Any] = {
        (DESTINATION, CONSOLE): DEFAULT_DESTINATION,
        (POLICY, DEFAULT): DEFAULT_POLICY,
    }
    for (kind, name), spec in made.items():
        if name not in snapshot.of(kind):
            body = spec.model_dump(mode="json", exclude_unset=True)
            await resources.put(tx, kind, name, body, _SYSTEM, now)
