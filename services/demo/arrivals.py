"""The demo's contacts, made from a seed: the same seed gives the same ones, on every machine. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, TypeVar

from services.demo import words
from services.demo.words import Source, Topic

T = TypeVar("T")

FOLLOW_UP_EVERY = 8  # one contact in so many is a second message about something
ANSWERED_PERCENT = 55
SOLVED_PERCENT = 40  # of those answered
OLDEST = timedelta(minutes=25)  # of what is still in time
URGENT_WITHIN = timedelta(minutes=30)  # the promise about a taken-over account; see configured.py
OVERDUE = timedelta(minutes=4)  # how long past it the late ones are, at least
LATE_EVERY = 2  # one taken-over account in so many comes too late
PASTED_CARDS = 3


class Dice:
    """Chance that depends on a seed and a place alone, so one more contact changes none of the others."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def number(self, below: int, *place: object) -> int:
        """A number of 0 … ``below`` - 1, always the same at the same place."""
        written = "/".join(map(str, (self._seed, *place)))
        return int.from_bytes(sha256(written.encode()).digest()[:8]) % below

    def one(self, options: Sequence[T], *place: object) -> T:
        return options[self.number(len(options), *place)]

    def weighted(self, options: Sequence[tuple[T, int]], *place: object) -> T:
        """One of the options, by its weight."""
        at = self.number(sum(weight for _, weight in options), *place)
        for option, weight in options:
            at -= weight
            if at < 0:
                return option
        raise ValueError("weights are positive")


@dataclass(frozen=True, slots=True)
class Arrival:
    """One contact as it is posted, and what the demo knows of it apart from Tocsin."""

    body: dict[str, Any]
    opens: bool
    late: bool = False  # its promise was broken before it came
    has_card: bool = False

    @property
    def external_id(self) -> str:
        return str(self.body["external_id"])

    @property
    def reason(self) -> str:
        return str(self.body["reason"])

    @property
    def case(self) -> tuple[str, str]:
        """What names its case: source and thread."""
        return self.body["source"], self.body["thread"]


@dataclass(frozen=True, slots=True)
class Morning:
    """All contacts but the hero's, and what agents did about them by the time the demo begins."""

    openers: list[Arrival] = field(default_factory=list)
    follow_ups: list[Arrival] = field(default_factory=list)
    activities: list[dict[str, Any]] = field(default_factory=list)

    @property
    def all(self) -> list[Arrival]:
        return [*self.openers, *self.follow_ups]


def morning(seed: int, count: int, now: datetime) -> Morning:
    """``count`` contacts of the last hour."""
    dice, made = Dice(seed), Morning()
    takeovers = 0
    for number in range(count):
        if number % FOLLOW_UP_EVERY == FOLLOW_UP_EVERY - 1:
            made.follow_ups.append(_follow_up(dice, number, made.openers, now))
            continue
        topic = dice.weighted([(each, each.share) for each in words.TOPICS], number, "topic")
        takeovers += topic.reason == "account_takeover"
        late = topic.reason == "account_takeover" and takeovers % LATE_EVERY == 1
        opener = _opener(dice, number, topic, late, now)
        made.openers.append(opener)
        made.activities.extend(_answered(dice, number, opener, now))
    return made


def hero() -> Arrival:
    """The one contact that the demo follows. It happens as it arrives."""
    return Arrival(
        {
            "channel": "email",
            "source": "zendesk-eu",
            "external_id": "90001-1",
            "thread": "90001",
            "url": "https://desk.acme.example/tickets/90001",
            "customer": {
                "id": "cus_harbour",
                "email": "orla@harbourlights.example",
                "name": "Orla Keane",
                "tier": "enterprise",
                "country": "IE",
            },
            "subject": "Payout missing",
            "body": "Friday's payout of €182,400.00 has not arrived, and we pay 340 drivers at noon. Please call me.",
            "language": "en",
            "reason": "payout_delay",
            "tags": ["payouts"],
            "attributes": {"product": "payouts", "amount_eur": 182400},
        },
        opens=True,
    )


def _opener(dice: Dice, number: int, topic: Topic, late: bool, now: datetime) -> Arrival:
    language = dice.weighted(words.LANGUAGES, number, "language")
    source = dice.weighted([(each, each.share) for each in words.SOURCES], number, "source")
    amount = f"€{dice.number(9_000, number, 'amount') + 20:,}.{dice.number(100, number, 'cents'):02}"
    thread = str(10_000 + number)
    slots = {"amount": amount, "reference": f"R-{70_000 + number}", "days": 2 + dice.number(7, number, "days")}
    subject, body = (text.format(**slots) for text in topic.texts[language])
    has_card = topic.reason == "refund_status" and number % 40 < PASTED_CARDS
    if has_card:
        body += " " + words.CARD_SENTENCE[language].format(card=words.PASTED_CARD)
    contact = {
        "channel": source.channel,
        "source": source.name,
        "external_id": f"{thread}-1",
        "thread": thread,
        "occurred_at": (now - _age(dice, number, late)).isoformat(),
        "customer": _customer(dice, number, topic, source, language),
        "subject": subject,
        "body": body,
        "language": language,
        "reason": topic.reason,
        "tags": list(topic.tags),
        "attributes": {"product": topic.product},
    }
    if source.url:
        contact["url"] = source.url.format(thread=thread)
    return Arrival(contact, opens=True, late=late, has_card=has_card)


def _age(dice: Dice, number: int, late: bool) -> timedelta:
    """How long ago it happened. A contact that comes late finds its promise broken, whoever reads it first."""
    if late:
        return URGENT_WITHIN + OVERDUE + timedelta(seconds=dice.number(900, number, "age"))
    return timedelta(seconds=60 + dice.number(int(OLDEST.total_seconds()) - 60, number, "age"))


def _customer(dice: Dice, number: int, topic: Topic, source: Source, language: str) -> dict[str, str]:
    first, last = dice.one(words.FIRST_NAMES, number, "first"), dice.one(words.LAST_NAMES, number, "last")
    tier = dice.weighted(words.TIERS, number, "tier")
    if topic.reason == "payout_delay" and tier == "enterprise":
        tier = "business"  # the hero's is the one enterprise payout of the day
    customer = {
        "id": f"cus_{1000 + number}",
        "name": f"{first} {last}",
        "tier": tier,
        "country": dice.one(words.COUNTRIES[language], number, "country"),
    }
    if source.channel == "phone":
        return customer | {"phone": f"+353 20 91{number % 10} {1000 + number % 9000:04}"}
    return customer | {"email": f"{first}.{last}.{number}@customer.example".lower()}


def _follow_up(dice: Dice, number: int, openers: Sequence[Arrival], now: datetime) -> Arrival:
    """The same customer writes again: it joins the case, and is no second one."""
    first = dice.one([each for each in openers if not each.late], number, "of").body
    at = datetime.fromisoformat(first["occurred_at"])
    again = {
        **first,
        "external_id": f"{first['thread']}-{number}",
        "occurred_at": (at + (now - at) * 0.5).isoformat(),
        "body": words.FOLLOW_UPS[first["language"]],
    }
    return Arrival(again, opens=False)


def _answered(dice: Dice, number: int, opener: Arrival, now: datetime) -> list[dict[str, Any]]:
    """What an agent did about it: nothing yet, an answer, or an answer that solved it."""
    if dice.number(100, number, "answered") >= ANSWERED_PERCENT:
        return []
    source, thread = opener.case
    at = datetime.fromisoformat(opener.body["occurred_at"])
    reply: dict[str, Any] = {
        "kind": "agent_replied",
        "source": source,
        "thread": thread,
        "external_id": f"{thread}-a1",
        # A late one is answered only now, so its promise is kept late; the others in time.
        "occurred_at": (now if opener.late else at + (now - at) * 0.8).isoformat(),
        "actor": dice.one(words.AGENTS, number, "agent"),
        "public": True,
    }
    if opener.late or dice.number(100, number, "solved") >= SOLVED_PERCENT:
        return [reply]
    solved = {**reply, "kind": "status_changed", "status": "solved", "external_id": f"{thread}-a2"}
    del solved["public"]
    return [reply, solved | {"occurred_at": (at + (now - at) * 0.9).isoformat()}]
