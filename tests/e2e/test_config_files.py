"""The configuration as files, by the commands that people and their CI run, against a real server."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from services.cli import app
from services.config_files.kinds import kinds
from tests.e2e.programs import ROOT
from tests.e2e.stack import Embedded

EXAMPLE = ROOT / "examples" / "acme"
SECRETS = {
    "ACME_STATUS_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "ACME_ZENDESK_SECRET": "dGhpcyBpcyBub3QgYSByZWFsIHNlY3JldA==",
}
# An edit of one file of every kind, and what the plan calls it.
EDITS = {
    "calendars/dublin": ("country: IE", "country: GB", "holidays.country"),
    "teams/risk": ("members: [chloe]", "members: [chloe, ben]", "members"),
    "people/ben": ("label: Ben", "label: Benjamin", "label"),
    "destinations/risk-slack": ('"#risk-alerts"', '"#risk-now"', "channel"),
    "schedules/payments-primary": ("turn: P7D", "turn: P1D", "layers[1].turn"),
    "escalation-policies/risk": ("after: PT10M", "after: PT20M", "steps[2].after"),
    "policies/urgent": ("within: PT1H", "within: PT30M", "targets[first_reply].within"),
    "sources/zendesk-eu": ("tags: [zendesk]", "tags: [zendesk, eu]", "tags"),
    "templates/short": ("{{ priority }}", "{{ team }}", "slack.headline"),
    "ruleset": ("contact.reason == 'chargeback'", "contact.reason == 'dispute'", "rules[chargebacks].when"),
}


@pytest.fixture(scope="module")
def server() -> Iterator[Embedded]:
    with Embedded() as running:
        yield running


@pytest.fixture
def mine(server: Embedded, tmp_path: Path) -> Path:
    """The example in a folder of its own, and on the server."""
    folder = Path(shutil.copytree(EXAMPLE, tmp_path / "mine"))
    tocsin(server, "push", folder, "--activate", "--overwrite", "--delete")
    return folder


def tocsin(server: Embedded, *arguments: Any, expect: int = 0, key: str | None = None) -> str:
    """What the command said on both streams; ``expect`` is its exit code."""
    at = [] if arguments[0] == "test" else ["--server", server.bases["routing"]]
    environment = {**server.environment(0), **SECRETS, "COLUMNS": "80"} | ({"TOCSIN_API_KEY": key} if key else {})
    done = CliRunner().invoke(app, [*map(str, arguments), *at], env=environment)
    assert done.exit_code == expect, f"{arguments}: {done.exit_code} {done.exception}\n{done.output}"
    return done.output


def call(server: Embedded, method: str, path: str, body: Any = None) -> httpx.Response:
    url = f"{server.bases['routing']}/v1/{path}"
    return httpx.request(method, url, json=body, headers={"Authorization": f"Bearer {server.key}"})


def texts(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*.yaml"))}


def edit(folder: Path, name: str, before: str, after: str) -> None:
    file = folder / f"{name}.yaml"
    assert before in file.read_text(), f"{name} has no {before}"
    file.write_text(file.read_text().replace(before, after))


def changed(server: Embedded, folder: Path, *more: str) -> dict[str, set[str]]:
    """The fields that a push would change, by resource."""
    said = tocsin(server, "diff", folder, "--format", "json", *more, expect=1)
    found = [each for each in json.loads(said)["changes"] if each["what"] in ("create", "change", "delete")]
    return {each["resource"]: {field["path"] for field in each["fields"]} for each in found}


def test_every_kind_is_pulled_edited_pushed_and_pulled_the_same(server: Embedded, mine: Path, tmp_path: Path) -> None:
    assert {name.partition("/")[0] for name in EDITS} == {*kinds(), "ruleset"}, "every kind there is"
    theirs, again = tmp_path / "theirs", tmp_path / "again"
    assert "No changes" in tocsin(server, "diff", mine)
    assert "No changes" in tocsin(server, "push", mine, "--activate")
    tocsin(server, "pull", theirs)
    before = texts(theirs)
    assert not [text for text in before.values() if any(secret in text for secret in SECRETS.values())]
    assert "No changes" in tocsin(server, "diff", theirs), "what was pulled is no change"
    tocsin(server, "pull", theirs)
    assert texts(theirs) == before

    for name, (old, new, _) in EDITS.items():
        edit(mine, name, old, new)
    assert changed(server, mine) == {name: {path} for name, (_, _, path) in EDITS.items()}
    shown = tocsin(server, "diff", mine, expect=1)
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert "targets[first_reply].within  PT1H" in shown
    assert f"{len(EDITS)} to change." in shown
    tocsin(server, "push", mine, "--activate")
    assert "No changes" in tocsin(server, "diff", mine)
    tocsin(server, "pull", again)
    now = texts(again)
    assert {name.removesuffix(".yaml") for name in before if now[name] != before[name]} == set(EDITS)
    assert "# Support hours. A public holiday" in (mine / "calendars/dublin.yaml").read_text(), "comments stay"


def test_what_was_pulled_makes_an_empty_server_the_same(server: Embedded, mine: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    tocsin(server, "pull", one)
    said = tocsin(server, "push", one, "--activate")  # to the server that keeps its secrets
    assert "No changes" in said
    with Embedded() as empty:
        refused = tocsin(empty, "push", one, "--activate", "--delete", expect=2)
        assert "destinations/status-page.yaml" in refused
        assert "the server has none to keep" in refused
        assert "No changes" not in refused
        for name, variable in (("destinations/status-page", "STATUS"), ("sources/zendesk-eu", "ZENDESK")):
            edit(one, name, "<kept on the server>", f"<env ACME_{variable}_SECRET>")
        tocsin(empty, "push", one, "--activate", "--delete")
        assert "No changes" in tocsin(empty, "diff", one, "--delete")
        tocsin(empty, "pull", two)
    kept = {name: text.replace("<kept on the server>", "?") for name, text in texts(two).items()}
    written = texts(one)
    for variable in SECRETS:
        written = {name: text.replace(f"<env {variable}>", "?") for name, text in written.items()}
    assert kept == written


def test_only_what_was_asked_is_deleted_and_what_is_in_use_or_always_there_stays(server: Embedded, mine: Path) -> None:
    for name in ("escalation-policies/risk", "destinations/risk-slack", "calendars/dublin"):
        (mine / f"{name}.yaml").unlink()
    edit(mine, "policies/standard", "    calendar: dublin\n", "")
    tocsin(server, "push", mine)
    assert call(server, "GET", "destinations/risk-slack").status_code == 200
    assert "Only on the server; --delete removes it: " in tocsin(server, "diff", mine)
    assert set(changed(server, mine, "--delete")) == {
        "calendars/dublin", "destinations/risk-slack", "escalation-policies/risk"
    }  # fmt: skip
    tocsin(server, "push", mine, "--delete")
    for name in ("escalation-policies/risk", "destinations/risk-slack", "calendars/dublin"):
        assert call(server, "GET", name).status_code == 404
    for name in ("calendars/24x7", "escalation-policies/default", "teams/frontline"):
        assert call(server, "GET", name).status_code == 200, "what is always there stays"


def test_policies_change_places_in_one_push(server: Embedded, mine: Path) -> None:
    for name, before, after in (("urgent", 10, 20), ("standard", 20, 10)):
        edit(mine, f"policies/{name}", f"position: {before}", f"position: {after}")
    tocsin(server, "push", mine)
    found = {name: call(server, "GET", f"policies/{name}").json()["position"] for name in ("urgent", "standard")}
    assert found == {"urgent": 20, "standard": 10}


def test_overrides_of_a_schedule_are_neither_files_nor_touched_by_a_push(server: Embedded, mine: Path) -> None:
    override = {"person": "li", "from": "2030-01-01T09:00:00Z", "until": "2030-01-02T09:00:00Z"}
    path = "schedules/payments-primary/overrides"
    assert call(server, "POST", path, override).status_code == 201
    assert "No changes" in tocsin(server, "diff", mine)
    edit(mine, "schedules/payments-primary", "turn: P7D", "turn: P1D")
    tocsin(server, "push", mine)
    asked = {"at": "2030-01-01T12:00:00Z"}
    [on_call] = call(server, "GET", f"schedules/payments-primary/on-call?at={asked['at']}").json()["people"]
    assert on_call["person"] == "li"


def test_of_two_admins_the_second_is_refused_with_what_the_first_did(
    server: Embedded, mine: Path, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    tocsin(server, "pull", theirs)
    edit(theirs, "policies/urgent", "PT1H", "PT30M")
    tocsin(server, "push", theirs)
    edit(mine, "policies/urgent", "PT1H", "PT2H")
    refused = tocsin(server, "push", mine, expect=1)
    assert "policies/urgent changed on the server since you pulled" in refused
    assert "PT1H  →  PT30M" in refused
    assert "PT1H  →  PT2H" in refused
    assert "Nothing was pushed" in refused
    assert call(server, "GET", "policies/urgent").json()["targets"][0]["within"] == "PT30M"
    stood = tocsin(server, "pull", mine, expect=1)
    assert "PT2H" in (mine / "policies/urgent.yaml").read_text(), "an edit of one's own stays"
    assert "policies/urgent.yaml" in stood
    tocsin(server, "pull", mine, "--overwrite")
    assert "PT30M" in (mine / "policies/urgent.yaml").read_text()


def test_a_key_may_do_what_its_scopes_say_and_is_told_so(server: Embedded, mine: Path) -> None:
    made = CliRunner().invoke(app, ["keys", "create", "ci", "--scope", "read"], env=server.cli_environment())
    key = made.output.split()[-1]
    edit(mine, "teams/risk", "label: Risk", "label: Risk and fraud")
    assert "Risk and fraud" in tocsin(server, "diff", mine, expect=1, key=key)
    refused = tocsin(server, "push", mine, expect=2, key=key)
    assert "teams/risk was refused" in refused
    assert "config:write" in refused
    assert "Not done: teams/risk" in refused
    assert "TOCSIN_API_KEY" in tocsin(server, "diff", mine, expect=2, key="tok_nonsense")
    nobody = CliRunner().invoke(app, ["diff", str(mine), "--server", "http://127.0.0.1:1"], env=server.environment(0))
    assert (nobody.exit_code, "does not answer" in nobody.output) == (2, True)


def test_exit_codes_tell_ci_what_is_wrong(server: Embedded, mine: Path) -> None:
    assert "3 of 3 tests hold" in tocsin(server, "test", mine)
    edit(mine, "ruleset", "expect: {team: risk, rule: taken-over}", "expect: {team: payments}")
    said = tocsin(server, "test", mine, expect=1)
    assert "team is risk, not payments" in said
    assert "Nothing was pushed" in tocsin(server, "push", mine, expect=1)
    edit(mine, "ruleset", "contact.reason == 'chargeback'", "contact.reasn == 'chargeback'")
    said = tocsin(server, "test", mine, expect=2)
    assert "ruleset.yaml:9" in said
    assert "Did you mean contact.reason?" in said
    assert "Nothing was pushed" in tocsin(server, "push", mine, expect=2)


def test_a_backtest_of_a_file_says_what_would_move_and_leaves_nothing_behind(server: Embedded, mine: Path) -> None:
    client = server.client()
    for number in range(6):
        contact = {"channel": "email", "external_id": f"b-{number}", "reason": "payout_delay" if number % 2 else "api"}
        case = client.post("/v1/contacts", contact)["case_id"]
        client.get(f"/v1/cases/{case}/assignment", wait="PT10S")
    edit(mine, "ruleset", "team: payments\n\nfallback", "team: risk\n\nfallback")
    versions = call(server, "GET", "rulesets").json()
    said = tocsin(server, "backtest", mine / "ruleset.yaml")
    assert all(len(line) <= 80 for line in said.splitlines())
    assert ["payments", "risk", "3"] in [line.split()[:3] for line in said.splitlines()]
    assert call(server, "GET", "rulesets").json() == versions
    wrong = tocsin(server, "backtest", mine / "ruleset.yaml", "--where", "contact.tire == 1", expect=2)
    assert "contact.tire" in wrong
