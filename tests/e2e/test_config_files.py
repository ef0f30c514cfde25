"""The configuration as files, by the command that people run, against a real server: once whole, as they would."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from services.cli import app
from tests.e2e.programs import ROOT
from tests.e2e.stack import Embedded

EXAMPLE = ROOT / "examples" / "acme"
SECRETS = {
    "ACME_STATUS_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "ACME_ZENDESK_SECRET": "dGhpcyBpcyBub3QgYSByZWFsIHNlY3JldA==",
}


@pytest.fixture(scope="module")
def server() -> Iterator[Embedded]:
    with Embedded() as running:
        yield running


def tocsin(server: Embedded, *arguments: str, expect: int = 0) -> str:
    """What the command said on both streams."""
    at = [] if arguments[0] == "test" else ["--server", server.bases["routing"]]
    done = CliRunner().invoke(app, [*arguments, *at], env={**server.environment(0), **SECRETS})
    assert done.exit_code == expect, f"{arguments}: {done.exit_code} {done.exception}\n{done.output}"
    return done.output


def files(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*.yaml"))}


def test_the_example_is_pushed_pulled_edited_and_pushed_again(server: Embedded, tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    shutil.copytree(EXAMPLE, mine)
    changes = json.loads(tocsin(server, "diff", str(mine), "--format", "json", expect=1))["changes"]
    assert {each["resource"]: each["what"] for each in changes}["calendars/dublin"] == "create"

    tocsin(server, "push", str(mine), "--activate", "--note", "as it is in git")
    assert "No changes" in tocsin(server, "diff", str(mine))
    assert "No changes" in tocsin(server, "push", str(mine))

    tocsin(server, "pull", str(theirs))
    assert "secret: <kept on the server>" in (theirs / "destinations/status-page.yaml").read_text()
    assert not any(secret in text for secret in SECRETS.values() for text in files(theirs).values())
    assert "No changes" in tocsin(server, "diff", str(theirs)), "what was pulled is no change"
    before = files(theirs)
    tocsin(server, "pull", str(theirs))
    assert files(theirs) == before

    policy = theirs / "policies" / "urgent.yaml"
    policy.write_text(policy.read_text().replace("PT1H", "PT30M"))
    assert "targets[first_reply].within" in tocsin(server, "diff", str(theirs), expect=1)
    tocsin(server, "push", str(theirs))

    edited = mine / "policies" / "urgent.yaml"
    edited.write_text(edited.read_text().replace("PT1H", "PT2H"))
    refused = tocsin(server, "push", str(mine), expect=1)
    assert "policies/urgent changed on the server since you pulled" in refused
    assert "PT30M" in refused
    assert "PT2H" in refused
    assert "Nothing was pushed" in refused

    tocsin(server, "pull", str(mine), "--overwrite")
    assert "PT30M" in edited.read_text()
    assert "Support hours. A public holiday" in (mine / "calendars/dublin.yaml").read_text(), "comments stay"


def test_what_is_pushed_to_an_empty_server_is_pulled_from_it_the_same(server: Embedded, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    tocsin(server, "push", str(example(tmp_path)), "--activate", "--overwrite")
    tocsin(server, "pull", str(one))
    for name in ("destinations/status-page.yaml", "sources/zendesk-eu.yaml"):
        path = one / name
        variable = "ACME_STATUS_SECRET" if "status" in name else "ACME_ZENDESK_SECRET"
        path.write_text(path.read_text().replace("<kept on the server>", f"<env {variable}>"))
    with Embedded() as empty:
        tocsin(empty, "push", str(one), "--activate", "--delete")
        tocsin(empty, "pull", str(two))
        assert "No changes" in tocsin(empty, "diff", str(one), "--delete")
    kept = {name: text.replace("<kept on the server>", "?") for name, text in files(two).items()}
    env = files(one)
    for variable in SECRETS:
        env = {name: text.replace(f"<env {variable}>", "?") for name, text in env.items()}
    assert kept == env


def example(folder: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE, folder / "example"))


def test_policies_change_places_and_a_deletion_is_done_only_when_asked(server: Embedded, tmp_path: Path) -> None:
    folder = example(tmp_path)
    tocsin(server, "push", str(folder), "--activate", "--overwrite")
    for name, before, after in (("urgent", 10, 20), ("standard", 20, 10)):
        path = folder / "policies" / f"{name}.yaml"
        path.write_text(path.read_text().replace(f"position: {before}", f"position: {after}"))
    (folder / "escalation-policies" / "risk.yaml").unlink()
    (folder / "destinations" / "risk-slack.yaml").unlink()
    tocsin(server, "push", str(folder))
    key = {"Authorization": f"Bearer {server.key}"}
    url = server.bases["sla"]
    for name, position in (("urgent", 20), ("standard", 10)):
        assert httpx.get(f"{url}/v1/policies/{name}", headers=key).json()["position"] == position
    assert httpx.get(f"{url}/v1/destinations/risk-slack", headers=key).status_code == 200
    tocsin(server, "push", str(folder), "--delete")
    assert httpx.get(f"{url}/v1/destinations/risk-slack", headers=key).status_code == 404
    assert httpx.get(f"{url}/v1/calendars/24x7", headers=key).status_code == 200, "what is always there stays"


def test_a_backtest_of_a_file_says_what_would_move(server: Embedded, tmp_path: Path) -> None:
    folder = example(tmp_path)
    said = tocsin(server, "backtest", str(folder / "ruleset.yaml"))
    assert "go to another team" in said
    drafts = httpx.get(
        f"{server.bases['routing']}/v1/rulesets", headers={"Authorization": f"Bearer {server.key}"}
    ).json()["items"]
    assert not any(each["state"] == "draft" and each["note"] == "backtest" for each in drafts)
