"""What goes in and out of the routes of trials."""

from datetime import datetime
from typing import Self

from pydantic import ConfigDict

from services.routing.api.shapes import ForceBody, Reason
from services.routing.lab.canary import CanaryReport
from services.routing.lab.shadow import ShadowReport
from services.routing.model.trials import Trial, TrialKind, TrialState
from services.routing.spec import CanaryTerms, RollbackSpec
from shared.http import Answer, Strict


class WhyBody(Strict):
    """``reason`` is kept in the audit log."""

    reason: Reason


class CanaryBody(CanaryTerms, ForceBody):
    """As activating: refused where a test fails, unless forced, and where another version is active than expected."""

    reason: Reason


class PromoteBody(ForceBody):
    reason: Reason


class TrialItem(Answer):
    """A shadow or canary of ``version`` beside ``control``, the version that was active when it started.

    ``share`` and ``rollback`` are a canary's.
    """

    model_config = ConfigDict(frozen=True)

    number: int
    kind: TrialKind
    version: int
    control: int
    state: TrialState
    share: float | None
    rollback: RollbackSpec | None
    started_at: datetime
    started_by: str
    reason: str
    ended_at: datetime | None
    ended_by: str | None
    ended_because: str | None

    @classmethod
    def of(cls, trial: Trial) -> Self:
        terms = trial.terms
        return cls(
            number=trial.number, kind=trial.kind, version=trial.version, control=trial.control, state=trial.state,
            share=terms.share if terms else None, rollback=terms.rollback if terms else None,
            started_at=trial.started_at, started_by=trial.started_by, reason=trial.reason, ended_at=trial.ended_at,
            ended_by=trial.ended_by, ended_because=trial.ended_because,
        )  # fmt: skip


class TrialAnswer(TrialItem):
    """With what it has shown, as of ``looked_at``; ``waiting`` are cases that the shadow has not compared yet."""

    looked_at: datetime | None
    waiting: int
    shadow: ShadowReport | None
    canary: CanaryReport | None

    @classmethod
    def whole(cls, trial: Trial, waiting: int) -> Self:
        report, shadow, canary = trial.report, None, None
        if trial.kind == TrialKind.SHADOW:
            shadow = ShadowReport.model_validate_json(report) if report else ShadowReport()
        else:
            canary = CanaryReport.model_validate_json(report) if report else CanaryReport()
        item = TrialItem.of(trial).model_dump()
        return cls(**item, looked_at=trial.looked_at, waiting=waiting, shadow=shadow, canary=canary)
