"""Where identifiers are made. UUIDv7: ordered by time, so indexes stay compact. Seeded in tests."""

import base64
import os
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

_NOISE_BYTES, NOISE_AT_ONCE = 10, 256  # of one id; ids


class Ids:
    """Makes UUIDv7s from a clock; give a seed to get the same ids again."""

    def __init__(self, clock: Clock, seed: int | None = None) -> None:
        self._clock = clock
        self._seeded = None if seed is None else random.Random(seed)
        self._noise: list[int] = []  # of the system, taken many at a time: each time is a way to the kernel

    def new(self) -> UUID:
        return self.several(1)[0]

    def several(self, count: int) -> list[UUID]:
        """So many, with one reading of the clock."""
        begin = (int(self._clock.now().timestamp() * 1000) & (2**48 - 1)) << 80 | 0x7 << 76 | 0b10 << 62
        noises = [self._seeded.getrandbits(74) if self._seeded else self._of_system() for _ in range(count)]
        return [_Uuid((begin | noise >> 62 << 64 | noise & (2**62 - 1)).to_bytes(16, "big")) for noise in noises]

    def _of_system(self) -> int:
        """74 bits."""
        if not self._noise:
            block = os.urandom(_NOISE_BYTES * NOISE_AT_ONCE)
            places = range(0, len(block), _NOISE_BYTES)
            self._noise = [int.from_bytes(block[place : place + _NOISE_BYTES], "big") >> 6 for place in places]
        return self._noise.pop()


def webhook_secret() -> str:
    """A secret that signs webhooks, as Standard Webhooks writes it."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


def secret(prefix: str) -> str:
    """A high-entropy secret, such as an API key, with a readable prefix."""
    return f"{prefix}_{secrets.token_urlsafe(32)}"
