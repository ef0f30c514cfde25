"""Named points of suspension: where a simulator may pause, fail, or lose the answer of an effect.

In production ``reach`` is one comparison. A test installs a hook with ``install``.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

Hook = Callable[[str], Awaitable[None]]

_hook: Hook | None = None


async def reach(name: str) -> None:
    """Pass a named point, such as ``db.commit`` or ``db.committed`` (the answer may be lost here)."""
    if _hook is not None:
        await _hook(name)


@contextmanager
def install(hook: Hook) -> Iterator[None]:
    global _hook
    before, _hook = _hook, hook
    try:
        yield
    finally:
        _hook = before
