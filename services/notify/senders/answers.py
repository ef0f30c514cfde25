"""What an HTTP answer means for a message, the same for every provider."""

from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

from services.notify.model.commands import Outcome

WAIT_WITHOUT_A_WORD = timedelta(seconds=30)  # a 429 that does not say for how long
LONGEST_WAIT = timedelta(days=1)

_AGAIN = frozenset({408, 425, 429})


def of_status(provider: str, status: int, retry_after: str | None, now: datetime) -> Outcome | None:
    """None where the status is a success."""
    if 200 <= status < 300:
        return None
    if status in _AGAIN or status >= 500:
        wait = waiting(retry_after, now)
        if status == 429 and wait is None:
            wait = WAIT_WITHOUT_A_WORD
        asked = f", asking us to wait {wait.total_seconds():.0f} s" if wait is not None else ""
        return Outcome("later", f"{provider} answered {status}{asked}", retry_after=wait)
    advice = {
        401: "it does not accept our credentials: check them",
        403: "it does not let us in: check its permissions",
        404: "there is nothing at this address: correct it",
        410: "it wants nothing more: PUT the destination again to switch it on, or delete it",
    }
    moved = "it moved, and we do not follow: write its new address" if 300 <= status < 400 else None
    refusal = f"{provider} answered {status}: {advice.get(status, moved or 'it refuses the message')}"
    return Outcome("refused", refusal, gone=status == 410)


def waiting(retry_after: str | None, now: datetime) -> timedelta | None:
    """How long ``Retry-After`` asks us to wait: seconds or a date; None where it says nothing that can be read."""
    if not retry_after:
        return None
    try:
        wait = timedelta(seconds=float(retry_after))
    except (ValueError, OverflowError):
        try:
            wait = parsedate_to_datetime(retry_after) - now
        except (ValueError, TypeError):
            return None
    return min(max(wait, timedelta(0)), LONGEST_WAIT)
