"""Slack's buttons. A request counts only with Slack's signature, at most five minutes old."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import httpx
import structlog
from fastapi import APIRouter, Request, Response
from slack_sdk.signature import Clock as SlackClock
from slack_sdk.signature import SignatureVerifier

from services.notify.api.acting import attempt_all
from services.notify.model import CaseState
from services.notify.model.commands import Acknowledge, HandOver, Snooze
from services.notify.senders.blocks import ACKNOWLEDGE, HAND_OVER, PAGE, SNOOZE, SNOOZES, escape
from services.notify.store import reads
from shared.audit import Actor
from shared.clock import Clock
from shared.contracts import duration
from shared.egress import Egress
from shared.errors import Problem, invalid
from shared.http import whence
from shared.openapi import also
from shared.runtime import Runtime

ANSWER_S = 2.0  # Slack waits three seconds in all
MAX_ANSWER = 3_000  # characters

log = structlog.get_logger()

_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {"type": "object", "required": ["payload"], "properties": {"payload": {"type": "string"}}}
            }
        },
    }
}


class _Now(SlackClock):
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now(self) -> float:
        return self._clock.now().timestamp()


def router(runtime: Runtime[CaseState]) -> APIRouter:
    routes = APIRouter(tags=["slack"])
    secret = runtime.settings.slack_signing_secret
    answer = _Answer(runtime.settings.slack_api_url, Egress(runtime.settings.egress_allow))

    @routes.post("/v1/slack/interactions", responses=also(401, 403, 404), openapi_extra=_FORM)
    async def interaction(request: Request) -> Response:
        """A button was pressed, a choice made. Answered at once with an empty 200, as Slack asks."""
        body = await request.body()
        if secret is None:
            raise Problem(403, "forbidden", "SLACK_SIGNING_SECRET is not set, so nothing from Slack can be trusted.")
        _verify(SignatureVerifier(secret.get_secret_value(), _Now(runtime.clock)), body, request)
        payload = _payload(body)
        (who, origin), now = await _who(runtime, payload), runtime.clock.now()
        actor = Actor(who, "slack", None, None, *whence(request.scope))
        troubles = []
        for action in payload.get("actions") or ():
            asked = list(_commands(action, who, origin, now)) if isinstance(action, dict) else []
            for done in await attempt_all(runtime, asked, actor) if asked else ():
                if not done.changed:
                    troubles.append(f"{done.page.case_number or 'The case'}: {done.text}")
        if troubles:
            await answer.privately(payload.get("response_url"), "\n".join(troubles))
        return Response(status_code=200)

    return routes


def _verify(verifier: SignatureVerifier, body: bytes, request: Request) -> None:
    headers = {name: request.headers.get(name, "") for name in ("x-slack-request-timestamp", "x-slack-signature")}
    try:
        valid = verifier.is_valid_request(body, headers)
    except ValueError:  # a timestamp that is no number, a body that is no text
        valid = False
    if not valid:
        raise Problem(401, "unauthorized", "This is not signed by Slack, or too old. Check SLACK_SIGNING_SECRET.")


def _payload(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(parse_qs(body.decode())["payload"][0])
    except (ValueError, KeyError):
        raise invalid("payload: send Slack's interaction payload, JSON in a form field") from None
    if not isinstance(found, dict):
        raise invalid("payload: send a JSON object")
    return found


async def _who(runtime: Runtime[CaseState], payload: dict[str, Any]) -> tuple[str, str]:
    """The person with this ``slack_user``, else what Slack calls them; and the user and workspace that pressed."""
    user = payload.get("user")
    user = user if isinstance(user, dict) else {}
    async with runtime.db.transaction() as tx:
        person = await reads.person_of_slack_user(tx, str(user.get("id", "")))
    team = payload.get("team")
    where = str(team.get("domain") or team.get("id")) if isinstance(team, dict) else "unknown"
    origin = f"Slack user {user.get('id') or 'unknown'} of workspace {where}"[:200]
    who = person or str(user.get("name") or user.get("username") or user.get("id") or "somebody in Slack")[:200]
    return who, origin


def _commands(
    action: dict[str, Any], who: str, origin: str, now: datetime
) -> Iterator[tuple[UUID, Acknowledge | Snooze | HandOver]]:
    """What a press asks for, page by page. Raises a 422 problem on what no button of ours sends."""
    how = {"via": "slack", "origin": origin}
    kind = str(action.get("action_id", "")).partition(":")[0]
    chosen = action.get("selected_option")
    value = str(chosen.get("value", "") if isinstance(chosen, dict) else action.get("value", ""))
    if kind == ACKNOWLEDGE:
        for page_id in value.split(","):
            yield _page(page_id), Acknowledge(_page(page_id), who, **how)
    elif (kind == SNOOZE and value in SNOOZES) or (kind == HAND_OVER and value):
        one = _page(str(action.get("block_id", "")).removeprefix(PAGE))
        if kind == SNOOZE:
            yield one, Snooze(one, who, now + duration.parse(value), **how)
        else:
            yield one, HandOver(one, who, value[:63], "asked for in Slack", **how)


def _page(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise invalid("actions: the id of a page is expected") from None


class _Answer:
    """Says something to whoever pressed, and to nobody else, at the address that Slack gave with the press."""

    def __init__(self, api_url: str, egress: Egress) -> None:
        self._hosts = {"hooks.slack.com", urlsplit(api_url).hostname}
        self._egress = egress

    async def privately(self, url: object, text: str) -> None:
        """Best effort: the act is done or not, whether its answer arrives or not."""
        if not isinstance(url, str) or urlsplit(url).hostname not in self._hosts:
            return
        said = {"response_type": "ephemeral", "replace_original": False, "text": escape(text, MAX_ANSWER)}
        try:
            async with self._egress.client(httpx.Timeout(ANSWER_S), 1) as client:
                await client.post(url, json=said)
        except httpx.HTTPError as error:
            log.info("an answer to a press in Slack did not arrive", error=type(error).__name__)
