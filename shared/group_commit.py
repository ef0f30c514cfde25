"""Group commit: requests that come at the same time share one transaction, and none waits for company that may come.

A request that finds nobody at work is committed at once, with what is ready to be read beside it. What comes while a
commit is under way is the next group, so groups grow with the load by themselves. The queue is bounded in requests,
bytes and time.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from shared import telemetry
from shared.db import is_transient
from shared.errors import Problem

T = TypeVar("T")
A = TypeVar("A")

GROUP_BYTES = 8 * 1_048_576  # of one transaction, but for a single larger item
ENOUGH = 20  # requests that need not look for more: a transaction costs what reading five of them does

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may wait for a commit, and how long."""

    requests: int
    bytes: int
    wait_s: float
    group: int  # requests of one transaction
    at_once: int = 1  # transactions


@dataclass(slots=True, eq=False)
class _Waiting(Generic[T, A]):
    item: T
    size: int
    apart: Hashable
    since: float
    answer: asyncio.Future[A]

    def settle(self, answer: A | Exception) -> None:
        if self.answer.done():  # whoever asked has gone, or was told to repeat
            return
        if isinstance(answer, Exception):
            self.answer.set_exception(answer)
        else:
            self.answer.set_result(answer)


class GroupCommit(Generic[T, A]):
    """``commit`` does all items of a group in one transaction and gives for each its answer, or its problem.

    Where it raises because of the data, each item is committed alone, so that only the guilty one fails. Items with
    the same ``apart`` (other than None) are committed one after another: the later one sees what the earlier one did.
    """

    def __init__(
        self,
        name: str,
        commit: Callable[[Sequence[T]], Awaitable[Sequence[A | Problem]]],
        bounds: Bounds,
        apart: Callable[[T], Hashable] = lambda _item: None,
    ) -> None:
        self._name, self._commit, self._bounds, self._apart = name, commit, bounds, apart
        self._queue: deque[_Waiting[T, A]] = deque()
        self._bytes = 0
        self._unanswered: deque[_Waiting[T, A]] = deque()  # as they came; answered ones are passed over
        self._watch: asyncio.TimerHandle | None = None
        self._under_way: set[Hashable] = set()  # what ``apart`` says of the items in a commit
        self._flushes: set[asyncio.Task[None]] = set()
        self._sizes = telemetry.GROUP_SIZE.labels(name)
        self._waits = telemetry.GROUP_WAIT.labels(name)
        telemetry.GROUP_QUEUE.labels(name).set_function(lambda: len(self._queue))

    def check_room(self) -> None:
        """Raises a 503 problem where the queue is full: ask before work is put into a request that has no place."""
        if len(self._queue) >= self._bounds.requests or self._bytes >= self._bounds.bytes:
            telemetry.GROUP_REFUSED.labels(self._name, "full").inc()
            detail = "Too many requests wait to be stored. Nothing was accepted; repeat the request."
            raise Problem(503, "overloaded", detail, {"Retry-After": "1"})

    async def submit(self, item: T, size: int = 0) -> A:
        """Commit the item, of ``size`` bytes, in company or alone, and give its answer.

        Raises its problem; a 503 problem where the queue is full, the wait too long, or the database away. Where the
        caller is cancelled, the item is committed all the same.
        """
        self.check_room()
        loop = asyncio.get_running_loop()
        waiting: _Waiting[T, A] = _Waiting(item, size, self._apart(item), time.monotonic(), loop.create_future())
        self._queue.append(waiting)
        self._bytes += size
        if len(self._flushes) < self._bounds.at_once:
            # In a context of its own: it belongs to no request, and goes on where the request is cancelled.
            flush = asyncio.create_task(self._flush(), context=Context())
            self._flushes.add(flush)
        while self._unanswered and self._unanswered[0].answer.done():
            self._unanswered.popleft()
        self._unanswered.append(waiting)
        if self._watch is None:
            self._watch = loop.call_later(self._bounds.wait_s, self._look)
        return await waiting.answer

    def _look(self) -> None:
        """Give up those that wait too long. One timer for all: they came in the order in which they are late."""
        now = time.monotonic()
        while self._unanswered:
            first = self._unanswered[0]
            if not first.answer.done():
                if (left := first.since + self._bounds.wait_s - now) > 0:
                    self._watch = asyncio.get_running_loop().call_later(left, self._look)
                    return
                self._give_up(first)
            self._unanswered.popleft()
        self._watch = None

    def _give_up(self, waiting: _Waiting[T, A]) -> None:
        telemetry.GROUP_REFUSED.labels(self._name, "late").inc()
        detail = "The database is slow: it may or may not have stored this. Repeat the request; with the same"
        detail += " external_id or Idempotency-Key it is never taken twice."
        if waiting in self._queue:
            self._queue.remove(waiting)
            self._bytes -= waiting.size
            detail = f"No commit within {self._bounds.wait_s:g} s. Nothing was accepted; repeat the request."
        waiting.settle(Problem(503, "unavailable", detail, {"Retry-After": "1"}))

    async def _flush(self) -> None:
        """Commit group after group until nothing waits."""
        flush = asyncio.current_task()
        assert flush is not None
        try:
            while group := await self._gather():
                try:
                    await self._settle(group)
                finally:
                    for waiting in group:
                        self._under_way.discard(waiting.apart)
                        waiting.settle(_away())  # where it was cut off, as by the end of the process
        finally:
            self._flushes.discard(flush)

    async def _gather(self) -> list[_Waiting[T, A]]:
        """The next group, once a turn of the loop brings no more: what is ready to be read is read before."""
        seen, enough = 0, min(ENOUGH, self._bounds.group)
        while seen < len(self._queue) < enough:
            seen = len(self._queue)
            await asyncio.sleep(0)
        return self._take()

    def _take(self) -> list[_Waiting[T, A]]:
        """The next group, from the front of the queue; empty where nothing waits but for another flush's commit."""
        group: list[_Waiting[T, A]] = []
        later: list[_Waiting[T, A]] = []
        size, now = 0, time.monotonic()
        while self._queue and len(group) < self._bounds.group:
            waiting = self._queue[0]
            if group and size + waiting.size > GROUP_BYTES:
                break
            self._queue.popleft()
            if waiting.apart is not None:
                if waiting.apart in self._under_way:
                    later.append(waiting)
                    continue
                self._under_way.add(waiting.apart)
            group.append(waiting)
            size += waiting.size
            self._waits.observe(now - waiting.since)
        self._queue.extendleft(reversed(later))
        self._bytes -= size
        if group:
            self._sizes.observe(len(group))
        return group

    async def _settle(self, group: Sequence[_Waiting[T, A]]) -> None:
        try:
            answers = await self._commit([waiting.item for waiting in group])
        except Problem as problem:
            for waiting in group:
                waiting.settle(problem)
        except Exception as wrong:  # whoever waits must be answered, and one bad request must not fail the others
            if is_transient(wrong):
                log.warning("not committed", lane=self._name, requests=len(group), error=str(wrong)[:500])
                for waiting in group:
                    waiting.settle(_away())
            elif len(group) == 1:
                group[0].settle(wrong)
            else:
                telemetry.GROUP_REPLAYS.labels(self._name).inc()
                for waiting in group:
                    await self._settle([waiting])
        else:
            for waiting, answer in zip(group, answers, strict=True):
                waiting.settle(answer)


def _away() -> Problem:
    detail = "The database does not answer. Repeat the request; with the same external_id or Idempotency-Key it is"
    return Problem(503, "unavailable", f"{detail} never taken twice.", {"Retry-After": "1"})
