"""Health means progress: a loop that made no step for too long is not alive, whatever the API answers."""

import time


class Health:
    """When each loop of this process last made a step, or was to make the next."""

    def __init__(self, stall_s: float) -> None:
        self._stall_s = stall_s
        self._last: dict[str, float] = {}
        self.ready = False

    def progressed(self, loop: str, pause_s: float = 0.0) -> None:
        """It made a step, and will sleep for so long by design."""
        self._last[loop] = time.monotonic() + pause_s

    def started(self, loop: str) -> None:
        self._last.setdefault(loop, time.monotonic())

    def stalled(self) -> list[str]:
        """Loops without progress for too long."""
        now = time.monotonic()
        return sorted(n for n, at in self._last.items() if now - at > self._stall_s)
