"""What a webhook's adapter takes and gives. Pure; its ``read`` never raises but for what it says.

An adapter is one file that ends in ``HOOK = Hook(…)``, and one line in ``services/intake/channels/__init__.py``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from pydantic import BaseModel

from services.intake.channels.adapter import Received, Rejected
from services.intake.model.posted import NewActivity, NewContact
from services.intake.model.sources import SourceSpec
from shared.contracts.words import Channel


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook as it came in."""

    url: str  # as the sender called it
    headers: Mapping[str, str]  # by lower-case name
    body: bytes


@dataclass(frozen=True, slots=True)
class Ignored:
    """An event that says nothing about a contact or a case."""

    event: str


class Unreadable(Exception):
    """A known event in a shape that cannot be read; says what is missing."""


Draft = NewContact | NewActivity
Outcome = tuple[Draft, ...] | Ignored | Rejected

# Why a delivery is not authentic and what to do; None where it is. Given the secrets in force and the time.
Verify = Callable[[Sequence[str], Delivery, datetime], str | None]


@dataclass(frozen=True, slots=True)
class Hook:
    """One kind of source.

    ``read`` may raise ``Unreadable`` and pydantic's ``ValidationError``. ``secret`` says what is wrong with a secret,
    or None. ``posted`` is the document that ``POST /v1/contacts/{kind}`` takes with an API key, where there is one.
    """

    channel: Channel
    verify: Verify
    secret: Callable[[str], str | None]
    read: Callable[[Delivery, Received, SourceSpec], tuple[Draft, ...] | Ignored]
    posted: type["Posted"] | None = None


class Posted(BaseModel, ABC):
    """A document of ours that says of itself what contacts and activities it is."""

    grows: ClassVar[bool] = False  # sent again when there is more of it: the same id with other content is no mistake

    source: str | None

    @abstractmethod
    def drafts(self, received: Received, source: SourceSpec) -> tuple[Draft, ...]: ...
