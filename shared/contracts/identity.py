"""Identifiers that follow from what they identify: a pure function, allowed in ``decide``."""

from hashlib import sha1
from uuid import UUID

_NAMESPACE = sha1(UUID("6f1d3c5e-9a0b-5c47-8f3e-7a1c0d5a1b52").bytes, usedforsecurity=False)
_FREE, _VERSION_5 = ~(0xF000 << 64 | 0xC000 << 48), 5 << 76 | 0x8000 << 48


def derived(*parts: object) -> UUID:
    """The same id for the same parts, for ever: ``uuid5`` of our namespace, at half its cost."""
    hashed = _NAMESPACE.copy()
    hashed.update("\x1f".join(map(str, parts)).encode())
    return UUID(int=int.from_bytes(hashed.digest()[:16], "big") & _FREE | _VERSION_5)


def derived_share(*parts: object) -> float:
    """The same number from 0 to below 1 for the same parts: jitter that replicas and replays agree on."""
    return (derived(*parts).int & 0xFFFF) / 0x10000
