"""kill -9: a short crash test on a real Kafka, the embedded server, and the ledger that would show a loss."""

import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.chaos import crews
from tests.chaos.__main__ import crash
from tests.chaos.judge import differences, ledger, until_quiet
from tests.chaos.rounds import Options
from tests.e2e import scene, tables
from tests.e2e.client import JSON, Client, until
from tests.e2e.programs import ROOT, python
from tests.e2e.stack import Apart, Embedded, Stack

ALL_PARTS_IN_THREE_ROUNDS = Options(seed=1, rounds=3, together=2)
CONTACTS = 200
SOON_S = 60.0


@pytest.fixture
def apart() -> Iterator[Stack]:
    with Apart() as stack:
        yield stack


@pytest.fixture(scope="module")
def embedded() -> Iterator[Stack]:
    """A server of our own: these tests kill it, and leave it damaged."""
    with Embedded() as stack:
        crews.set_up(stack.client())
        yield stack


@pytest.mark.timeout(300)
def test_nothing_is_lost_or_doubled_when_parts_are_killed_under_load(
    apart: Apart, measured: Callable[[str], None]
) -> None:
    _, verdict = crash(apart, ALL_PARTS_IN_THREE_ROUNDS)
    measured(f"crash test: {verdict.counts}")
    assert not verdict.wrong, "\n".join(verdict.wrong[:20])


def test_accepted_contacts_survive_kill_9_and_are_paged_once_each(embedded: Stack) -> None:
    """Alertmanager 0.25, measured: none of 500 were delivered after the restart, and 300 twice when sent again."""
    tocsin = embedded.client()
    lines = "\n".join(json.dumps(contact(number)) for number in range(CONTACTS))
    accepted = post_all(tocsin, lines)
    embedded.program("tocsin").kill()
    embedded.program("tocsin").start()
    embedded.wait_ready()
    again = post_all(tocsin, lines)
    assert all(each["duplicate"] for each in again)
    assert [each["case_id"] for each in again] == [each["case_id"] for each in accepted]
    numbers = {each["case_number"] for each in accepted}
    assert len(numbers) == CONTACTS

    def told() -> Counter[str]:
        return Counter(mail.case_number for mail in embedded.sinks.told() if mail.to.startswith("all@"))

    until(lambda: told().keys() >= numbers, SOON_S, "every one of them is told")
    until_quiet(embedded, tocsin)  # what comes just behind a digest by mail waits a minute for the next
    listed = {each["id"]: each["lost"] for each in tocsin.every("/v1/deliveries")}
    for key, count in Counter(mail.key for mail in embedded.sinks.told()).items():
        assert count <= 1 + listed[key], "twice, and not listed as perhaps sent twice"
    assert len(list(tocsin.every("/v1/pages"))) == CONTACTS
    assert not differences(ledger(embedded, tocsin))


def test_kill_9_while_a_canary_runs_changes_nothing(embedded: Stack) -> None:
    tocsin = embedded.client()
    active = tocsin.get("/v1/rulesets/active")
    made = tocsin.post("/v1/rulesets", {"rules": active["rules"], "fallback": active["fallback"]})["version"]
    tocsin.post(f"/v1/rulesets/{made}/canary", {"share": 0.5, "reason": "a trial"})
    lines = "\n".join(json.dumps(scene.question(source="canary", external_id=f"c-{n}")) for n in range(CONTACTS))
    accepted = post_all(tocsin, lines)
    embedded.program("tocsin").kill()
    embedded.program("tocsin").start()
    embedded.wait_ready()
    assert [each["case_id"] for each in post_all(tocsin, lines)] == [each["case_id"] for each in accepted]

    def seen() -> list[int]:
        found = tocsin.get(f"/v1/rulesets/{made}/canary")
        assert (found["state"], found["share"]) == ("running", 0.5)
        return [found["canary"][side]["cases"] for side in ("canary", "control")]

    sides = until(lambda: now if sum(now := seen()) >= CONTACTS else None, SOON_S, "each case is on a side")
    assert sum(sides) == CONTACTS, "and on one"
    assert 0.3 < sides[0] / CONTACTS < 0.7, "drawn by their ids: over five standard deviations either way"
    tocsin.post(f"/v1/rulesets/{made}/canary/abort", {"reason": "seen enough"})


def test_a_row_that_is_gone_shows_in_the_ledger(embedded: Stack) -> None:
    tocsin = embedded.client()
    told = tocsin.post("/v1/contacts", contact(CONTACTS))["case_id"]
    until(lambda: list(tocsin.every("/v1/deliveries", case_id=told)), SOON_S, "its promise is broken, and told")
    until_quiet(embedded, tocsin)
    assert not differences(ledger(embedded, tocsin))
    taken = (
        ("sla.inbox", "event_id", [1]),
        ("routing.assignment", "case_id", [1]),
        ("notify.delivery WHERE attempts > 0", "id", [1, -1]),  # and the answer to its send has no send any more
    )
    for which, key, missing in taken:
        table, name = which.split()[0], f"(SELECT {key} FROM {which} ORDER BY {key} LIMIT 1)"
        tables.run(
            embedded.database_url,
            f"CREATE TABLE public.kept AS SELECT * FROM {table} WHERE {key} = {name}",
            f"DELETE FROM {table} WHERE {key} = {name}",
        )
        found = [line for line in ledger(embedded, tocsin) if line.difference]
        assert [line.difference for line in found] == missing, f"{table}: {found}"
        assert tocsin.get("/v1/ledger")["balanced"] is False
        assert cli_ledger(embedded) == 1
        tables.run(embedded.database_url, f"INSERT INTO {table} SELECT * FROM public.kept", "DROP TABLE public.kept")
        assert cli_ledger(embedded) == 0


def contact(number: int) -> JSON:
    name = {"source": "upstream", "external_id": f"alert-{number}", "thread": f"alert-{number}"}
    return scene.payout_missing(crews.CREWS[number % 10 * 2], **name)


def post_all(tocsin: Client, lines: str) -> list[JSON]:
    headers = {"Content-Type": "application/x-ndjson"}
    answer = tocsin.send("POST", "/v1/contacts/batch", content=lines, headers=headers)
    fates = [json.loads(line) for line in answer.text.splitlines()]
    assert [fate["status"] for fate in fates] == [202] * CONTACTS
    return fates


def cli_ledger(stack: Stack) -> int:
    """The exit code of ``tocsin ledger``."""
    command = [*python("-m", "services.cli", "ledger"), *(f"--url={base}" for base in set(stack.bases.values()))]
    environment = stack.cli_environment() | {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, env=environment, capture_output=True, timeout=30, check=False).returncode
