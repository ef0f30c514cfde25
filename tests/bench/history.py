"""``python -m tests.bench.history``: what a contact, a fire, a page, a list and an idle second cost as cases pile up.

Four services on a real Kafka and one Postgres. A hundred cases go the whole way; they are copied to 10,000, 100,000
and a million stored cases of the last year, a third of them open with three running clocks each (a million clocks at a
million cases), one in a hundred with a page that stands. At each size the same is measured again, and stands beside
the figure at the first. What grows by more than ``GROWS`` is a missing index or a scan. At the end, what retention
removes.
"""

import argparse
import asyncio
import json
import signal
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import asyncpg
import httpx

from shared.embedded import EmbeddedPostgres
from shared.http import encode_cursor
from tests.bench import copies, processor
from tests.bench.journey import BODY, POSTGRES, Figures, Journey
from tests.bench.notify import TEAMS, Receiver
from tests.bench.notify import set_up as tell_by_webhook
from tests.e2e import scene
from tests.e2e.client import Client, until
from tests.e2e.stack import SERVICES, Apart

SIZES = (10_000, 100_000, 1_000_000)
GROWS, CLOCK = 1.3, "p50, ms"  # times the figure at the first size; what is not processor time is only shown
TEMPLATES = {"calm": 60, "late": 6, "open": 33, "standing": 1}  # cases, of a hundred, by team
PAGED, LONG = ("late", "standing"), "PT10000H"
RATE, CONTACTS = 50, 200
IDLE_S, ASKED, ASKED_S = 10.0, 20, 4.0
SETTINGS = {"TOCSIN_LOG_LEVEL": "WARNING", "TOCSIN_EGRESS_ALLOW": "127.0.0.1"}
# By service: what people and dashboards ask again and again. {case} and such: of a stored case;
# {old} and such: a page in the midst of the list.
LISTS = {
    "intake": (
        "/v1/cases",
        "/v1/cases?status=open",
        "/v1/cases?status=closed",
        "/v1/cases?customer={customer}",
        "/v1/cases?cursor={old}",
        "/v1/cases/{number}",
        "/v1/activities/unmatched",
        "/v1/quarantine",
    ),
    "routing": (
        "/v1/cases/{case}/assignment",
        "/v1/cases/{case}/custody",
        "/v1/teams/open/availability",
        "/v1/problems/teams",
    ),
    "sla": (
        "/v1/clocks",
        "/v1/clocks?order=due",
        "/v1/clocks?order=due&team=open",
        "/v1/clocks?state=running",
        "/v1/clocks?state=breached",
        "/v1/clocks?state=met&team=calm",
        "/v1/clocks?state=withdrawn",
        "/v1/clocks?team=nobody",
        "/v1/clocks?cursor={old_clock}",
        "/v1/clocks?due_before={now}",
        "/v1/cases/{case}/clocks",
        "/v1/cases/{number}/clocks",
    ),
    "notify": (
        "/v1/pages",
        "/v1/pages?cursor={old_time}",
        "/v1/pages?state=open",
        "/v1/pages?state=acknowledged",
        "/v1/pages?case_id={case}",
        "/v1/deliveries",
        "/v1/deliveries?cursor={old_time}",
        "/v1/deliveries?state=queued",
        "/v1/deliveries?state=failed",
        "/v1/deliveries?case_id={case}",
        "/v1/deliveries?destination=late",
        "/v1/deliveries?destination=calm",
        "/v1/lanes",
        "/v1/digests",
        "/v1/problems",
    ),
}


@dataclass
class Size:
    """What was measured at one number of stored cases. ``bulk``: figures that grow with the cases by their nature."""

    cases: int
    figures: Figures = field(default_factory=dict)
    bulk: Figures = field(default_factory=dict)


def set_up(tocsin: Client, receiver: Receiver) -> None:
    """Beside what a journey needs: teams of the cases that are copied. Their promises are years away, or a second."""
    tell_by_webhook(tocsin, "history", receiver)
    for position, team in enumerate(TEMPLATES, 1):
        tocsin.put(f"/v1/teams/{team}", {})
        url = receiver.url(f"copied/{team}")
        tocsin.put(f"/v1/destinations/{team}", {"kind": "webhook", "url": url, "secret": f"whsec_{'c2VjcmV0' * 4}"})
        steps = [{"notify": [{"destination": team}]}, {"after": "PT720H", "notify": [{"destination": team}]}]
        tocsin.put(f"/v1/escalation-policies/{team}", {"teams": [team], "steps": steps})
        within = {"first_reply": "PT1S" if team in PAGED else LONG, "resolution": LONG, "pickup": LONG}
        targets = [{"metric": metric, "within": each} for metric, each in within.items()]
        tocsin.put(f"/v1/policies/{team}", {"position": position, "when": f"case.team == '{team}'", "targets": targets})
    scene.route(tocsin, (*TEAMS, *TEMPLATES))


def plant(tocsin: Client) -> None:
    """The cases that are copied, each as far on its way as its team says."""
    cases: dict[str, list[str]] = {team: [] for team in TEMPLATES}
    for team, count in TEMPLATES.items():
        for n in range(count):
            name = f"planted-{team}-{n}"
            more = {"source": "bench", "external_id": name, "thread": name, "body": BODY, "language": "en"}
            contact = scene.payout_missing(team, **more)
            contact["customer"] |= {"id": f"cus_{name}", "email": f"{name}@acme.example"}
            cases[team].append(tocsin.post("/v1/contacts", contact)["case_id"])
    paged = sum(TEMPLATES[team] for team in PAGED)
    until(lambda: len(tocsin.get("/v1/deliveries", state="sent", limit=500)["items"]) == paged, 60, "pages are told")
    for case in (*cases["calm"], *cases["late"]):
        tocsin.post("/v1/activities", scene.replied(case))
        tocsin.post("/v1/activities", {"kind": "status_changed", "status": "closed", "case_id": case,
                                       "occurred_at": scene.now().isoformat(), "actor": "ana"})  # fmt: skip
    until(lambda: len(tocsin.get("/v1/pages", state="resolved")["items"]) == TEMPLATES["late"], 60, "pages resolve")
    time.sleep(3)  # all that is told has been taken in


async def ask(stack: Apart) -> Figures:
    """Milliseconds of processor for one answer, of its service and of its connections."""
    names, found = await _names(stack), Figures()
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {stack.key}"}, timeout=60) as http:
        for service, paths in LISTS.items():
            for path in paths:
                url = stack.bases[service] + path.format(**names)
                await _asked(http, url, 3)  # plans are made
                before = await processor.used(stack)
                times = await _asked(http, url, ASKED)
                spent = processor.between(before, await processor.used(stack))
                found[f"GET {path}, ms"] = 1000 * (spent[service] + spent[processor.in_postgres(service)]) / times
    return found


async def _asked(http: httpx.AsyncClient, url: str, times: int) -> int:
    """So often, or as often as a few seconds allow; gives how often."""
    end = time.monotonic() + ASKED_S
    for number in range(times):
        answer = await http.get(url)
        assert answer.status_code == 200, answer.text[:500]
        if time.monotonic() > end:
            return number + 1
    return times


async def _names(stack: Apart) -> dict[str, str]:
    """Of a case that was copied, with a page that stands; by an index."""
    connection = await asyncpg.connect(processor.plain(stack.database_url))
    try:
        case = await connection.fetchrow(
            "SELECT f.id, f.number, f.customer_id FROM intake.case_file f JOIN notify.page p ON p.case_id = f.id"
            " WHERE p.state <> 'resolved' ORDER BY p.opened_at, p.id LIMIT 1"
        )
        newest = await connection.fetchval("SELECT max(number) FROM intake.case_file")
    finally:
        await connection.close()
    assert case is not None
    old = (scene.now() - timedelta(days=copies.DAYS / 2)).isoformat(), str(UUID(int=0))
    return {
        "case": str(case["id"]),
        "number": f"C-{case['number']}",
        "customer": case["customer_id"],
        "now": scene.now().isoformat().replace("+00:00", "Z"),
        "old": encode_cursor(str(newest // 2)),
        "old_time": encode_cursor(*old),
        "old_clock": encode_cursor("newest", *old),
    }


async def idle(stack: Apart) -> Figures:
    """Milliseconds of processor in a second in which nothing happens."""
    before = await processor.used(stack)
    await asyncio.sleep(IDLE_S)
    spent = processor.between(before, await processor.used(stack))
    ms = {service: 1000 * (spent[service] + spent[processor.in_postgres(service)]) / IDLE_S for service in SERVICES}
    return {f"an idle second: {service}, ms": each for service, each in ms.items()}


async def weigh(stack: Apart, cases: int) -> Figures:
    """What is kept of a case, and how long it takes to count all of them, which the ledger does when it is asked."""
    connection = await asyncpg.connect(processor.plain(stack.database_url))
    sizes = await connection.fetch(
        "SELECT n.nspname AS name, sum(pg_total_relation_size(c.oid)) AS bytes FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND n.nspname = ANY($1) GROUP BY 1",
        list(SERVICES),
    )
    inbox = await connection.fetchval(
        "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relname = 'inbox' AND n.nspname = ANY($1)",
        list(SERVICES),
    )
    clocks = await connection.fetchval("SELECT count(*) FROM sla.clock WHERE ended_at IS NULL")
    await connection.close()
    found = {f"kept of a case: {row['name']}, bytes": float(row["bytes"]) / cases for row in sizes}
    found["of that, inboxes (kept 45 days), bytes"] = float(inbox) / cases
    found["open clocks"] = float(clocks)
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {stack.key}"}, timeout=120) as http:
        for service in SERVICES:
            began = time.monotonic()
            answer = await http.get(f"{stack.bases[service]}/v1/ledger")
            found[f"GET /v1/ledger of {service}, ms by the clock"] = 1000 * (time.monotonic() - began)
            answer.raise_for_status()
    return found


async def measure(stack: Apart, tocsin: Client, receiver: Receiver, sizes: Sequence[int], rounds: int) -> list[Size]:
    url, planted = processor.plain(stack.database_url), sum(TEMPLATES.values())
    journey, found, copied, number = Journey(stack, tocsin, receiver, RATE, CONTACTS), list[Size](), 0, 0
    await copies.keep(url)
    for cases in sizes:
        began = time.monotonic()
        await copies.multiply(url, copied + 1, cases // planted - 1, planted)
        copied = cases // planted - 1
        await copies.number_on(url)
        size = Size(cases, bulk={"seeding, s by the clock": time.monotonic() - began})
        await journey.round(number)  # to get warm: what was copied has been seen by nobody
        made = [await journey.round(number + n) for n in range(1, rounds + 1)]
        number += rounds + 1
        size.figures |= {name: statistics.median(each[name] for each in made) for name in made[0]}
        await asyncio.sleep(2)
        size.figures |= await idle(stack)
        size.figures |= {f"memory of {name}, MB": each for name, each in processor.resident_mb(stack).items()}
        size.figures |= await ask(stack)
        size.bulk |= await weigh(stack, cases)
        found.append(size)
        show(found[0], size)
    return found


def show(first: Size, size: Size) -> None:
    print(f"\n{size.cases:,} cases stored; beside {first.cases:,}", flush=True)
    for name, figure in size.figures.items():
        ratio = figure / first.figures[name] if first.figures[name] else 1.0
        grows = "GROWS" if ratio > GROWS and not name.endswith(CLOCK) else ""
        print(f"  {name:<58} {figure:>11,.2f} {ratio:>7.2f} {grows}", flush=True)
    for name, figure in size.bulk.items():
        print(f"  {name:<58} {figure:>11,.0f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.bench.history", description="Measure with ever more cases stored.")
    parser.add_argument("--cases", type=int, nargs="+", default=SIZES)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # also then, end what we started
    stack = Apart(SETTINGS)
    stack.postgres = EmbeddedPostgres(stack.folder / "postgres", **POSTGRES)
    receiver = Receiver(stack.folder)
    with stack:
        receiver.start()
        try:
            tocsin = stack.client()
            set_up(tocsin, receiver)
            plant(tocsin)
            found = asyncio.run(measure(stack, tocsin, receiver, asked.cases, asked.rounds))
        finally:
            receiver.program.kill()
    last = found[-1].figures
    ratios = {name: last[name] / each for name, each in found[0].figures.items() if each and not name.endswith(CLOCK)}
    grown = {name: ratio for name, ratio in ratios.items() if ratio > GROWS}
    print(
        json.dumps(
            {"kind": "history", "sizes": {size.cases: size.figures | size.bulk for size in found}, "grown": grown}
        )
    )
    sys.exit(1 if grown else 0)


if __name__ == "__main__":
    main()
