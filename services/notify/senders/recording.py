"""What the answer to a message means for a digest and for its members. Pure."""

from dataclasses import replace
from datetime import datetime, timedelta

from services.notify.decide.storms import REDRAW_EVERY, Digest
from services.notify.model.commands import Outcome
from services.notify.senders.claiming import Claimed
from services.notify.store.digests import Answered

MARGIN = timedelta(seconds=1)  # news that was committed while a digest was drawn


def of_member(claimed: Claimed, outcome: Outcome) -> Outcome:
    """A member has no message of its own at the provider. One that could not join a digest joins another."""
    if claimed.digest is None:
        return outcome
    if outcome.kind == "refused" and claimed.digest.receipt is not None:
        return Outcome("later", outcome.detail, retry_after=timedelta(0))
    return replace(outcome, receipt=None)


def of_digest(claimed: Claimed, digest: Digest, outcome: Outcome, now: datetime) -> Answered:
    sent, refused = outcome.kind == "sent", outcome.kind == "refused"
    drawn = claimed.at - MARGIN if sent and outcome.copies is None else None
    return Answered(
        digest.id,
        digest.token,
        outcome.receipt if sent and digest.receipt is None else None,
        int(outcome.kind == "lost"),
        refused or (sent and digest.closing),
        drawn or (digest.opened_at if sent else None),
        now if outcome.copies else now + REDRAW_EVERY,
    )
