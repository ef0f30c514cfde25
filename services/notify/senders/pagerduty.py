"""PagerDuty by its Events API v2. The page's id is the ``dedup_key``, so a repeat joins the incident that is there."""

from typing import Any

import orjson

from services.notify.message import Message
from services.notify.model import Purpose
from services.notify.model.commands import Outcome
from services.notify.model.specs import PagerDutySpec
from services.notify.senders import Parcel
from services.notify.senders.posting import Poster
from shared.contracts.words import PageState

MAX_SUMMARY = 1_024  # characters, PagerDuty's limit
_SEVERITIES = {"urgent": "critical", "high": "error", "normal": "error", "low": "warning"}
_ACTIONS = {PageState.ACKNOWLEDGED: "acknowledge", PageState.RESOLVED: "resolve"}


class PagerDutySender:
    def __init__(self, poster: Poster) -> None:
        self._poster = poster

    async def send(self, parcel: Parcel) -> Outcome:
        spec, key = parcel.address, str(parcel.message.page_id)
        if not isinstance(spec, PagerDutySpec):
            raise TypeError(f"{spec.kind} is not sent to PagerDuty")
        if spec.secret is None:
            return Outcome("refused", "the destination has no secret: PUT it with the integration key of a service")
        said = event(parcel.message, spec.secret)
        if said is None:
            return Outcome("sent", "nothing to tell PagerDuty: the page goes on", receipt=key)
        return await self._poster.post("PagerDuty", spec.url, orjson.dumps(said), {}, parcel.at, key)

    async def close(self) -> None:
        await self._poster.close()


def event(message: Message, routing_key: str) -> dict[str, Any] | None:
    """None where the page goes on though a call for it was withdrawn."""
    state = PageState(message.facts["state"])
    action = "trigger" if message.purpose == Purpose.CALL else _ACTIONS.get(state, "trigger")
    if message.purpose == Purpose.WITHDRAWN and action != "resolve":
        return None
    named = {"routing_key": routing_key, "event_action": action, "dedup_key": str(message.page_id)}
    if action != "trigger":
        return named
    facts = message.facts
    late = _SEVERITIES.get(facts["priority"], "error") if facts["breached_at"] else "warning"
    details = {"case": " · ".join(message.context), "excerpt": message.quote, **dict(message.fields)}
    return {
        **named,
        "client": "Tocsin",
        **({"client_url": message.case_url} if message.case_url else {}),
        "links": [{"href": message.case_url, "text": "Answer the customer"}] if message.case_url else [],
        "payload": {
            "summary": message.lock[:MAX_SUMMARY],
            "source": facts["case_number"],
            "severity": late,
            "group": facts["team"],
            "class": facts["metric"],
            "custom_details": {name: text for name, text in details.items() if text},
        },
    }
