"""A case's history, as far as it was walked: what was owed when, and what policies look at. Frozen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from shared.contracts.envelope import Because
from shared.contracts.words import Metric, Priority, Status


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch in which something is owed, whether or not a policy promises it."""

    metric: Metric
    instance: int
    started_at: datetime
    known_at: datetime  # when we learned of it: policies in force then make the promise
    history: bool = False  # of an imported contact: counted, and nobody is paged
    ended_at: datetime | None = None
    met: bool = False  # how it ended: fulfilled, or no longer owed
    why: str = ""  # it ended


@dataclass(frozen=True, slots=True)
class Context:
    """What policies look at besides the opening contact, from ``at`` on."""

    at: datetime
    team: str
    priority: Priority
    tags: tuple[str, ...]
    routed: Because | None = None


@dataclass(frozen=True, slots=True)
class Shift:
    """A change of some of that; None: as it was."""

    at: datetime
    team: str | None = None
    routed: Because | None = None
    priority: Priority | None = None
    tags: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Walk:
    """Where a case stands after some of its facts, in order."""

    began: datetime | None = None  # when the case opened
    count: int = 0  # facts walked
    until: datetime | None = None
    status: Status = Status.NEW
    statuses: tuple[tuple[datetime, Status], ...] = ()
    placed: Context | None = None  # as the first assignment set it
    placed_known_at: datetime | None = None
    team: str | None = None
    shifts: tuple[Shift, ...] = ()
    contacted: bool = False  # by a person
    replied: bool = False
    engaged: bool = False  # somebody replied or took the case
    merged: bool = False
    history: bool = False  # the customer's latest contact was imported
    instances: Mapping[Metric, int] = field(default_factory=dict)
    open: Mapping[Metric, Span] = field(default_factory=dict)
    spans: tuple[Span, ...] = ()  # ended
