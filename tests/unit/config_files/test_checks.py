"""Files are judged without a server: each finding names the file, the line, and what to do."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.routes import documents
from services.config_files.checks import Report, check
from services.config_files.folder import load
from services.config_files.kinds import kinds
from tests.unit.architecture.source import ROOT

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
EXAMPLE = ROOT / "examples" / "acme"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE, tmp_path / "acme"))


def checked(folder: Path) -> Report:
    return check(load(folder), NOW)


def test_the_example_is_whole_and_its_tests_hold() -> None:
    report = checked(EXAMPLE)
    assert report.findings == ()
    assert [test.wrong for test in report.tests] == ["", "", ""]


def test_no_kind_that_is_configured_by_name_is_forgotten() -> None:
    """Whatever has PUT, GET and DELETE under a name, and a list, is in the files."""
    paths = {path: methods for document in documents().values() for path, methods in document["paths"].items()}
    configured = {
        path.removesuffix("/{name}")
        for path, methods in paths.items()
        if path.endswith("/{name}") and {"put", "get", "delete"} <= set(methods) and "get" in paths.get(path[:-7], {})
    }
    assert {each.path for each in kinds().values()} == configured
    assert len(configured) >= 8


@pytest.mark.parametrize(
    ("file", "old", "new", "line", "says"),
    [
        ("calendars/dublin.yaml", "Europe/Dublin", "Europe/Dublim", 3, "not an IANA time zone"),
        ("calendars/dublin.yaml", "weekly:", "weeky:", 4, "there is no such field"),
        ("policies/standard.yaml", "calendar: dublin\n    warn", "calendar: cork\n    warn", 4, "no calendar cork"),
        ("policies/standard.yaml", "position: 20", "position: 10", 1, "Choose another position"),
        ("escalation-policies/risk.yaml", "chloe", "claire", 1, "There is no person claire"),
        ("ruleset.yaml", "team: risk\n      priority: high", "team: rsk\n      priority: high", 11, "no team rsk"),
        ("ruleset.yaml", "contact.reason == 'charge", "contact.raeson == 'charge", 9, "contact.raeson"),
        ("destinations/status-page.yaml", "<env ACME_STATUS_SECRET>", "whsec_abc", 3, "no place in a file"),
        ("teams/risk.yaml", "members: [chloe]", "members: [chloe", 4, "Correct the YAML"),
    ],
)
def test_what_is_wrong_is_found_with_its_line(
    folder: Path, file: str, old: str, new: str, line: int, says: str
) -> None:
    path = folder / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    found = [(each.file, each.line) for each in checked(folder).errors if says in each.text]
    assert (file, line) in found, [str(each) for each in checked(folder).findings]


def test_a_rule_that_never_decides_is_a_warning(folder: Path) -> None:
    path = folder / "ruleset.yaml"
    again = "  - id: again\n    when: contact.reason == 'chargeback'\n    then: {team: payments}\n\nfallback:"
    path.write_text(path.read_text().replace("\nfallback:", again))
    report = checked(folder)
    assert report.passed
    assert [each.error for each in report.findings] == [False]
    assert "chargebacks, which comes first" in report.findings[0].text


def test_a_test_that_does_not_hold_says_what_came_instead(folder: Path) -> None:
    path = folder / "ruleset.yaml"
    path.write_text(path.read_text().replace("expect: {team: frontline, rule: null}", "expect: {team: risk}"))
    wrong = [test for test in checked(folder).tests if test.wrong]
    assert [test.name for test in wrong] == ["everything else is for the front line"]
    assert "team is frontline, not risk" in wrong[0].wrong


def test_a_file_that_is_no_resource_of_ours_is_named(folder: Path) -> None:
    (folder / "calenders").mkdir()
    (folder / "calenders" / "cork.yaml").write_text("time_zone: Europe/Dublin\n")
    assert "calenders is no folder of ours" in str(checked(folder).errors[0])
