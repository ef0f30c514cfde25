"""Computations in short steps, so that a caller on an event loop can give way in between (``shared.pace``). Pure."""

from collections.abc import Generator
from typing import TypeAlias, TypeVar

T = TypeVar("T")
Steps: TypeAlias = Generator[None, None, T]


def at_once(steps: Steps[T]) -> T:
    """What they give, for a caller that holds nobody up."""
    while True:
        try:
            next(steps)
        except StopIteration as ended:
            made: T = ended.value
            return made
