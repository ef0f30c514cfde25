"""``python -m tests.bench.uploads``: how long uploads of the largest and of hostile rulesets hold up live routing.

One process and one event loop, as in production: the routes of routing, uploads over them, and live contacts that are
routed the while. A pause is what the process's threads computed between two looks of a task that looks each
millisecond; what else runs on the machine does not count in it (it does in the pause by the clock, shown beside).
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx
from sqlalchemy import text

from services.routing.app import assemble, service
from services.routing.store import rulesets as stored
from shared.aside import SWITCH_S
from shared.audit import Actor
from shared.auth import Keys
from shared.clock import SystemClock
from shared.db import Database
from shared.embedded import EmbeddedPostgres
from shared.http import create_app
from shared.ids import Ids
from shared.log import Log
from shared.process import spare_the_collector
from shared.runtime import Runtime
from shared.settings import Settings
from tests.bench import thousand
from tests.bench.backtest import NoLog, live
from tests.unit.routing import test_hostile

TARGET_MS, LOOK_S = 50.0, 0.001
HARD = "contact.body.matches('{}') && contact.attributes.a.exists(x, x == {})"


def bodies() -> Iterator[tuple[str, bytes]]:
    """What is uploaded: about as large as a request may be, and each hostile condition, alone and very often."""
    whole = thousand.ruleset(1).model_dump(mode="json", exclude_unset=True)
    for team in whole["rules"]:
        team["then"]["team"] = "frontline"
    yield "a thousand rules", json.dumps(whole).encode()
    limit = Settings().body_limit - 200
    yield "2,000 rules of as many letters as fit", _many(limit, 2_000, lambda n, size: _listed(n, size))
    yield "rules of 4,000 letters each, as many as fit", _many(limit, limit // 4_080, lambda n, size: _listed(n, 3_990))
    yield "loops over long lists, as many as fit", _many(limit, limit // 4_080, lambda n, _: _loops(n))
    yield "2,000 patterns", _many(limit, 2_000, lambda n, _: f"contact.subject.matches('(?i)[a-f]x{n}.*y')")
    hostile = [(name, when) for name, when, _ in test_hostile.REFUSED]
    hostile += [(f"accepted: {when[:40]}", when) for when in test_hostile.ACCEPTED]
    for name, when in hostile:
        yield name, _many(limit, 1, lambda _, __, when=when: when)
    for name, when in hostile:
        times = min(2_000, limit // (len(json.dumps(when)) + 80))
        yield f"{times:,} times {name}", _many(limit, times, lambda n, _, when=when: f"{when} // {n}"[:4_000])


def _many(limit: int, count: int, when: Any) -> bytes:
    size = limit // count - 80
    rules = [{"id": f"r{n}", "when": when(n, size), "then": {"team": "frontline"}} for n in range(count)]
    return json.dumps({"rules": rules, "fallback": {"team": "frontline"}}).encode()


def _listed(number: int, size: int) -> str:
    values = ", ".join(f"'{number}-{n}'" for n in range((size - 40) // 12))
    return f"contact.customer.id in [{values}] || contact.reason == '{number}'"


def _loops(number: int) -> str:
    values = ", ".join(f"'{number}-{n}'" for n in range(300))
    return f"[{values}].exists(w, ['a', w].exists(v, contact.reason == v))"


async def watch(pauses: list[tuple[float, float]]) -> None:
    """The processor's time and the clock's, in milliseconds, between two looks."""
    while True:
        spent, at = time.process_time(), time.perf_counter()
        await asyncio.sleep(LOOK_S)
        pauses.append((1_000 * (time.process_time() - spent), 1_000 * (time.perf_counter() - at - LOOK_S)))


async def upload(client: httpx.AsyncClient, body: bytes) -> int:
    """Store it, try it on a contact, run its tests, look at it, make it active. Gives the status of the first."""
    answer = await client.post("/v1/rulesets", content=body)
    if answer.status_code == 201:
        place = answer.headers["location"]
        trial = test_hostile.worst_contact(test_hostile.BODIES[1]).model_dump_json(
            include={"channel", "subject", "body", "tags"}
        )
        await client.post(f"{place}/evaluate", content=trial)
        await client.post(f"{place}/activate", content=b"{}")
        await client.get(f"{place}/diff", params={"to": 1})
    return answer.status_code


async def measure(url: str) -> list[tuple[str, int, float, float]]:
    made, db, own = service(), Database(url, "routing"), Database(url, "auth", pool_size=2)
    async with db.engine.begin() as connection:
        await connection.execute(text("CREATE SCHEMA routing"))
        await connection.run_sync(made.metadata.create_all)
    clock = SystemClock()
    ids = Ids(clock, seed=1)
    keys = Keys(own, clock, ids)
    await keys.migrate()
    runtime = Runtime(Settings(), made, db, clock, ids, cast(Log, NoLog()))
    assert made.first_start is not None
    async with db.transaction() as tx:
        await made.first_start(tx, clock.now())
        await stored.create(tx, thousand.ruleset(2, 10), Actor("bench", "bench"), None, 1, clock.now())
    spare_the_collector()
    sys.setswitchinterval(SWITCH_S)  # both as the server does
    app = create_app("routing", [assemble(runtime).router], keys, runtime.settings.body_limit)
    headers = {"Authorization": f"Bearer {await keys.create('ana', ['admin'])}", "Content-Type": "application/json"}
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    pauses, rows, first = list[tuple[float, float]](), list[tuple[str, int, float, float]](), 0
    async with httpx.AsyncClient(transport=transport, base_url="http://routing", headers=headers) as client:
        for name, body in bodies():
            ended = asyncio.Event()
            async with asyncio.TaskGroup() as together:
                looking = together.create_task(watch(pauses))
                routing = together.create_task(live(runtime, first, ended))
                await asyncio.sleep(10 * LOOK_S)
                status = await upload(client, body)
                await asyncio.sleep(10 * LOOK_S)
                ended.set()
                first += len(await routing)
                looking.cancel()
            rows.append((name, status, max(spent for spent, _ in pauses), max(late for _, late in pauses)))
            pauses.clear()
    await db.close()
    await own.close()
    return rows


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        server = EmbeddedPostgres(Path(folder))
        try:
            rows = asyncio.run(measure(server.start()))
        finally:
            server.stop()
    print("worst pause of the event loop, ms: of the processor, by the clock")
    for name, status, spent, late in sorted(rows, key=lambda row: -row[2]):
        print(f"  {name:<62.62} {status} {spent:>7.1f} {late:>7.1f}")
    worst = max(spent for _, _, spent, _ in rows)
    print(json.dumps({"kind": "uploads", "worst pause, ms": worst}))
    sys.exit(0 if worst <= TARGET_MS else 1)


if __name__ == "__main__":
    main()
