"""Secrets at rest: what an admin gives us to sign or to call with is stored sealed, and opened where it is used.

The key is ``TOCSIN_SECRET_KEY``; several by commas: the first seals, all open, so that a key can be changed. Embedded
mode makes one at first start and keeps it, 0600, under ``DATA_DIR``.
"""

import base64
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from shared.ids import secret
from shared.settings import Settings

FIELDS = frozenset({"secret", "secrets"})  # whatever has one of these names, at any depth, is sealed and never shown
KEY_FILE = "secret-key"
SHORTEST_KEY = 16

_PREFIX = "sealed:"
_INFO = b"tocsin: secrets at rest"

log = structlog.get_logger()


class Seal:
    """Seals with the first of ``keys``, opens with any."""

    def __init__(self, keys: Sequence[str]) -> None:
        if short := [key for key in keys if len(key) < SHORTEST_KEY]:
            detail = f"{len(short)} of its keys have fewer than {SHORTEST_KEY} characters"
            raise SystemExit(f"TOCSIN_SECRET_KEY: {detail}. Make one with: openssl rand -hex 32")
        self._keys = MultiFernet([Fernet(_derived(key)) for key in keys])

    def seal(self, text: str) -> str:
        return _PREFIX + self._keys.encrypt(text.encode()).decode()

    def open(self, text: str) -> str | None:
        """The text that was sealed; None, with an error in the log, where none of the keys sealed it."""
        if not text.startswith(_PREFIX):
            return text  # stored before secrets were sealed
        try:
            return self._keys.decrypt(text.removeprefix(_PREFIX)).decode()
        except InvalidToken:
            log.error("a stored secret was sealed with another key: add that one to TOCSIN_SECRET_KEY after a comma")
            return None


def each_secret(body: Mapping[str, Any], change: Callable[[str], str | None]) -> dict[str, Any]:
    """A document with its secrets changed: sealed or opened."""
    return {name: _changed(value, change, name in FIELDS) for name, value in body.items()}


def hidden(body: Mapping[str, Any]) -> dict[str, Any]:
    """A document without its secrets, as it may be shown."""
    return {name: _without(value) for name, value in body.items() if name not in FIELDS}


def load(settings: Settings) -> Seal:
    """The seal of this installation. Raises ``SystemExit`` where distributed mode has no key."""
    if settings.secret_key is not None:
        return Seal([key.strip() for key in settings.secret_key.get_secret_value().split(",") if key.strip()])
    if settings.database_url is not None:
        raise SystemExit(
            "Set TOCSIN_SECRET_KEY (or TOCSIN_SECRET_KEY_FILE), the same for every service: it seals stored secrets."
            " Make one with: openssl rand -hex 32"
        )
    return Seal([_kept(settings.data_dir / KEY_FILE)])


def _kept(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(descriptor, "w") as file:
        file.write(secret("key") + "\n")
    return path.read_text().strip()


def _derived(key: str) -> bytes:
    return base64.urlsafe_b64encode(HKDF(SHA256(), 32, salt=None, info=_INFO).derive(key.encode()))


def _changed(value: Any, change: Callable[[str], str | None], marked: bool) -> Any:
    match value:
        case Mapping():
            return {name: _changed(inner, change, marked or name in FIELDS) for name, inner in value.items()}
        case list() | tuple():
            return [_changed(inner, change, marked) for inner in value]
        case str() if marked:
            return change(value)
    return value


def _without(value: Any) -> Any:
    match value:
        case Mapping():
            return hidden(value)
        case list() | tuple():
            return [_without(inner) for inner in value]
    return value
