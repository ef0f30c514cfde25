"""Who held a case from when to when, and how often it came right back. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.routing.model import PING_PONG, Step, StepKind
from shared.contracts.envelope import Because


@dataclass(frozen=True, slots=True)
class Spell:
    """A team, and of it a person or nobody, had the case; ``until`` is None for whoever has it now."""

    team: str
    person: str | None
    since: datetime
    until: datetime | None
    by: str
    reason: str | None
    because: Because


@dataclass(frozen=True, slots=True)
class Custody:
    """``returns``: hand-offs that gave the case right back to the team that had it before; ``between`` which teams."""

    spells: tuple[Spell, ...]
    hand_offs: int
    returns: int
    between: tuple[str, ...]

    @property
    def flagged(self) -> bool:
        return self.returns >= PING_PONG


def custody(steps: Sequence[Step]) -> Custody:
    """From the history of a case, oldest first."""
    moves = [step for step in steps if step.kind is not StepKind.REFUSED]
    spells = [
        Spell(
            step.team,
            None if step.kind is StepKind.RELEASED else step.person,
            step.at,
            moves[place + 1].at if place + 1 < len(moves) else None,
            step.by,
            step.reason,
            step.because,
        )
        for place, step in enumerate(moves)
    ]
    handed = [step for step in moves if step.kind is StepKind.HANDED_OFF]
    came_from = [None, *(step.from_team for step in handed)]
    back = [step for before, step in zip(came_from, handed, strict=False) if before == step.team]
    between = sorted({team for step in back for team in (step.team, step.from_team) if team})
    return Custody(tuple(spells), len(handed), len(back), tuple(between))
