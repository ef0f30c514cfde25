"""Opsgenie, and what speaks like it: alerts are made, acknowledged and closed by an alias, which is the page's id."""

from typing import Any

import orjson

from services.notify.message import Message
from services.notify.model import Purpose
from services.notify.model.commands import Outcome
from services.notify.model.specs import OpsgenieSpec
from services.notify.senders import Parcel
from services.notify.senders.posting import Poster
from shared.contracts.words import PageState

MAX_MESSAGE = 130  # characters; these are Opsgenie's own limits
MAX_DESCRIPTION = 15_000
MAX_TAG = 50
_PRIORITIES = {"urgent": "P1", "high": "P2", "normal": "P3", "low": "P4"}
_ACTIONS = {PageState.ACKNOWLEDGED: "acknowledge", PageState.RESOLVED: "close"}


class OpsgenieSender:
    def __init__(self, poster: Poster) -> None:
        self._poster = poster

    async def send(self, parcel: Parcel) -> Outcome:
        spec, message = parcel.address, parcel.message
        if not isinstance(spec, OpsgenieSpec):
            raise TypeError(f"{spec.kind} is not sent to Opsgenie")
        if spec.secret is None:
            return Outcome("refused", "the destination has no secret: PUT it with the key of an API integration")
        alias = str(message.page_id)
        state = PageState(message.facts["state"])
        action = None if message.purpose == Purpose.CALL else _ACTIONS.get(state)
        if message.purpose == Purpose.WITHDRAWN and action != "close":
            return Outcome("sent", "nothing to tell Opsgenie: the page goes on", receipt=alias)
        url = spec.url.rstrip("/")
        where = url if action is None else f"{url}/{alias}/{action}?identifierType=alias"
        said = alert(message) if action is None else {"source": "Tocsin", "note": "\n".join(_lines(message))}
        headers = {"authorization": f"GenieKey {spec.secret}"}
        return await self._poster.post("Opsgenie", where, orjson.dumps(said), headers, parcel.at, alias)

    async def close(self) -> None:
        await self._poster.close()


def alert(message: Message) -> dict[str, Any]:
    facts = message.facts
    quoted = [f"“{message.quote}”"] if message.quote else []
    details = {"case_number": facts["case_number"], "case_url": message.case_url, "metric": facts["metric"]}
    return {
        "message": _cut(message.lock, MAX_MESSAGE),
        "alias": str(message.page_id),
        "description": "\n".join([" · ".join(message.context), *quoted, *_lines(message)])[:MAX_DESCRIPTION],
        "entity": facts["case_number"],
        "source": "Tocsin",
        "priority": _PRIORITIES.get(facts["priority"], "P3") if facts["breached_at"] else "P4",
        "tags": [text[:MAX_TAG] for text in (facts["team"], facts["metric"]) if text],
        "details": {name: str(value) for name, value in details.items() if value},
    }


def _lines(message: Message) -> list[str]:
    return [f"{label} {text}" for label, text in message.fields]


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
