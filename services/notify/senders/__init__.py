"""How a message leaves: one file for each kind of destination, and the loop that claims, sends and records."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable
from uuid import UUID

from services.notify.message import Message
from services.notify.model.commands import Outcome
from services.notify.model.specs import AnyDestination


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message with its address. ``key`` is the same for every try, so that the receiver can tell a repeat."""

    key: UUID
    message: Message
    address: AnyDestination
    act_url: str | None  # a signed page on which a person acknowledges; None where there is nothing to acknowledge
    at: datetime  # when it is sent
    destination: str | None = None  # its name, where it is not a person's address
    members: tuple[UUID, ...] = ()  # the deliveries of a digest
    lost_since: datetime | None = None  # an earlier try got no answer: it may have arrived since then
    known_as: str | None = None  # the provider's own name for the address


class Sender(Protocol):
    """Sends by one kind of provider."""

    async def send(self, parcel: Parcel) -> Outcome:
        """Try once. Says what came of it; raises only what is a bug. The caller bounds its time."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class Finder(Protocol):
    """A sender whose provider can be asked whether it has a message already."""

    async def find(self, parcel: Parcel) -> Outcome | None:
        """The outcome of an earlier try that had arrived, with how often; None where it had not, or nobody can say."""
        ...
