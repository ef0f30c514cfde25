"""The state of cases: load and save in bulk, a fixed number of statements each."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter

from services.sla.model import Case, Clock, Fact, Gone, Opening
from services.sla.model.walk import Walk
from services.sla.store import rows, tables
from services.sla.store.configuration import build
from shared.batch import Change
from shared.bulk import update, upsert
from shared.contracts.clocks import CaseSummary
from shared.db import Tx
from shared.pace import gently
from shared.resources import Configured

_opening, _walk = TypeAdapter(Opening), TypeAdapter(Walk)
_facts, _gone = TypeAdapter(tuple[Fact, ...]), TypeAdapter(dict[UUID, Gone])


class SlaStore:
    def __init__(self) -> None:
        self.configuration = Configured(build)

    async def load(self, tx: Tx, case_ids: Sequence[UUID], now: datetime) -> Mapping[UUID, Case]:
        configuration = await self.configuration.read(tx)
        cases = await tx.records(
            "SELECT case_id, CAST(opening AS text), CAST(facts AS text), CAST(folded AS text), CAST(gone AS text),"
            " planned_with, owed, CAST(words AS text) FROM case_facts WHERE case_id = ANY(CAST(:ids AS uuid[]))"
            " ORDER BY case_id",
            ids=list(case_ids),
        )
        clocks = await tx.records(
            f"SELECT {rows.CLOCK} FROM clock WHERE case_id = ANY(CAST(:ids AS uuid[]))"
            " ORDER BY case_id, metric, instance",
            ids=list(case_ids),
        )
        standing: dict[UUID, list[Clock]] = {}
        async for row in gently(clocks):
            clock = rows.clock_of(row)
            standing.setdefault(clock.case_id, []).append(clock)
        found = {case_id: Case(case_id, configuration) for case_id in case_ids}
        async for case_id, opening, facts, folded, gone, planned_with, owed, words in gently(cases):
            found[case_id] = Case(
                case_id,
                configuration,
                _opening.validate_json(opening) if opening else None,
                _facts.validate_json(facts),
                _walk.validate_json(folded) if folded else None,
                tuple(standing.get(case_id, ())),
                {} if gone == "{}" else _gone.validate_json(gone),
                planned_with,
                owed,
                CaseSummary.model_validate_json(words) if words else None,
            )
        return found

    async def save(self, tx: Tx, changes: Sequence[Change[Case]], now: datetime) -> None:
        moved = [(change.before, change.after) for change in changes if change.after != change.before]
        before = {clock.id: clock for was, _ in moved for clock in was.clocks}
        pairs = [(before.pop(clock.id, None), clock) for _, case in moved for clock in case.clocks]
        fired = [clock for was, clock in pairs if was is not None and was != clock and rows.only_fired(was, clock)]
        whole = [clock for was, clock in pairs if was is None or (was != clock and not rows.only_fired(was, clock))]
        await upsert(
            tx, tables.case_facts, [case_row(case) async for was, case in gently(moved) if _case_moved(was, case)]
        )
        planned = [case for was, case in moved if was.planned_with != case.planned_with and not _case_moved(was, case)]
        await update(
            tx, tables.case_facts, [{"case_id": each.case_id, "planned_with": each.planned_with} for each in planned]
        )
        await upsert(tx, tables.clock, [rows.of_clock(clock) async for clock in gently(whole)])
        await update(tx, tables.clock, [rows.of_firing(clock) async for clock in gently(fired)])
        if before:
            await tx.run("DELETE FROM clock WHERE id = ANY(CAST(:ids AS uuid[]))", ids=sorted(before))


def _case_moved(was: Case, case: Case) -> bool:
    """Whether anything but single clocks changed; a timer that fires changes no more than its clock."""
    return any(
        getattr(was, name) is not getattr(case, name) and getattr(was, name) != getattr(case, name)
        for name in ("opening", "facts", "folded", "gone", "owed", "words")
    )


def case_row(case: Case) -> dict[str, Any]:
    return {
        "case_id": case.case_id,
        "number": case.opening.number if case.opening else None,
        "opening": _opening.dump_json(case.opening) if case.opening else None,
        "facts": _facts.dump_json(case.facts, exclude_defaults=True),
        "folded": _walk.dump_json(case.folded) if case.folded else None,
        "gone": _gone.dump_json(dict(case.gone)) if case.gone else b"{}",
        "gone_announced": sum(each.announced for each in case.gone.values()),
        "owed": case.owed,
        "planned_with": case.planned_with,
        "words": case.words.model_dump_json(exclude_defaults=True).encode() if case.words else None,
    }
