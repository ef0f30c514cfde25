"""``python -m tests.bench.clocks``: on time with very many open clocks, in a storm, and while an edit is planned.

A Postgres, intake and sla as processes of their own, and a process that posts contacts. Lateness is by the commit
timestamps of Postgres. Each row has a target and a verdict; load, server and other work share this machine.
"""

import argparse
import asyncio
import json
import random
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from shared import timers
from shared.db import Database
from shared.embedded import EmbeddedPostgres
from tests.bench.bare_ticker import lateness
from tests.bench.figures import quantile
from tests.bench.seeding import Opened, Seeder
from tests.e2e.client import until
from tests.e2e.programs import Program, free_port, python

A_SECOND = 500  # fires
STEADY_S = 20.0
BARE_S = 10.0
CLOCKS_A_CASE = 3
FIRST_REPLY = timedelta(hours=1)
SAMPLE = 300
PARTS = ("on-time", "storm", "replan")
KEY = "key_of_the_bench_0123456789"
POSTGRES = {
    "track_commit_timestamp": "on",
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
}
HOURS = {"time_zone": "UTC", "weekly": {d: [["00:00", "24:00"]] for d in ("mon", "tue", "wed", "thu", "fri", "sat")}}


@dataclass
class Row:
    name: str
    figure: float
    unit: str
    target: str = ""
    holds: bool | None = None
    ours: bool = False  # a limit that we chose ourselves: what it says is no requirement


@dataclass
class Bench:
    """The processes, and the figures so far."""

    folder: Path
    postgres: EmbeddedPostgres
    programs: dict[str, Program]
    urls: dict[str, str]
    rows: list[Row] = field(default_factory=list)

    def note(self, name: str, figure: float, unit: str, at_most: float | None = None, ours: bool = False) -> None:
        target = "" if at_most is None else f"≤ {at_most:.4g}"
        row = Row(name, figure, unit, target, None if at_most is None else figure <= at_most, ours)
        self.rows.append(row)
        print(f"  {name:<62} {figure:>10,.2f} {unit:<4} {target:>9} {_verdict(row)}", flush=True)

    def load(self, seconds: float) -> Program:
        command = python("-m", "tests.bench.paced", "--url", self.urls["intake"], "--seconds", str(seconds))
        program = Program("paced", command, self.folder, {"TOCSIN_ADMIN_KEY": KEY})
        program.start()
        return program

    def rss_mb(self, name: str) -> float:
        child = self.programs[name]._child
        assert child is not None
        status = Path(f"/proc/{child._started.result().pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def _verdict(row: Row) -> str:
    if row.holds is None:
        return ""
    said = "holds" if row.holds else "missed" if row.ours else "MISSED"
    return f"{said} (our own limit)" if row.ours else said


def start(folder: Path) -> Bench:
    postgres = EmbeddedPostgres(folder / "postgres", **POSTGRES)
    postgres.start()
    programs, urls = {}, {}
    for name in ("intake", "sla"):
        port = free_port()
        environment = {
            "TOCSIN_PORT": str(port), "TOCSIN_SECRET_KEY": "seals what the bench stores",
            "TOCSIN_DATA_DIR": str(folder), "TOCSIN_ADMIN_KEY": KEY,
            "TOCSIN_DATABASE_URL": postgres.url, "TOCSIN_RATE_LIMIT": "10000000", "TOCSIN_LOG_LEVEL": "WARNING",
        }  # fmt: skip
        programs[name] = Program(name, python("-m", f"services.{name}"), folder, environment)
        urls[name] = f"http://127.0.0.1:{port}"
    migrate = Program("migrate", python("-m", "services.cli", "migrate"), folder, environment)
    migrate.start()
    assert migrate.wait(60), migrate.tail()
    return Bench(folder, postgres, programs, urls)


def run_services(bench: Bench) -> None:
    for program in bench.programs.values():
        program.start()
    for name, url in bench.urls.items():
        until(lambda url=url: _ready(url), 60, f"{name} is ready")


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def put(bench: Bench, path: str, body: dict[str, Any]) -> None:
    answer = httpx.put(f"{bench.urls['sla']}{path}", json=body, headers={"Authorization": f"Bearer {KEY}"}, timeout=60)
    assert answer.is_success, answer.text


def configure(bench: Bench) -> None:
    """Cases of `office` count in a calendar that is edited later; the rest around the clock."""
    put(bench, "/v1/calendars/office", HOURS)
    for team, calendar, position in (("office", "office", 1), ("frontline", "24x7", 2)):
        targets = [
            {"metric": "first_reply", "within": "PT1H", "calendar": calendar},
            {"metric": "resolution", "within": "PT400H", "calendar": calendar},
            {"metric": "pickup", "within": "PT300H", "calendar": calendar},
        ]
        put(bench, f"/v1/policies/{team}", {"position": position, "when": f"case.team == '{team}'", "targets": targets})


def due_at(first: datetime, a_second: float, cases: int, together: int, team: str = "frontline") -> list[Opened]:
    """Cases whose first reply runs out from ``first`` on, so many a second, a few at each moment."""
    return [
        Opened(first - FIRST_REPLY + timedelta(seconds=n / a_second), team, min(together, cases - n))
        for n in range(0, cases, together)
    ]


async def now_of(db: Database) -> datetime:
    async with db.transaction() as tx:
        found: datetime = await tx.scalar("SELECT clock_timestamp()")
        return found


async def late(db: Database, since: datetime, before: datetime) -> list[tuple[datetime, datetime]]:
    """Deadline and commit of what was broken, in order of commit."""
    async with db.transaction() as tx:
        rows = await tx.rows(
            "SELECT due_at, pg_xact_commit_timestamp(xmin) AS at FROM clock WHERE metric = 'first_reply'"
            " AND due_at >= :since AND due_at < :before AND state = 'breached' ORDER BY at, due_at, id",
            since=since,
            before=before,
        )
    return [(row.due_at, row.at) for row in rows]


async def idle_tick_ms(db: Database) -> float:
    """The median of what a ticker asks while nothing is due."""
    took = []
    for _ in range(200):
        began = time.perf_counter()
        async with db.transaction() as tx:
            await timers.next_due(tx)
        took.append(time.perf_counter() - began)
    return quantile(took, 50)


async def on_time(bench: Bench, db: Database, seeder: Seeder, clocks: int) -> None:
    """Fires at a steady pace while contacts come in."""
    bare = await lateness(bench.postgres.url, clocks, A_SECOND, BARE_S)
    bench.note("bare ticker, idle machine: lateness p50", quantile(bare, 50), "ms")
    bench.note("bare ticker, idle machine: lateness p99", quantile(bare, 99), "ms")
    for title, contacts in (("alone", False), ("with 1,000 contacts a second", True)):
        count = int(A_SECOND * STEADY_S)
        first = await now_of(db) + timedelta(seconds=35)
        await seeder.seed(due_at(first, A_SECOND, count, 2), await now_of(db))
        assert await now_of(db) < first - timedelta(seconds=3), "seeding took too long"
        while await now_of(db) < first - timedelta(seconds=3):
            await asyncio.sleep(0.1)
        load = bench.load(STEADY_S + 4) if contacts else None
        last = first + timedelta(seconds=STEADY_S)
        found = await fired(db, first, last, count, last + timedelta(seconds=60))
        lags = [(at - due).total_seconds() for due, at in found]
        assert min(lags) >= 0, "early"
        most = 3 * quantile(bare, 99)
        bench.note(f"{A_SECOND} fires a second, {title}: lateness p50", quantile(lags, 50), "ms")
        bench.note(
            f"{A_SECOND} fires a second, {title}: lateness p99",
            quantile(lags, 99),
            "ms",
            most,
        )
        bench.note("… p99 against what is aimed at", quantile(lags, 99), "ms", 10, ours=True)
        bench.note("… p99 as a multiple of the bare ticker's", quantile(lags, 99) / quantile(bare, 99), "×", 3)
        if load is not None:
            assert load.wait(60), load.tail()
            told = json.loads(load.tail().splitlines()[-1])
            bench.note("contacts accepted a second meanwhile", told["a_second"], "/s")
    bench.note("memory of sla, most so far", bench.rss_mb("sla"), "MB", 200)
    while not await _calm(db):
        await asyncio.sleep(1)


async def _calm(db: Database) -> bool:
    """Whether nothing comes due soon: nobody assigns the contacts that came in, and each breaks one promise of ours."""
    async with db.transaction() as tx:
        soon = await timers.next_due(tx)
        return soon is None or bool(soon > await tx.scalar("SELECT clock_timestamp() + interval '2 minutes'"))


async def fired(
    db: Database, since: datetime, before: datetime, count: int, give_up: datetime
) -> list[tuple[datetime, datetime]]:
    """Wait until that many are broken. While they fire, looking costs next to nothing: the next timer alone is read."""
    while await now_of(db) < before or await _is_due(db, before):
        assert await now_of(db) < give_up, "timers that were due have not fired"
        await asyncio.sleep(0.2)
    found = await late(db, since, before)
    assert len(found) == count, f"{len(found)} of {count} fired"
    return found


async def _is_due(db: Database, before: datetime) -> bool:
    async with db.transaction() as tx:
        first = await timers.next_due(tx)
        return first is not None and bool(first < before)


async def storm(bench: Bench, db: Database, seeder: Seeder, count: int) -> None:
    """All in one second; the API answers meanwhile."""
    first = await now_of(db) + timedelta(seconds=10 + count / 2_500)
    await seeder.seed(due_at(first, count, count, 25), await now_of(db))
    assert await now_of(db) < first - timedelta(seconds=1), "seeding took too long"
    answers = asyncio.create_task(_ask(bench, (first - await now_of(db)).total_seconds() + 6))
    found = await fired(db, first, first + timedelta(seconds=1), count, first + timedelta(seconds=120))
    took = (found[-1][1] - first).total_seconds()
    behind, latest = timedelta(0), found[0][0]
    for due, _ in found:
        latest = max(latest, due)
        behind = max(behind, latest - due)
    bench.note(f"{count:,} due in one second: the last committed after", took, "s", 3)
    bench.note("… out of order of due time by at most", behind.total_seconds() * 1000, "ms", 250, ours=True)
    bench.note("… an API call meanwhile p99", quantile(await answers, 99), "ms", 250, ours=True)
    bench.note("memory of sla, most so far", bench.rss_mb("sla"), "MB", 200)


async def _ask(bench: Bench, seconds: float) -> list[float]:
    took, end = [], time.monotonic() + seconds
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}) as client:
        while time.monotonic() < end:
            began = time.monotonic()
            (await client.get(f"{bench.urls['sla']}/v1/policies", timeout=30)).raise_for_status()
            took.append(time.monotonic() - began)
            await asyncio.sleep(0.02)
    return took


async def replanned(bench: Bench, db: Database, seeder: Seeder, cases: int) -> None:
    """An edit of a calendar that counts for so many cases; kill -9 in the middle; fires go on."""
    count = int(A_SECOND * 40)
    first = await now_of(db) + timedelta(seconds=20)
    await seeder.seed(due_at(first, A_SECOND, count, 10), await now_of(db))
    while await now_of(db) < first:
        await asyncio.sleep(0.2)
    put(bench, "/v1/calendars/office", {**HOURS, "weekly": {**HOURS["weekly"], "sun": [["10:00", "12:00"]]}})
    began = time.monotonic()
    await _seen(db, cases // 3)
    bench.programs["sla"].kill()
    down = await now_of(db)
    bench.programs["sla"].start()
    await asyncio.to_thread(until, lambda: _ready(bench.urls["sla"]), 60, "sla is back")
    back = await now_of(db)
    await _seen(db, None)
    took = time.monotonic() - began
    async with db.transaction() as tx:
        twice = await tx.scalar("SELECT count(*) FROM (SELECT 1 FROM replan WHERE seen > cases) t")
    assert twice == 0, "planned again from the start after kill -9"
    bench.note(f"re-plan of {cases * CLOCKS_A_CASE:,} open clocks, kill -9 in the middle", took, "s", 60)
    bench.note("… of that, down", (back - down).total_seconds(), "s")
    found = await fired(db, first, first + timedelta(seconds=40), count, first + timedelta(seconds=200))
    lags = [(at - due).total_seconds() for due, at in found if not down <= due <= back]
    bench.note(
        "… fires meanwhile, but for those due while down: lateness p99", quantile(lags, 99), "ms", 250, ours=True
    )
    bench.note("… of those, the latest", max(lags) * 1000, "ms")


async def _seen(db: Database, cases: int | None) -> None:
    while True:
        async with db.transaction() as tx:
            row = await tx.one("SELECT seen, finished_at FROM replan ORDER BY version DESC LIMIT 1")
        if row and (row.finished_at if cases is None else row.seen >= cases or row.finished_at):
            configured = await _current(db)
            if configured:
                return
        await asyncio.sleep(0.05)


async def _current(db: Database) -> bool:
    async with db.transaction() as tx:
        return bool(await tx.scalar("SELECT (SELECT max(version) FROM replan) = (SELECT version FROM configuration)"))


async def measure(bench: Bench, clocks: int, parts: Sequence[str]) -> None:
    db = Database(bench.postgres.url, "sla")
    seeder = Seeder(bench.postgres.url, db)
    run_services(bench)
    await asyncio.to_thread(configure, bench)
    await _seen(db, None)
    far = await now_of(db) + timedelta(days=2)
    cases, touched = clocks // CLOCKS_A_CASE, max(10, clocks // CLOCKS_A_CASE // 10)
    few = max(10, cases // 100)
    began = time.monotonic()
    await seeder.seed(due_at(far, 10, few, 50), await now_of(db))
    before = await idle_tick_ms(db)
    await seeder.seed(due_at(far, 10, touched, 50, "office"), await now_of(db))
    await seeder.seed(due_at(far, 10, cases - few - touched, 50), await now_of(db))
    await seeder.vacuum()
    bench.note(f"seeding {clocks:,} open clocks", time.monotonic() - began, "s")
    sample = random.Random(1).sample(seeder.case_ids, min(SAMPLE, len(seeder.case_ids)))
    bench.note("clocks of a sample derived again: all equal", await seeder.recheck(sample, await now_of(db)), "")
    after = await idle_tick_ms(db)
    bench.note(f"an idle tick with {few * CLOCKS_A_CASE:,} open clocks", before, "ms")
    bench.note(f"an idle tick with {clocks:,} open clocks", after, "ms", round(2 * before + 0.1, 2), ours=True)
    if "on-time" in parts:
        await on_time(bench, db, seeder, clocks)
    if "storm" in parts:
        await storm(bench, db, seeder, min(50_000, clocks))
    if "replan" in parts:
        await replanned(bench, db, seeder, touched)
    await db.close()


def run(clocks: int, parts: Sequence[str] = PARTS) -> list[Row]:
    """All of it; gives the rows."""
    folder = Path(tempfile.mkdtemp(prefix="tocsin-bench-"))
    folder.chmod(0o711)  # Postgres runs as another user where we are root
    bench = start(folder)
    print(f"\n{clocks:,} open clocks")
    try:
        asyncio.run(measure(bench, clocks, parts))
    except BaseException:
        for program in bench.programs.values():
            print(f"--- {program.name}\n{program.tail()}")
        raise
    finally:
        for program in bench.programs.values():
            program.stop()
        bench.postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return bench.rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure sla with very many open clocks.")
    parser.add_argument("--clocks", type=int, default=1_000_000)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS)
    asked = parser.parse_args()
    rows = run(asked.clocks, asked.only)
    print(json.dumps([{"name": row.name, "figure": row.figure, "unit": row.unit, "holds": row.holds} for row in rows]))


if __name__ == "__main__":
    main()
