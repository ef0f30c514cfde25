"""What is configured but cannot work, and what went wrong with pages that stand."""

import asyncio
from datetime import datetime, timedelta

from fastapi import APIRouter, Depends

from services.notify.lookout import outside_of
from services.notify.model import CaseState
from services.notify.oncall.problems import Trouble, problems
from services.notify.store import reads
from services.notify.store.configuration import build
from shared import resources
from shared.contracts.words import PageState
from shared.db import from_json
from shared.http import Answer, Cursor, Limit, Listing, allow, decode_cursor, encode_cursor
from shared.runtime import Runtime

DOUBTFUL_FOR = timedelta(days=1)


class ProblemAnswer(Answer):
    """``kind`` and ``name`` say what is wrong, ``text`` why and what to do."""

    kind: str
    name: str
    text: str
    at: datetime | None  # from when it is so, where we know


def router(runtime: Runtime[CaseState]) -> APIRouter:
    routes = APIRouter(tags=["problem"])
    outside, ahead = outside_of(runtime.settings), timedelta(days=runtime.settings.look_ahead_days)

    @routes.get("/v1/problems", dependencies=[Depends(allow("read"))])
    async def listing(limit: Limit = 50, cursor: Cursor = None) -> Listing[ProblemAnswer]:
        """First what cannot work as it is configured, then pages that could not tell everybody, then doubtful sends."""
        now = runtime.clock.now()
        async with runtime.db.transaction() as tx:
            configuration = await build(tx, await resources.snapshot(tx, 0))
            found = await asyncio.to_thread(problems, configuration, outside, now, ahead)
            for row in await reads.troubled(tx):
                name = row.case_number or str(row.case_id)
                found += [Trouble("page", name, text) for text in from_json(row.troubles)]
                if row.state == PageState.EXHAUSTED:
                    found.append(Trouble("page", name, "is exhausted: nobody took it; acknowledge or resolve it"))
            for row in await reads.doubtful(tx, now, DOUBTFUL_FOR):
                lost = f"{row.lost} answers were lost, so it may have arrived more than once"
                text = f"delivery {row.id} to {row.target} is {row.state}: {lost}"
                found.append(Trouble("delivery", row.case_number or str(row.id), text))
        start = _start(cursor)
        following = encode_cursor(str(start + limit)) if len(found) > start + limit else None
        items = [ProblemAnswer(kind=t.kind, name=t.name, text=t.text, at=t.at) for t in found[start : start + limit]]
        return Listing(items=items, next=following)

    return routes


def _start(cursor: str | None) -> int:
    parts = decode_cursor(cursor, 1)
    return int(parts[0]) if parts and parts[0].isdigit() else 0
