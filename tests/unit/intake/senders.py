"""Other systems as they send webhooks: their documented payloads, signed as their documentation says."""

import base64
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx

from tests.unit.intake.conftest import Intake

PAYLOADS = Path(__file__).parents[2] / "data" / "webhooks"
KEY = b"an upstream's secret, 32 bytes.."
WHSEC = "whsec_" + base64.b64encode(KEY).decode()
PLAIN = "a-vendors-signing-secret"
FORM = "application/x-www-form-urlencoded"


def payload(name: str) -> dict[str, Any]:
    """One documented example, by the name of its file."""
    found: dict[str, Any] = json.loads((PAYLOADS / f"{name}.json").read_text())["body"]
    return found


def hashed(key: bytes, signed: bytes, digest: str) -> bytes:
    return hmac.new(key, signed, digest).digest()


def standard_headers(body: bytes, at: datetime, message_id: str = "msg_1", key: bytes = KEY) -> dict[str, str]:
    stated = str(int(at.timestamp()))
    signature = base64.b64encode(hashed(key, f"{message_id}.{stated}.".encode() + body, "sha256")).decode()
    return {"webhook-id": message_id, "webhook-timestamp": stated, "webhook-signature": f"v1,{signature}"}


def zendesk_headers(body: bytes, at: datetime, secret: str = PLAIN) -> dict[str, str]:
    stated = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    signature = base64.b64encode(hashed(secret.encode(), stated.encode() + body, "sha256")).decode()
    return {"X-Zendesk-Webhook-Signature": signature, "X-Zendesk-Webhook-Signature-Timestamp": stated}


def intercom_headers(body: bytes, secret: str = PLAIN) -> dict[str, str]:
    return {"X-Hub-Signature": "sha1=" + hashed(secret.encode(), body, "sha1").hex()}


def twilio_headers(url: str, fields: Mapping[str, str], secret: str = PLAIN) -> dict[str, str]:
    signed = url + "".join(name + fields[name] for name in sorted(fields))
    return {"X-Twilio-Signature": base64.b64encode(hashed(secret.encode(), signed.encode(), "sha1")).decode()}


@dataclass
class Sender:
    """One configured source of a kind, and the system behind it."""

    intake: Intake
    kind: str
    name: str

    @classmethod
    async def of(cls, intake: Intake, kind: str, **more: Any) -> "Sender":
        secret = PLAIN if kind in ("zendesk", "intercom", "twilio") else WHSEC
        answer = await intake.client.put(f"/v1/sources/{kind}", json={"kind": kind, "secrets": [secret]} | more)
        assert answer.status_code in (200, 201), answer.text
        return cls(intake, kind, kind)

    async def send(
        self, what: Any, message_id: str = "msg_1", client: httpx.AsyncClient | None = None
    ) -> httpx.Response:
        """Signed as the vendor signs, without an API key."""
        now = self.intake.clock.now()
        if self.kind == "twilio":
            body = (urlencode(what) if isinstance(what, dict) else what).encode()
            url = f"{self.intake.runtime.settings.url}/v1/hooks/{self.name}"
            headers = twilio_headers(url, what if isinstance(what, dict) else {}) | {"Content-Type": FORM}
        else:
            body = what if isinstance(what, bytes) else json.dumps(what).encode()
            signed = {
                "zendesk": lambda: zendesk_headers(body, now),
                "intercom": lambda: intercom_headers(body),
            }.get(self.kind, lambda: standard_headers(body, now, message_id))()
            headers = signed | {"Content-Type": "application/json"}
        return await (client or self.intake.client).post(
            f"/v1/hooks/{self.name}", content=body, headers=headers | {"Authorization": ""}
        )

    async def taken(self, what: Any, message_id: str = "msg_1") -> dict[str, Any]:
        answer = await self.send(what, message_id)
        assert answer.status_code == 202, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def contact(self, what: Any) -> dict[str, Any]:
        """The one contact that came of it."""
        [accepted] = (await self.taken(what))["contacts"]
        return await self.intake.get(f"/v1/contacts/{accepted['contact_id']}")
