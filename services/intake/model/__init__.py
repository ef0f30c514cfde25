"""What intake knows, frozen: a normalized contact, an activity, a case file, and the commands about a case. Pure."""

import json
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from typing import Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

from shared.contracts.contacts import Customer
from shared.contracts.envelope import Because
from shared.contracts.numbers import case_number
from shared.contracts.words import ActivityKind, Channel, Priority, Status

EVENT_BODY_LIMIT = 16_000  # characters that an event carries
EXCERPT_LIMIT = 280
UNKNOWN = Customer()
PARTICIPANTS_LIMIT = 100  # addresses of one case; those who wrote first stay


class Attachment(BaseModel):
    """What came with a contact, but for its content, which is not kept."""

    model_config = ConfigDict(frozen=True)

    name: str | None = None
    type: str  # as declared
    size: int  # bytes, decoded where it could be
    inline: bool = False
    detected: str | None = None  # its type by its content, where that is known
    sha256: str | None = None  # of what could not be decoded
    problem: str | None = None  # why it could not be


class Token(BaseModel):
    """A case that a mail names by something of ours, verified."""

    model_config = ConfigDict(frozen=True)

    how: Literal["signed", "address", "subject"]
    number: int


class Mail(BaseModel):
    """How an email stands among others. Addresses are canonical, ids without their angle brackets."""

    model_config = ConfigDict(frozen=True)

    mailbox: str  # where it arrived; "" where the caller did not say
    message_id: str | None = None
    answers: tuple[str, ...] = ()  # ids of earlier messages, the most telling first
    sender: str | None = None
    participants: tuple[str, ...] = ()  # who wrote it and whom it went to, but for the mailbox
    tokens: tuple[Token, ...] = ()
    prefixes: tuple[str, ...] = ()  # "Re", "WG": what stood before the subject
    forwards: bool = False  # it passes on another mail
    agent: str | None = None  # who of us sent it
    bounced: tuple[str, ...] = ()  # of a delivery report: whom our mail did not reach


class Contact(BaseModel):
    """One inbound communication, normalized and redacted, whatever the channel it came by."""

    model_config = ConfigDict(frozen=True)

    channel: Channel
    source: str | None = None
    external_id: str | None = None
    thread: str | None = None
    url: str | None = None
    occurred_at: AwareDatetime  # UTC, never after received_at
    stated_at: str | None = None  # the time as the sender wrote it
    received_at: AwareDatetime
    customer: Customer = Customer()
    subject: str = ""
    body: str = ""  # what the customer newly wrote
    quoted: str = ""  # what stood with it: earlier mails, a forwarder's words
    signature: str = ""
    language: str | None = None
    reason: str | None = None
    tags: tuple[str, ...] = ()
    attributes: dict[str, JsonValue] = Field(default_factory=dict)
    attachments: tuple[Attachment, ...] = ()
    mail: Mail | None = None
    automated: str | None = None  # how we know that a machine wrote it; null for a person's
    history: bool = False
    redactions: dict[str, int] = Field(default_factory=dict)  # how much of what was masked, by kind
    remarks: tuple[str, ...] = ()  # what was done to it, in plain words: "the body was cut at …"

    @property
    def fingerprint(self) -> bytes:
        """The same for the same content, whenever it arrives.

        Taken of the redacted content only: a hash of the original beside it would give the digits away.
        """
        if self.mail:  # on their way, mails gain headers and lose spaces
            parts = (
                self.mail.message_id,
                self.mail.sender,
                self.stated_at,
                *self.subject.split(),
                "",
                *self.body.split(),
            )
            return sha256(repr(parts).encode()).digest()
        later = {"occurred_at", "received_at", "language", "attributes", "redactions", "remarks", "history"}
        attributes = json.dumps(self.attributes, sort_keys=True) if self.attributes else "{}"
        return sha256((self.model_dump_json(exclude=later) + attributes).encode()).digest()

    @property
    def excerpt(self) -> str:
        return excerpt(self.body)


@dataclass(frozen=True, slots=True)
class Activity:
    """Something that happened on a case, normalized and redacted."""

    id: UUID
    kind: ActivityKind
    occurred_at: datetime  # UTC, never after received_at
    received_at: datetime
    source: str | None = None
    thread: str | None = None
    external_id: str | None = None
    actor: str | None = None
    public: bool = False
    automated: bool = False
    status: Status | None = None
    priority: Priority | None = None
    tags: tuple[str, ...] | None = None
    score: int | None = None
    scale: int | None = None
    text: str = ""
    history: bool = False
    stated_at: str | None = None
    reason: str | None = None
    attributes: dict[str, JsonValue] = field(default_factory=dict)

    @property
    def fingerprint(self) -> bytes:
        parts = (self.kind, self.stated_at, self.source, self.thread, self.actor, self.public, self.automated)
        rest = (self.status, self.priority, self.tags, self.score, self.scale, self.text)
        more = (self.reason, self.attributes) if self.reason or self.attributes else ()
        return sha256(repr((*parts, *rest, *more)).encode(errors="replace")).digest()


@dataclass(frozen=True, slots=True)
class Standing:
    """What a case's status follows from: the latest of each kind of fact, so the order of arrival does not matter."""

    said: Status = Status.NEW  # by the latest status_changed
    said_at: datetime | None = None
    contacted_at: datetime | None = None  # the latest word of the customer that a person wrote
    handled_at: datetime | None = None  # the latest pickup or public reply

    @property
    def status(self) -> Status:
        """A customer's word reopens what waited for it or was solved; a pickup or a reply opens what was new."""
        if self.said in (Status.PENDING, Status.SOLVED) and _after(self.contacted_at, self.said_at):
            return Status.OPEN
        if self.said is Status.NEW and _after(self.handled_at, self.said_at):
            return Status.OPEN
        return self.said

    def with_contact(self, at: datetime) -> Self:
        return replace(self, contacted_at=_later(self.contacted_at, at))

    def with_handling(self, at: datetime) -> Self:
        return replace(self, handled_at=_later(self.handled_at, at))

    def with_status(self, status: Status, at: datetime) -> Self:
        if self.said_at is not None and at < self.said_at:
            return self
        return replace(self, said=status, said_at=at)


def _later(one: datetime | None, other: datetime) -> datetime:
    return other if one is None else max(one, other)


def _after(one: datetime | None, other: datetime | None) -> bool:
    return one is not None and (other is None or one > other)


@dataclass(frozen=True, slots=True)
class CaseFile:
    """One case. ``number`` is None until its first contact is accepted."""

    id: UUID
    number: int | None = None
    channel: Channel = Channel.API
    source: str | None = None
    thread: str | None = None
    url: str | None = None
    subject: str = ""
    customer: Customer = UNKNOWN
    participants: tuple[str, ...] = ()
    opened_at: datetime | None = None  # when the earliest contact happened
    standing: Standing = Standing()
    follows: UUID | None = None  # the closed case that this one goes on from
    merged_into: UUID | None = None
    contacts: tuple["Filed", ...] = ()  # added since it was loaded
    activities: tuple[Activity, ...] = ()  # added since it was loaded
    erased: frozenset[str] = frozenset()  # whose identity and text to erase, since it was loaded

    @property
    def status(self) -> Status:
        return Status.CLOSED if self.merged_into else self.standing.status

    @property
    def name(self) -> str:
        return case_number(self.number)


@dataclass(frozen=True, slots=True)
class Filed:
    """A contact in its case, and why it is there."""

    id: UUID
    contact: Contact
    opened_case: bool
    because: Because


# Commands: the inputs of ``decide``.


@dataclass(frozen=True, slots=True)
class Arrival:
    """A contact arrives on a case; the first one opens it under ``number``."""

    contact_id: UUID
    contact: Contact
    number: int
    because: Because
    follows: UUID | None = None


@dataclass(frozen=True, slots=True)
class Happening:
    """An activity happens on a case."""

    activity: Activity


@dataclass(frozen=True, slots=True)
class MergeInto:
    """This case becomes a tombstone that points at another."""

    target: UUID
    target_number: int
    by: str | None


@dataclass(frozen=True, slots=True)
class Absorb:
    """This case takes over another one."""

    source: CaseFile
    earliest_unanswered_at: datetime | None
    by: str | None


@dataclass(frozen=True, slots=True)
class Erase:
    """Identity and text of a customer must go. ``known_as``: every id, address and number that is theirs alone."""

    known_as: frozenset[str]


Command = Arrival | Happening | MergeInto | Absorb | Erase


def excerpt(text: str) -> str:
    """The first words, on one line, at most 280 characters."""
    words = " ".join(text[: EXCERPT_LIMIT + 40].split())  # nearly always enough
    if len(words) <= EXCERPT_LIMIT:
        words = " ".join(text[: EXCERPT_LIMIT * 4].split())
    if len(words) <= EXCERPT_LIMIT:
        return words
    return words[: EXCERPT_LIMIT - 1].rsplit(" ", 1)[0].rstrip() + "…"


def is_one_of(customer: Customer, known_as: frozenset[str]) -> bool:
    """By the most telling of its names: a number that two people share tells neither."""
    return (customer.id or customer.email or customer.phone) in known_as
