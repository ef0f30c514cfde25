"""The state of cases: load and save in bulk, a fixed number of statements each."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import Row

from services.sla.model import Case, Clock, Fact, Firing, Gone, Level, Opening, Pause, Terms, Walk
from services.sla.store import tables
from services.sla.store.configuration import build
from shared.batch import Change
from shared.bulk import upsert
from shared.contracts.envelope import Because
from shared.contracts.words import ClockState, Metric, Status
from shared.db import Tx
from shared.resources import Configured

_opening, _walk = TypeAdapter(Opening), TypeAdapter(Walk)
_facts, _gone = TypeAdapter(tuple[Fact, ...]), TypeAdapter(dict[UUID, Gone])
_levels, _pauses = TypeAdapter(tuple[Level, ...]), TypeAdapter(tuple[Pause, ...])
_shares, _statuses = TypeAdapter(tuple[float, ...]), TypeAdapter(tuple[Status, ...])


class SlaStore:
    def __init__(self) -> None:
        self.configuration = Configured(build)

    async def load(self, tx: Tx, case_ids: Sequence[UUID], now: datetime) -> Mapping[UUID, Case]:
        configuration = await self.configuration.read(tx)
        rows = await tx.rows(
            "SELECT * FROM case_facts WHERE case_id = ANY(CAST(:ids AS uuid[])) ORDER BY case_id", ids=list(case_ids)
        )
        clocks = await tx.rows(
            "SELECT * FROM clock WHERE case_id = ANY(CAST(:ids AS uuid[])) ORDER BY case_id, metric, instance",
            ids=list(case_ids),
        )
        standing: dict[UUID, list[Clock]] = {}
        for row in clocks:
            standing.setdefault(row.case_id, []).append(clock_of(row))
        found = {case_id: Case(case_id, configuration) for case_id in case_ids}
        for row in rows:
            found[row.case_id] = Case(
                row.case_id,
                configuration,
                _opening.validate_json(row.opening) if row.opening else None,
                _facts.validate_json(row.facts),
                _walk.validate_json(row.folded) if row.folded else None,
                tuple(standing.get(row.case_id, ())),
                _gone.validate_json(row.gone),
                row.planned_with,
            )
        return found

    async def save(self, tx: Tx, changes: Sequence[Change[Case]], now: datetime) -> None:
        moved = [(change.before, change.after) for change in changes if change.after != change.before]
        before = {clock.id: clock for was, _ in moved for clock in was.clocks}
        after = [clock for _, case in moved for clock in case.clocks]
        await upsert(tx, tables.case_facts, [_case_row(case) for was, case in moved if _case_moved(was, case)])
        await upsert(tx, tables.clock, [_clock_row(clock) for clock in after if before.pop(clock.id, None) != clock])
        if before:
            await tx.run("DELETE FROM clock WHERE id = ANY(CAST(:ids AS uuid[]))", ids=sorted(before))


def _case_moved(was: Case, case: Case) -> bool:
    """Whether anything but single clocks changed; a timer that fires changes no more than its clock."""
    return _open(was.clocks) != _open(case.clocks) or any(
        getattr(was, name) != getattr(case, name) for name in ("opening", "facts", "folded", "gone", "planned_with")
    )


def _open(clocks: Iterable[Clock]) -> int:
    return sum(not clock.ended for clock in clocks)


def _case_row(case: Case) -> dict[str, Any]:
    return {
        "case_id": case.case_id,
        "number": case.opening.number if case.opening else None,
        "opening": _opening.dump_python(case.opening, mode="json") if case.opening else None,
        "facts": _facts.dump_python(case.facts, exclude_defaults=True, mode="json"),
        "folded": _walk.dump_python(case.folded, mode="json") if case.folded else None,
        "gone": _gone.dump_python(dict(case.gone), mode="json"),
        "gone_announced": sum(each.announced for each in case.gone.values()),
        "open_clocks": _open(case.clocks),
        "planned_with": case.planned_with,
    }


def _clock_row(clock: Clock) -> dict[str, Any]:
    terms, firing = clock.terms, clock.firing
    same = (
        *("id", "case_id", "instance", "started_at", "due_at", "warned_at", "breached_at", "met_at", "ended_at"),
        *("team", "history", "promised_at", "libraries", "version", "announced"),
    )
    return {name: getattr(clock, name) for name in same} | {
        "metric": clock.metric.value,
        "state": clock.state.value,
        "policy": terms.policy,
        "policy_version": terms.policy_version,
        "calendar": terms.calendar,
        "calendar_version": terms.calendar_version,
        "zone": terms.zone,
        "within": terms.within,
        "warn_at": _shares.dump_python(terms.warn_at, mode="json"),
        "pause_on": _statuses.dump_python(terms.pause_on, mode="json"),
        "levels": _levels.dump_python(clock.levels, mode="json"),
        "pauses": _pauses.dump_python(clock.pauses, mode="json"),
        "warned_share": firing.warned_share,
        "warned_fired_at": firing.warned_fired_at,
        "breach_announced_at": firing.breached_at,
        "breach_fired_at": firing.breach_fired_at,
        "because": clock.because,
    }


def clock_of(row: Row[Any]) -> Clock:
    """The clock in a row of its table."""
    return Clock(
        id=row.id,
        case_id=row.case_id,
        metric=Metric(row.metric),
        instance=row.instance,
        state=ClockState(row.state),
        started_at=row.started_at,
        terms=Terms(
            within=row.within,
            calendar=row.calendar,
            zone=row.zone,
            policy=row.policy,
            policy_version=row.policy_version,
            calendar_version=row.calendar_version,
            warn_at=_shares.validate_json(row.warn_at),
            pause_on=_statuses.validate_json(row.pause_on),
        ),
        promised_at=row.promised_at,
        due_at=row.due_at,
        levels=_levels.validate_json(row.levels),
        pauses=_pauses.validate_json(row.pauses),
        team=row.team,
        history=row.history,
        libraries=row.libraries,
        ended_at=row.ended_at,
        met_at=row.met_at,
        breached_at=row.breached_at,
        warned_at=row.warned_at,
        firing=Firing(row.warned_share, row.warned_fired_at, row.breach_announced_at, row.breach_fired_at),
        because=Because.model_validate_json(row.because),
        version=row.version,
        announced=row.announced,
    )
