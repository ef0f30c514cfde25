"""Signed links: the person who holds one may acknowledge one page, until it expires. Opening it does nothing."""

import base64
import binascii
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

VALID_FOR = timedelta(days=7)
MAX_TOKEN = 400  # characters


class BadLink(Exception):
    """The token is not ours, is for another page, or is too old. The text says what to do."""


def sign(key: str, page_id: UUID, who: str, now: datetime) -> str:
    expires = int((now + VALID_FOR).timestamp())
    body = base64.urlsafe_b64encode(json.dumps([str(page_id), who, expires]).encode()).decode().rstrip("=")
    return f"{body}.{_mac(key, body)}"


def verify(key: str, page_id: UUID, token: str, now: datetime) -> str:
    """Who holds the link. Raises ``BadLink``."""
    body, _, mac = token[:MAX_TOKEN].partition(".")
    if not hmac.compare_digest(mac.encode(), _mac(key, body).encode()):
        raise BadLink("This link is not one of ours, or a part of it is missing. Open it from the message again.")
    try:
        page, who, expires = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (ValueError, binascii.Error):
        raise BadLink("This link cannot be read. Open it from the message again.") from None
    if page != str(page_id):
        raise BadLink("This link is for another page. Open it from the message again.")
    if now > datetime.fromtimestamp(expires, UTC):
        raise BadLink("This link has expired. Open the newest message about the case, or acknowledge by API.")
    return str(who)


def _mac(key: str, body: str) -> str:
    digest = hmac.new(key.encode(), body.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
