"""The outside world: what reached people, and how the providers behave. It forgets nothing."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from services.notify.model.commands import Outcome
from services.notify.senders import Parcel
from shared.clock import Clock

WAYS = ("slack", "email", "console", "webhook", "pagerduty", "opsgenie")


@dataclass(frozen=True, slots=True)
class Arrived:
    """One message that somebody got."""

    at: datetime
    way: str
    key: UUID
    case_number: str


@dataclass
class Sinks:
    """All providers. ``moods`` says which of them do not just take what they get: away, limited, refusing."""

    clock: Clock
    arrived: list[Arrived] = field(default_factory=list)
    by_key: dict[UUID, int] = field(default_factory=dict)
    digested: set[UUID] = field(default_factory=set)  # deliveries that a digest told of
    moods: dict[str, str] = field(default_factory=dict)

    def take(self, way: str, parcel: Parcel) -> Outcome:
        mood = self.moods.get(way)
        if mood == "away":
            return Outcome("later", "simulated: it does not answer")
        if mood == "limited":
            return Outcome("later", "simulated: too many", retry_after=timedelta(seconds=20))
        if mood == "refusing":
            return Outcome("refused", "simulated: no such address")
        self.digested.update(parcel.members)
        self.by_key[parcel.key] = self.by_key.get(parcel.key, 0) + 1
        number = parcel.message.facts.get("case_number")
        self.arrived.append(Arrived(self.clock.now(), way, parcel.key, str(number)))
        return Outcome("sent", "taken", receipt=f"{way}/{len(self.arrived)}")


class SinkSender:
    """One way out."""

    def __init__(self, sinks: Sinks, way: str) -> None:
        self._sinks, self._way = sinks, way

    async def send(self, parcel: Parcel) -> Outcome:
        return self._sinks.take(self._way, parcel)

    async def close(self) -> None:
        return None


class FindingSinkSender(SinkSender):
    """One that can be asked whether it has a message already."""

    async def find(self, parcel: Parcel) -> Outcome | None:
        copies = self._sinks.by_key.get(parcel.key, 0)
        if not copies or self._sinks.moods.get(self._way):
            return None
        return Outcome("sent", "it had arrived", receipt=f"{self._way}/found", copies=copies)


def senders(sinks: Sinks) -> dict[str, SinkSender]:
    return {way: (FindingSinkSender if way == "slack" else SinkSender)(sinks, way) for way in WAYS}
