"""What is kept for a person to look at, instead of being accepted."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from services.intake.api.answers import Quarantined
from services.intake.channels.adapter import Rejected
from services.intake.model import CaseFile, Contact
from services.intake.store import quarantine
from services.intake.store.quarantine import Held
from shared.batch import Work
from shared.errors import Problem


def reused(contact: Contact, problem: Problem) -> Rejected | None:
    """A sender's Message-ID with other words: not the same mail, and not safely another one.

    None for other problems.
    """
    if contact.mail is None or problem.kind != "different-content":
        return None
    earlier = (contact.mail.message_id, *contact.mail.answers)
    mail = contact.mail.model_copy(update={"message_id": None, "answers": tuple(i for i in earlier if i)})
    salvage = contact.model_copy(update={"mail": mail})
    detail = "Its sender sent another mail under the same Message-ID before. Release it if it is a new message."
    return Rejected("message_id_reused", detail, salvage)


async def hold(work: Work[CaseFile], rejected: Sequence[tuple[Rejected, bytes]]) -> list[dict[str, Any]]:
    """Keep what could not be read, as far as it may be kept; gives the answers. With each, what came in."""
    held = [_held(work, each, raw) for each, raw in rejected]
    await quarantine.keep(work.tx, held)
    return [Quarantined(id=each.id, reason=each.reason, detail=each.detail).model_dump(mode="json") for each in held]


def _held(work: Work[CaseFile], rejected: Rejected, raw: bytes) -> Held:
    readable = rejected.raw is not None or rejected.salvage is not None
    return Held(
        id=work.ids.new(),
        received_at=work.now,
        channel="email",
        source=rejected.salvage.source if rejected.salvage else None,
        mailbox=rejected.salvage.mail.mailbox if rejected.salvage and rejected.salvage.mail else "",
        reason=rejected.reason,
        detail=rejected.detail,
        size=len(raw),
        raw=rejected.raw,
        sha256=None if readable else sha256(raw).digest(),
        salvage=rejected.salvage,
    )
