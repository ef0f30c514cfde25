"""Did a message arrive in Slack although its answer was lost? Asked by our key in its metadata, within bounds."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient

MARGIN = timedelta(minutes=1)  # by which Slack's clock and ours may differ
PAGE = 200
MAX_PAGES = 5  # of a channel's history, and of the list of channels
EVENT_TYPE = "tocsin_delivery"


@dataclass(frozen=True, slots=True)
class Found:
    """``receipt`` of the first, and how many there are."""

    receipt: str
    copies: int


async def find(
    client: AsyncWebClient, channel: str, key: str, since: datetime, thread: str | None = None
) -> Found | None:
    """Look for messages with our key in the channel, by id or name, or in a thread of it. Raises like slack_sdk."""
    known = await _id_of(client, channel)
    cursor, stamps = "", []
    for _ in range(MAX_PAGES):
        asked = client.conversations_history if thread is None else partial(client.conversations_replies, ts=thread)
        answer = await asked(
            channel=known,
            oldest=f"{(since - MARGIN).timestamp():.6f}",
            include_all_metadata=True,
            limit=PAGE,
            cursor=cursor or None,
        )
        stamps += [str(each.get("ts")) for each in answer.get("messages") or () if _key(each) == key]
        cursor = str((answer.get("response_metadata") or {}).get("next_cursor") or "")
        if not cursor:
            break
    return Found(f"{known}/{min(stamps)}", len(stamps)) if stamps else None


async def _id_of(client: AsyncWebClient, channel: str) -> str:
    """History is asked for by id. A name that is not listed is tried as it is."""
    cursor = ""
    for _ in range(MAX_PAGES if channel.startswith("#") else 0):
        answer = await client.conversations_list(
            exclude_archived=True, limit=1_000, types="public_channel,private_channel", cursor=cursor
        )
        for each in answer.get("channels") or ():
            if each.get("name") == channel[1:]:
                return str(each["id"])
        cursor = str((answer.get("response_metadata") or {}).get("next_cursor") or "")
        if not cursor:
            break
    return channel


def _key(message: dict[str, Any]) -> str | None:
    metadata = message.get("metadata") or {}
    if metadata.get("event_type") != EVENT_TYPE:
        return None
    key: str | None = (metadata.get("event_payload") or {}).get("delivery_id")
    return key
