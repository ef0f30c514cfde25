"""The envelope around every event: CloudEvents 1.0 attributes plus a typed payload."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, NamedTuple, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, JsonValue


class Because(BaseModel):
    """Why something was decided: one plain sentence, and the facts it stands on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    facts: dict[str, JsonValue] = {}


class EventData(BaseModel):
    """Base of every event payload.

    ``TYPE`` is the short name (``contact.received``); on the wire it is ``dev.tocsin.<TYPE>.v1``.
    Unknown fields are ignored, so that a newer producer never stops an older consumer.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)
    TYPE: ClassVar[str]

    case_id: UUID
    occurred_at: AwareDatetime  # when it happened in the world, UTC

    def without_person(self) -> Self:
        """The same without the customer's identity and text; what counts and clocks are made of stays."""
        return self

    def to_json(self) -> bytes:
        return self.__pydantic_serializer__.to_json(self)


class Encoded(NamedTuple):
    """The payload of an event to publish, as JSON already: where very many are made of stored rows."""

    TYPE: str
    case_id: UUID
    occurred_at: datetime
    json: bytes

    def to_json(self) -> bytes:
        return self.json


@dataclass(frozen=True, slots=True)
class Event:
    """One event as a consumer sees it.

    ``sequence`` counts the events that one service published about one case (from 1), so events of one topic
    have a total order per case whatever the order of arrival. ``recorded_at`` is when the publisher committed it.
    """

    id: UUID
    source: str
    topic: str
    sequence: int
    recorded_at: datetime
    data: EventData
    traceparent: str | None = None

    @property
    def case_id(self) -> UUID:
        return self.data.case_id


@dataclass(frozen=True, slots=True)
class Outgoing:
    """The same as its publisher writes it."""

    id: UUID
    source: str
    topic: str
    sequence: int
    recorded_at: datetime
    data: EventData | Encoded
    traceparent: str | None = None
