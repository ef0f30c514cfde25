"""The state of cases: load and save in bulk, and what the API reads of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Row

from services.routing import rules
from services.routing.model import (
    Assignment,
    Canary,
    CaseState,
    Configuration,
    ContactFacts,
    Step,
    StepKind,
)
from services.routing.model.trials import TrialKind
from services.routing.recent import heard
from services.routing.spec import TeamSpec
from services.routing.store import issues, recent, trials
from services.routing.store.compiled import Versions
from services.routing.store.rulesets import TEAM, active
from shared.batch import Change, Input
from shared.contracts.contacts import ContactReceived
from shared.contracts.envelope import Because, Event
from shared.contracts.words import Priority, Status
from shared.db import Tx, from_json, to_json
from shared.ledger import Entry
from shared.pace import gently
from shared.resources import Configured, Snapshot

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class StoredAssignment:
    """Who has a case, how it came there (oldest first), and the contact that the rules saw."""

    case_id: UUID
    assignment: Assignment
    history: tuple[Step, ...]
    contact: ContactFacts | None


class RoutingStore:
    def __init__(self) -> None:
        self.configuration = Configured(self._build)
        self.versions = Versions()

    async def _build(self, tx: Tx, snapshot: Snapshot) -> Configuration:
        compiled = await self.versions.ready(tx, (await active(tx)).version)
        teams = {name: TeamSpec.model_validate(each.body) async for name, each in gently(snapshot.of(TEAM).items())}
        canary = await self._canary(tx, trials.configured(snapshot, TrialKind.CANARY))
        shadow = trials.configured(snapshot, TrialKind.SHADOW)
        self.versions.in_force = (compiled.version, canary.ruleset.version) if canary else (compiled.version,)
        return Configuration(snapshot.version, compiled, teams, canary, shadow.trial if shadow else None)

    async def _canary(self, tx: Tx, running: trials.Configured | None) -> Canary | None:
        """None also where a newer program refuses its rules: then the active version decides every case."""
        if running is None:
            return None
        try:
            return Canary(running.trial, running.share, await self.versions.ready(tx, running.version))
        except rules.RulesetError as wrong:
            log.error("the canary decides nothing", version=running.version, error=str(wrong)[:500])
            return None

    async def load(self, tx: Tx, case_ids: Sequence[UUID], now: datetime) -> Mapping[UUID, CaseState]:
        configuration = await self.configuration.read(tx)
        rows = await tx.rows(
            "SELECT c.case_id, a.team, a.priority, a.tags, a.ruleset_version, a.rule, a.because, a.assigned_at, a.by,"
            " a.skills, a.language, a.person, a.waiting, a.status, a.from_team, a.returns, a.fallen, k.erased,"
            " (SELECT coalesce(max(h.number), 0) FROM assignment_history h WHERE h.case_id = c.case_id)"
            " AS steps FROM unnest(CAST(:ids AS uuid[])) AS c (case_id)"
            " LEFT JOIN assignment a ON a.case_id = c.case_id LEFT JOIN contact k ON k.case_id = c.case_id"
            " ORDER BY c.case_id",
            ids=list(case_ids),
        )
        return {
            row.case_id: CaseState(
                row.case_id,
                configuration,
                _assignment(row),
                contact_known=row.erased is not None,
                erased=bool(row.erased),
                step_count=row.steps,
            )
            for row in rows
        }

    async def learn(
        self, tx: Tx, states: Mapping[UUID, CaseState], inputs: Sequence[Input], now: datetime
    ) -> Mapping[UUID, CaseState]:
        """The states with how often the customers of the contacts at hand contacted us of late."""
        contacts = [each.body.data for each in inputs if isinstance(each.body, Event)]
        brought = [heard(data, now) for data in contacts if isinstance(data, ContactReceived)]
        counted = await recent.counts(tx, [each for each in brought if each is not None], now)
        return {case_id: replace(state, recency=counted) for case_id, state in states.items()} if counted else states

    async def save(self, tx: Tx, changes: Sequence[Change[CaseState]], now: datetime) -> None:
        after = [change.after for change in changes]
        await _save_assignments(tx, [c.after for c in changes if c.after.assignment != c.before.assignment])
        await _save_steps(tx, [(state.case_id, step) for state in after for step in state.steps])
        await _save_contacts(tx, [(s.case_id, s.contact) for s in after if s.contact is not None])
        await _save_outcomes(tx, after)
        await recent.save(tx, [(state.case_id, each) for state in after for each in state.heard], now)
        await issues.save(tx, [(state.case_id, each) for state in after for each in state.issues])
        await trials.enrol(tx, [(state.case_id, each) for state in after for each in state.enrolled])
        erased = [c.after.case_id for c in changes if c.after.erased and not c.before.erased]
        if erased:
            await _erase(tx, erased)


def _assignment(row: Row[Any]) -> Assignment | None:
    if row.team is None:
        return None
    return Assignment(
        team=row.team,
        priority=Priority(row.priority),
        tags=tuple(from_json(row.tags)),
        ruleset_version=row.ruleset_version,
        rule=row.rule,
        because=Because.model_validate(from_json(row.because)),
        assigned_at=row.assigned_at,
        by=row.by,
        skills=tuple(from_json(row.skills)),
        language=row.language,
        person=row.person,
        waiting=row.waiting,
        status=Status(row.status),
        from_team=row.from_team,
        returns=row.returns,
        fallen=tuple(from_json(row.fallen)),
    )


async def _save_assignments(tx: Tx, states: Sequence[CaseState]) -> None:
    found = [(state.case_id, state.assignment) for state in states if state.assignment is not None]
    if not found:
        return
    await tx.run(
        "INSERT INTO assignment (case_id, team, priority, tags, ruleset_version, rule, because, assigned_at, by,"
        " skills, language, person, waiting, status, active, from_team, returns, fallen)"
        " SELECT case_id, team, priority, CAST(tags AS jsonb), ruleset_version, rule, CAST(because AS jsonb),"
        " assigned_at, by, CAST(skills AS jsonb), language, person, waiting, status, active, from_team, returns,"
        " CAST(fallen AS jsonb)"
        " FROM unnest(CAST(:cases AS uuid[]), CAST(:teams AS text[]), CAST(:priorities AS text[]),"
        " CAST(:tags AS text[]), CAST(:versions AS int[]), CAST(:rules AS text[]), CAST(:becauses AS text[]),"
        " CAST(:times AS timestamptz[]), CAST(:by AS text[]), CAST(:skills AS text[]), CAST(:languages AS text[]),"
        " CAST(:people AS text[]), CAST(:waiting AS boolean[]), CAST(:statuses AS text[]), CAST(:active AS boolean[]),"
        " CAST(:from_teams AS text[]), CAST(:returns AS int[]), CAST(:fallen AS text[]))"
        " AS n (case_id, team, priority, tags, ruleset_version, rule, because, assigned_at, by, skills, language,"
        " person, waiting, status, active, from_team, returns, fallen)"
        " ON CONFLICT (case_id) DO UPDATE SET team = excluded.team, priority = excluded.priority,"
        " tags = excluded.tags, ruleset_version = excluded.ruleset_version, rule = excluded.rule,"
        " because = excluded.because, assigned_at = excluded.assigned_at, by = excluded.by,"
        " skills = excluded.skills, language = excluded.language, person = excluded.person,"
        " waiting = excluded.waiting, status = excluded.status, active = excluded.active,"
        " from_team = excluded.from_team, returns = excluded.returns, fallen = excluded.fallen",
        cases=[case_id for case_id, _ in found],
        teams=[a.team for _, a in found],
        priorities=[a.priority.value for _, a in found],
        tags=[to_json(a.tags) for _, a in found],
        versions=[a.ruleset_version for _, a in found],
        rules=[a.rule for _, a in found],
        becauses=[to_json(a.because) for _, a in found],
        times=[a.assigned_at for _, a in found],
        by=[a.by for _, a in found],
        skills=[to_json(a.skills) for _, a in found],
        languages=[a.language for _, a in found],
        people=[a.person for _, a in found],
        waiting=[a.waiting for _, a in found],
        statuses=[a.status.value for _, a in found],
        active=[a.active for _, a in found],
        from_teams=[a.from_team for _, a in found],
        returns=[a.returns for _, a in found],
        fallen=[to_json(a.fallen) for _, a in found],
    )


async def _save_steps(tx: Tx, steps: Sequence[tuple[UUID, Step]]) -> None:
    if not steps:
        return
    await tx.run(
        "INSERT INTO assignment_history (case_id, number, kind, at, team, from_team, by, reason, because,"
        " person)"
        " SELECT case_id, number, kind, at, team, from_team, by, reason, CAST(because AS jsonb), person"
        " FROM unnest(CAST(:cases AS uuid[]), CAST(:numbers AS int[]), CAST(:kinds AS text[]),"
        " CAST(:times AS timestamptz[]), CAST(:teams AS text[]), CAST(:from_teams AS text[]), CAST(:by AS text[]),"
        " CAST(:reasons AS text[]), CAST(:becauses AS text[]), CAST(:people AS text[]))"
        " AS n (case_id, number, kind, at, team, from_team, by, reason, because, person)",
        cases=[case_id for case_id, _ in steps],
        numbers=[step.number for _, step in steps],
        kinds=[step.kind.value for _, step in steps],
        times=[step.at for _, step in steps],
        teams=[step.team for _, step in steps],
        from_teams=[step.from_team for _, step in steps],
        by=[step.by for _, step in steps],
        reasons=[step.reason for _, step in steps],
        becauses=[to_json(step.because) for _, step in steps],
        people=[step.person for _, step in steps],
    )


async def _save_contacts(tx: Tx, contacts: Sequence[tuple[UUID, ContactFacts]]) -> None:
    """New, or erased: the facts of a contact change in no other way."""
    if not contacts:
        return
    await tx.run(
        "INSERT INTO contact (case_id, at, facts, erased, number)"
        " SELECT case_id, at, CAST(facts AS jsonb), erased, number"
        " FROM unnest(CAST(:cases AS uuid[]), CAST(:times AS timestamptz[]), CAST(:facts AS text[]),"
        " CAST(:erased AS boolean[]), CAST(:numbers AS text[])) AS n (case_id, at, facts, erased, number)"
        " ON CONFLICT (case_id) DO UPDATE SET facts = excluded.facts, erased = excluded.erased",
        cases=[case_id for case_id, _ in contacts],
        times=[facts.at for _, facts in contacts],
        facts=[to_json(facts) for _, facts in contacts],
        erased=[facts.erased for _, facts in contacts],
        numbers=[facts.number for _, facts in contacts],
    )


async def _save_outcomes(tx: Tx, states: Sequence[CaseState]) -> None:
    brought = sorted(((s.case_id, o) for s in states for o in s.outcomes), key=lambda each: each[1].version)
    newest = {outcome.clock_id: (case_id, outcome) for case_id, outcome in brought}
    if not newest:
        return
    found = [newest[clock_id] for clock_id in sorted(newest)]
    await tx.run(
        "INSERT INTO outcome (clock_id, case_id, version, metric, instance, state, breached, team, started_at, due_at,"
        " at) SELECT * FROM unnest(CAST(:clocks AS uuid[]), CAST(:cases AS uuid[]), CAST(:versions AS int[]),"
        " CAST(:metrics AS text[]), CAST(:instances AS int[]), CAST(:states AS text[]), CAST(:breached AS boolean[]),"
        " CAST(:teams AS text[]), CAST(:started AS timestamptz[]), CAST(:due AS timestamptz[]),"
        " CAST(:times AS timestamptz[]))"
        " ON CONFLICT (clock_id) DO UPDATE SET version = excluded.version, state = excluded.state,"
        " breached = excluded.breached, team = excluded.team, due_at = excluded.due_at, at = excluded.at"
        " WHERE outcome.version < excluded.version",
        clocks=[o.clock_id for _, o in found],
        cases=[case_id for case_id, _ in found],
        versions=[o.version for _, o in found],
        metrics=[o.metric.value for _, o in found],
        instances=[o.instance for _, o in found],
        states=[o.state.value for _, o in found],
        breached=[o.breached for _, o in found],
        teams=[o.team for _, o in found],
        started=[o.started_at for _, o in found],
        due=[o.due_at for _, o in found],
        times=[o.at for _, o in found],
    )


async def _erase(tx: Tx, case_ids: Sequence[UUID]) -> None:
    await recent.erase(tx, case_ids)
    await issues.erase(tx, case_ids)
    rows = await tx.rows(
        "SELECT case_id, facts FROM contact WHERE case_id = ANY(CAST(:ids AS uuid[])) AND NOT erased ORDER BY case_id",
        ids=list(case_ids),
    )
    await _save_contacts(tx, [(r.case_id, ContactFacts.model_validate_json(r.facts).without_person()) for r in rows])
    await tx.run(
        "UPDATE assignment_history SET because = jsonb_set(because, '{facts,inputs}', '{}')"
        " WHERE case_id = ANY(CAST(:ids AS uuid[])) AND because->'facts' ? 'inputs'",
        ids=list(case_ids),
    )


# Reads and edits of the API


async def assignment(tx: Tx, case_id: UUID) -> StoredAssignment | None:
    row = await tx.one(
        "SELECT a.*, k.facts FROM assignment a LEFT JOIN contact k ON k.case_id = a.case_id WHERE a.case_id = :case_id",
        case_id=case_id,
    )
    standing = _assignment(row) if row else None
    if row is None or standing is None:
        return None
    steps = await tx.rows("SELECT * FROM assignment_history WHERE case_id = :case_id ORDER BY number", case_id=case_id)
    history = tuple(
        Step(s.number, StepKind(s.kind), s.at, s.team, s.from_team, s.by, s.reason,
             Because.model_validate(from_json(s.because)), s.person)
        for s in steps
    )  # fmt: skip
    return StoredAssignment(
        case_id, standing, history, ContactFacts.model_validate_json(row.facts) if row.facts else None
    )


async def case_id(tx: Tx, named: UUID | str) -> UUID | None:
    """The id of a case that was named by its id or number; None where no contact came with that number."""
    if isinstance(named, UUID):
        return named
    found: UUID | None = await tx.scalar(
        "SELECT case_id FROM contact WHERE number = :number ORDER BY case_id LIMIT 1", number=named
    )
    return found


async def contact(tx: Tx, case_id: UUID) -> ContactFacts | None:
    facts = await tx.scalar("SELECT facts FROM contact WHERE case_id = :case_id", case_id=case_id)
    return ContactFacts.model_validate_json(facts) if facts else None


async def ledger(tx: Tx) -> list[Entry]:
    """What routing did of what intake gave it: every case is placed once."""
    placed = await tx.scalar("SELECT count(*) FROM assignment")
    return [Entry("cases: intake→routing", "case", "done", placed)]
