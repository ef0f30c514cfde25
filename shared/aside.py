"""A loop in a thread of its own: what computes elsewhere in the process costs it a turn of ``SWITCH_S``, not a slice.

Threads of Python take turns, so nothing gets more done; what must be on time is on time.
"""

import asyncio
import contextlib
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

SWITCH_S = 0.0001  # how long a thread computes while another waits for its turn; no less work gets done than by 5 ms


class Wake(asyncio.Event):
    """An event that any thread may set. ``wait`` belongs to one."""

    _home: tuple[int, asyncio.AbstractEventLoop] | None = None

    def live_here(self) -> None:
        """It is waited for in this thread, by this event loop."""
        self._home = threading.get_ident(), asyncio.get_running_loop()

    def set(self) -> None:
        if self._home is None or self._home[0] == threading.get_ident():
            super().set()
            return
        with contextlib.suppress(RuntimeError):  # it has ended, and waits for nothing
            self._home[1].call_soon_threadsafe(super().set)


async def aside(name: str, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run ``main`` in a thread with an event loop of its own; ends as it ends. Cancelling cancels it there."""
    home = asyncio.get_running_loop()
    ended: asyncio.Future[None] = home.create_future()
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    tasks: list[asyncio.Task[None] | None] = []
    unwanted = threading.Event()

    async def there() -> None:
        tasks.append(asyncio.current_task())
        if not unwanted.is_set():  # it may have been cancelled before it began
            await main()

    def run() -> None:
        failure: BaseException | None = None
        try:
            with runner:
                runner.run(there())
        except BaseException as wrong:  # whatever it is, it is raised where this is awaited
            failure = wrong
        home.call_soon_threadsafe(_settle, ended, failure)

    sys.setswitchinterval(SWITCH_S)
    threading.Thread(target=run, name=name, daemon=True).start()
    try:
        await asyncio.shield(ended)
    except asyncio.CancelledError:
        unwanted.set()
        for task in tasks:
            assert task is not None
            with contextlib.suppress(RuntimeError):  # its loop has ended just now
                task.get_loop().call_soon_threadsafe(task.cancel)
        await asyncio.wait([ended])  # nothing of it outlives whoever waits for it
        ended.result()
        raise


def _settle(ended: "asyncio.Future[None]", failure: BaseException | None) -> None:
    if failure is None or isinstance(failure, asyncio.CancelledError):
        ended.set_result(None)
    else:
        ended.set_exception(failure)
