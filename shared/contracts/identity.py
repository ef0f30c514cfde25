"""Identifiers that follow from what they identify: a pure function, allowed in ``decide``."""

from uuid import UUID, uuid5

_NAMESPACE = UUID("6f1d3c5e-9a0b-5c47-8f3e-7a1c0d5a1b52")


def derived(*parts: object) -> UUID:
    """The same id for the same parts, for ever."""
    return uuid5(_NAMESPACE, "\x1f".join(map(str, parts)))


def derived_share(*parts: object) -> float:
    """The same number from 0 to below 1 for the same parts: jitter that replicas and replays agree on."""
    return (derived(*parts).int & 0xFFFF) / 0x10000
