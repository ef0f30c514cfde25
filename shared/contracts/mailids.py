"""The names by which our mails and our cases are known again: signed, so that nobody makes one up. Pure.

Notify signs the Message-IDs of what it sends; intake verifies them where a mail answers one. A case's token goes into
an address (``help+c4812-…@desk.example``) or a subject (``[c4812-…]``) of what a desk sends. Mail servers may write
either in capitals, and put a Message-ID's right side anew; the signature covers neither.
"""

import hmac
import re
from base64 import b32encode
from hashlib import sha256

_SIGNED = re.compile(r"(c-?(\d{1,18})\.([a-z0-9-]{1,80}))\.([a-z2-7]{20})@[^\s@]{1,255}", re.IGNORECASE)
_TOKEN = re.compile(r"c-?(\d{1,18})-([a-z2-7]{12})", re.IGNORECASE)


def message_id(number: str, unique: str, key: bytes, host: str) -> str:
    """Of a mail about case ``number`` (``C-4812``), without angle brackets. ``unique``: letters, digits and dashes."""
    name = f"{number}.{unique}".lower()
    return f"{name}.{_signature(key, f'message {name}', 20)}@{host}"


def case_of_message_id(found: str, key: bytes) -> int | None:
    """The number of the case where we made this Message-ID; None for any other."""
    match = _signed(found, key)
    return int(match[2]) if match else None


def unique_of_message_id(found: str, key: bytes) -> str | None:
    """What ``message_id`` was given as ``unique``, in lower case, where we made it; None for any other."""
    match = _signed(found, key)
    return match[3].lower() if match else None


def _signed(found: str, key: bytes) -> re.Match[str] | None:
    match = _SIGNED.fullmatch(found)
    return match if match is not None and _is_signed(key, f"message {match[1].lower()}", match[4]) else None


def case_token(number: int, key: bytes) -> str:
    """``c4812-k3j5x7q2mzab``."""
    return f"c{number}-{_signature(key, f'case {number}', 12)}"


def case_of_token(found: str, key: bytes) -> int | None:
    """The number of the case where this token is ours; None for any other text."""
    match = _TOKEN.fullmatch(found)
    if match is None or not _is_signed(key, f"case {int(match[1])}", match[2]):
        return None
    return int(match[1])


def _is_signed(key: bytes, text: str, signature: str) -> bool:
    return bool(key) and hmac.compare_digest(_signature(key, text, len(signature)), signature.lower())


def _signature(key: bytes, text: str, letters: int) -> str:
    return b32encode(hmac.new(key, text.encode(), sha256).digest()).decode().lower()[:letters]
