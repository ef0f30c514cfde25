"""Tocsin as the watcher knows it: by its public API alone."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import httpx

from services.watch.judgement import Seen
from services.watch.memory import Contact
from shared.contracts.words import WATCHER

PROMISE = "PT1S"
FIRST = 0  # the position of our policy: it goes before others
SCOPES = "contacts:write and read, and config:write for the first start"


class Trouble(Exception):
    """What Tocsin did not do, in words for people."""


@dataclass
class Tocsin:
    server: str
    key: str
    patience_s: float  # of one request

    def __post_init__(self) -> None:
        headers = {"Authorization": f"Bearer {self.key}"}
        self._http = httpx.AsyncClient(base_url=self.server.rstrip("/"), headers=headers, timeout=self.patience_s)

    async def close(self) -> None:
        await self._http.aclose()

    async def set_up(self, url: str, secret: str, known: str | None) -> None:
        """Make what a page of ours needs, where it is not there: a team, a way to the watcher, a promise of a second.

        ``known`` is the address that the destination was last written with. Raises ``Trouble``.
        """
        destination = {"kind": "webhook", "url": url, "secret": secret, "digest": False}
        if known != url or await self._there(f"destinations/{WATCHER}") is None:
            await self._put(f"destinations/{WATCHER}", {"label": "The watcher", **destination})
        if await self._there(f"teams/{WATCHER}") is None:
            await self._put(f"teams/{WATCHER}", {"label": "The watcher's own contacts"})
        if await self._there(f"escalation-policies/{WATCHER}") is None:
            steps = [{"on": "breached", "notify": [{"destination": WATCHER}]}]
            # Long after its case is closed: what hangs is told by the watcher, not by the catch-all.
            repeat = {"every": "PT24H", "times": 0}
            await self._put(f"escalation-policies/{WATCHER}", {"teams": [WATCHER], "steps": steps, "repeat": repeat})
        if await self._there(f"policies/{WATCHER}") is None:
            when = f"contact.source == '{WATCHER}'"
            targets = [{"metric": "first_reply", "within": PROMISE}]
            await self._put(f"policies/{WATCHER}", {"position": FIRST, "when": when, "targets": targets})

    async def post(self, contact: Contact) -> Contact:
        """Post it, or find it where it was posted before. Raises ``Trouble``."""
        body = {
            "channel": "api",
            "source": WATCHER,
            "external_id": contact.name,
            "thread": contact.name,
            "occurred_at": contact.posted_at.isoformat(),
            "customer": {"name": "The watcher"},
            "subject": "Tocsin watches itself",
            "body": "A contact of the watcher. Its page must reach the watcher; then it is closed.",
        }
        made = await self._ask("POST", "/v1/contacts", body)
        return replace(contact, case_id=made["case_id"])

    async def end(self, case_id: str, name: str, now: datetime) -> None:
        """Answer and close the case, so that nothing of it stays open. The same again changes nothing."""
        said = {"case_id": case_id, "source": WATCHER, "occurred_at": now.isoformat(), "actor": WATCHER}
        reply = {"kind": "agent_replied", "public": True, "external_id": f"{name}-answer", **said}
        status = {"kind": "status_changed", "status": "closed", "external_id": f"{name}-close", **said}
        for activity in (reply, status):
            answer = await self._send("POST", "/v1/activities", activity)
            if answer.status_code != 409:  # said already, a moment earlier, and the answer was lost
                self._taken("POST", "/v1/activities", answer)

    async def look(self, case_id: str) -> Seen:
        """Where the case is on its way, as far as Tocsin can say."""
        routed = await self._said(f"/v1/cases/{case_id}/assignment", lambda found: None)
        clock = await self._said(f"/v1/cases/{case_id}/clocks", _fired)
        page = await self._said(f"/v1/pages?case_id={case_id}", _paged)
        delivered = await self._said(f"/v1/deliveries?case_id={case_id}", _sent)
        return Seen(None, routed, clock, page, delivered)

    async def _said(self, path: str, judge: Any) -> str | None:
        try:
            found = await self._ask("GET", path)
        except Trouble as trouble:
            return str(trouble)
        why: str | None = judge(found)
        return why

    async def _there(self, path: str) -> dict[str, Any] | None:
        answer = await self._send("GET", f"/v1/{path}")
        if answer.status_code == 404:
            return None
        return self._taken("GET", f"/v1/{path}", answer)

    async def _put(self, path: str, body: dict[str, Any]) -> None:
        await self._ask("PUT", f"/v1/{path}", body)

    async def _ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        return self._taken(method, path, await self._send(method, path, body))

    async def _send(self, method: str, path: str, body: Any = None) -> httpx.Response:
        try:
            return await self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            what = "no answer" if isinstance(error, httpx.TimeoutException) else "cannot be reached"
            raise Trouble(f"{method} {path}: {what} ({type(error).__name__})") from error

    def _taken(self, method: str, path: str, answer: httpx.Response) -> dict[str, Any]:
        if answer.is_success:
            found: dict[str, Any] = answer.json()
            return found
        if answer.status_code in (401, 403):
            raise Trouble(f"{method} {path} answers {answer.status_code}: give the watcher a key with {SCOPES}")
        raise Trouble(f"{method} {path} answers {answer.status_code}: {_detail(answer)}")


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])[:300]
    except (ValueError, KeyError, TypeError):
        return answer.text[:300]


def _fired(found: dict[str, Any]) -> str | None:
    states = [each["state"] for each in found["items"] if each["metric"] == "first_reply"]
    if not states:
        return "the case has no promise"
    return None if "breached" in states else f"its promise of a second is {states[0]}"


def _paged(found: dict[str, Any]) -> str | None:
    return None if found["items"] else "the case has no page"


def _sent(found: dict[str, Any]) -> str | None:
    if not found["items"]:
        return "its page told nobody"
    newest = found["items"][0]
    return None if newest["state"] == "sent" else f"its message is {newest['state']}: {newest['reason'] or 'no reason'}"
