"""NDJSON in, a result line per input line out. Each line has its own fate.

Read and committed in groups as the body comes in. The results are sent at the end: a client that sends everything
before it reads anything would otherwise wait for us while we wait for it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fastapi import Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from shared.batch import Undecidable
from shared.db import AWAY, is_data_error, to_json
from shared.errors import Problem

GROUP = 500  # lines a transaction
GROUP_BYTES = 8 * 1_048_576
LINES_LIMIT = 50_000  # of one request
LINE_BYTES = 1_048_576
ANSWERED = 202

T = TypeVar("T")
A = TypeVar("A")
Fate = dict[str, Any] | Problem


@dataclass(frozen=True, slots=True)
class Line(Generic[T]):
    """A line of the body: what it says, or the problem with it. Numbered from 1."""

    number: int
    said: T | Problem


async def answer(
    request: Request,
    read: Callable[[bytes], T | Problem],
    handle: Callable[[Sequence[T], int], Awaitable[Sequence[Fate]]],
) -> Response:
    """Read each line, handle the good ones in groups, of so many bytes, and answer every one."""
    out = bytearray()
    group: list[Line[T]] = []
    size = 0
    try:
        async for number, raw in _lines(request):
            said = raw if isinstance(raw, Problem) else read(raw)
            group.append(Line(number, said))
            size += 0 if isinstance(raw, Problem) else len(raw)
            if len(group) == GROUP or size > GROUP_BYTES:
                out += await _fates(group, size, handle)
                group, size = [], 0
    except ClientDisconnect:
        return Response(status_code=400)  # nobody reads it; what was committed is found again by its external_id
    out += await _fates(group, size, handle)
    return Response(bytes(out), media_type="application/x-ndjson")


async def _fates(
    group: Sequence[Line[T]], size: int, handle: Callable[[Sequence[T], int], Awaitable[Sequence[Fate]]]
) -> bytes:
    good = [line.said for line in group if not isinstance(line.said, Problem)]
    try:
        fates = iter(await handle(good, size) if good else ())
    except Problem as problem:  # no place for them
        fates = iter([problem] * len(good))
    out = [_written(line.number, line.said if isinstance(line.said, Problem) else next(fates)) for line in group]
    return "".join(out).encode()


def _written(number: int, fate: Fate) -> str:
    if isinstance(fate, Problem):
        problem = {"type": f"https://tocsin.dev/problems/{fate.kind}", "detail": fate.detail, **fate.extra}
        return to_json({"line": number, "status": fate.status, **problem}) + "\n"
    return to_json({"line": number, "status": ANSWERED, **fate}) + "\n"


async def _lines(request: Request) -> AsyncIterator[tuple[int, bytes | Problem]]:
    """The lines of the body as they come, blank ones passed over."""
    number, rest, skipping = 0, b"", False
    try:
        async for chunk in request.stream():
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                number += 1
                if number > LINES_LIMIT:
                    yield (
                        number,
                        Problem(413, "too-large", f"More than {LINES_LIMIT} lines. Send this and the rest again."),
                    )
                    return
                if skipping or len(line) > LINE_BYTES:
                    yield number, _too_long()
                elif line.strip():
                    yield number, line
                skipping = False
            if len(rest) > LINE_BYTES:
                rest, skipping = b"", True
    except HTTPException as wrong:  # the body outgrew its limit; what came before is answered
        yield number + 1, Problem(wrong.status_code, "too-large", f"{wrong.detail} Send this line and the rest again.")
        return
    if skipping:
        yield number + 1, _too_long()
    elif rest.strip():
        yield number + 1, rest


def _too_long() -> Problem:
    return Problem(413, "too-large", f"The line has more than {LINE_BYTES} bytes. Send less text.")


async def each_its_own(
    items: Sequence[T], together: Callable[[Sequence[T]], Awaitable[Sequence[A | Problem]]]
) -> list[A | Problem]:
    """Handle items in one transaction; one by one where the data of some is at fault, so that only those fail."""
    try:
        return list(await together(items))
    except (*AWAY, Undecidable, Problem) as wrong:
        if len(items) == 1 or not _at_fault(wrong):
            return [_problem(wrong)] * len(items)
    return [fate for item in items for fate in await each_its_own([item], together)]


def _at_fault(wrong: Exception) -> bool:
    return isinstance(wrong, Undecidable) or is_data_error(wrong)


def _problem(wrong: Exception) -> Problem:
    if isinstance(wrong, Problem):
        return wrong
    if _at_fault(wrong):
        return Problem(422, "invalid", "It has a value that cannot be stored. Correct it and send the line again.")
    return Problem(503, "unavailable", "The database does not answer. Nothing was accepted; send the line again.")
