"""A backtest runs in a process of its own, at the lowest priority, so that it never slows live routing.

``python -m services.routing.replay`` reads its task as one line of JSON, and writes lines of JSON: ``{"cases": n}`` as
it goes, at the end ``{"report": …, "complete": true}``. It ends when its input does, so also when its parent dies.
"""

import asyncio
import contextlib
import gc
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Annotated, Any

import orjson
from pydantic import AwareDatetime, BaseModel, Field

from services.routing import rules
from services.routing.lab.backtest import Comparison, Past, Report
from services.routing.rules.facts import ENVIRONMENT
from services.routing.spec import RulesetSpec
from services.routing.store.history import history
from shared.conditions import Condition
from shared.db import Database

PAGE = 500  # contacts read at a time
SLICE = 50  # contacts compared before what is read ahead is looked at
MAX_CONTACTS = 500_000  # of one backtest
WITHIN_S = 120.0  # then it answers with what it has
LINE_LIMIT = 64 * 1_048_576


class Choice(BaseModel):
    """Which stored contacts: the newest ``limit`` of those in time, of a ``sample`` (a share), that match ``where``."""

    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    where: str | None = None
    sample: Annotated[float, Field(gt=0, le=1)] = 1.0
    limit: int = MAX_CONTACTS


class Task(BaseModel):
    """``before`` and ``after``: version and ruleset."""

    url: Annotated[str, Field(repr=False)]  # with its password
    schema_name: str
    before: tuple[int, RulesetSpec]
    after: tuple[int, RulesetSpec]
    choice: Choice
    within_s: float = WITHIN_S


async def lines(task: Task) -> AsyncIterator[dict[str, Any]]:
    """Run the task in a child and give its lines. Leaving early ends the child."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.routing.replay",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=LINE_LIMIT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        child.stdin.write(task.model_dump_json().encode() + b"\n")
        await child.stdin.drain()
        while line := await child.stdout.readline():
            yield orjson.loads(line)
        if await child.wait() != 0:
            raise RuntimeError(f"the backtest's process ended with {child.returncode}")
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        child.stdin.close()
        await child.wait()


async def replay(task: Task) -> AsyncIterator[dict[str, Any]]:
    db, choice = Database(task.url, task.schema_name, pool_size=1), task.choice
    read = partial(history, db, choice.since, choice.until, choice.sample, PAGE)
    where = ENVIRONMENT.compile(choice.where) if choice.where else None
    comparison = Comparison(rules.compile(*task.before), rules.compile(*task.after))
    until, left, late = time.monotonic() + task.within_s, choice.limit, False
    try:
        page, last = await read(None)
        while page and left and not late:
            async with asyncio.TaskGroup() as ahead:  # while one page is compared, the next is read
                coming = ahead.create_task(read(last)) if last else None
                left -= await _compare(comparison, page, where, left)
            yield {"cases": choice.limit - left}
            late = time.monotonic() > until
            page, last = coming.result() if coming else ((), None)
    finally:
        await db.close()
    report: Report = comparison.report()
    yield {"report": report.model_dump(mode="json"), "complete": not (late and page and left)}


async def _compare(comparison: Comparison, page: Sequence[Past], where: Condition | None, most: int) -> int:
    """How many of the page were compared."""
    done = 0
    for place, past in enumerate(page):
        if place % SLICE == 0:
            await asyncio.sleep(0)
        if where is not None and not where.evaluate(ENVIRONMENT.activation(past.known)).holds:
            continue
        comparison.add(past)
        done += 1
        if done == most:
            break
    return done


async def _main() -> None:
    task = Task.model_validate_json(sys.stdin.buffer.readline())
    threading.Thread(target=_until_left_alone, daemon=True).start()
    async for line in replay(task):
        sys.stdout.buffer.write(orjson.dumps(line) + b"\n")
        sys.stdout.buffer.flush()


def _until_left_alone() -> None:
    os.read(0, 1)  # not through sys.stdin, whose lock would stand in the way of ending
    os._exit(1)


def _stand_back() -> None:
    """Take the processor only when nobody else wants it; a process that ends soon needs no collector of garbage."""
    if hasattr(os, "nice"):
        os.nice(19)
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    gc.disable()


if __name__ == "__main__":
    _stand_back()
    asyncio.run(_main())
