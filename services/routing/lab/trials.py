"""When a trial may start, and how it ends: once, for good. Pure.

A version is in one trial at a time, and at most one trial of each kind runs. A trial compares with the version that was
active when it started, so it ends when another becomes active.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from services.routing.model import RulesetState
from services.routing.model.trials import Trial, TrialKind, TrialState

WAYS_TO_END = {
    TrialKind.SHADOW: (TrialState.STOPPED, TrialState.SUPERSEDED),
    TrialKind.CANARY: (TrialState.PROMOTED, TrialState.ABORTED, TrialState.ROLLED_BACK, TrialState.SUPERSEDED),
}
ENDS_BY_HAND = {TrialKind.SHADOW: TrialState.STOPPED, TrialKind.CANARY: TrialState.ABORTED}


def why_not(kind: TrialKind, version: int, state: RulesetState, running: Sequence[Trial]) -> str | None:
    """Why a version cannot be tried now, and what to do; None where it can."""
    if state == RulesetState.ACTIVE:
        return f"Version {version} is active already. Try another one beside it."
    same = next((each for each in running if each.kind == kind), None)
    if same is not None:
        how = "Stop" if kind == TrialKind.SHADOW else "Promote or abort"
        return f"A {kind} of version {same.version} runs already, and one is all there can be. {how} it first."
    if kind == TrialKind.SHADOW and any(each.version == version for each in running):
        return f"Version {version} is a canary, which is compared already. See its report."
    return None


def goes_on(version: int, running: Iterable[Trial]) -> Trial | None:
    """The shadow of a version that becomes a canary: it ends with that."""
    return next((each for each in running if each.version == version and each.kind == TrialKind.SHADOW), None)


def ended(trial: Trial, how: TrialState, by: str, because: str, now: datetime) -> Trial:
    """Raises ``ValueError`` where it ended before, or a trial of its kind does not end like that."""
    if trial.state != TrialState.RUNNING:
        raise ValueError(f"{trial.kind} {trial.number} is {trial.state} already")
    if how not in WAYS_TO_END[trial.kind]:
        raise ValueError(f"a {trial.kind} is never {how}")
    return replace(trial, state=how, ended_at=now, ended_by=by, ended_because=because)


def after_activation(trial: Trial, active: int) -> tuple[TrialState, str]:
    """How a running trial ends when a version becomes active, and why."""
    if trial.version == active and trial.kind == TrialKind.CANARY:
        return TrialState.PROMOTED, f"Version {active} is active for every case"
    if trial.version == active:
        return TrialState.SUPERSEDED, f"Version {active} itself became active"
    text = f"Version {active} became active: there is nothing to compare with version {trial.control} any more"
    return TrialState.SUPERSEDED, text
