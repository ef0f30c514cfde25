"""What the scenes share: the server and what stands around it, the screen, and what earlier scenes learned."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.demo.arrivals import Morning
from services.demo.claims import Failed
from services.demo.client import Client
from services.demo.mailbox import Mailbox
from services.demo.screen import Screen
from services.demo.server import OwnServer
from services.demo.slack import SlackStandIn
from shared.clock import Clock


@dataclass(frozen=True, slots=True)
class Hero:
    """The case that the demo follows."""

    contact: dict[str, Any]  # as posted
    contact_id: str
    case_id: str
    number: str


@dataclass(slots=True)
class Stage:
    screen: Screen
    clock: Clock
    server: OwnServer
    slack: SlackStandIn
    mailbox: Mailbox
    api: Client
    seed: int
    contacts: int
    # What scenes learn, in order
    morning: Morning = field(default_factory=Morning)
    accepted: dict[str, dict[str, Any]] = field(default_factory=dict)  # the 202 answers, by external_id
    ruleset: int = 0
    known_hero: Hero | None = None
    due_at: datetime | None = None
    page_id: str = ""

    @property
    def hero(self) -> Hero:
        if self.known_hero is None:
            raise Failed("The hero was not posted yet.")
        return self.known_hero

    @property
    def deadline(self) -> datetime:
        if self.due_at is None:
            raise Failed("The hero's promise is not known yet.")
        return self.due_at

    @property
    def cases(self) -> set[str]:
        return {answer["case_id"] for answer in self.accepted.values()}
