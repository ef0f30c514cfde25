"""Trials of a version beside the active one: a shadow decides nothing, a canary decides a share of cases. Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from uuid import UUID

from services.routing.spec import CanaryTerms

_PARTS = 2**64


class TrialKind(StrEnum):
    SHADOW = "shadow"
    CANARY = "canary"


class TrialState(StrEnum):
    """All but the first are for good."""

    RUNNING = "running"
    STOPPED = "stopped"  # a shadow, by hand, or because it went on as a canary
    PROMOTED = "promoted"  # a canary became the active version
    ABORTED = "aborted"  # a canary, by hand
    ROLLED_BACK = "rolled_back"  # a canary, by its own conditions
    SUPERSEDED = "superseded"  # another version became the active one: there is nothing to compare with any more


@dataclass(frozen=True, slots=True)
class Trial:
    """``version`` beside ``control``, the active version. ``restores``: the ruleset's state unless it is promoted.

    ``terms``: of a canary. ``report``: JSON of what it has shown, as last looked at.
    """

    number: int
    kind: TrialKind
    version: int
    control: int
    state: TrialState
    restores: str
    terms: CanaryTerms | None
    started_at: datetime
    started_by: str
    reason: str
    ended_at: datetime | None = None
    ended_by: str | None = None
    ended_because: str | None = None
    looked_at: datetime | None = None
    report: str | None = None


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A case that was placed while a trial runs. ``canary``: by the version on trial. ``fallback``: by no rule."""

    trial: int
    canary: bool
    fallback: bool
    at: datetime


def place(trial: int, case_id: UUID) -> float:
    """Where a case stands in a trial, from 0 to below 1: the same at every look, and another in every trial."""
    digest = blake2b(case_id.bytes, digest_size=8, salt=trial.to_bytes(16)).digest()
    return int.from_bytes(digest) / _PARTS
