"""An event loop in which no time passes: what runs in it depends on what happened, never on how fast.

Timeouts never fire, a sleep is over at once. The real clock serves one purpose: to notice that nothing moves any more,
so that somebody may ask Postgres whether a statement waits for a lock.
"""

import asyncio
import selectors
from asyncio import futures
from collections.abc import Callable
from typing import Any

IDLE_S = 0.004
_over = futures._set_result_unless_cancelled  # type: ignore[attr-defined]  # what a sleep waits for


class _Selector(selectors.DefaultSelector):  # type: ignore[misc,valid-type]  # the platform's own
    idled: Callable[[], None] = staticmethod(lambda: None)

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None or timeout > IDLE_S:
            timeout = IDLE_S
        found: list[Any] = super().select(timeout)
        if timeout > 0 and not found:
            self.idled()
        return found


class StillLoop(asyncio.SelectorEventLoop):
    """``idled`` is called when nothing has moved for ``IDLE_S`` of real time."""

    def __init__(self) -> None:
        self._watched = _Selector()
        super().__init__(self._watched)

    def on_idle(self, idled: Callable[[], None]) -> None:
        self._watched.idled = idled

    def time(self) -> float:
        return 1_000.0

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:
        if callback is _over:
            return self.call_soon(callback, *args, context=context)
        return super().call_at(when, callback, *args, context=context)
