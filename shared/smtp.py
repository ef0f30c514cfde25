"""Where a mail server is, as settings write it."""

from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass(frozen=True, slots=True)
class Server:
    """From ``smtp://user:password@host:port?starttls=never`` or ``smtps://…``."""

    host: str
    port: int
    tls: bool
    starttls: bool | None  # None: where the server offers it
    user: str | None
    password: str | None


def server_of(url: str) -> Server:
    """Raises ``ValueError`` saying what to write."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise ValueError("SMTP_URL: write smtp://user:password@host:port or smtps://…")
    starttls = {"never": False, "always": True}.get(parse_qs(parts.query).get("starttls", [""])[0])
    tls = parts.scheme == "smtps"
    return Server(
        parts.hostname,
        port or (465 if tls else 587 if parts.username else 25),
        tls,
        False if tls else starttls,
        unquote(parts.username) if parts.username else None,
        unquote(parts.password) if parts.password else None,
    )
