"""``python -m tests.chaos.providers``: Slack fails in every way, at random, and every page still reaches somebody.

Six channels have weather of their own: spells of 429 with Retry-After, 500, hanging, connections dropped before and
after the message was posted, or all of it mixed. Two more channels and two mailboxes are well. Judged by what reached
the stand-ins, from their logs; what Tocsin says of itself is only asked for what it lists as perhaps sent twice.
"""

import argparse
import asyncio
import json
import re
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import aiohttp

from tests.chaos.judge import Verdict, differences, ledger, lost
from tests.e2e import scene
from tests.e2e.client import Client, Routes, until
from tests.e2e.sinks import Sent
from tests.e2e.stack import Embedded

ROUGH = tuple(f"rough-{number}" for number in range(6))
CALM = ("calm-0", "calm-1")
BY_MAIL = ("mail-0", "mail-1")
CREWS = (*ROUGH, *CALM, *BY_MAIL)
PROMISE = timedelta(seconds=2)
EVERY_S = 3.0  # a contact of each crew: a channel takes one message a second
REPLY_AFTER = timedelta(seconds=5)  # an answer comes late to a third of them
ON_TIME = timedelta(seconds=10)  # what waits for a channel in trouble waits longer; a busy machine is no finding
SPELLS = ("ok", "any", "any", "429", "500", "hang", "hang_after", "drop_before", "drop_after")
WAITS_S = (0.5, 1.0, 5.0)  # Retry-After
TOLD_WITHIN_S = 400.0  # from the end of the bad weather: longer than anything waits before it goes another way


@dataclass(frozen=True)
class Options:
    """``spell_s``: how long one kind of weather lasts, on average."""

    seed: int = 1
    seconds: float = 600.0
    spell_s: float = 20.0


@dataclass
class Posted:
    """One contact, its case, and when its promise was due."""

    crew: str
    number: str
    case_id: str
    due: datetime
    replied: bool


@dataclass
class Run:
    posted: list[Posted] = field(default_factory=list)
    spells: int = 0


def set_up(tocsin: Client) -> None:
    """Each crew is told in its channel or mailbox; its lead by mail, where that fails."""
    for crew in CREWS:
        tocsin.put(f"/v1/teams/{crew}", {})
        tocsin.put(f"/v1/people/{crew}-lead", {"email": f"lead@{crew}.example"})
        mail = {"kind": "email", "to": [f"all@{crew}.example"], "digest": False}  # a digest mail would wait for more
        tocsin.put(f"/v1/destinations/{crew}", mail if crew in BY_MAIL else {"kind": "slack", "channel": f"#{crew}"})
        steps = [
            {"notify": [{"destination": crew}]},
            {"after": "PT30M", "notify": [{"person": f"{crew}-lead"}]},
        ]
        repeat = {"every": "PT1H", "times": 0}
        tocsin.put(f"/v1/escalation-policies/{crew}", {"teams": [crew], "steps": steps, "repeat": repeat})
    scene.route(tocsin, CREWS)
    scene.promise(tocsin, PROMISE)


async def play(stack: Embedded, routes: Routes, options: Options) -> Run:
    """Contacts at a steady pace while the weather changes; then it clears."""
    run, stop = Run(), asyncio.Event()
    headers = {"Authorization": f"Bearer {stack.key}"}
    async with aiohttp.ClientSession(headers=headers) as http, asyncio.TaskGroup() as group:
        for crew in ROUGH:
            group.create_task(_weather(http, stack.sinks.slack_behaves, crew, options, stop, run))
        until_ = time.monotonic() + options.seconds
        chance, turn = Random(options.seed), 0
        while time.monotonic() < until_:
            crew = CREWS[turn % len(CREWS)]
            group.create_task(_contact(http, routes, run, crew, chance.random() < 1 / 3))
            turn += 1
            await asyncio.sleep(EVERY_S / len(CREWS))
        stop.set()
    return run


async def _weather(
    http: aiohttp.ClientSession, url: str, crew: str, options: Options, stop: asyncio.Event, run: Run
) -> None:
    chance = Random(f"{options.seed} {crew}")
    while not stop.is_set():
        behaviour = {
            "mode": chance.choice(SPELLS),
            "channel": f"#{crew}",
            "retry_after": chance.choice(WAITS_S),
            "seed": str(chance.random()),
        }
        await _tell(http, url, behaviour)
        run.spells += 1
        try:
            async with asyncio.timeout(chance.expovariate(1 / options.spell_s)):
                await stop.wait()
        except TimeoutError:
            continue
    await _tell(http, url, {"mode": "ok", "channel": f"#{crew}"})


async def _tell(http: aiohttp.ClientSession, url: str, behaviour: dict[str, object]) -> None:
    async with http.post(url, json=behaviour) as answer:
        answer.raise_for_status()


async def _contact(http: aiohttp.ClientSession, routes: Routes, run: Run, crew: str, replies: bool) -> None:
    body = scene.payout_missing(crew)
    due = scene.at(body["occurred_at"]) + PROMISE
    async with http.post(routes.base("/v1/contacts") + "/v1/contacts", json=body) as answer:
        assert answer.status == 202, await answer.text()
        made = await answer.json()
    run.posted.append(Posted(crew, made["case_number"], made["case_id"], due, replies))
    if replies:
        await asyncio.sleep(REPLY_AFTER.total_seconds())
        reply = scene.replied(made["case_id"])
        async with http.post(routes.base("/v1/activities") + "/v1/activities", json=reply) as answer:
            assert answer.status == 202, await answer.text()


def judge(stack: Embedded, tocsin: Client, run: Run) -> Verdict:
    verdict, began = Verdict(), time.monotonic()
    calling = {each.number: each for each in run.posted if not each.replied}

    def silent() -> set[str]:
        told = _told(stack)
        return {number for number, each in calling.items() if not told[number, each.crew]}

    def waiting() -> bool:
        states = ("queued", "held", "unknown")
        return any(tocsin.get("/v1/deliveries", state=state, limit=1)["items"] for state in states)

    try:
        until(lambda: not silent() and not waiting(), TOLD_WITHIN_S, "everybody is told, and nothing waits")
    except AssertionError as never:
        verdict.wrong.append(f"{never}; {len(silent())} cases told nobody: {sorted(silent())[:5]}")
    settled_s = round(time.monotonic() - began)
    verdict.counts |= {"contacts": len(run.posted), "calling": len(calling), "spells of weather": run.spells}
    verdict.counts["all told, nothing waits, after, s"] = settled_s
    _reached(verdict, stack, calling)
    _copies(verdict, stack, tocsin)
    _on_time(verdict, stack, run)
    refused = [line for line in stack.sinks.slack_lines() if line["method"] == "refused"]
    verdict.check(not refused, f"Slack would not have taken it: {refused[:2]}")
    for line in differences(ledger(stack, tocsin)):
        verdict.wrong.append(f"the ledger does not balance: {line}")
    return verdict


def _told(stack: Embedded) -> dict[tuple[str, str], list[Sent]]:
    """By case number and crew: every message that named the case in the crew's channel or to its people."""
    found: dict[tuple[str, str], list[Sent]] = defaultdict(list)
    for sent in stack.sinks.everything():
        crew = sent.to.removeprefix("#") if sent.to.startswith("#") else sent.to.partition("@")[2].split(".")[0]
        for number in set(re.findall(r"\bC-\d+\b", sent.text)):
            found[number, crew].append(sent)
    return found


def _reached(verdict: Verdict, stack: Embedded, calling: dict[str, Posted]) -> None:
    told = _told(stack)
    reached = [messages for number, each in calling.items() if (messages := told[number, each.crew])]
    failover = sum(all(sent.to.startswith("lead@") for sent in messages) for messages in reached)
    verdict.counts |= {"told in their channel or mailbox": len(reached) - failover, "told by failover": failover}


def _copies(verdict: Verdict, stack: Embedded, tocsin: Client) -> None:
    """Nothing is posted again that was answered; each copy of what was not is listed with its delivery."""
    copies: dict[str, list[bool]] = defaultdict(list)  # by key: of each copy, whether it was answered
    for line in stack.sinks.slack_lines():
        if line["method"] == "chat.postMessage":
            copies[line["metadata"]["event_payload"]["delivery_id"]].append(line["answered"])
    listed = {each["id"]: lost(each) for each in tocsin.every("/v1/deliveries")}
    possible = listed | {each["id"]: lost(each) for each in tocsin.every("/v1/digests")}
    for key, answered in copies.items():
        verdict.check(not any(answered[:-1]), f"message {key} was posted again after an answer: {answered}")
        extra = len(answered) - 1
        verdict.check(extra <= possible.get(key, 0), f"{extra} copies of {key}, {possible.get(key)} listed")
    sends = next(line for line in ledger(stack, tocsin) if line.hop == "sends→answers")
    verdict.check(sends.terms["failed"] == sum(listed.values()), f"{sends.terms}, listed {sum(listed.values())}")
    verdict.counts |= {
        "messages posted in Slack": len(copies),
        "posted and not answered": sum(not each for answered in copies.values() for each in answered),
        "posted twice or more, all listed": sum(len(answered) > 1 for answered in copies.values()),
        "sends": sends.terms["in"],
        "sends without an answer, all listed": sends.terms["failed"],
    }


def _on_time(verdict: Verdict, stack: Embedded, run: Run) -> None:
    told, late = _told(stack), []
    for each in run.posted:
        if each.crew in ROUGH or each.replied:
            continue
        if messages := told[each.number, each.crew]:
            late.append(min(sent.at for sent in messages) - each.due)
            verdict.check(late[-1] <= ON_TIME, f"{each.number} of {each.crew} came {late[-1]} late in fair weather")
    late.sort()
    for percent in (50, 99, 100):
        place = min(len(late) - 1, len(late) * percent // 100)
        verdict.counts[f"others: due to told, p{percent}, ms"] = round(late[place] / timedelta(milliseconds=1))


def storm(stack: Embedded, options: Options, say: Callable[[str], None] = print) -> Verdict:
    """Run and judge on a stack that has nothing in it yet."""
    tocsin = stack.client()
    set_up(tocsin)
    say(f"seed {options.seed}: {options.seconds:.0f} s of weather")
    run = asyncio.run(play(stack, Routes(stack.documents()), options))
    return judge(stack, tocsin, run)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make providers", description="Slack fails in every way, at random.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # also then, end what we started
    with Embedded() as stack:
        verdict = storm(stack, Options(arguments.seed, arguments.minutes * 60))
        kept = stack.keep(Path(tempfile.mkdtemp(prefix="tocsin-providers-"))) if verdict.wrong else None
    for name, count in verdict.counts.items():
        print(f"  {name:<40} {count:>8,}")
    for line in verdict.wrong[:20]:
        print(f"WRONG: {line[:1000]}")
    print(f"{len(verdict.wrong)} wrong" + (f"; the logs are in {kept}" if kept else ""))
    print(json.dumps({"seed": arguments.seed, **asdict(verdict)}))
    sys.exit(bool(verdict.wrong))


if __name__ == "__main__":
    main()
