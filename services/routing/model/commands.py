"""What people and the desk ask of a case. Pure."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from shared.contracts.envelope import Because


@dataclass(frozen=True, slots=True)
class HandOff:
    """Give the case to ``team``, and there to ``person`` where one is named.

    Refused (no event) where it has it, or where nobody has it yet. ``fallback``: by the standing team's fallback.
    """

    case_id: UUID
    team: str
    by: str
    reason: str
    person: str | None = None
    fallback: bool = False


@dataclass(frozen=True, slots=True)
class Give:
    """The desk gives a case that waits in ``team`` to ``person``; None: it waits no more, somebody is there."""

    case_id: UUID
    team: str
    person: str | None
    because: Because


@dataclass(frozen=True, slots=True)
class Release:
    """The person has the case no more; it waits for another of the team."""

    case_id: UUID
    person: str
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Issue:
    """Work elsewhere that a case waits for, named by its URL; ``status`` is in the words of its tracker."""

    url: str
    status: str
    title: str | None
    by: str
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class LinkIssue:
    """An issue was linked to the case, or its status changed."""

    case_id: UUID
    issue: Issue
