"""What a listing is asked for: of which lane, and where it goes on, newest first."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import Query

from services.notify.store.reads import After
from shared.errors import invalid
from shared.http import decode_cursor

LaneName = Annotated[str | None, Query(max_length=4_000)]  # an address of 64 KB holds so many letters of any script


def place(cursor: str | None) -> After | None:
    """The last item before, by time and id. Raises a 422 problem on a cursor that is not ours."""
    parts = decode_cursor(cursor, 2)
    if parts is None:
        return None
    try:
        at, key = datetime.fromisoformat(parts[0]), UUID(parts[1])
        return at.astimezone(UTC), key
    except (ValueError, OverflowError):
        raise invalid("This cursor is not one of ours. Leave it out to start from the newest.") from None
