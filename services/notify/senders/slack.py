"""Slack: the first message of a page in a channel is posted, later ones answer it in its thread, changes update it."""

from typing import Any

import aiohttp
import structlog
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from services.notify.model import Purpose
from services.notify.model.commands import Outcome
from services.notify.model.specs import SlackSpec
from services.notify.senders import Parcel, slack_history
from services.notify.senders.answers import of_status
from services.notify.senders.blocks import MAX_TEXT, draw, escape

_ADVICE = {
    "channel_not_found": "invite the bot to the channel, or correct its name",
    "not_in_channel": "invite the bot to the channel",
    "is_archived": "the channel is archived: name another",
    "invalid_auth": "check SLACK_TOKEN",
    "not_authed": "set SLACK_TOKEN",
    "token_revoked": "SLACK_TOKEN was revoked: set a new one",
    "token_expired": "SLACK_TOKEN expired: set a new one",
    "account_inactive": "the bot was removed from the workspace: install it again",
    "missing_scope": "give the bot the scope chat:write",
    "message_not_found": "the message was deleted in Slack",
    "cant_update_message": "the message is not the bot's own",
    "edit_window_closed": "the workspace lets nobody edit a message this old",
    "user_not_found": "correct the person's slack_user",
}
_NO_THREAD = frozenset({"thread_not_found", "message_not_found", "cannot_reply_to_message", "channel_not_found"})
_TEMPORARY = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org"})
MAX_ANSWER = 16 * 1_048_576  # bytes: a page of channels or of history is much less
CHUNK = 65_536

log = structlog.get_logger()


class _Bounded(aiohttp.ClientResponse):
    """An answer of which no more is read than Slack ever says."""

    async def read(self) -> bytes:
        if self._body is None:
            body = bytearray()
            async for chunk in self.content.iter_chunked(CHUNK):
                body += chunk
                if len(body) > MAX_ANSWER:
                    self.close()
                    raise aiohttp.ClientPayloadError(f"more than {MAX_ANSWER} bytes")
            self._body = bytes(body)
        return await super().read()


class SlackSender:
    """One client for all channels. The client's own retries are off: we keep the tries and their reasons."""

    def __init__(self, token: str | None, api_url: str, timeout_s: float) -> None:
        self._token, self._api_url, self._timeout_s = token, api_url, timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def send(self, parcel: Parcel) -> Outcome:
        if not isinstance(parcel.address, SlackSpec):
            raise TypeError(f"{parcel.address.kind} is not sent by Slack")
        if not self._token:
            return Outcome("refused", "SLACK_TOKEN is not set: set it, or reach people by email")
        try:
            answer = await self._say(parcel, parcel.address.channel)
        except SlackApiError as error:
            return _refusal(error, parcel)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            return Outcome("later", f"Slack cannot be reached: {type(error).__name__}")
        except aiohttp.ClientResponseError as error:  # an answer, though not one of Slack's: perhaps a proxy's
            not_json = Outcome("later", "Slack answered with something that is not JSON")
            return of_status("Slack", error.status, None, parcel.at) or not_json
        except AttributeError:  # what slack_sdk makes of an answer in plain text
            return Outcome("later", "Slack answered with something that is not JSON")
        except (aiohttp.ClientError, ConnectionError) as error:
            return Outcome("lost", f"the connection to Slack broke before its answer: {type(error).__name__}")
        return Outcome("sent", "Slack took it", receipt=f"{answer.get('channel')}/{answer.get('ts')}")

    async def _say(self, parcel: Parcel, channel: str) -> AsyncSlackResponse:
        """Raises ``SlackApiError``."""
        message, client = parcel.message, self._client()
        there, _, stamp = (message.follows or "").rpartition("/")  # Slack's own name of the channel, and the message's
        if message.purpose == Purpose.UPDATE:
            return await client.chat_update(channel=there, ts=stamp, **content(parcel))
        if not stamp:
            return await client.chat_postMessage(channel=channel, **_posted(parcel))
        aloud = message.purpose != Purpose.HISTORY  # a later call is seen in the channel too
        try:
            return await client.chat_postMessage(
                channel=there, thread_ts=stamp, reply_broadcast=aloud, **_posted(parcel)
            )
        except SlackApiError as error:
            if not aloud or _code(error) not in _NO_THREAD:
                raise
            return await client.chat_postMessage(channel=channel, **_posted(parcel))

    async def find(self, parcel: Parcel) -> Outcome | None:
        """After a lost answer: is it in the channel? Where Slack does not say, it is sent again."""
        if not isinstance(parcel.address, SlackSpec) or not self._token or parcel.lost_since is None:
            return None
        there, _, stamp = (parcel.message.follows or "").rpartition("/")
        channel = there or parcel.known_as or parcel.address.channel
        thread = stamp if parcel.message.purpose == Purpose.HISTORY else None
        try:
            found = await slack_history.find(self._client(), channel, str(parcel.key), parcel.lost_since, thread)
        except (SlackApiError, aiohttp.ClientError, ConnectionError, AttributeError) as error:
            log.info("Slack does not say whether a message arrived", error=f"{type(error).__name__}: {error}"[:200])
            return None
        if found is None:
            return None
        return Outcome("sent", "an earlier try had arrived in Slack", found.receipt, copies=found.copies)

    def _client(self) -> AsyncWebClient:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._timeout_s), response_class=_Bounded
            )
        return AsyncWebClient(self._token, self._api_url, session=self._session, retry_handlers=[])

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()


def _refusal(error: SlackApiError, parcel: Parcel) -> Outcome:
    response: Any = error.response
    status = getattr(response, "status_code", None) or getattr(response, "status", None) or 200
    by_status = of_status("Slack", status, response.headers.get("Retry-After"), parcel.at)
    if by_status is not None:
        return by_status
    code = _code(error)
    if code is None:
        return Outcome("later", "Slack answered with something that is not JSON")
    if code in _TEMPORARY or code in ("ratelimited", "rate_limited"):
        return Outcome("later", f"Slack answered {code}")
    return Outcome(
        "refused", f"Slack answered {code}: {_ADVICE.get(code, 'see its documentation of chat.postMessage')}"
    )


def _code(error: SlackApiError) -> str | None:
    data = getattr(error.response, "data", None)
    code = data.get("error") if isinstance(data, dict) else None
    return code if isinstance(code, str) else None


def content(parcel: Parcel) -> dict[str, Any]:
    """Everything of a message but where it goes. ``text`` is what a lock screen shows."""
    message = parcel.message
    metadata = {"event_type": "tocsin_delivery", "event_payload": {"delivery_id": str(parcel.key), **_members(parcel)}}
    if message.purpose == Purpose.HISTORY:
        return {"text": escape("\n".join(message.lines), MAX_TEXT), "metadata": metadata}
    return {"text": escape(message.lock, MAX_TEXT), "blocks": draw(message), "metadata": metadata}


def _posted(parcel: Parcel) -> dict[str, Any]:
    return {**content(parcel), "unfurl_links": False, "unfurl_media": False}


def _members(parcel: Parcel) -> dict[str, Any]:
    """The deliveries of a digest, in the order of its rows."""
    return {"deliveries": [str(each) for each in parcel.members]} if parcel.members else {}
