"""Who sent a webhook: Standard Webhooks, and each vendor's own scheme. Pure; constant in time.

Each function gives why a delivery is not authentic and what to do about it, or None where it is.
"""

import base64
import hmac
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

from standardwebhooks import Webhook

from services.intake.channels.hook import Delivery

TOLERANCE = timedelta(minutes=5)  # between the sender's clock and ours; an older one may be a replay
FORM_FIELDS_LIMIT = 1_000
_PORTS = {"https": 443, "http": 80}


def standard(secrets: Sequence[str], delivery: Delivery, now: datetime) -> str | None:
    """``webhook-id``, ``webhook-timestamp`` (Unix seconds), ``webhook-signature``: HMAC-SHA256 in base64."""
    found, missing = _headers(delivery, "webhook-id", "webhook-timestamp", "webhook-signature")
    if missing:
        return missing
    message_id, stated, signatures = found
    at = _unix(stated)
    if wrong := _untimely("webhook-timestamp", at, now):
        return wrong
    assert at is not None
    body = _text(delivery.body)
    if body is None or not stated.isdecimal():
        return _different("webhook-signature")
    offered = [each.removeprefix("v1,") for each in signatures.split() if each.startswith("v1,")]
    expected = [Webhook(secret).sign(message_id, at, body).removeprefix("v1,") for secret in secrets]
    return None if _any_equal(offered, expected) else _different("webhook-signature")


def standard_secret(secret: str) -> str | None:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_") + "==") if secret.startswith("whsec_") else b""
    except ValueError:
        key = b""
    if 16 <= len(key) <= 64:
        return None
    return 'write whsec_ and 16 to 64 random bytes in base64; make one with: echo "whsec_$(openssl rand -base64 32)"'


def zendesk(secrets: Sequence[str], delivery: Delivery, now: datetime) -> str | None:
    """``X-Zendesk-Webhook-Signature``: base64 of HMAC-SHA256 over timestamp and body.

    https://developer.zendesk.com/documentation/webhooks/verifying/
    """
    names = ("x-zendesk-webhook-signature", "x-zendesk-webhook-signature-timestamp")
    (signature, stated), missing = _headers(delivery, *names)
    if missing:
        return missing
    try:
        at: datetime | None = datetime.fromisoformat(stated)
    except ValueError:
        at = None
    if wrong := _untimely(names[1], at if at is None or at.tzinfo else at.replace(tzinfo=UTC), now):
        return wrong
    expected = [_base64(secret, _latin(stated) + delivery.body, "sha256") for secret in secrets]
    return None if _any_equal([signature], expected) else _different(names[0])


def intercom(secrets: Sequence[str], delivery: Delivery, now: datetime) -> str | None:
    """``X-Hub-Signature: sha1=…``: hexadecimal HMAC-SHA1 over the body. It has no time: ids make a replay harmless.

    https://developers.intercom.com/docs/webhooks/webhook-notifications
    """
    (signature,), missing = _headers(delivery, "x-hub-signature")
    if missing:
        return missing
    expected = ["sha1=" + hmac.new(secret.encode(), delivery.body, "sha1").hexdigest() for secret in secrets]
    return None if _any_equal([signature.lower()], expected) else _different("x-hub-signature")


def twilio(secrets: Sequence[str], delivery: Delivery, now: datetime) -> str | None:
    """``X-Twilio-Signature``: base64 of HMAC-SHA1 over the URL and the sorted fields. It has no time, as Intercom's.

    https://www.twilio.com/docs/usage/webhooks/webhooks-security
    """
    (signature,), missing = _headers(delivery, "x-twilio-signature")
    if missing:
        return missing
    fields = form(delivery.body)
    if fields is None:
        return _different("x-twilio-signature")
    said = "".join(name + value for name, value in sorted(set(fields)))
    signed = [(url + said).encode(errors="surrogatepass") for url in _spellings(delivery.url)]
    expected = [_base64(secret, each, "sha1") for secret in secrets for each in signed]
    if _any_equal([signature], expected):
        return None
    return f"{_different('x-twilio-signature')} Twilio signs the address it calls: it must be {delivery.url[:300]}."


def any_secret(secret: str) -> str | None:
    return None if len(secret) >= 8 else "it has fewer than 8 characters; copy the whole of it from the vendor"


def form(body: bytes) -> list[tuple[str, str]] | None:
    """The fields of ``application/x-www-form-urlencoded``, in order; None for what is none."""
    text = _text(body)
    if text is None:
        return None
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=FORM_FIELDS_LIMIT)
    except ValueError:
        return None


def _headers(delivery: Delivery, *names: str) -> tuple[list[str], str | None]:
    found = [delivery.headers.get(name, "").strip() for name in names]
    missing = [name for name, value in zip(names, found, strict=True) if not value]
    if not missing:
        return found, None
    return found, f"This webhook is not signed: it has no {', '.join(missing)}. Sign it with the source's secret."


def _different(header: str) -> str:
    return (
        f"{header} fits none of this source's secrets. Sign the body as it is sent, with the secret of this"
        " source; or PUT the source with the sender's secret."
    )


def _untimely(header: str, at: datetime | None, now: datetime) -> str | None:
    if at is None:
        return f"{header} is no time that can be read. Send the time of signing."
    if abs(now - at) <= TOLERANCE:
        return None
    return f"{header} is {abs(now - at).total_seconds():,.0f} s away from {now:%H:%M:%S} UTC. Sign again, now."


def _unix(text: str) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(text), UTC) if text.isascii() and len(text) <= 12 else None
    except (ValueError, OverflowError, OSError):
        return None


def _text(body: bytes) -> str | None:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def _latin(text: str) -> bytes:
    return text.encode("latin-1", errors="replace")


def _base64(secret: str, signed: bytes, digest: Literal["sha1", "sha256"]) -> str:
    return base64.b64encode(hmac.new(secret.encode(), signed, digest).digest()).decode()


def _any_equal(offered: Iterable[str], expected: Sequence[str]) -> bool:
    equal = [hmac.compare_digest(_latin(one), _latin(other)) for one in offered for other in expected]
    return any(equal)


def _spellings(url: str) -> tuple[str, ...]:
    """With and without the scheme's own port: senders differ."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", _PORTS.get(parts.scheme)
    try:
        given = parts.port
    except ValueError:
        return (url,)
    if given is None:
        return url, parts._replace(netloc=f"{parts.netloc}:{port}").geturl()
    return (url, parts._replace(netloc=host).geturl()) if given == port else (url,)
