"""The desk gives waiting cases to people. Whom, ``staffing`` says; here is whether it still holds. Pure."""

from dataclasses import replace
from datetime import datetime

from services.routing.decide.handing import Decided, nothing, refused, taken
from services.routing.model import MAX_HAND_OFFS, CaseState
from services.routing.model.commands import Give, Release

DESK = "the desk"  # who gives a case to a person when no person does


def give(state: CaseState, gift: Give, now: datetime) -> Decided:
    standing = state.assignment
    if standing is None or not standing.waiting or standing.team != gift.team:
        return nothing(state, "It waits for nobody in this team any more")
    if gift.person is None:
        return replace(nothing(state, gift.because.text), state=_settled(state))
    if state.step_count >= MAX_HAND_OFFS:
        text = f"It changed hands {MAX_HAND_OFFS} times, which is the limit: somebody must take it by themselves"
        return replace(nothing(state, text), state=_settled(state))
    return taken(state, standing, gift.person, gift.because, now, DESK)


def _settled(state: CaseState) -> CaseState:
    assert state.assignment is not None
    return replace(state, assignment=replace(state.assignment, waiting=False))


def release(state: CaseState, wanted: Release, now: datetime) -> Decided:
    """The case waits for another person, at the place in the queue that it had."""
    standing = state.assignment
    if standing is None or standing.person != wanted.person:
        return nothing(state, f"{wanted.person} does not have it any more")
    if state.step_count >= MAX_HAND_OFFS:
        return refused(state, "too-many-hand-offs", f"It changed hands {MAX_HAND_OFFS} times, which is the limit")
    because = standing.because.model_copy(
        update={"text": f"{wanted.person} has it no more: {wanted.reason}", "facts": {"by": wanted.by}}
    )
    return taken(state, standing, None, because, now, wanted.by, wanted.reason)
