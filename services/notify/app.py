"""Wiring of notify, one straight function."""

import sys
from urllib.parse import urlsplit

from services.notify import CARD, api
from services.notify.calendars.loop import Calendars
from services.notify.decide import decide
from services.notify.lookout import Lookout
from services.notify.model import CaseState
from services.notify.senders import Sender
from services.notify.senders.console import ConsoleSender
from services.notify.senders.email import EmailSender
from services.notify.senders.loop import Sending
from services.notify.senders.opsgenie import OpsgenieSender
from services.notify.senders.pagerduty import PagerDutySender
from services.notify.senders.posting import Poster
from services.notify.senders.slack import SlackSender
from services.notify.senders.webhook import WebhookSender
from services.notify.store import NotifyStore, first_start, metadata, reads
from services.notify.store.configuration import signing_key
from shared.batch import Service
from shared.egress import Egress
from shared.errors import Misconfigured
from shared.process import Member
from shared.runtime import Runtime
from shared.service import Assembly, Loop

CLAIMS_REST_S, RECORDS_REST_S = 0.005, 0.05  # a transaction of ten messages costs little more than one of one


def service() -> Service[CaseState]:
    return Service(CARD, NotifyStore(), decide, metadata, first_start)


def assemble(runtime: Runtime[CaseState]) -> Assembly:
    settings = runtime.settings
    host = urlsplit(settings.url).hostname or "localhost"
    token = settings.slack_token.get_secret_value() if settings.slack_token else None
    smtp_url = settings.smtp_url.get_secret_value() if settings.smtp_url else None
    patience = settings.send_timeout_s
    egress = Egress(settings.egress_allow)
    try:
        email = EmailSender(smtp_url, settings.smtp_from, host, patience, settings.mail_secret)
    except ValueError as wrong:
        raise Misconfigured(f"TOCSIN_{wrong}") from wrong
    senders: dict[str, Sender] = {
        "slack": SlackSender(token, settings.slack_api_url, patience),
        "email": email,
        "webhook": WebhookSender(Poster(patience, egress)),
        "pagerduty": PagerDutySender(Poster(patience, egress)),
        "opsgenie": OpsgenieSender(Poster(patience, egress)),
        "console": ConsoleSender(_to_terminal),
    }
    key = _Key(runtime)
    sending = Sending(runtime, senders, key)
    runtime.begin = sending.begin
    loops = [Loop("notify claims", sending.claim, runtime.wake_sender, sending.close, rest_s=CLAIMS_REST_S)]
    loops.append(Loop("notify records", sending.record, rest_s=RECORDS_REST_S))
    loops += [Loop(f"notify sender {n}", sending.send) for n in range(1, settings.send_concurrency + 1)]
    calendars = Calendars(runtime)
    loops.append(Loop("notify calendars", calendars.step, calendars.wake, calendars.close))
    loops.append(Loop("notify lookout", Lookout(runtime).step))
    return Assembly(api.router(runtime, key, calendars.wake), reads.ledger, loops)


class _Key:
    """The signing key, read once."""

    def __init__(self, runtime: Runtime[CaseState]) -> None:
        self._runtime = runtime
        self._key: str | None = None

    async def __call__(self) -> str:
        if self._key is None:
            async with self._runtime.db.transaction() as tx:
                self._key = await signing_key(tx)
        return self._key


def _to_terminal(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


MEMBER = Member(service, assemble)
