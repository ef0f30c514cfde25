"""What every channel's adapter takes and gives. An adapter is a pure function that never raises."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from services.intake.model import Contact


@dataclass(frozen=True, slots=True)
class Received:
    """How something came in."""

    at: datetime  # UTC
    source: str | None = None  # where the caller names one
    mailbox: str = ""  # canonical; "" where the caller does not say
    history: bool = False  # imported: pages nobody


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
