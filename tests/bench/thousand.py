"""A ruleset as a large support desk has it, and contacts for it. Seeded.

A thousand rules: seven hundred by who, what and where (equality, membership, prefix), three hundred by ranges, counts
and patterns, of which a third stands alone and the others come with a product, a country or a tag.
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from services.routing.model import ContactFacts
from services.routing.spec import RulesetSpec

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
PRODUCTS = tuple(f"product-{n}" for n in range(60))
COUNTRIES = ("IE", "GB", "DE", "FR", "ES", "IT", "PT", "NL", "BE", "PL", "SE", "NO", "DK", "FI", "AT", "CH", "US",
             "CA", "MX", "BR", "AR", "CL", "JP", "KR", "SG", "AU", "NZ", "IN", "AE", "ZA")  # fmt: skip
REASONS = tuple(f"{what}_{how}" for what in ("payout", "login", "invoice", "refund", "chargeback", "api", "terminal",
                "subscription", "tax", "identity") for how in ("delay", "failed", "question", "change"))  # fmt: skip
TAGS = tuple(f"tag-{n}" for n in range(150))
TIERS, LANGUAGES = ("free", "starter", "business", "enterprise"), ("en", "de", "fr", "es", "it", "pt", "nl", "ja")
CHANNELS, TEAMS = ("email", "phone", "chat", "web", "api"), tuple(f"team-{n}" for n in range(40))
_SYLLABLES = ("pay", "out", "card", "log", "in", "ter", "mi", "nal", "fund", "re", "mo", "bal", "ance", "con", "tract",
              "ver", "ify", "lim", "it", "fee", "ship", "tax", "form", "code", "err", "or", "time", "sync")  # fmt: skip


def _words(chance: random.Random, count: int) -> tuple[str, ...]:
    return tuple({"".join(chance.choices(_SYLLABLES, k=3)) for _ in range(count)})


WORDS = tuple(sorted(_words(random.Random(0), 1_200)))


def ruleset(seed: int, size: int = 1_000) -> RulesetSpec:
    chance = random.Random(seed)
    made = [_plain(chance) if n % 10 < 7 else _other(chance) for n in range(size)]
    return RulesetSpec.model_validate(
        {
            "rules": [{"id": f"r{n}", "when": when, "then": _then(chance)} for n, when in enumerate(made)],
            "fallback": {"team": "frontline"},
        }
    )


def _then(chance: random.Random) -> dict[str, Any]:
    then: dict[str, Any] = {"team": chance.choice(TEAMS)}
    if chance.random() < 0.4:
        then["priority"] = chance.choice(("low", "normal", "high", "urgent"))
    if chance.random() < 0.3:
        then["tags"] = [f"by-rule-{chance.randrange(50)}"]
    return then


def _plain(chance: random.Random) -> str:
    pick = chance.choice
    product, country = (
        f"contact.attributes.product == '{pick(PRODUCTS)}'",
        f"contact.customer.country == '{pick(COUNTRIES)}'",
    )
    reason, tag = f"contact.reason == '{pick(REASONS)}'", f"'{pick(TAGS)}' in contact.tags"
    tier, channel = f"contact.customer.tier == '{pick(TIERS)}'", f"contact.channel == '{pick(CHANNELS)}'"
    countries = ", ".join(f"'{each}'" for each in chance.sample(COUNTRIES, 4))
    accounts = ", ".join(f"'cus_{chance.randrange(20_000)}'" for _ in range(chance.randint(1, 20)))
    return pick(
        (
            f"{product} && {reason}",
            f"{product} && {country} && {tier}",
            f"{reason} && contact.customer.country in [{countries}]",
            f"{tag} && {tier}",
            f"{tag} && !({channel})",
            f"contact.customer.id in [{accounts}]",
            f"contact.customer.email.endsWith('@{pick(WORDS)}.example')",
            f"{reason} && contact.language == '{pick(LANGUAGES)}'",
            f"({product} || {tag}) && {tier} && {channel}",
            f"contact.source.startsWith('{pick(WORDS)[:6]}') && {reason}",
            f"{product} && contact.attributes.plan != 'trial' && {channel}",
        )
    )


def _other(chance: random.Random) -> str:
    pick = chance.choice
    low = chance.randrange(0, 200_000)
    product, country = (
        f"contact.attributes.product == '{pick(PRODUCTS)}'",
        f"contact.customer.country == '{pick(COUNTRIES)}'",
    )
    tag, reason = f"'{pick(TAGS)}' in contact.tags", f"contact.reason == '{pick(REASONS)}'"
    word, other, third = pick(WORDS), pick(WORDS), pick(WORDS)
    return pick(
        (
            f"contact.attributes.amount >= {low} && contact.attributes.amount < {low + chance.randint(500, 3_000)}",
            f"contact.attributes.amount > {low} && {product}",
            f"contact.customer.contacts_7d >= {chance.randint(15, 60)}",
            f"contact.customer.contacts_24h >= {chance.randint(2, 8)} && {reason}",
            f"contact.customer.contacts_7d > {chance.randint(3, 12)} && {product} && {country}",
            f"(at.getHours('Europe/Dublin') < 8 || at.getHours('Europe/Dublin') >= 18) && {tag}",
            f"at.getDayOfWeek('Europe/Dublin') in [0, 6] && {country} && {product}",
            rf"contact.subject.matches(r'(?i)\b({word}|{other})s?\b')",
            rf"contact.body.matches(r'(?i){word} +(no|#)? *[0-9]{{4,8}}')",
            rf"contact.subject.matches(r'^\[?(TICKET|CASE)[-# ]?\d{{4,8}}\]?') && {product}",
            f"contact.body.contains('{word} {other}') || contact.subject.contains('{third}')",
            f"contact.subject.lowerAscii().contains('{word}') && {country}",
        )
    )


def contacts(count: int, seed: int) -> Iterator[ContactFacts]:
    """One in five values is missing."""
    chance = random.Random(seed)
    for number in range(count):
        yield ContactFacts.model_validate(_contact(chance, number))


def _contact(chance: random.Random, number: int) -> dict[str, Any]:
    def some(value: Any) -> Any:
        return value if chance.random() < 0.8 else None

    week = min(int(chance.expovariate(0.25)) + 1, 80)
    attributes = {"product": some(chance.choice(PRODUCTS)), "amount": some(chance.randrange(250_000)),
                  "plan": some(chance.choice(("trial", "monthly", "yearly")))}  # fmt: skip
    return {
        "number": f"C-{number}",
        "at": MONDAY + timedelta(minutes=chance.randrange(7 * 24 * 60)),
        "channel": chance.choice(CHANNELS),
        "source": some(chance.choice(WORDS)),
        "subject": some(" ".join(chance.choices(WORDS, k=7))),
        "body": some(" ".join(chance.choices(WORDS, k=70))),
        "language": some(chance.choice(LANGUAGES)),
        "reason": some(chance.choice(REASONS)),
        "tags": chance.sample(TAGS, chance.randint(0, 4)),
        "attributes": {name: value for name, value in attributes.items() if value is not None},
        "customer": {
            "id": some(f"cus_{chance.randrange(20_000)}"),
            "email": some(f"someone@{chance.choice(WORDS)}.example"),
            "tier": some(chance.choice(TIERS)),
            "country": some(chance.choice(COUNTRIES)),
            "contacts_24h": some(min(week, int(chance.expovariate(0.7)) + 1)),
            "contacts_7d": some(week),
        },
    }
