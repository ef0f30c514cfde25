"""What admins configured: as one typed value; and the objects of a first start."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from services.notify.model import Configuration, Policy, Rota, rota
from services.notify.model.specs import (
    CONSOLE,
    DEFAULT,
    DEFAULT_DESTINATION,
    DEFAULT_POLICY,
    DestinationSpec,
    EscalationPolicySpec,
    PersonSpec,
    ScheduleSpec,
)
from shared import resources
from shared.contracts import duration
from shared.db import Tx
from shared.ids import secret
from shared.resources import Resource, Snapshot

PERSON, DESTINATION, SCHEDULE, POLICY = "person", "destination", "schedule", "escalation-policy"
MAX_OVERRIDES = 1_000  # of one schedule; the newest count
_SYSTEM = "tocsin"


async def build(tx: Tx, snapshot: Snapshot) -> Configuration:
    """The configuration that a snapshot and the overrides stand for."""
    overrides = await _overrides(tx)
    return Configuration(
        version=snapshot.version,
        people={n: PersonSpec.model_validate(r.body) for n, r in snapshot.of(PERSON).items()},
        destinations={n: DestinationSpec.model_validate(r.body).root for n, r in snapshot.of(DESTINATION).items()},
        schedules={n: Rota(schedule(r), tuple(overrides.get(n, ()))) for n, r in snapshot.of(SCHEDULE).items()},
        policies={n: _policy(r) for n, r in snapshot.of(POLICY).items()},
    )


def schedule(resource: Resource) -> rota.Schedule:
    spec = ScheduleSpec.model_validate(resource.body)
    layers = tuple(rota.Layer(each.people, each.start, duration.parse(each.turn)) for each in spec.layers)
    return rota.Schedule(spec.zone, layers)


def _policy(resource: Resource) -> Policy:
    return Policy(resource.name, resource.version, EscalationPolicySpec.model_validate(resource.body))


async def _overrides(tx: Tx) -> dict[str, list[rota.Override]]:
    rows = await tx.rows('SELECT schedule, person, start, "end" FROM override ORDER BY schedule, created_at, id')
    found: dict[str, list[rota.Override]] = {}
    for row in rows:
        found.setdefault(row.schedule, []).append(rota.Override(row.person, row.start, row.end))
    return found


async def overrides_of(tx: Tx, name: str) -> Sequence[Any]:
    """The rows of one schedule's overrides, in the order in which they count."""
    return await tx.rows(
        'SELECT id, person, start, "end", created_at, created_by FROM override WHERE schedule = :schedule'
        " ORDER BY created_at, id",
        schedule=name,
    )


async def add_override(tx: Tx, override_id: UUID, name: str, override: rota.Override, by: str, now: datetime) -> bool:
    """False where the schedule has as many as it may. The caller holds the configuration row."""
    if await tx.scalar("SELECT count(*) FROM override WHERE schedule = :schedule", schedule=name) >= MAX_OVERRIDES:
        return False
    await tx.run(
        'INSERT INTO override (id, schedule, person, start, "end", created_at, created_by)'
        " VALUES (:id, :schedule, :person, :start, :end, :now, :by)",
        id=override_id,
        schedule=name,
        person=override.person,
        start=override.start,
        end=override.end,
        now=now,
        by=by,
    )
    await resources.touch(tx)
    return True


async def remove_override(tx: Tx, name: str, override_id: UUID) -> bool:
    gone = await tx.run("DELETE FROM override WHERE id = :id AND schedule = :schedule", id=override_id, schedule=name)
    if gone:
        await resources.touch(tx)
    return bool(gone)


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
