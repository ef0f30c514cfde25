"""What an admin writes of people and destinations. Pure. Every limit of these documents is named here.

Schedules: ``schedules.py``. Escalation policies: ``escalation.py``. Silences: ``silences.py``.
"""

import base64
import re
from enum import StrEnum
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

import holidays
from pydantic import AfterValidator, ConfigDict, Field, RootModel, StringConstraints, model_validator

from services.notify.model.hours import TimeZone, WeeklyHours
from shared.contracts import duration
from shared.contracts.spec import Label, Name, Number, Spec, Whole

MAX_RECIPIENTS = 20
MAX_TEAMS = 200

DEFAULT = "default"  # the escalation policy of every team that no other policy serves; always there
DEFAULT_TEMPLATE = "default"  # the words of every message whose destination names no other
CONSOLE = "console"  # a destination that always exists

_EMAIL = re.compile(r"[!-~]{1,64}@[!-~]{1,253}")  # printable ASCII; a domain in other letters is written as punycode


def _email(text: str) -> str:
    if not _EMAIL.fullmatch(text) or text.count("@") != 1 or set(text) & set('<>()[],;:"\\'):
        raise ValueError(f"{text!r} is not an email address. Write one address, such as ana@example.com.")
    return text


def _length(text: str) -> str:
    duration.parse(text)
    return text


def _address(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 80) > 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("write a whole address, such as https://example.com/hooks/tocsin")
    if parts.username is not None:
        raise ValueError("leave the user and password out; the secret proves who sends")
    return url


def _key(secret: str) -> bytes:
    """The bytes of a Standard Webhooks secret; empty where it is none."""
    written = secret.removeprefix("whsec_")
    if written == secret:
        return b""
    try:
        return base64.b64decode(written + "=" * (-len(written) % 4), validate=True)
    except ValueError:
        return b""


Email = Annotated[str, StringConstraints(max_length=320), AfterValidator(_email)]
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
Subdivision = Annotated[str, StringConstraints(min_length=1, max_length=10)]
Length = Annotated[str, StringConstraints(max_length=40), AfterValidator(_length)]
Address = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_address)]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=500, strip_whitespace=True)]


class LimitSpec(Spec):
    """At most ``per_second`` messages, and ``burst`` of them at once after a rest."""

    per_second: Annotated[Number, Field(ge=0.01, le=10_000)]
    burst: Annotated[Whole, Field(ge=1, le=10_000)] = 1


class PersonSpec(Spec):
    """Someone who can be paged: by Slack where a ``slack_user`` is known, else by email."""

    label: Label | None = None
    email: Email | None = None
    slack_user: Annotated[str, StringConstraints(pattern=r"^[UW][A-Z0-9]{1,30}$")] | None = None
    time_zone: TimeZone | None = None  # the schedule's, or the calendar's, where left out
    country: Country | None = None  # the zone's where left out
    subdivision: Subdivision | None = None  # its holidays count too

    teams: Annotated[tuple[Name, ...], Field(max_length=MAX_TEAMS)] = ()  # a step that tells a team tells its members
    hours: WeeklyHours | None = None  # on duty, in the time zone; always, where left out
    limit: LimitSpec | None = None  # of each of their addresses; what is more comes in digests. What is usual, if none

    @model_validator(mode="after")
    def _known_place(self) -> Self:
        known_place(self.country, self.subdivision)
        if self.hours is not None and self.time_zone is None:
            raise ValueError("hours: write the time_zone that they are in too")
        return self


def known_place(country: str | None, subdivision: str | None) -> None:
    """Raises ``ValueError`` where we know no holidays of it."""
    known = holidays.list_supported_countries()
    if country is None and subdivision is not None:
        raise ValueError("subdivision: write the country too")
    if country is not None and country not in known:
        raise ValueError(f"country: no holidays are known for {country}. Write an ISO 3166-1 code such as IE.")
    if country is not None and subdivision is not None and subdivision not in known[country]:
        listed = ", ".join(known[country]) or "none"
        raise ValueError(f"subdivision: {country} has no {subdivision}. Known: {listed}.")


class _Destination(Spec):
    label: Label | None = None
    limit: LimitSpec | None = None  # what is usual for its kind, where left out
    digest: bool = True  # false: each message by itself, also in a storm
    excerpt: bool = True  # false keeps the customer's words out
    time_zone: TimeZone | None = None  # of the readers; the calendar's where left out
    template: Name | None = None  # whose words its messages have; `default`, where there is one


class WordsSpec(Spec):
    """Jinja2 for one channel; the built-in words where left out."""

    headline: Annotated[str, StringConstraints(min_length=1, max_length=4_000)] | None = None
    body: Annotated[str, StringConstraints(min_length=1, max_length=4_000)] | None = None


class TemplateSpec(Spec):
    """What messages say instead of the built-in words, by channel."""

    label: Label | None = None
    slack: WordsSpec | None = None
    email: WordsSpec | None = None
    webhook: WordsSpec | None = None
    console: WordsSpec | None = None

    def of(self, channel: str) -> WordsSpec | None:
        found: WordsSpec | None = getattr(self, channel, None) if channel in TEMPLATED else None
        return found


TEMPLATED = ("slack", "email", "webhook", "console")


class SlackSpec(_Destination):
    kind: Literal["slack"]
    channel: Annotated[str, StringConstraints(pattern=r"^(#[^\s#@<>&]{1,80}|[CGDUW][A-Z0-9]{1,30})$")]


class EmailSpec(_Destination):
    kind: Literal["email"]
    to: Annotated[tuple[Email, ...], Field(min_length=1, max_length=MAX_RECIPIENTS)]


class WebhookSpec(_Destination):
    """A Standard Webhooks endpoint. The secret is written, never shown again."""

    kind: Literal["webhook"]
    url: Address
    secret: Annotated[str | None, StringConstraints(max_length=200)] = None  # kept where a later PUT leaves it out

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if self.secret is not None and not 16 <= len(_key(self.secret)) <= 64:
            raise ValueError(
                "secret: write whsec_ and 16 to 64 random bytes in base64;"
                ' make one with: echo "whsec_$(openssl rand -base64 32)"'
            )
        return self


class PagerDutySpec(_Destination):
    """A service of PagerDuty. The secret is the key of its Events API v2 integration, written, never shown again."""

    kind: Literal["pagerduty"]
    url: Address = "https://events.pagerduty.com/v2/enqueue"  # https://events.eu.pagerduty.com/v2/enqueue in Europe
    secret: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]{20,64}$")] | None = None


class OpsgenieSpec(_Destination):
    """Opsgenie, or what takes its alerts. The secret is the key of an API integration, written, never shown again."""

    kind: Literal["opsgenie"]
    url: Address = "https://api.opsgenie.com/v2/alerts"  # https://api.eu.opsgenie.com/v2/alerts in Europe
    secret: Annotated[str, StringConstraints(pattern=r"^[!-~]{16,200}$")] | None = None


class ConsoleSpec(_Destination):
    kind: Literal["console"]


AnyDestination = SlackSpec | EmailSpec | WebhookSpec | PagerDutySpec | OpsgenieSpec | ConsoleSpec
KEYED = (
    WebhookSpec,
    PagerDutySpec,
    OpsgenieSpec,
)  # they have an address and a secret, kept where a later PUT leaves it out


class DestinationSpec(RootModel[Annotated[AnyDestination, Field(discriminator="kind")]]):
    """Where a message can go that is not a person."""

    model_config = ConfigDict(frozen=True)


_NOTIFIED = ("destination", "person", "schedule", "team")


class NotifySpec(Spec):
    """Whom a step tells: exactly one of the four."""

    destination: Name | None = None
    person: Name | None = None
    schedule: Name | None = None
    team: Name | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        named = [kind for kind in _NOTIFIED if getattr(self, kind) is not None]
        if len(named) != 1:
            raise ValueError(f"name one thing to notify, one of {', '.join(_NOTIFIED)}")
        return self

    @property
    def kind(self) -> str:
        return next(kind for kind in _NOTIFIED if getattr(self, kind) is not None)

    @property
    def name(self) -> str:
        return self.destination or self.person or self.schedule or self.team or ""


class On(StrEnum):
    """What a step of an escalation policy answers to."""

    WARNED = "warned"
    BREACHED = "breached"
    OVERDUE = "overdue"  # a broken promise that passed one of its levels


DEFAULT_DESTINATION = ConsoleSpec(kind="console")
