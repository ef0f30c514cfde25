"""The verdict on a run, from outside: the clients' log, the sinks' logs, and the public API when all is quiet."""

import re
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import quantiles
from typing import Any

from shared.contracts.words import DeliveryState
from shared.ledger import Entry, Line, merge
from tests.chaos.load import Item
from tests.chaos.rounds import IN_FLIGHT, Run
from tests.e2e import scene
from tests.e2e.client import JSON, Client, until
from tests.e2e.sinks import Sent
from tests.e2e.stack import Stack

QUIET_WITHIN_S = 120.0
READERS = 8
BOUND = timedelta(seconds=30)  # from the deadline, or from the end of the last fault that stood in the way
CLOCKS_AGREE = timedelta(milliseconds=50)
CASE_NUMBER = re.compile(r"\bC-\d+\b")
UNSENT = (DeliveryState.QUEUED, DeliveryState.HELD, DeliveryState.UNKNOWN)
CLOCKS = Counter({("first_reply", 1): 1, ("unassigned", 1): 1})  # what every case here is promised, once


@dataclass
class Verdict:
    """``wrong`` is empty where everything holds."""

    counts: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def check(self, holds: bool, what: str) -> None:
        if not holds:
            self.wrong.append(what)


def ledger(stack: Stack, tocsin: Client) -> list[Line]:
    """The ledger of all services, whole."""
    entries = []
    for base in dict.fromkeys(stack.bases.values()):
        answer = tocsin.at(base, "/v1/ledger")
        for line in answer["lines"]:
            entries += [Entry(line["hop"], line["unit"], term, count) for term, count in line["terms"].items()]
    return merge(entries)


def differences(lines: list[Line]) -> list[str]:
    return [f"{line.hop}, {line.unit}: {line.terms}, difference {line.difference}" for line in lines if line.difference]


def unquiet(stack: Stack, tocsin: Client) -> list[str]:
    """What is in flight, and which pages have a step or a message to come; empty when all is quiet."""
    moving = ["a page is open"] if tocsin.get("/v1/pages", state="open", limit=1)["items"] else []
    for line in ledger(stack, tocsin):  # last: what ended just now may have left events on their way
        if line.hop == "pages→deliveries" and (count := line.terms.get("open", 0)):
            waiting = [each for state in UNSENT for each in tocsin.get("/v1/deliveries", state=state, limit=3)["items"]]
            moving.append(f"{count} deliveries are not sent, such as {waiting[:3]}")
        if count := line.terms.get("in_flight", 0):
            moving.append(f"{count} in flight on {line.hop}")
    return moving


def until_quiet(stack: Stack, tocsin: Client, within_s: float = QUIET_WITHIN_S) -> None:
    reasons: list[str] = []

    def quiet() -> bool:
        reasons[:] = unquiet(stack, tocsin)
        return not reasons

    try:
        until(quiet, within_s, "everything becomes quiet")
    except AssertionError as never:
        raise AssertionError(f"{never}: {reasons}") from None


def judge(stack: Stack, tocsin: Client, run: Run) -> Verdict:
    verdict = Verdict()
    try:
        until_quiet(stack, tocsin)
    except AssertionError as never:
        verdict.wrong.append(str(never))
    items = list(run.clients.items.values())
    _requests(verdict, run)
    cases = _cases(verdict, tocsin, items)
    placed = _assignments(verdict, tocsin, cases)
    clocks = _clocks(verdict, tocsin, cases)
    _in_flight(verdict, run, placed, clocks)
    _pages(verdict, stack, tocsin, cases, clocks)
    if not run.bursts:
        _timely(verdict, stack, run, cases, clocks)
    for line in differences(ledger(stack, tocsin)):
        verdict.wrong.append(f"the ledger does not balance: {line}")
    return verdict


def _requests(verdict: Verdict, run: Run) -> None:
    verdict.check(not run.died, f"processes ended by themselves: {run.died}")
    verdict.check(not run.clients.refused, f"refused: {run.clients.refused[:5]}")
    verdict.counts |= {"rounds": len(run.rounds), "requests repeated": run.clients.repeats}


def _cases(verdict: Verdict, tocsin: Client, items: list[Item]) -> dict[str, Item]:
    """Every contact that was answered 202 has exactly one case, and there is no case that nobody posted."""
    answers = sum(len(item.answers) for item in items)
    verdict.counts |= {"contacts": len(items), "answers 202": answers}
    for item in items:
        verdict.check(bool(item.answers), f"{item.external_id} was never accepted")
        named = {(each["contact_id"], each["case_id"], each["case_number"]) for each in item.answers}
        verdict.check(len(named) <= 1, f"{item.external_id} was answered with different cases: {named}")
    stored = {each["id"]: each for each in tocsin.every("/v1/cases")}
    by_case = {str(item.case_id): item for item in items if item.case_id}
    verdict.check(len(by_case) == len(items), "two contacts share a case")
    lost, invented = by_case.keys() - stored.keys(), stored.keys() - by_case.keys()
    verdict.check(not lost, f"{len(lost)} accepted cases are lost: {sorted(lost)[:3]}")
    verdict.check(not invented, f"{len(invented)} cases nobody posted: {sorted(invented)[:3]}")
    verdict.counts["cases"] = len(stored)
    return by_case


def _assignments(verdict: Verdict, tocsin: Client, cases: dict[str, Item]) -> dict[str, datetime]:
    """Each case has been given to its team, once. Gives when."""
    placed = {}
    with ThreadPoolExecutor(READERS) as pool:
        answers = pool.map(lambda case_id: tocsin.send("GET", f"/v1/cases/{case_id}/assignment"), cases)
    for (case_id, item), answer in zip(cases.items(), answers, strict=True):
        found = answer.json()
        once = answer.status_code == 200 and found["team"] == item.team and len(found["history"]) == 1
        verdict.check(once, f"case {case_id} is not assigned once: {answer.text[:300]}")
        if answer.status_code == 200:
            placed[case_id] = scene.at(found["assigned_at"])
    return placed


def _in_flight(verdict: Verdict, run: Run, placed: dict[str, datetime], clocks: dict[str, JSON]) -> None:
    """How many contacts were on their way at each kill: sent, and their promise neither kept nor broken yet."""
    for each in run.rounds:
        for item in each.sent:
            case_id = str(item.case_id)
            each.unplaced += case_id not in placed or placed[case_id] > each.at
            if case_id in placed:
                each.placed_after_s = max(each.placed_after_s, (placed[case_id] - each.at).total_seconds())
            clock = clocks.get(case_id)
            ended = clock and (clock["met_at"] or clock["breached_at"])
            each.in_flight += ended is None or scene.at(ended) > each.at
        enough = each.in_flight >= IN_FLIGHT or not run.bursts
        verdict.check(enough, f"round {each.number} had only {each.in_flight} in flight at its kill")


def _clocks(verdict: Verdict, tocsin: Client, cases: dict[str, Item]) -> dict[str, JSON]:
    """Each case has each of its clocks once. Gives the first-reply clocks by case."""
    found: dict[str, list[JSON]] = defaultdict(list)
    for clock in tocsin.every("/v1/clocks"):
        found[clock["case_id"]].append(clock)
    first: dict[str, JSON] = {}
    for case_id, item in cases.items():
        names = Counter((clock["metric"], clock["instance"]) for clock in found[case_id])
        verdict.check(names == CLOCKS, f"case {case_id} has the clocks {dict(names)}")
        for clock in (each for each in found[case_id] if each["metric"] == "first_reply"):
            first[case_id] = clock
            verdict.check(ended_rightly(clock, item), f"case {case_id}, answered at {item.reply_at}: {clock}")
    verdict.counts["clocks"] = sum(map(len, found.values()))
    return first


def ended_rightly(clock: JSON, item: Item) -> bool:
    """Broken where nobody answered, kept late where somebody answered late, and otherwise kept.

    An answer in time that reached sla late, since a part was down, takes an announced breach back.
    """
    broken = clock["breached_at"] is not None
    if item.reply_at is None:
        return bool(clock["state"] == "breached")
    late = item.reply_at - scene.at(clock["due_at"])
    if abs(late) < CLOCKS_AGREE:  # the client's clock and the database's may differ over who was first
        return clock["state"] in ("met", "withdrawn")
    if late > timedelta(0):
        return bool(clock["state"] == "met" and broken)
    return (clock["state"], broken) in (("met", False), ("withdrawn", True))


def _pages(verdict: Verdict, stack: Stack, tocsin: Client, cases: dict[str, Item], clocks: dict[str, JSON]) -> None:
    """A page for every broken promise, once; and each of its messages once, but for the sends that are listed."""
    pages: dict[str, list[JSON]] = defaultdict(list)
    for page in tocsin.every("/v1/pages"):
        pages[page["case_id"]].append(page)
    broken = [case_id for case_id, clock in clocks.items() if clock["breached_at"]]
    for case_id in broken:
        verdict.check(len(pages[case_id]) == 1, f"case {case_id} has {len(pages[case_id])} pages")
    for case_id, of_case in pages.items():
        verdict.check(
            case_id in broken,
            f"case {case_id} was answered in time and paged: {of_case}; its clock: {clocks.get(case_id)}",
        )
    deliveries = {each["id"]: each for each in tocsin.every("/v1/deliveries")}
    arrived = _arrived(stack.sinks.told())
    listed = 0
    for key, count in arrived.items():
        delivery = deliveries.get(key)
        allowed = 1 + lost(delivery) if delivery else 0
        listed += count - 1
        verdict.check(count <= allowed, f"message {key} came {count} times, {allowed} are listed: {delivery}")
    outside = [d for d in deliveries.values() if d["way"] in ("slack", "email")]
    for delivery in outside:
        came = arrived.get(delivery["id"], 0)
        verdict.check(delivery["state"] != "sent" or came > 0, f"sent and never came: {delivery}")
        verdict.check(delivery["state"] in ("sent", "suppressed"), f"neither sent nor suppressed: {delivery}")
    calls = [d for d in outside if d["purpose"] != "update"]  # a message changes as often as its page does
    asked = Counter((d["page_id"], d["target"], d["way"], d["purpose"]) for d in calls)
    verdict.check(not (twice := [k for k, n in asked.items() if n > 1]), f"asked for twice: {twice[:3]}")
    verdict.counts |= {
        "promises broken": len(broken),
        "pages": sum(map(len, pages.values())),
        "messages": sum(arrived.values()),
        "listed repeats": listed,
    }


def _timely(verdict: Verdict, stack: Stack, run: Run, cases: dict[str, Item], clocks: dict[str, JSON]) -> None:
    """Whoever was never answered is told of, by the sinks' own logs: not early, and not later than ``BOUND``."""
    first: dict[str, datetime] = {}
    for sent in sorted(stack.sinks.everything(), key=lambda each: each.at):
        for number in CASE_NUMBER.findall(sent.text):
            first.setdefault(number, sent.at)
    outages = sorted((each.at, each.over) for each in run.rounds)
    late: list[float] = []
    calm: list[float] = []
    for case_id, item in cases.items():
        if item.reply_at is not None or case_id not in clocks:
            continue
        number, due = item.answers[0]["case_number"], scene.at(clocks[case_id]["due_at"])
        told = first.get(number)
        if told is None:
            verdict.wrong.append(f"{number} was due {due} and nobody was told")
            continue
        verdict.check(told > due - CLOCKS_AGREE, f"{number} was due {due} and told at {told}")
        ready = _ready_at(due, told, outages)
        verdict.check(told <= ready + BOUND, f"{number} was due {due}, could be told at {ready}, was told at {told}")
        late.append((told - due).total_seconds())
        if not any(began <= told and over + BOUND > due for began, over in outages):
            calm.append(late[-1])
    verdict.counts["told of"] = len(late)
    for name, found in (("after the deadline", late), ("in calm", calm)):
        if len(found) > 1:
            cut = quantiles(found, n=100, method="inclusive")
            for share, value in (("p50", cut[49]), ("p99", cut[98]), ("most", max(found))):
                verdict.counts[f"{name}, {share} ms"] = round(value * 1000)


def _ready_at(due: datetime, told: datetime, outages: list[tuple[datetime, datetime]]) -> datetime:
    """When nothing stood in the way any more: the deadline, or the end of faults that overlapped the wait."""
    ready = due
    for began, over in outages:
        if began <= min(told, ready + BOUND) and over + BOUND > ready:
            ready = max(ready, over)
    return ready


def _arrived(messages: list[Sent]) -> Counter[str]:
    return Counter(message.key for message in messages)


def lost(delivery: dict[str, Any]) -> int:
    """How many of its sends are listed as perhaps arrived."""
    return int(delivery["lost"])
