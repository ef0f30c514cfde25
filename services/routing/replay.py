"""A backtest runs in a process of its own, at the lowest priority, so that it never slows live routing.

``python -m services.routing.replay`` reads its task as one line of JSON, and writes lines of JSON: ``{"cases": n}`` as
it goes, at the end ``{"report": …, "complete": true}``. It ends when its input does, so also when its parent dies.
"""

import asyncio
import contextlib
import os
import sys
import threading
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

import orjson
from pydantic import AwareDatetime, BaseModel, Field

from services.routing import rules
from services.routing.lab.backtest import Comparison, Report
from services.routing.rules.facts import ENVIRONMENT, values
from services.routing.spec import RulesetSpec
from services.routing.store.history import history
from shared.db import Database

PAGE = 1_000  # contacts read at a time
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
    comparison = Comparison(rules.compile(*task.before), rules.compile(*task.after))
    where = ENVIRONMENT.compile(task.choice.where) if task.choice.where else None
    db = Database(task.url, task.schema_name, pool_size=1)
    until, left, last = time.monotonic() + task.within_s, task.choice.limit, None
    complete = True
    try:
        while left > 0:
            page, last = await history(db, task.choice.since, task.choice.until, task.choice.sample, PAGE, last)
            for past in page:
                if where is not None and not where.evaluate(ENVIRONMENT.activation(values(past.facts))).holds:
                    continue
                comparison.add(past)
                left -= 1
                if left == 0:
                    break
            yield {"cases": task.choice.limit - left}
            if last is None:
                break
            if time.monotonic() > until:
                complete = False
                break
    finally:
        await db.close()
    report: Report = comparison.report()
    yield {"report": report.model_dump(mode="json"), "complete": complete}


async def _main() -> None:
    task = Task.model_validate_json(sys.stdin.buffer.readline())
    threading.Thread(target=_until_left_alone, daemon=True).start()
    async for line in replay(task):
        sys.stdout.buffer.write(orjson.dumps(line) + b"\n")
        sys.stdout.buffer.flush()


def _until_left_alone() -> None:
    os.read(0, 1)  # not through sys.stdin, whose lock would stand in the way of ending
    os._exit(1)


if __name__ == "__main__":
    if hasattr(os, "nice"):
        os.nice(19)
    asyncio.run(_main())
