"""What people write to keep quiet for a while: silences, also planned ones. Pure."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Self
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from services.notify.model.escalation import HoursSpec
from services.notify.model.specs import Reason
from shared.contracts.spec import Instant, Name, Spec
from shared.contracts.words import Metric

MAX_SILENCE = timedelta(days=366)

_NAMED = ("team", "case_id", "destination", "person", "metric", "tag")


class Effect(StrEnum):
    """What becomes of a message in scope: it waits for the end of the silence, or is never sent."""

    HOLD = "hold"
    SUPPRESS = "suppress"


class SilenceScope(Spec):
    """What a silence covers: all that it names must match."""

    team: Name | None = None
    case_id: UUID | None = None
    destination: Name | None = None
    person: Name | None = None
    metric: Metric | None = None
    tag: Annotated[str | None, StringConstraints(min_length=1, max_length=100)] = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not any(getattr(self, name) for name in _NAMED):
            raise ValueError(f"name at least one of {', '.join(_NAMED)}")
        return self


class SilenceSpec(Spec):
    """Messages in scope wait until it ends, or are never sent. With ``from`` ahead it is planned maintenance.

    ``during``: it recurs, and is in force only in these hours of the week.
    """

    scope: SilenceScope
    reason: Reason
    effect: Effect = Effect.HOLD
    from_: Annotated[Instant | None, Field(alias="from")] = None  # now, where left out
    until: Instant
    during: HoursSpec | None = None
