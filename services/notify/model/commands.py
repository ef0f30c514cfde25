"""What people and the sender ask of a page and its deliveries: inputs of ``decide`` besides events and timers. Pure."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a send. ``later``: it was not accepted, try again; ``lost``: it may have arrived."""

    kind: Literal["sent", "later", "lost", "refused"]
    detail: str
    receipt: str | None = None
    retry_after: timedelta | None = None  # the provider's word; the lane waits too
    gone: bool = False  # the receiver wants nothing more, ever: the destination is switched off
    trouble: str | None = None  # what was wrong with it though it was sent
    copies: int | None = None  # how many of it the provider has, where it was asked after a lost answer


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody does with a page: ``by`` whom, ``via`` what, and from where (``origin``: key and address, user)."""

    page_id: UUID
    by: str
    via: str = field(default="api", kw_only=True)
    origin: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class Acknowledge(Act): ...


@dataclass(frozen=True, slots=True)
class TakeOver(Act):
    """Have in hand what somebody else acknowledged."""

    reason: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class Resolve(Act): ...


@dataclass(frozen=True, slots=True)
class Snooze(Act):
    until: datetime
    reason: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class Unsnooze(Act):
    """Take a snooze back."""

    reason: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class HandOver(Act):
    to_team: str
    reason: str


@dataclass(frozen=True, slots=True)
class Retry:
    """Send a delivery again that failed or waits."""

    delivery_id: UUID
    by: str


@dataclass(frozen=True, slots=True)
class Unmute:
    """A silence was taken back."""

    silence_id: UUID


@dataclass(frozen=True, slots=True)
class Claim:
    """The sender takes a delivery, perhaps for a digest; nobody else does before ``until``."""

    delivery_id: UUID
    token: UUID
    until: datetime
    digest_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """A delivery comes later: with the next digest."""

    delivery_id: UUID
    until: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Overdue:
    """A call waits too long for a lane that takes nothing now, and why that is so."""

    delivery_id: UUID
    reason: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """What came of a claimed delivery. Fenced: counts only while ``token`` is the claim that is out."""

    delivery_id: UUID
    token: UUID
    outcome: Outcome
