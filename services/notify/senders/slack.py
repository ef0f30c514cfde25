"""Slack: Block Kit by ``chat.postMessage``. Nothing of the customer's words reaches mrkdwn unescaped."""

from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from services.notify.message import Message
from services.notify.model.commands import Outcome
from services.notify.model.specs import SlackSpec
from services.notify.senders import Parcel
from services.notify.senders.answers import of_status

MAX_HEADER = 150  # characters; these are Slack's own limits
MAX_SECTION = 3_000
MAX_TEXT = 3_000
ACKNOWLEDGE = "acknowledge"  # the action_id of the button

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
    "user_not_found": "correct the person's slack_user",
}
_TEMPORARY = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org"})


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
            answer = await self._client().chat_postMessage(channel=parcel.address.channel, **content(parcel))
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

    def _client(self) -> AsyncWebClient:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._timeout_s))
        return AsyncWebClient(self._token, self._api_url, session=self._session, retry_handlers=[])

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()


def _refusal(error: SlackApiError, parcel: Parcel) -> Outcome:
    response: Any = error.response
    status = getattr(response, "status_code", None) or getattr(response, "status", None) or 200
    data = getattr(response, "data", None)
    by_status = of_status("Slack", status, response.headers.get("Retry-After"), parcel.at)
    if by_status is not None:
        return by_status
    code = data.get("error") if isinstance(data, dict) else None
    if not isinstance(code, str):
        return Outcome("later", "Slack answered with something that is not JSON")
    if code in _TEMPORARY or code in ("ratelimited", "rate_limited"):
        return Outcome("later", f"Slack answered {code}")
    return Outcome(
        "refused", f"Slack answered {code}: {_ADVICE.get(code, 'see its documentation of chat.postMessage')}"
    )


def content(parcel: Parcel) -> dict[str, Any]:
    """Everything of a post but the channel. ``text`` is what a lock screen shows."""
    message = parcel.message
    return {
        "text": escape(message.lock, MAX_TEXT),
        "blocks": blocks(message),
        "metadata": {"event_type": "tocsin_delivery", "event_payload": {"delivery_id": str(parcel.key)}},
        "unfurl_links": False,
        "unfurl_media": False,
    }


def blocks(message: Message) -> list[dict[str, Any]]:
    drawn: list[dict[str, Any]] = [
        {
            "type": "header",
            "text": {"type": "plain_text", "text": escape(message.headline, MAX_HEADER), "emoji": False},
        },
        {"type": "context", "elements": [_mrkdwn(escape(" · ".join(message.context), MAX_SECTION))]},
    ]
    if message.quote:
        drawn.append({"type": "section", "text": _mrkdwn("> " + escape(message.quote, MAX_SECTION - 2))})
    if message.fields:
        share = MAX_SECTION // len(message.fields)
        lines = [f"*{label}* {escape(text, share - len(label) - 4)}" for label, text in message.fields]
        drawn.append({"type": "section", "text": _mrkdwn("\n".join(lines))})
    if buttons := _buttons(message):
        drawn.append({"type": "actions", "elements": buttons})
    return drawn


def _mrkdwn(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text, "verbatim": True}  # verbatim: no links or mentions made of plain words


def _buttons(message: Message) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if message.can_acknowledge:
        found.append(_button("Acknowledge", action_id=ACKNOWLEDGE, value=str(message.page_id), style="primary"))
    if message.case_url:
        found.append(_button("Open", action_id="open", url=message.case_url))
    return found


def _button(text: str, **more: str) -> dict[str, Any]:
    return {"type": "button", "text": _plain(text), **more}


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}


def escape(text: str, limit: int) -> str:
    """For Slack: ``<!channel>`` arrives as text. At most ``limit`` characters, and no entity is cut in half."""
    written = _escaped(text)
    if len(written) <= limit:
        return written
    while len(written) >= limit:
        text = text[: -max(1, (len(written) - limit) // len("&amp;"))]
        written = _escaped(text)
    return written + "…"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
