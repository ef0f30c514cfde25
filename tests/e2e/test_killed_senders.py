"""kill -9 of notify at each point of a send: retried with the same key, doubled only where the answer was lost.

Judged by what reached the stand-ins for Slack and mail. A process stands still at a named point and is killed there;
the last one takes over what all of them left behind.
"""

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from shared.clock import ManualClock
from shared.contracts import catalogue
from shared.contracts.clocks import ClockBreached
from shared.contracts.envelope import Event
from shared.contracts.identity import derived
from shared.db import Database
from shared.embedded import EmbeddedPostgres
from shared.log import Record, partition_of
from shared.log.postgres import PostgresLog
from tests.conftest import execute
from tests.e2e import scene, tables
from tests.e2e.client import JSON, until
from tests.e2e.programs import Program, free_port, python
from tests.e2e.sinks import Sinks
from tests.unit.notify.given import SUMMARY, clock_event

KEY = "killed-senders"
PARTITIONS = 8
STARTED_S, SOON_S = 90.0, 60.0
CLAIMS_LAST_S = 600  # longer than the test: what one process left is nobody else's before we say so


@dataclass(frozen=True)
class Story:
    """Where notify is killed, and what must follow: how many copies arrive, and how each send is said to have ended."""

    point: str
    way: str
    copies: int
    ends: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.point.replace('.', '-')}-{self.way}"

    @property
    def case_id(self) -> UUID:
        return derived("killed", self.name)

    @property
    def lost(self) -> int:
        return self.ends.count("lost")


STORIES = (
    Story("send.claimed", "email", 1, ("lost", "sent")),
    Story("send.sent", "email", 2, ("lost", "sent")),  # the one window
    Story("send.sent", "slack", 1, ("lost", "found")),  # and Slack can be asked
    Story("send.recorded", "email", 1, ("sent",)),
)


class Notify:
    """Notify alone, on the log in Postgres, one process after the other."""

    def __init__(self, database_url: str, sinks: Sinks, folder: Path) -> None:
        port = free_port()
        self.database_url, self._folder = database_url, folder
        self._environment = {
            "TOCSIN_DATABASE_URL": database_url,
            "TOCSIN_ADMIN_KEY": KEY,
            "TOCSIN_SECRET_KEY": "seals what tests store",
            "TOCSIN_PORT": str(port),
            "TOCSIN_KAFKA_PARTITIONS": str(PARTITIONS),
            "TOCSIN_LEASE_S": "1",
            "TOCSIN_SLACK_TOKEN": "xoxb-tests",
            "TOCSIN_SLACK_API_URL": sinks.slack_url,
            "TOCSIN_SMTP_URL": sinks.smtp_url,
            "TOCSIN_SEND_TIMEOUT_S": str(CLAIMS_LAST_S),
        }
        headers = {"Authorization": f"Bearer {KEY}"}
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30)

    def program(self, name: str, *module: str) -> Program:
        return Program(name, python("-m", *module), self._folder, self._environment)

    def ready(self) -> bool:
        try:
            return self.http.get("/readyz").status_code == 200
        except httpx.HTTPError:
            return False

    def put(self, path: str, body: JSON) -> None:
        answer = self.http.put(f"/v1/{path}", json=body)
        assert answer.status_code in (200, 201), answer.text

    def destine(self, story: Story) -> None:
        """The page of this story calls in a place of its own."""
        slack = {"kind": "slack", "channel": f"#{story.name}"}
        mail = {"kind": "email", "to": [f"{story.name}@desk.example"]}
        self.put(f"destinations/{story.name}", slack if story.way == "slack" else mail)
        steps = [{"notify": [{"destination": story.name}]}]
        self.put(f"escalation-policies/{story.name}", {"teams": [story.name], "steps": steps})

    async def breach(self, story: Story) -> None:
        """What sla would say: the promise of the story's case is broken."""
        now, case = scene.now(), story.case_id
        summary = SUMMARY.model_copy(update={"team": story.name})
        broken = clock_event(ClockBreached, now, case_id=case, clock_id=derived(case), summary=summary)
        headers, body = catalogue.encode(Event(derived(case, "broken"), "sla", "clocks", 1, now, broken))
        log = PostgresLog(Database(self.database_url, "log"), ManualClock(now), PARTITIONS)
        await log.start()
        await log.append([Record("clocks", partition_of(case, PARTITIONS), str(case), headers, body)])
        await log.stop()

    def claims_end(self) -> None:
        """As if their time had passed."""
        ended = "UPDATE notify.delivery SET claimed_until = to_timestamp(0) WHERE claimed_until IS NOT NULL"
        tables.run(self.database_url, ended)

    def delivery(self, story: Story) -> JSON:
        [found] = self.http.get("/v1/deliveries", params={"case_id": str(story.case_id)}).json()["items"]
        return dict(found)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    found = Path(tempfile.mkdtemp(prefix="tocsin-killed-"))
    yield found
    shutil.rmtree(found, ignore_errors=True)


@pytest.fixture(scope="module")
def sinks(folder: Path) -> Iterator[Sinks]:
    found = Sinks(folder)
    found.start()
    yield found
    found.close()


@pytest.fixture(scope="module")
def notify(postgres: EmbeddedPostgres, folder: Path, sinks: Sinks) -> Iterator[Notify]:
    """Killed at every point, then taken over, and all is sent."""
    asyncio.run(execute(postgres.url, "CREATE DATABASE killed"))
    found = Notify(postgres.url.replace("/postgres?", "/killed?"), sinks, folder)
    with ExitStack() as after:
        after.callback(lambda: asyncio.run(execute(postgres.url, "DROP DATABASE killed WITH (FORCE)")))
        after.callback(found.http.close)
        migrate = found.program("migrate", "services.cli", "migrate")
        migrate.start()
        assert migrate.wait(STARTED_S), migrate.tail()
        for story in STORIES:
            stands = folder / f"{story.name}.stands"
            program = found.program(story.name, "tests.e2e.stopping", story.point, str(stands), "services.notify")
            after.callback(program.kill)
            program.start()
            until(found.ready, STARTED_S, f"{story.name} is ready")
            found.destine(story)
            asyncio.run(found.breach(story))
            until(stands.exists, SOON_S, f"notify reaches {story.name}")
            program.kill()
        found.claims_end()
        last = found.program("last", "services.notify")
        after.callback(last.stop)
        last.start()
        until(found.ready, STARTED_S, "the last is ready")
        for story in STORIES:
            until(lambda story=story: found.delivery(story)["state"] == "sent", SOON_S, f"{story.name} is sent")
        yield found


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_a_send_that_is_killed_is_retried_with_the_same_key(notify: Notify, sinks: Sinks, story: Story) -> None:
    delivery = notify.delivery(story)
    arrived = Counter(sent.key for sent in [*sinks.slack(), *sinks.mail()] if story.name in sent.to)
    assert arrived == {delivery["id"]: story.copies}
    assert tuple(attempt["outcome"] for attempt in delivery["attempts"]) == story.ends
    assert delivery["lost"] == story.lost


def test_what_may_have_arrived_twice_is_in_the_ledger_and_nothing_else(notify: Notify) -> None:
    lines = notify.http.get("/v1/ledger").json()["lines"]
    [sends] = [line for line in lines if line["hop"] == "sends→answers"]
    expected = {"in": sum(len(story.ends) for story in STORIES), "failed": sum(story.lost for story in STORIES)}
    assert {term: sends["terms"][term] for term in expected} == expected
    assert sends["difference"] == 0
    named = " ".join(each["text"] for each in notify.http.get("/v1/problems").json()["items"])
    doubtful = [story for story in STORIES if notify.delivery(story)["id"] in named]
    assert doubtful == [story for story in STORIES if "lost" in story.ends and "found" not in story.ends]
