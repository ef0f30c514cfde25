"""Trials of versions, and the cases that they learn from.

That one runs is configuration: its start and its end move the configuration version, which every batch holds. So from
the commit of either on, all replicas decide by it, and none before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from services.routing.lab import trials
from services.routing.lab.canary import Seen
from services.routing.model import ContactFacts, RulesetState
from services.routing.model.trials import Enrolment, Trial, TrialKind, TrialState
from services.routing.spec import CanaryTerms
from services.routing.store import audit
from services.routing.store.audit import Action
from shared import resources
from shared.audit import Actor
from shared.db import Tx, to_json

RULESET = "ruleset"  # the kind of resource that says which version is active, shadow or canary, and names its teams
_TRIAL = (
    "SELECT number, kind, version, control, state, restores, terms, started_at, started_by, reason, ended_at, ended_by,"
    " ended_because, looked_at, report FROM trial"
)


@dataclass(frozen=True, slots=True)
class Configured:
    """A running trial, as a batch needs to know it."""

    trial: int
    version: int
    share: float


def configured(snapshot: resources.Snapshot, kind: TrialKind) -> Configured | None:
    found = snapshot.of(RULESET).get(kind)
    return Configured(found.body["trial"], found.body["version"], found.body["share"]) if found else None


def _trial(r: Row[Any]) -> Trial:
    return Trial(
        r.number, TrialKind(r.kind), r.version, r.control, TrialState(r.state), r.restores,
        CanaryTerms.model_validate_json(r.terms) if r.terms else None, r.started_at, r.started_by, r.reason,
        r.ended_at, r.ended_by, r.ended_because, r.looked_at, r.report,
    )  # fmt: skip


async def running(tx: Tx) -> list[Trial]:
    return [_trial(row) for row in await tx.rows(f"{_TRIAL} WHERE state = 'running' ORDER BY number")]


async def trial(tx: Tx, number: int) -> Trial | None:
    row = await tx.one(f"{_TRIAL} WHERE number = :number", number=number)
    return _trial(row) if row else None


async def newest(tx: Tx, kind: TrialKind, version: int) -> Trial | None:
    row = await tx.one(
        f"{_TRIAL} WHERE version = :version AND kind = :kind ORDER BY number DESC LIMIT 1", version=version, kind=kind
    )
    return _trial(row) if row else None


async def listing(tx: Tx, limit: int, before: int | None) -> Sequence[Trial]:
    """Newest first; ``before`` is the number of the last one had already."""
    rows = await tx.rows(
        f"{_TRIAL} WHERE CAST(:before AS bigint) IS NULL OR number < :before ORDER BY number DESC LIMIT :limit",
        before=before,
        limit=limit,
    )
    return [_trial(row) for row in rows]


# Start and end. The caller holds the configuration row, then the trial's.


async def start(
    tx: Tx, kind: TrialKind, version: int, restores: RulesetState, teams: Mapping[str, str], control: int,
    terms: CanaryTerms | None, by: Actor, reason: str, now: datetime,
) -> int:  # fmt: skip
    """The number of the new trial. That it may start, ``lab.trials`` says."""
    number = int(
        await tx.scalar(
            "INSERT INTO trial (kind, version, control, state, restores, terms, started_at, started_by, reason)"
            " VALUES (:kind, :version, :control, 'running', :restores, CAST(:terms AS jsonb), :now, :by, :reason)"
            " RETURNING number",
            kind=kind,
            version=version,
            control=control,
            restores=restores,
            terms=to_json(terms) if terms else None,
            now=now,
            by=by.by,
            reason=reason,
        )
    )
    await tx.run("UPDATE ruleset SET state = :kind WHERE version = :version", kind=kind, version=version)
    body = {"trial": number, "version": version, "share": terms.share if terms else 0.0, "teams": teams}
    await resources.put(tx, RULESET, kind, body, by.by, now)
    await audit.write(tx, Action(f"{kind}_started"), version, None, by, reason, now)
    return number


async def end(tx: Tx, running: Trial, how: TrialState, by: Actor, because: str, now: datetime) -> Trial:
    """Raises ``ValueError`` where it cannot end like that."""
    done = trials.ended(running, how, by.by, because, now)
    await tx.run(
        "UPDATE trial SET state = :state, ended_at = :now, ended_by = :by, ended_because = :because"
        " WHERE number = :number",
        state=how,
        now=now,
        by=by.by,
        because=because,
        number=done.number,
    )
    await tx.run(
        "UPDATE ruleset SET state = :restores WHERE version = :version AND state = :kind",
        restores=done.restores,
        version=done.version,
        kind=done.kind,
    )
    await resources.delete(tx, RULESET, done.kind, by.by, now)
    await audit.write(tx, Action(f"{done.kind}_{how}"), done.version, None, by, because, now)
    return done


async def end_with_activation(tx: Tx, active: int, by: Actor, now: datetime) -> None:
    """No trial outlives the version that it compares with."""
    for each in await tx.rows(f"{_TRIAL} WHERE state = 'running' ORDER BY number FOR UPDATE"):
        how, because = trials.after_activation(_trial(each), active)
        await end(tx, _trial(each), how, by, because, now)


async def hold(tx: Tx, number: int, wait: bool = False) -> Trial | None:
    """A running trial, locked until the end of the transaction; None where another replica has it, or it ended."""
    row = await tx.one(
        f"{_TRIAL} WHERE number = :number AND state = 'running' FOR UPDATE {'' if wait else 'SKIP LOCKED'}",
        number=number,
    )
    return _trial(row) if row else None


async def looked(tx: Tx, number: int, report: object, now: datetime) -> None:
    await tx.run(
        "UPDATE trial SET report = CAST(:report AS jsonb), looked_at = :now WHERE number = :number",
        report=to_json(report),
        now=now,
        number=number,
    )


# The cases of running trials


async def enrol(tx: Tx, placed: Sequence[tuple[UUID, Enrolment]]) -> None:
    if not placed:
        return
    await tx.run(
        "INSERT INTO trial_case (trial, case_id, canary, fallback, at) SELECT * FROM unnest(CAST(:trials AS bigint[]),"
        " CAST(:cases AS uuid[]), CAST(:canaries AS boolean[]), CAST(:fallbacks AS boolean[]),"
        " CAST(:times AS timestamptz[]))",
        trials=[each.trial for _, each in placed],
        cases=[case_id for case_id, _ in placed],
        canaries=[each.canary for _, each in placed],
        fallbacks=[each.fallback for _, each in placed],
        times=[each.at for _, each in placed],
    )


async def waiting(tx: Tx, number: int) -> int:
    """Cases that a shadow has not compared yet."""
    return int(await tx.scalar("SELECT count(*) FROM trial_case WHERE trial = :number", number=number))


async def oldest(tx: Tx, number: int, limit: int) -> list[tuple[UUID, ContactFacts | None]]:
    """Cases with what the rules saw of them. The caller holds the trial, and says which are ``done``."""
    rows = await tx.rows(
        "SELECT t.case_id, k.facts FROM (SELECT case_id, at FROM trial_case WHERE trial = :number"
        " ORDER BY at, case_id LIMIT :limit) t LEFT JOIN contact k ON k.case_id = t.case_id ORDER BY t.at, t.case_id",
        number=number,
        limit=limit,
    )
    return [(row.case_id, ContactFacts.model_validate_json(row.facts) if row.facts else None) for row in rows]


async def done(tx: Tx, number: int, cases: Sequence[UUID]) -> None:
    await tx.run(
        "DELETE FROM trial_case WHERE trial = :number AND case_id = ANY(CAST(:cases AS uuid[]))",
        number=number,
        cases=list(cases),
    )


async def keep_newest(tx: Tx, number: int, most: int, at_once: int) -> int:
    """How many older cases were given up, so that not more than ``most`` are kept."""
    return await tx.run(
        "DELETE FROM trial_case WHERE trial = :number AND case_id IN (SELECT case_id FROM trial_case"
        " WHERE trial = :number ORDER BY at DESC, case_id DESC OFFSET :most LIMIT :at_once)",
        number=number,
        most=most,
        at_once=at_once,
    )


async def forget(tx: Tx, at_once: int) -> int:
    """Cases of a trial that ended; no batch adds to those."""
    return await tx.run(
        "DELETE FROM trial_case WHERE (trial, case_id) IN (SELECT trial, case_id FROM trial_case WHERE trial ="
        " (SELECT number FROM trial t WHERE state <> 'running' AND EXISTS (SELECT FROM trial_case"
        " WHERE trial = t.number) ORDER BY number LIMIT 1) ORDER BY case_id LIMIT :at_once FOR UPDATE SKIP LOCKED)",
        at_once=at_once,
    )


async def sides(tx: Tx, number: int, watch: timedelta, most: int, now: datetime) -> tuple[Seen, Seen]:
    """Canary and control, of the newest ``most`` cases.

    Hand-offs by people count, not those by a rule. A promise counts from when it was due, kept or broken, so that
    neither is known before the other.
    """
    rows = await tx.rows(
        "SELECT t.canary, count(*) AS cases, count(*) FILTER (WHERE t.fallback) AS fallback,"
        " count(*) FILTER (WHERE t.at <= :ripe) AS watched, count(*) FILTER (WHERE t.at <= :ripe AND h.moved)"
        " AS handed_off, count(*) FILTER (WHERE o.known) AS known, count(*) FILTER (WHERE o.breached) AS breached"
        " FROM (SELECT case_id, canary, fallback, at FROM trial_case WHERE trial = :number"
        " ORDER BY at DESC, case_id DESC LIMIT :most) t"
        " CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM assignment_history WHERE case_id = t.case_id"
        " AND kind = 'handed_off' AND because->'facts'->>'hand_off_rule' IS NULL"
        " AND at <= t.at + CAST(:watch AS interval)) AS moved) h"
        " CROSS JOIN LATERAL (SELECT count(*) > 0 AS known, coalesce(bool_or(breached), false) AS breached FROM outcome"
        " WHERE case_id = t.case_id AND metric <> 'unassigned' AND (breached OR state = 'met')"
        " AND coalesce(due_at, at) <= :now) o GROUP BY t.canary ORDER BY t.canary",
        number=number,
        ripe=now - watch,
        watch=watch,
        most=most,
        now=now,
    )
    found = {
        row.canary: Seen(
            cases=row.cases, fallback=row.fallback, watched=row.watched, handed_off=row.handed_off, known=row.known,
            breached=row.breached,
        )
        for row in rows
    }  # fmt: skip
    return found.get(True, Seen()), found.get(False, Seen())
