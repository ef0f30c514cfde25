"""Where identifiers are made. UUIDv7: ordered by time, so indexes stay compact. Seeded in tests."""

import random
import secrets
from collections.abc import Callable
from typing import cast
from uuid import UUID

from asyncpg.pgproto import pgproto

from shared.clock import Clock

_Uuid = cast(
    Callable[[bytes], UUID], pgproto.UUID
)  # the driver's own, a subclass: quicker to make, hash, compare and send


class Ids:
    """Makes UUIDv7s from a clock; give a seed to get the same ids again."""

    def __init__(self, clock: Clock, seed: int | None = None) -> None:
        self._clock = clock
        self._random = random.SystemRandom() if seed is None else random.Random(seed)

    def new(self) -> UUID:
        milliseconds = int(self._clock.now().timestamp() * 1000) & (2**48 - 1)
        noise = self._random.getrandbits(74)
        value = milliseconds << 80 | 0x7 << 76 | (noise >> 62) << 64 | 0b10 << 62 | noise & (2**62 - 1)
        return _Uuid(value.to_bytes(16, "big"))


def secret(prefix: str) -> str:
    """A high-entropy secret, such as an API key, with a readable prefix."""
    return f"{prefix}_{secrets.token_urlsafe(32)}"
