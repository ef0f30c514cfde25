"""How the watcher calls people: by Slack, a webhook or mail of its own, directly, and never through Tocsin."""

from collections.abc import Awaitable, Mapping
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP

import aiosmtplib
import httpx
import structlog
from pydantic import SecretStr

from services.watch.judgement import Call, Hop
from services.watch.settings import WatchSettings
from shared.smtp import server_of

PATIENCE_S = 10.0

log = structlog.get_logger()


class People:
    def __init__(self, settings: WatchSettings) -> None:
        self._settings = settings
        self._http = httpx.AsyncClient(timeout=PATIENCE_S)

    async def tell(self, call: Call, hop: Hop | None, at: datetime) -> bool:
        """By every way there is; whether any of them took it."""
        settings, ways = self._settings, dict[str, Awaitable[None]]()
        if settings.slack_url is not None:
            mark = ":white_check_mark:" if call.over else ":rotating_light:"
            ways["Slack"] = self._post(settings.slack_url, {"text": f"{mark} {call.text}"})
        if settings.webhook_url is not None:
            said = {"state": "ok" if call.over else "failing", "hop": hop, "text": call.text, "at": at.isoformat()}
            ways["webhook"] = self._post(settings.webhook_url, said)
        if settings.smtp_url is not None and settings.recipients:
            ways["mail"] = self._mail(settings.smtp_url, call)
        return any([await self._by(way, telling) for way, telling in ways.items()])

    async def ping(self) -> None:
        """Tell the dead-man's switch that all is well. It calls people where this stays away."""
        if self._settings.ping_url is None:
            return
        try:
            (await self._http.get(self._settings.ping_url)).raise_for_status()
        except httpx.HTTPError as error:
            log.warning("the dead-man's switch was not reached", error=f"{type(error).__name__}: {error}"[:300])

    async def _by(self, way: str, telling: Awaitable[None]) -> bool:
        try:
            await telling
        except (httpx.HTTPError, aiosmtplib.SMTPException, OSError) as error:
            log.error("people could not be told", way=way, error=f"{type(error).__name__}: {error}"[:300])
            return False
        return True

    async def _post(self, url: SecretStr, body: Mapping[str, object]) -> None:
        (await self._http.post(url.get_secret_value(), json=body)).raise_for_status()

    async def _mail(self, url: SecretStr, call: Call) -> None:
        mail, server = EmailMessage(policy=SMTP), server_of(url.get_secret_value())
        mail["From"], mail["To"] = self._settings.mail_from, ", ".join(self._settings.recipients)
        mail["Subject"] = "Tocsin works again" if call.over else "Tocsin does not page"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(f"{call.text}\n\nThe watcher of {self._settings.server}\n")
        await aiosmtplib.send(
            mail, hostname=server.host, port=server.port, use_tls=server.tls, start_tls=server.starttls,
            username=server.user, password=server.password, timeout=PATIENCE_S,
        )  # fmt: skip

    async def close(self) -> None:
        await self._http.aclose()
