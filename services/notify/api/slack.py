"""Slack's buttons. A request counts only with Slack's signature, at most five minutes old."""

import json
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

from fastapi import APIRouter, Request, Response
from slack_sdk.signature import Clock as SlackClock
from slack_sdk.signature import SignatureVerifier

from services.notify.api.acting import act
from services.notify.model import CaseState
from services.notify.model.commands import Acknowledge
from services.notify.senders.slack import ACKNOWLEDGE
from services.notify.store import reads
from shared.clock import Clock
from shared.errors import Problem, invalid
from shared.runtime import Runtime

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

    @routes.post("/v1/slack/interactions", openapi_extra=_FORM)
    async def interaction(request: Request) -> Response:
        """A button was pressed. Answered at once with an empty 200, as Slack asks."""
        body = await request.body()
        if secret is None:
            raise Problem(403, "forbidden", "SLACK_SIGNING_SECRET is not set, so nothing from Slack can be trusted.")
        _verify(SignatureVerifier(secret.get_secret_value(), _Now(runtime.clock)), body, request)
        payload = _payload(body)
        for action in payload.get("actions") or ():
            if isinstance(action, dict) and action.get("action_id") == ACKNOWLEDGE:
                await _acknowledge(runtime, payload, action)
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


async def _acknowledge(runtime: Runtime[CaseState], payload: dict[str, Any], action: dict[str, Any]) -> None:
    try:
        page_id = UUID(str(action.get("value")))
    except ValueError:
        raise invalid("actions.value: the id of a page is expected") from None
    user = payload.get("user")
    user = user if isinstance(user, dict) else {}
    async with runtime.db.transaction() as tx:
        person = await reads.person_of_slack_user(tx, str(user.get("id", "")))
    by = person or str(user.get("username") or user.get("id") or "somebody in Slack")[:200]
    await act(runtime, page_id, Acknowledge(page_id, by, "slack"))
