"""A chat's transcript: the whole of it, sent again as it grows; or each time what is new. Pure.

What the customer said before an agent answered is the contact, which goes by its first message. Everything after that
message is an activity of its own, at its time: an agent's or a robot's reply, or another word of the customer.
"""

from collections.abc import Iterator
from hashlib import sha256
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from services.intake.channels import signatures
from services.intake.channels.adapter import Received
from services.intake.channels.hook import Delivery, Draft, Hook, Posted
from services.intake.channels.shape import activity, contact, lenient, parsed
from services.intake.model import excerpt
from services.intake.model.posted import Attributes, Line, Moment, NewCustomer, Source, Tags, Url
from services.intake.model.sources import SourceSpec
from shared.contracts.spec import Strict
from shared.contracts.words import ActivityKind, Channel

MESSAGES_LIMIT = 1_000


class ChatMessage(Strict):
    id: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = Field(
        None, description="Of the message, in its chat; known by time, sender and words where left out"
    )
    from_: Literal["customer", "agent", "bot", "note"] = Field(
        alias="from", description="A note is seen by agents only"
    )
    name: Line | None = None
    at: Moment
    text: Annotated[str, StringConstraints(max_length=20_000)] = ""

    @property
    def mark(self) -> str:
        if self.id:
            return self.id
        said = f"{self.at.isoformat()}\n{self.from_}\n{self.text}"
        return sha256(said.encode(errors="replace")).hexdigest()[:32]


class ChatTranscript(Strict, Posted):
    """A conversation by chat. Send the whole of it again as it grows, or each time only what is new."""

    grows = True

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "chat-77",
                    "source": "web-chat",
                    "customer": {"email": "a@b.example", "name": "A"},
                    "messages": [
                        {"id": "1", "from": "customer", "at": "2026-11-22T07:03:00Z", "text": "My payout is missing"},
                        {"id": "2", "from": "agent", "name": "ana", "at": "2026-11-22T07:05:00Z", "text": "I look."},
                    ],
                }
            ]
        }
    )

    id: Annotated[str, StringConstraints(min_length=1, max_length=180)] = Field(
        description="Of the chat, in its source"
    )
    source: Source | None = None
    url: Url | None = None
    customer: NewCustomer = NewCustomer()
    subject: Annotated[str, StringConstraints(max_length=500)] = ""
    messages: Annotated[tuple[ChatMessage, ...], Field(min_length=1, max_length=MESSAGES_LIMIT)]
    language: Annotated[str, StringConstraints(max_length=35)] | None = None
    reason: Annotated[str, StringConstraints(max_length=100)] | None = None
    tags: Tags = ()
    attributes: Attributes = Field(default_factory=dict)

    def drafts(self, received: Received, source: SourceSpec) -> tuple[Draft, ...]:
        messages = sorted(self.messages, key=lambda message: message.at)
        first = next((message for message in messages if message.from_ == "customer"), None)
        opening = (self._contact(received, first, messages),) if first else ()
        return *opening, *(self._activity(received, each) for each in messages if each is not first)

    def _contact(self, received: Received, first: ChatMessage, messages: list[ChatMessage]) -> Draft:
        said = list(_before_an_answer(messages))
        customer = self.customer.model_dump()
        return contact(
            received,
            first.at,
            channel=Channel.CHAT,
            external_id=self._mark(first),
            thread=self.id,
            url=self.url,
            customer={**customer, "name": customer["name"] or first.name},
            subject=self.subject or excerpt(first.text)[:120],
            body="\n".join(each.text.strip() for each in said),
            language=self.language,
            reason=self.reason,
            tags=self.tags,
            attributes=self.attributes,
        )

    def _mark(self, message: ChatMessage) -> str:
        return f"{self.id}/{message.mark}"

    def _activity(self, received: Received, message: ChatMessage) -> Draft:
        return activity(
            received,
            message.at,
            text=message.text,
            kind=_KINDS[message.from_],
            thread=self.id,
            external_id=self._mark(message),
            actor=message.name,
            automated=message.from_ == "bot",
        )


_KINDS = {
    "customer": ActivityKind.CUSTOMER_REPLIED,
    "agent": ActivityKind.AGENT_REPLIED,
    "bot": ActivityKind.AGENT_REPLIED,
    "note": ActivityKind.NOTE_ADDED,
}


def _before_an_answer(messages: list[ChatMessage]) -> Iterator[ChatMessage]:
    """The customer's messages up to the first of an agent; a robot's are passed over."""
    for message in messages:
        if message.from_ == "agent":
            return
        if message.from_ == "customer":
            yield message


def _read(delivery: Delivery, received: Received, source: SourceSpec) -> tuple[Draft, ...]:
    return lenient(ChatTranscript, parsed(delivery.body)).drafts(received, source)


HOOK = Hook(Channel.CHAT, signatures.standard, signatures.standard_secret, _read, ChatTranscript)
