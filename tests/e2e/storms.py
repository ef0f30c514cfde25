"""A storm, as sla would tell notify of it, and what reached Slack: for a test of replicas and for ``make storm``."""

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.clock import SystemClock
from shared.contracts import catalogue
from shared.contracts.clocks import CaseSummary, ClockBreached
from shared.contracts.envelope import Because, Event
from shared.contracts.identity import derived
from shared.contracts.words import Metric, Priority
from shared.db import Database
from shared.log import Log, Record, partition_of
from shared.log.kafka import KafkaConfig, KafkaLog
from shared.log.postgres import PostgresLog
from tests.e2e.client import Client
from tests.e2e.sinks import Sinks
from tests.e2e.stack import Apart

TEAMS = tuple(f"team-{number:02}" for number in range(20))
PARTITIONS = 8
SLICES = 40  # of the second in which all break
PROMISE = timedelta(minutes=15)


def team_of(number: int) -> str:
    return TEAMS[number % len(TEAMS)]


def set_up(tocsin: Client) -> None:
    """Each team has a channel."""
    for team in TEAMS:
        tocsin.put(f"/v1/destinations/{team}", {"kind": "slack", "channel": f"#{team}"})
        steps = [{"notify": [{"destination": team}]}, {"after": "PT30M", "notify": [{"destination": team}]}]
        tocsin.put(f"/v1/escalation-policies/{team}", {"teams": [team], "steps": steps})


def breach(number: int, at: datetime) -> Record:
    """What sla publishes when the first reply of a case is late."""
    case_id = derived("storm", number)
    summary = CaseSummary(
        number=f"C-{number}", subject="Payout missing", excerpt="Our payout of Friday has not arrived.",
        customer_name="Acme", customer_tier="enterprise", customer_country="IE",
        url=f"https://desk.example/tickets/{number}", team=team_of(number), priority=Priority.URGENT,
        routed=Because(text=f"rule enterprise-{team_of(number)}: tier is enterprise"),
    )  # fmt: skip
    data = ClockBreached(
        case_id=case_id, occurred_at=at, clock_id=derived(case_id, "clock"), metric=Metric.FIRST_REPLY, instance=1,
        version=2, started_at=at - PROMISE, due_at=at, within="PT15M", fired_at=at, summary=summary,
        because=Because(text="Within 15 min, says policy urgent."),
    )  # fmt: skip
    event = Event(derived(case_id, "event"), "sla", "clocks", 2, at, data)
    headers, body = catalogue.encode(event)
    return Record("clocks", partition_of(case_id, PARTITIONS), str(case_id), headers, body)


def log_of(stack: Apart) -> Log:
    if stack.kafka is not None:
        return KafkaLog(KafkaConfig(bootstrap_servers=stack.kafka.url.removeprefix("kafka://"), partitions=PARTITIONS))
    return PostgresLog(Database(stack.database_url, "log"), SystemClock(), PARTITIONS)


async def break_all(log: Log, count: int) -> list[datetime]:
    """All within a second, in even slices, as the ticker of sla commits them; when each broke."""
    await log.start()
    began, at = time.monotonic(), []
    for slice_ in range(SLICES):
        await asyncio.sleep(max(0.0, began + slice_ / SLICES - time.monotonic()))
        now = SystemClock().now()
        numbers = range(count * slice_ // SLICES, count * (slice_ + 1) // SLICES)
        at += [now] * len(numbers)
        await log.append([breach(number, now) for number in numbers])
    await log.stop()
    return at


@dataclass(frozen=True)
class Seen:
    """What reached Slack. ``named``: when each case was named first."""

    calls: Mapping[str, Sequence[datetime]]  # by channel
    named: Mapping[str, datetime]
    posts: int


def look(sinks: Sinks) -> Seen:
    calls, named, posts = defaultdict(list), dict[str, datetime](), 0
    for sent in sinks.calls():
        calls[sent.to].append(sent.at)
        posts += sent.raw["method"] == "chat.postMessage"
        for number in re.findall(r"C-\d+", sent.text):
            named.setdefault(number, sent.at)
    return Seen(calls, named, posts)
