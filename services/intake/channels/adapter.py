"""What every channel's adapter takes and gives. An adapter is a pure function that never raises."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from services.intake.model import Contact
from services.intake.model.identity import canonical_email


@dataclass(frozen=True, slots=True)
class Own:
    """What is ours, so that our own words are not taken for a customer's. Addresses are canonical."""

    mailboxes: frozenset[str] = frozenset()  # addresses where contacts arrive, and from which we send
    agents: frozenset[str] = frozenset()  # addresses, and domains that begin with @
    key: bytes = b""  # signs our Message-IDs and case tokens

    @classmethod
    def of(cls, mailboxes: str, agents: str, key: bytes) -> "Own":
        """From comma-separated settings. Raises ``ValueError`` saying which is no address."""
        return cls(
            frozenset(_address("TOCSIN_MAILBOXES", each) for each in _listed(mailboxes)),
            frozenset(
                _address("TOCSIN_AGENTS", each) if "@" in each[1:] else _domain(each) for each in _listed(agents)
            ),
            key,
        )

    def is_agent(self, address: str | None) -> bool:
        if not address or address in self.mailboxes:
            return False
        return address in self.agents or f"@{address.rpartition('@')[2]}" in self.agents


def _listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def _address(setting: str, text: str) -> str:
    if (canonical := canonical_email(text)) is None:
        raise ValueError(f"{setting}: {text!r} is no address. Write help@acme.example, several separated by commas.")
    return canonical


def _domain(text: str) -> str:
    domain = text.removeprefix("@").lower()
    if canonical_email(f"a@{domain}") is None:
        raise ValueError(f"TOCSIN_AGENTS: {text!r} is no domain. Write acme.example, several separated by commas.")
    return f"@{domain}"


@dataclass(frozen=True, slots=True)
class Received:
    """How something came in."""

    at: datetime  # UTC
    source: str | None = None  # where the caller names one
    mailbox: str = ""  # canonical; "" where the caller does not say
    history: bool = False  # imported: pages nobody
    own: Own = Own()


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why something is no contact: a stable name, and a sentence that says what to do.

    ``salvage`` is what could be read of it, so that a person can release it as a contact all the same.
    """

    reason: str
    detail: str
    salvage: Contact | None = None
    raw: bytes | None = None  # what came in, where it can be kept


Adapter = Callable[[bytes, Received], Contact | Rejected]
