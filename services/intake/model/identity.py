"""Who a customer is: canonical addresses and telephone numbers. Pure. Two customers are never one because of a name."""

import re
from functools import lru_cache

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from shared.contracts.contacts import Customer
from shared.contracts.trusted import trusted

ADDRESS_LIMIT = 320  # characters
_PLAIN = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_{|}~-]+)*@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*"
)


@lru_cache(maxsize=8192)
def canonical_email(given: str) -> str | None:
    """One spelling for one mailbox: ``A@B.Example`` → ``a@b.example``. None for what is no address. No DNS."""
    trimmed = given.strip().strip("<>").strip()
    if not 3 <= len(trimmed) <= ADDRESS_LIMIT or "@" not in trimmed:
        return None
    if _PLAIN.fullmatch(trimmed) and "xn--" not in (lower := trimmed.lower()):
        return lower  # as the validator would say in twenty times the time, or refuse although it is well formed
    try:
        checked = validate_email(
            trimmed, check_deliverability=False, globally_deliverable=False, allow_quoted_local=True, strict=False
        )
    except EmailNotValidError:  # reserved domains, such as a desk's own .local, are refused though well formed
        return trimmed.lower() if _PLAIN.fullmatch(trimmed) else None
    return checked.normalized.lower()


@lru_cache(maxsize=8192)
def canonical_phone(given: str, country: str | None) -> str | None:
    """E.164, read as dialled within ``country`` (ISO 3166-1 alpha-2) where it has no ``+``. None for what is none."""
    try:
        number = phonenumbers.parse(given, country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def customer(
    *,
    id: str | None = None,
    email: str | None = None,
    phone: str | None = None,
    name: str | None = None,
    tier: str | None = None,
    country: str | None = None,
) -> Customer:
    """A customer with canonical identity. What cannot be read is kept as it was given: no contact is refused for it."""
    region = country.upper() if country else None
    return trusted(
        Customer,
        id=id,
        email=(canonical_email(email) or email.strip()) if email else None,
        phone=(canonical_phone(phone, region) or phone.strip()) if phone else None,
        name=name or None,
        tier=tier,
        country=region,
    )


def canonical(who: str) -> tuple[str, ...]:
    """What ``who`` may mean where it names a customer: an id as it is, an address or number in any spelling."""
    return tuple(dict.fromkeys(each for each in (who, canonical_email(who), canonical_phone(who, None)) if each))
