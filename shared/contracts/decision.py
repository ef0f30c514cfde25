"""What ``decide(state, input, now)`` takes and gives, in every service."""

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar
from uuid import UUID

from shared.contracts.envelope import Because, EventData

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Fire ``step`` of ``subject`` (a clock or page) at ``due_at``. Upserted by (subject, step).

    ``version`` belongs to the subject: a timer that fires with another version than the subject has is stale.
    """

    subject: UUID
    step: str
    due_at: datetime
    version: int


@dataclass(frozen=True, slots=True)
class CancelTimer:
    """Remove one step of the subject, or all of them where ``step`` is None."""

    subject: UUID
    step: str | None = None


class Fired(NamedTuple):
    """A timer came due; an input of ``decide``.

    ``lagging``: the service had not read everything up to then. ``known``: until when it has read everything about the
    case, its due time at least; None: until now. What passed since must wait for its own knowledge.
    """

    case_id: UUID
    subject: UUID
    step: str
    due_at: datetime
    version: int
    lagging: bool = False
    known: datetime | None = None


@dataclass(frozen=True, slots=True)
class Replan:
    """The configuration changed; derive again with the one that the state now carries."""

    case_id: UUID


@dataclass(frozen=True, slots=True)
class Decision(Generic[S]):
    """The next state and what to tell the world, with the reason. Nothing here has happened yet."""

    state: S
    because: Because
    events: tuple[EventData, ...] = ()
    timers: tuple[SetTimer | CancelTimer, ...] = ()
