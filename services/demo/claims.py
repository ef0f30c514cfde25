"""Every claim that the demo makes, with whether what was measured bears it out."""

from dataclasses import dataclass, field


class Failed(Exception):
    """The demo cannot go on; the text says why and what to do."""


class Refused(Failed):
    """The API answered with a problem."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Claim:
    text: str
    held: bool


@dataclass(slots=True)
class Claims:
    made: list[Claim] = field(default_factory=list)

    def check(self, held: bool, text: str, otherwise: str) -> Claim:
        """Keep a claim. ``otherwise`` says plainly what is true instead."""
        claim = Claim(text if held else otherwise, held)
        self.made.append(claim)
        return claim

    @property
    def broken(self) -> list[Claim]:
        return [claim for claim in self.made if not claim.held]
