"""Events on ``assignments``, published by routing."""

from typing import ClassVar

from shared.contracts.envelope import Because, EventData
from shared.contracts.words import Priority


class CaseAssigned(EventData):
    """A case was placed with a team for the first time. ``rule`` is null when the fallback placed it.

    ``skills`` and ``language`` are what the rule asks of the person who takes it.
    """

    TYPE: ClassVar[str] = "case.assigned"

    team: str
    priority: Priority
    tags: tuple[str, ...] = ()
    ruleset_version: int
    rule: str | None = None
    because: Because
    skills: tuple[str, ...] = ()
    language: str | None = None
    person: str | None = None  # of the team, where one has it from the start


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
    person: str | None = None  # of the new team, where one was named
    returns: int = 0  # how often the case came right back to a team it had left


class CaseTaken(EventData):
    """A person of the team has the case now; nobody, where ``person`` is null. The team stays."""

    TYPE: ClassVar[str] = "case.taken"

    team: str
    person: str | None = None
    from_person: str | None = None
    by: str
    because: Because
