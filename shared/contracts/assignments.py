"""Events on ``assignments``, published by routing."""

from typing import ClassVar

from shared.contracts.envelope import Because, EventData
from shared.contracts.words import Priority


class CaseAssigned(EventData):
    """A case was placed with a team for the first time. ``rule`` is null when the fallback placed it."""

    TYPE: ClassVar[str] = "case.assigned"

    team: str
    priority: Priority
    tags: tuple[str, ...] = ()
    ruleset_version: int
    rule: str | None = None
    because: Because


class CaseHandedOff(EventData):
    """A case moved from one team to another; the customer's clocks go on."""

    TYPE: ClassVar[str] = "case.handed_off"

    team: str
    from_team: str
    priority: Priority
    tags: tuple[str, ...] = ()
    reason: str
    by: str
    because: Because
