"""Events on ``pages``, published by notify."""

from typing import ClassVar
from uuid import UUID

from shared.contracts.envelope import Because, EventData


class PageEvent(EventData):
    page_id: UUID
    team: str | None = None
    because: Because


class PageOpened(PageEvent):
    TYPE: ClassVar[str] = "page.opened"

    clocks: tuple[UUID, ...]
    escalation_policy: str


class PageEscalated(PageEvent):
    """A step of the escalation policy ran. ``round`` counts repeats from 0, ``step`` from 0."""

    TYPE: ClassVar[str] = "page.escalated"

    step: int
    round: int
    targets: tuple[str, ...]


class PageSent(PageEvent):
    TYPE: ClassVar[str] = "page.sent"

    delivery_id: UUID
    target: str


class PageFailed(PageEvent):
    TYPE: ClassVar[str] = "page.failed"

    delivery_id: UUID
    target: str


class PageAcknowledged(PageEvent):
    """A person took the page. For sla this meets the team's `pickup` clock."""

    TYPE: ClassVar[str] = "page.acknowledged"

    by: str


class HandoverAsked(PageEvent):
    """Somebody asked, from the page, that routing hands the case to ``to_team``."""

    TYPE: ClassVar[str] = "page.handover_asked"

    to_team: str
    by: str
    reason: str


class PageResolved(PageEvent):
    TYPE: ClassVar[str] = "page.resolved"

    by: str | None = None  # null when all its clocks ended


class PageExhausted(PageEvent):
    """Every step and repeat ran and nobody acknowledged; the page went to the catch-all."""

    TYPE: ClassVar[str] = "page.exhausted"
