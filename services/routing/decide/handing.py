"""A case is placed, and handed from team to team. Pure."""

from dataclasses import replace
from datetime import datetime

from services.routing.model import (
    MAX_HAND_OFFS,
    PING_PONG,
    Assignment,
    CaseState,
    Step,
    StepKind,
)
from services.routing.model.commands import HandOff
from shared.contracts.assignments import CaseAssigned, CaseHandedOff, CaseTaken
from shared.contracts.decision import Decision
from shared.contracts.envelope import Because

Decided = Decision[CaseState]


def place(state: CaseState, made: Assignment, reason: str | None = None, history: bool = False) -> Decided:
    """The case gets its first team. An imported one does not wait for a person."""
    event = CaseAssigned(
        case_id=state.case_id,
        occurred_at=made.assigned_at,
        team=made.team,
        priority=made.priority,
        tags=made.tags,
        ruleset_version=made.ruleset_version,
        rule=made.rule,
        because=made.because,
        skills=made.skills,
        language=made.language,
        person=made.person,
    )
    if not history and waits(state, made):
        made = replace(made, waiting=True)
    return Decision(_give(state, made, StepKind.ASSIGNED, reason), made.because, (event,))


def command(state: CaseState, wanted: HandOff, now: datetime) -> Decided:
    """A hand-off by hand. A refusal says which in ``because.facts["refused"]``, and the caller tells the person."""
    if state.assignment is None:
        return refused(state, "not-yet", "Nobody has this case yet, so it cannot be handed off")
    if refusal := _cannot(state, wanted):
        return refused(state, *refusal)
    return hand_off(state, state.assignment, wanted, now)


def asked(state: CaseState, wanted: HandOff, now: datetime) -> Decided:
    """A hand-off asked from a page. Topics have no order: a page may ask before we saw the contact."""
    if refusal := _cannot(state, wanted):
        decided = refused(state, *refusal)
        if refusal[0] == "same-team" or state.step_count >= MAX_HAND_OFFS:
            return decided
        standing = state.assignment.team if state.assignment else None
        step = Step(
            state.step_count + 1,
            StepKind.REFUSED,
            now,
            wanted.team,
            standing,
            wanted.by,
            wanted.reason,
            decided.because,
        )
        return replace(decided, state=add(state, step))
    if state.assignment is None:
        return _place_by_hand(state, wanted, now)
    return hand_off(state, state.assignment, wanted, now)


def _cannot(state: CaseState, wanted: HandOff) -> tuple[str, str] | None:
    team = state.configuration.teams.get(wanted.team)
    if team is None:
        return (
            "unknown-team",
            f"There is no team {wanted.team}. GET /v1/teams lists those there are",
        )
    if wanted.person is not None and not team.has(wanted.person):
        return (
            "unknown-member",
            f"{wanted.person} is no member of {wanted.team}. GET /v1/teams/{wanted.team} lists them",
        )
    standing = state.assignment
    if wanted.fallback and not (standing is not None and standing.waiting and wanted.team not in standing.fallen):
        return "not-waiting", "It waits for nobody any more, or has been with the team already"
    if standing is not None and standing.team == wanted.team and wanted.person in (None, standing.person):
        return "same-team", f"{wanted.person or wanted.team} has this case already"
    if state.step_count >= MAX_HAND_OFFS:
        return "too-many-hand-offs", f"This case was handed off {MAX_HAND_OFFS} times, which is the limit"
    return None


def hand_off(
    state: CaseState, standing: Assignment, wanted: HandOff, now: datetime, rule: str | None = None
) -> Decided:
    """From ``standing`` to what is wanted, which can be. ``rule`` is the hand-off rule that wants it."""
    if standing.team == wanted.team and wanted.person is not None:
        because = Because(text=f"{wanted.by} gave it to {wanted.person}: {wanted.reason}", facts={"by": wanted.by})
        return taken(state, standing, wanted.person, because, now, wanted.by, wanted.reason)
    back = standing.from_team == wanted.team
    returns = standing.returns + back
    text = f"{wanted.by} handed it from {standing.team} to {wanted.team}: {wanted.reason}"
    if back and returns >= PING_PONG:
        text += f". It came right back {returns} times by now: settle whose it is"
    because = Because(
        text=text,
        facts={"from_team": standing.team, "by": wanted.by, "ruleset_version": standing.ruleset_version,
               "rule": standing.rule, "hand_off_rule": rule, "returns": returns},
    )  # fmt: skip
    made = replace(
        standing, team=wanted.team, because=because, assigned_at=now, by=wanted.by, person=wanted.person,
        from_team=standing.team, returns=returns, fallen=(*standing.fallen, standing.team) if wanted.fallback else (),
    )  # fmt: skip
    made = replace(made, waiting=waits(state, made))
    event = CaseHandedOff(
        case_id=state.case_id,
        occurred_at=now,
        team=wanted.team,
        from_team=standing.team,
        priority=standing.priority,
        tags=standing.tags,
        reason=wanted.reason,
        by=wanted.by,
        because=because,
        person=wanted.person,
        returns=returns,
    )
    return Decision(_give(state, made, StepKind.HANDED_OFF, wanted.reason), because, (event,))


def _place_by_hand(state: CaseState, wanted: HandOff, now: datetime) -> Decided:
    ruleset = state.configuration.ruleset
    because = Because(
        text=f"{wanted.by} placed it with {wanted.team} before the rules did: {wanted.reason}",
        facts={"by": wanted.by, "ruleset_version": ruleset.version, "rule": None},
    )
    made = Assignment(wanted.team, ruleset.fallback.priority, (), ruleset.version, None, because, now, wanted.by)
    return place(state, made, wanted.reason)


def taken(
    state: CaseState, standing: Assignment, person: str | None, because: Because, now: datetime, by: str,
    reason: str | None = None,
) -> Decided:  # fmt: skip
    """A person of the team has the case, or (None) has it no more."""
    made = replace(standing, person=person, waiting=False)
    made = replace(made, waiting=waits(state, made))
    kind = StepKind.TAKEN if person else StepKind.RELEASED
    step = Step(
        state.step_count + 1, kind, now, standing.team, standing.team, by, reason, because, person or standing.person
    )
    event = CaseTaken(
        case_id=state.case_id,
        occurred_at=now,
        team=standing.team,
        person=person,
        from_person=standing.person,
        by=by,
        because=because,
    )
    return Decision(add(replace(state, assignment=made), step), because, (event,))


def waits(state: CaseState, standing: Assignment) -> bool:
    """Whether the desk has to find a person: the team is staffed, nobody has it, and there is work to do now."""
    team = state.configuration.teams.get(standing.team)
    return team is not None and team.staffed and standing.person is None and standing.active


def _give(state: CaseState, made: Assignment, kind: StepKind, reason: str | None) -> CaseState:
    """The case is ``made``'s from now on, and its history says so."""
    before = state.assignment.team if state.assignment else None
    step = Step(
        state.step_count + 1, kind, made.assigned_at, made.team, before, made.by, reason, made.because, made.person
    )
    return replace(state, assignment=made, step_count=step.number, steps=(*state.steps, step))


def add(state: CaseState, step: Step) -> CaseState:
    return replace(state, step_count=step.number, steps=(*state.steps, step))


def refused(state: CaseState, kind: str, text: str) -> Decided:
    return Decision(state, Because(text=text, facts={"refused": kind}))


def nothing(state: CaseState, text: str) -> Decided:
    return Decision(state, Because(text=text))
