"""Steps side by side: one runs at a time, others stand still at a named point or wait for a lock.

A step runs until it ends, until it is told to stand still at a named point, or until Postgres says that it waits for
a lock. Nothing else lets go of the baton, so a run depends on its choices alone. A step that got its lock while
another one had the baton goes no further than its next named point.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.exc import DBAPIError

from shared.log import LogUnavailable
from tests.sim.loop import StillLoop

STUCK_AFTER = 5_000  # times nothing moved: about 20 s

_current: ContextVar["Step | None"] = ContextVar("step", default=None)


class Killed(BaseException):
    """The process of this step is gone: nothing of it runs any more, and no handler may help it."""


class Stuck(AssertionError):
    """Nothing moves, and no lock explains it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens to a step when it passes ``point`` for the ``nth`` time: suspend, crash, or fail.

    A failure before an effect means that it did not happen, one behind it that its answer was lost.
    """

    point: str = ""
    nth: int = 1
    what: str = ""

    def __str__(self) -> str:
        return f"{self.what} at {self.point} ({self.nth})" if self.what else ""


@dataclass(eq=False)
class Step:
    """One step that was begun. ``replica`` is the process that it runs in."""

    name: str
    replica: str
    plan: Plan
    label: str  # ids that it makes follow from it
    then: Callable[[Any], bool | None]  # told its result, where somebody is left to hear it; False: nothing was to do
    task: "asyncio.Task[Any] | None" = None
    passed: Counter[str] = field(default_factory=Counter)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    parked: str | None = None  # the point at which it stands still
    blocked: bool = False  # it waits for a lock
    killed: bool = False

    @property
    def done(self) -> bool:
        return self.task is not None and self.task.done()

    def outcome(self) -> str:
        """How it ended, in words that are the same in every run."""
        assert self.task is not None
        if self.task.cancelled():
            return "cancelled"
        wrong = self.task.exception()
        return "killed" if self.killed else "ok" if wrong is None else type(wrong).__name__


def fault(point: str) -> Exception:
    """What the code sees where an effect fails, or its answer is lost."""
    if point.startswith("log."):
        return LogUnavailable(f"simulated at {point}")
    if point.startswith("send.s"):
        return TimeoutError(f"simulated at {point}")
    return DBAPIError("simulated", None, ConnectionError(point))


class Steps:
    """Runs steps with one baton. ``waiting`` counts the statements that wait for a lock; ``trace`` is told all."""

    def __init__(
        self,
        loop: StillLoop,
        waiting: Callable[[], Awaitable[int]],
        crash: Callable[[str], None],
        trace: Callable[[str], None],
    ) -> None:
        self._waiting, self._crash, self._trace = waiting, crash, trace
        self._moved = asyncio.Event()
        self._idle = 0
        self._holder: Step | None = None
        self._tasks: dict[asyncio.Task[Any], Step] = {}  # that a step began outside of its own context
        self.open: list[Step] = []
        self.ended: list[Step] = []
        self.count = 0
        loop.on_idle(self._idled)

    def _idled(self) -> None:
        self._idle += 1
        self._moved.set()

    async def begin(self, step: Step, body: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Run a new step for as long as it runs."""
        self.count += 1
        self.open.append(step)

        async def run() -> Any:
            _current.set(step)
            return await body()

        step.task = asyncio.get_running_loop().create_task(run())
        step.task.add_done_callback(lambda _task: self._moved.set())
        await self._drive(step)

    async def resume(self, step: Step) -> None:
        """Let a step that stands still go on, as it was or to its end."""
        await self._drive(step)

    async def unblock(self) -> None:
        """All wait for locks of each other: Postgres will end one of them."""
        while self.open and all(each.blocked for each in self.open):
            await self._stalled()
            for each in self.open:
                each.blocked = not (each.done or each.parked)
        await self._sweep()

    async def kill(self, replica: str) -> None:
        """End every open step of a process: at its point, or where it waits, once that has ended."""
        for step in [each for each in self.open if each.replica == replica]:
            step.killed = True
        for step in [each for each in self.open if each.replica == replica and each.parked]:
            await self._drive(step)

    async def _drive(self, step: Step) -> None:
        self._holder, step.parked = step, None
        step.gate.set()
        while not step.done and not step.parked:
            if await self._stalled() and self._holder is step:
                waits = sum(each.blocked for each in self.open if each is not step)
                if await self._waiting() > waits:
                    step.blocked = True
                    break
        self._holder = None
        await self._let_go()
        await self._sweep()

    async def _sweep(self) -> None:
        for each in [each for each in self.open if each.done]:
            self.open.remove(each)
            self.ended.append(each)
            self._trace(f"{each.label} {each.outcome()}")
        for each in [each for each in self.open if each.killed and each.parked]:  # it waited for a lock until now
            await self._drive(each)

    async def _let_go(self) -> None:
        """Steps that waited for a lock which is free now come to their next point."""
        while blocked := [each for each in self.open if each.blocked]:
            for each in blocked:
                if each.done or each.parked:
                    each.blocked = False
            still = [each for each in blocked if each.blocked]
            if still and await self._stalled() and await self._waiting() >= len(still):
                return

    async def _stalled(self) -> bool:
        """Wait for something to move; True where nothing did."""
        before = self._idle
        self._moved.clear()
        await self._moved.wait()
        if self._idle == before:
            self._idle = 0
            return False
        if self._idle > STUCK_AFTER:
            raise Stuck(", ".join(f"{each.name} {dict(each.passed)}" for each in self.open))
        return True

    async def reach(self, point: str) -> None:
        """The hook of ``shared.points``."""
        step = self.current()
        if step is None:
            return
        step.passed[point] += 1
        self._trace(f"{step.label} {point}")
        if step is not self._holder:
            await self._stand(step, point)
        elif point in ("db.begin", "db.committed"):  # locks may have been let go before it
            self._holder = None
            await self._let_go()
            self._holder = step
        if step.killed:
            raise Killed(step.name)
        plan = step.plan
        if plan.point != point or step.passed[point] != plan.nth:
            return
        if plan.what == "suspend":
            await self._stand(step, point)
            if step.killed:
                raise Killed(step.name)
        elif plan.what == "crash":
            step.killed = True
            self._crash(step.replica)
            raise Killed(step.name)
        elif plan.what == "fail":
            raise fault(point)

    async def _stand(self, step: Step, point: str) -> None:
        step.parked = point
        step.gate.clear()
        self._moved.set()
        await step.gate.wait()

    def current(self) -> Step | None:
        step = _current.get()
        if step is not None:
            return step
        task = asyncio.current_task()
        if task is not None and task not in self._tasks and self._holder is not None:
            self._tasks[task] = self._holder  # such as a group commit, which belongs to no request
            task.add_done_callback(lambda ended: self._tasks.pop(ended, None))
        return self._tasks.get(task) if task is not None else None
