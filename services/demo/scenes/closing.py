"""Scenes 10 to 12: what one changed rule would move, the account of it all, and what to try next."""

import asyncio
from collections import Counter
from typing import Any

from services.demo import configured
from services.demo.claims import Failed
from services.demo.stage import Stage

QUIET_WITHIN_S = 20.0
LOOK_EVERY_S = 0.2  # whether the ledger is quiet
TO_CUSTOMERS = ("first_reply", "next_reply", "resolution")


async def what_if(stage: Stage) -> None:
    """A draft against what really came in."""
    screen = stage.screen
    screen.scene(10, "What if one rule changed?")
    screen.say(f"Rule chargebacks, narrowed: {configured.WHAT_IF}.")
    draft = await stage.api.post("/v1/rulesets", configured.changed_ruleset())
    found = await stage.api.post(f"/v1/rulesets/{draft['version']}/backtest")
    screen.table(("from", "to", "cases", "such as"), [_move(each) for each in found["moves"]], left=2)
    expected = sum(configured.would_move(each) for each in stage.morning.openers)
    active = await stage.api.get("/v1/rulesets/active")
    screen.claim(
        found["moved"] == expected and found["cases"] == len(stage.cases) and active["version"] == stage.ruleset,
        f"{found['moved']} of {found['cases']} cases would move; version {active['version']} still decides, and"
        f" {draft['version']} is a {draft['state']}",
        f"{found['moved']} of {found['cases']} cases would move, and {expected} of {len(stage.cases)} should;"
        f" version {active['version']} is active",
    )


def _move(move: dict[str, Any]) -> tuple[str, ...]:
    return move["before"], move["after"], str(move["cases"]), ", ".join(each["number"] for each in move["examples"])


async def account(stage: Stage) -> None:
    """Promises kept and broken by team, pages, and the ledger."""
    screen = stage.screen
    screen.scene(11, "The account")
    ledger = await _quiet(stage)
    clocks = await stage.api.every("/v1/clocks")
    pages = await stage.api.every("/v1/pages")
    tally = by_team(clocks, pages)
    teams = sorted({team for team, _ in tally})
    rows = [(team, *row(tally, team)) for team in teams]
    every: Counter[tuple[str, str]] = Counter()
    for (_, what), n in tally.items():
        every["all", what] += n
    screen.table(("team", "kept", "broken", "kept of due", "running", "pages"), [*rows, ("all", *row(every, "all"))])
    expected = sum(each.late for each in stage.morning.openers) + 1
    broken, paged = every["all", "broken"], every["all", "pages"]
    of_broken = {clock["case_id"] for clock in clocks if clock["breached_at"] and clock["metric"] in TO_CUSTOMERS}
    screen.claim(
        broken == paged == expected and of_broken == {page["case_id"] for page in pages},
        f"{broken} promises broken: the hero's, and {expected - 1} that came too late to keep; one page for each",
        f"{broken} promises are broken, of {len(of_broken)} cases, with {paged} pages; {expected} of each were due",
    )
    whole = [line for line in ledger["lines"] if line["whole"]]
    off = [f"{line['hop']} by {line['difference']}" for line in whole if line["difference"]]
    parked = sum(line["terms"].get("parked", 0) for line in whole)
    screen.claim(
        ledger["balanced"] and not off and not parked,
        f"the ledger balances: {len(whole)} hops, everything that went in is accounted for, nothing parked",
        f"the ledger does not balance: {', '.join(off) or f'{parked} parked'}",
    )


async def _quiet(stage: Stage) -> dict[str, Any]:
    """The ledger once nothing is in flight, or as it is when that takes too long."""
    try:
        async with asyncio.timeout(QUIET_WITHIN_S):
            while True:
                found: dict[str, Any] = await stage.api.get("/v1/ledger")
                moving = sum(line["terms"].get("in_flight", 0) for line in found["lines"])
                if found["balanced"] and not moving:
                    return found
                await asyncio.sleep(LOOK_EVERY_S)
    except TimeoutError:
        return dict(await stage.api.get("/v1/ledger"))


def by_team(clocks: list[dict[str, Any]], pages: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
    """Counts by team and what became of a promise to a customer. Cancelled and withdrawn ones were not due."""
    tally: Counter[tuple[str, str]] = Counter()
    for clock in clocks:
        if clock["metric"] not in TO_CUSTOMERS or clock["state"] in ("cancelled", "withdrawn"):
            continue
        what = "broken" if clock["breached_at"] else "kept" if clock["state"] == "met" else "running"
        tally[clock["team"] or "–", what] += 1
    for page in pages:
        tally[page["team"] or "–", "pages"] += 1
    return tally


def row(tally: Counter[tuple[str, str]], team: str) -> tuple[str, ...]:
    kept, broken = tally[team, "kept"], tally[team, "broken"]
    # Rounded down: 99.95 % is not 100 %.
    share = f"{kept * 1000 // (kept + broken) / 10:.1f} %" if kept + broken else "–"
    return str(kept), str(broken), share, str(tally[team, "running"]), str(tally[team, "pages"])


async def next_steps(stage: Stage) -> None:
    """Three commands that work as they stand, checked by making the same calls."""
    screen, url = stage.screen, stage.server.url
    screen.scene(12, "Try next")
    answers = []
    for path in (f"/v1/cases/{stage.hero.case_id}/assignment", "/v1/clocks?order=due", "/v1/ledger"):
        try:
            answers.append(await stage.api.get(path))
        except Failed as wrong:
            screen.claim(False, "", str(wrong))
    lines = [
        f"export TOCSIN_ADMIN_KEY={stage.server.key}",
        "# why is the hero where it is?",
        f'curl -sH "Authorization: Bearer $TOCSIN_ADMIN_KEY" \\\n{url}/v1/cases/{stage.hero.case_id}/assignment',
        "# which promises run out next?",
        f'curl -sH "Authorization: Bearer $TOCSIN_ADMIN_KEY" \\\n"{url}/v1/clocks?order=due"',
        "# where is everything that was accepted?",
        f".venv/bin/tocsin ledger --url {url}",
    ]
    screen.code(lines)
