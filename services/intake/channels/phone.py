"""A call record. Pure.

An inbound call is a contact, also where nobody answered it; one that a person answered is answered at once: it is an
agent's public reply too. An outbound call that was answered is an agent's public reply; an attempt is a note.
"""

from datetime import timedelta
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from services.intake.channels import signatures
from services.intake.channels.adapter import Received
from services.intake.channels.hook import Delivery, Draft, Hook, Posted
from services.intake.channels.shape import activity, contact, lenient, parsed
from services.intake.model.posted import (
    BODY_LIMIT,
    Attributes,
    Identifier,
    Line,
    Moment,
    NewCustomer,
    Source,
    Tags,
    Url,
)
from services.intake.model.sources import SourceSpec
from shared.contracts import duration
from shared.contracts.spec import Strict
from shared.contracts.words import ActivityKind, Channel


def _length(text: str) -> str:
    duration.parse(text)
    return text


Number = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60)]
Length = Annotated[str, StringConstraints(max_length=40), AfterValidator(_length)]
Talk = Annotated[str, StringConstraints(max_length=BODY_LIMIT)]


class CallRecord(Strict, Posted):
    """One telephone call, sent once, when it is over."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "call-2041",
                    "source": "pbx",
                    "direction": "inbound",
                    "outcome": "missed",
                    "started_at": "2026-11-22T07:03:00Z",
                    "duration": "PT45S",
                    "from": "+353 1 234 5678",
                    "to": "+353 1 800 0000",
                    "recording_url": "https://pbx.example/recordings/2041",
                }
            ]
        }
    )

    id: Identifier = Field(description="Of the call, in its source; the same again is the same call")
    source: Source | None = None
    direction: Literal["inbound", "outbound"] = "inbound"
    outcome: Literal["answered", "missed", "voicemail", "busy", "failed"]
    started_at: Moment
    answered_at: Moment | None = None
    duration: Length | None = Field(None, description="ISO 8601, for example PT3M20S")
    from_: Number | None = Field(None, alias="from", description="Who called; the customer of an inbound call")
    to: Number | None = None
    agent: Line | None = Field(None, description="Who answered, or who called")
    thread: Identifier | None = Field(None, description="The conversation it belongs to; its own where left out")
    case_id: UUID | None = Field(None, description="Outbound: the case it is about, instead of source and thread")
    subject: Annotated[str, StringConstraints(max_length=500)] = ""
    transcript: Talk = ""
    notes: Talk = ""
    recording_url: Url | None = None
    url: Url | None = None
    customer: NewCustomer = NewCustomer()
    language: Annotated[str, StringConstraints(max_length=35)] | None = None
    reason: Annotated[str, StringConstraints(max_length=100)] | None = None
    tags: Tags = ()
    attributes: Attributes = Field(default_factory=dict)

    @model_validator(mode="after")
    def _belongs_somewhere(self) -> Self:
        if self.direction == "outbound" and not (self.thread or self.case_id):
            raise ValueError("an outbound call is about a case: give its thread, or its case_id")
        if self.direction == "inbound" and self.case_id:
            raise ValueError("an inbound call has no case_id: give the thread that it belongs to")
        return self

    def drafts(self, received: Received, source: SourceSpec) -> tuple[Draft, ...]:
        if self.direction == "outbound":
            return (self._called(received),)
        called = contact(
            received,
            self.started_at,
            channel=Channel.PHONE,
            external_id=self.id,
            thread=self.thread or self.id,
            url=self.url,
            customer={**self.customer.model_dump(), "phone": self.customer.phone or self.from_},
            subject=self.subject or title(self.outcome, self.from_, self._seconds),
            body="\n\n".join(text for text in (self.transcript.strip(), self.notes.strip()) if text),
            language=self.language,
            reason=self.reason,
            tags=self.tags,
            attributes=self.attributes | facts(self.outcome, self.to, self._seconds, self.recording_url),
        )
        if self.outcome != "answered":
            return (called,)
        answered = activity(
            received,
            self.answered_at or self.started_at,
            kind=ActivityKind.AGENT_REPLIED,
            thread=self.thread or self.id,
            external_id=self.id,
            actor=self.agent,
            text="Answered the call.",
        )
        return called, answered

    def _called(self, received: Received) -> Draft:
        answered = self.outcome == "answered"
        attempt = "" if answered else f"Called {self.to or 'the customer'}: {_NOT_REACHED[self.outcome]}."
        said = (attempt, self.transcript.strip(), self.notes.strip(), self.recording_url or "")
        return activity(
            received,
            (self.answered_at if answered else None) or self.started_at,
            kind=ActivityKind.AGENT_REPLIED if answered else ActivityKind.NOTE_ADDED,
            case_id=self.case_id,
            thread=self.thread,
            external_id=self.id,
            actor=self.agent,
            text="\n\n".join(text for text in said if text),
        )

    @property
    def _seconds(self) -> int | None:
        return int(duration.parse(self.duration).total_seconds()) if self.duration else None


_NOT_REACHED = {"missed": "no answer", "voicemail": "left a message", "busy": "busy", "failed": "it failed"}
_TITLES = {"missed": "Missed call", "voicemail": "Voicemail", "busy": "Missed call (busy)", "failed": "Failed call"}


def title(outcome: str, caller: str | None, seconds: int | None) -> str:
    """``Missed call from +35312345678 (45 s)``."""
    length = "" if seconds is None else f" ({duration.words(timedelta(seconds=seconds))})"
    return f"{_TITLES.get(outcome, 'Call')} from {caller or 'an unknown number'}{length}"


def facts(outcome: str, to: str | None, seconds: int | None, recording: str | None) -> dict[str, str | int]:
    """What rules and people may want to know of a call."""
    found = {"call_outcome": outcome, "call_to": to, "call_seconds": seconds, "call_recording": recording}
    return {name: value for name, value in found.items() if value is not None}


def _read(delivery: Delivery, received: Received, source: SourceSpec) -> tuple[Draft, ...]:
    return lenient(CallRecord, parsed(delivery.body)).drafts(received, source)


HOOK = Hook(Channel.PHONE, signatures.standard, signatures.standard_secret, _read, CallRecord)
