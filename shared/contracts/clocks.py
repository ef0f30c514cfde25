"""Events on ``clocks``, published by sla. Every clock instance ends with one of met, cancelled, withdrawn."""

from typing import ClassVar, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict

from shared.contracts.envelope import Because, EventData
from shared.contracts.words import Metric, Priority


class CaseSummary(BaseModel):
    """What a message to a person says about the case, so that a page waits for no other topic."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    number: str
    subject: str = ""
    excerpt: str = ""
    customer_name: str | None = None
    customer_tier: str | None = None
    customer_country: str | None = None
    url: str | None = None
    team: str | None = None
    priority: Priority = Priority.NORMAL
    tags: tuple[str, ...] = ()
    routed: Because | None = None  # why the case is with this team

    def without_person(self) -> Self:
        routed = Because(text=self.routed.text) if self.routed else None
        gone = {"subject": "", "excerpt": "", "customer_name": None, "customer_country": None, "url": None}
        return self.model_copy(update={**gone, "routed": routed})


class ClockEvent(EventData):
    """Fields every clock event has. ``version`` grows by one with each change of this instance."""

    clock_id: UUID
    metric: Metric
    instance: int
    version: int
    started_at: AwareDatetime
    due_at: AwareDatetime | None  # null while paused
    team: str | None = None
    policy: str | None = None  # null for `unassigned`, which is ours
    policy_version: int | None = None
    within: str  # ISO 8601 duration of the target, e.g. PT4H
    calendar: str = "24x7"
    time_zone: str = "UTC"  # of the calendar, so that a message can name local times
    history: bool = False
    because: Because


class ClockStarted(ClockEvent):
    TYPE: ClassVar[str] = "clock.started"


class ClockPaused(ClockEvent):
    TYPE: ClassVar[str] = "clock.paused"


class ClockResumed(ClockEvent):
    TYPE: ClassVar[str] = "clock.resumed"


class ClockRescheduled(ClockEvent):
    TYPE: ClassVar[str] = "clock.rescheduled"


class ClockWarned(ClockEvent):
    """``share`` of the target has passed (0.75 is 75 %). ``occurred_at`` is that instant."""

    TYPE: ClassVar[str] = "clock.warned"

    share: float
    left: str | None = None  # ISO 8601: the time left then, in the promise's own time
    fired_at: AwareDatetime
    lagging: bool = False  # fired although the service had not read everything: fire_grace ran out
    summary: CaseSummary

    def without_person(self) -> Self:
        return self.model_copy(update={"summary": self.summary.without_person()})


class ClockBreached(ClockEvent):
    """The promise was broken at ``occurred_at`` (its due time); ``fired_at`` is when we committed that."""

    TYPE: ClassVar[str] = "clock.breached"

    fired_at: AwareDatetime
    lagging: bool = False
    summary: CaseSummary

    def without_person(self) -> Self:
        return self.model_copy(update={"summary": self.summary.without_person()})


class ClockOverdue(ClockEvent):
    """A broken promise has passed ``over`` of its target on top (0.1 is 10 % over). ``occurred_at`` is that instant."""

    TYPE: ClassVar[str] = "clock.overdue"

    over: float
    level: int  # of the target's levels, from 1
    overdue_by: str  # ISO 8601, in the promise's own time
    fired_at: AwareDatetime
    lagging: bool = False
    summary: CaseSummary

    def without_person(self) -> Self:
        return self.model_copy(update={"summary": self.summary.without_person()})


class ClockMet(ClockEvent):
    """Kept, or kept late where ``breached`` is true. ``occurred_at`` is when the promise was fulfilled."""

    TYPE: ClassVar[str] = "clock.met"

    breached: bool


class ClockCancelled(ClockEvent):
    """No longer owed: the case was merged or closed, or no policy promises it any more."""

    TYPE: ClassVar[str] = "clock.cancelled"

    breached: bool


class ClockWithdrawn(ClockEvent):
    """A breach that was none: a reply that was in time arrived after the breach had fired."""

    TYPE: ClassVar[str] = "clock.withdrawn"

    breached: bool
